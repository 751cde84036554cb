//! What is known of the databases of a target, by hand and by looking, in the transaction of the caller.
//!
//! Whoever changes the list locks the instance first, and compares what it started from, so that looks and people do not
//! undo or mix their changes.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::Timestamp;
use domain::ids::InstanceId;
use domain::ports::{DirectoryError, StoreError};
use domain::target::{DatabaseSource, LastSync, SyncAttempt, SyncChanges, SyncOutcome, TargetDatabase};
use domain::text::DatabaseName;

use crate::audit::text;
use crate::error::store_error;
use crate::schema::{database_instances, databases};
use crate::target_rows::{DatabaseRow, InstanceRow, find_database, lock_instance};

const SUCCEEDED: &str = "succeeded";
const FAILED: &str = "failed";

/// So many rows go into one statement; PostgreSQL takes 65,535 parameters.
const BATCH: usize = 1_000;

pub(crate) async fn put_database(
    connection: &mut AsyncPgConnection,
    id: &InstanceId,
    before: Option<&TargetDatabase>,
    after: &TargetDatabase,
    now: Timestamp,
) -> Result<(), DirectoryError> {
    if !lock_instance(connection, id.as_str()).await.map_err(store_error)? {
        return Err(DirectoryError::UnknownInstance(id.clone()));
    }
    // Read after the lock was given: only now nobody else changes it.
    let stored = find_database(connection, id.as_str(), after.name.as_str()).await.map_err(store_error)?;
    let stored = stored.map(DatabaseRow::read).transpose()?;
    if stored.as_ref().map(TargetDatabase::decided) != before.map(TargetDatabase::decided) {
        return Err(DirectoryError::Changed(format!("the database {} of {id}", after.name)));
    }
    let said = (
        databases::description.eq(after.description.as_ref()),
        databases::is_active.eq(after.active),
        databases::source.eq(after.source.as_str()),
        databases::updated_at.eq(now),
    );
    diesel::insert_into(databases::table)
        .values((
            databases::instance_id.eq(id.as_str()),
            databases::name.eq(after.name.as_str()),
            databases::created_at.eq(now),
            said,
        ))
        .on_conflict((databases::instance_id, databases::name))
        .do_update()
        .set(said)
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}

pub(crate) async fn last_sync(connection: &mut AsyncPgConnection, id: &str) -> QueryResult<Option<LastSync>> {
    let found: Option<(Option<DateTime<Utc>>, Option<String>)> = database_instances::table
        .find(id)
        .select((database_instances::last_sync_at, database_instances::last_sync_error))
        .get_result(connection)
        .await
        .optional()?;
    Ok(found.and_then(|(at, error)| at.map(|at| LastSync { at, error })))
}

pub(crate) async fn record_sync(
    connection: &mut AsyncPgConnection,
    id: &InstanceId,
    attempt: &SyncAttempt,
) -> Result<SyncChanges, DirectoryError> {
    let (revision, last) = lock_what_was_looked_at(connection, id).await?;
    let began = attempt.started_at;
    if revision != attempt.connection_revision || last.is_some_and(|last| last > began) {
        return Err(DirectoryError::Changed(format!("the instance {id}")));
    }
    let (status, error, changes) = match &attempt.outcome {
        SyncOutcome::Succeeded(found) => {
            (SUCCEEDED, None, bring_up_to_date(connection, id, found, began).await?)
        }
        SyncOutcome::Failed(error) => (FAILED, Some(text(error)), SyncChanges::default()),
    };
    diesel::update(database_instances::table.find(id.as_str()))
        .set((
            database_instances::last_sync_at.eq(began),
            database_instances::last_sync_status.eq(status),
            database_instances::last_sync_error.eq(error),
            attempt.next_at.map(|next| database_instances::next_sync_at.eq(next)),
        ))
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(changes)
}

/// Takes the instance that has waited longest for its sync, passing over those that somebody else holds just now.
pub(crate) async fn claim_due(
    connection: &mut AsyncPgConnection,
    now: Timestamp,
    next: Timestamp,
) -> QueryResult<Option<InstanceRow>> {
    use database_instances::dsl;
    let due: Option<String> = dsl::database_instances
        .filter(dsl::is_active)
        .filter(dsl::bound_revision.eq(dsl::connection_revision.nullable()))
        .filter(dsl::next_sync_at.is_null().or(dsl::next_sync_at.le(now)))
        .order((dsl::next_sync_at.asc().nulls_first(), dsl::id))
        .select(dsl::id)
        .limit(1)
        .for_no_key_update()
        .skip_locked()
        .get_result(connection)
        .await
        .optional()?;
    let Some(id) = due else { return Ok(None) };
    let row = diesel::update(dsl::database_instances.find(id))
        .set(dsl::next_sync_at.eq(next))
        .returning(InstanceRow::as_returning())
        .get_result(connection)
        .await?;
    Ok(Some(row))
}

/// Locks an instance, and tells the revision of its connection and when the last look at it began.
async fn lock_what_was_looked_at(
    connection: &mut AsyncPgConnection,
    id: &InstanceId,
) -> Result<(i32, Option<DateTime<Utc>>), DirectoryError> {
    let found = database_instances::table
        .find(id.as_str())
        .select((database_instances::connection_revision, database_instances::last_sync_at))
        .for_no_key_update()
        .get_result(connection)
        .await
        .optional()
        .map_err(store_error)?;
    found.ok_or_else(|| DirectoryError::UnknownInstance(id.clone()))
}

async fn bring_up_to_date(
    connection: &mut AsyncPgConnection,
    id: &InstanceId,
    found: &[DatabaseName],
    now: Timestamp,
) -> Result<SyncChanges, StoreError> {
    let found: BTreeSet<&DatabaseName> = found.iter().collect();
    let rows: Vec<DatabaseRow> = databases::table
        .filter(databases::instance_id.eq(id.as_str()))
        .select(DatabaseRow::as_select())
        .load(connection)
        .await
        .map_err(store_error)?;
    let mut known = BTreeMap::new();
    for row in rows {
        let database: TargetDatabase = row.read()?;
        known.insert(database.name.clone(), database);
    }
    let named = |wanted: &dyn Fn(&TargetDatabase) -> bool| -> Vec<DatabaseName> {
        known.values().filter(|database| wanted(database)).map(|database| database.name.clone()).collect()
    };
    let synced = |database: &TargetDatabase| database.source == DatabaseSource::Synced;
    let changes = SyncChanges {
        added: found.iter().filter(|name| !known.contains_key(**name)).map(|&name| name.clone()).collect(),
        reactivated: named(&|d| synced(d) && !d.active && found.contains(&d.name)),
        deactivated: named(&|d| synced(d) && d.active && !found.contains(&d.name)),
    };
    note_seen(connection, id, &named(&|d| found.contains(&d.name)), now).await?;
    set_active(connection, id, &changes.reactivated, true, now).await?;
    set_active(connection, id, &changes.deactivated, false, now).await?;
    add_synced(connection, id, &changes.added, now).await?;
    Ok(changes)
}

async fn note_seen(
    connection: &mut AsyncPgConnection,
    id: &InstanceId,
    names: &[DatabaseName],
    now: Timestamp,
) -> Result<(), StoreError> {
    diesel::update(databases::table)
        .filter(databases::instance_id.eq(id.as_str()))
        .filter(databases::name.eq_any(texts(names)))
        .set(databases::last_seen_at.eq(now))
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}

async fn set_active(
    connection: &mut AsyncPgConnection,
    id: &InstanceId,
    names: &[DatabaseName],
    active: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    if names.is_empty() {
        return Ok(());
    }
    diesel::update(databases::table)
        .filter(databases::instance_id.eq(id.as_str()))
        .filter(databases::name.eq_any(texts(names)))
        .set((databases::is_active.eq(active), databases::updated_at.eq(now)))
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}

async fn add_synced(
    connection: &mut AsyncPgConnection,
    id: &InstanceId,
    names: &[DatabaseName],
    now: Timestamp,
) -> Result<(), StoreError> {
    for batch in names.chunks(BATCH) {
        let row = |name: &DatabaseName| {
            (
                databases::instance_id.eq(id.as_str().to_owned()),
                databases::name.eq(name.as_str().to_owned()),
                databases::source.eq(DatabaseSource::Synced.as_str()),
                databases::last_seen_at.eq(now),
                databases::created_at.eq(now),
                databases::updated_at.eq(now),
            )
        };
        diesel::insert_into(databases::table)
            .values(batch.iter().map(row).collect::<Vec<_>>())
            .execute(connection)
            .await
            .map_err(store_error)?;
    }
    Ok(())
}

fn texts(names: &[DatabaseName]) -> Vec<&str> {
    names.iter().map(DatabaseName::as_str).collect()
}
