//! Changes of PODs and targets, each in the transaction of its caller.
//!
//! Whoever changes a row locks it and compares it with what was seen before, so that of two changes that started from
//! the same row one is refused instead of undoing the other. The lock of an instance stands for its PODs too.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::Timestamp;
use domain::ids::{InstanceId, PodId};
use domain::pod::Pod;
use domain::ports::{DirectoryError, StoreError};
use domain::target::{DatabaseSource, Target};
use domain::text::DatabaseName;

use crate::error::{store_error, violates};
use crate::schema::{database_instances, databases, instance_pods, pods};
use crate::target_rows::{InstanceRow, PodRow, find_instance, lock_instance};

pub(crate) async fn add_pod(
    connection: &mut AsyncPgConnection,
    pod: &Pod,
    now: Timestamp,
) -> Result<(), DirectoryError> {
    let added = diesel::insert_into(pods::table)
        .values((PodRow::of(pod), pods::created_at.eq(now)))
        .execute(connection)
        .await;
    match added {
        Ok(_) => Ok(()),
        Err(error) if violates(&error, "pods_pkey") => {
            Err(DirectoryError::Exists(format!("the POD {}", pod.id)))
        }
        Err(error) => Err(store_error(error).into()),
    }
}

pub(crate) async fn change_pod(
    connection: &mut AsyncPgConnection,
    before: &Pod,
    after: &Pod,
) -> Result<(), DirectoryError> {
    let stored: Option<PodRow> = pods::table
        .find(before.id.as_str())
        .select(PodRow::as_select())
        .for_no_key_update()
        .get_result(connection)
        .await
        .optional()
        .map_err(store_error)?;
    let stored = stored.ok_or_else(|| DirectoryError::UnknownPod(before.id.clone()))?.read()?;
    if stored != *before {
        return Err(DirectoryError::Changed(format!("the POD {}", before.id)));
    }
    diesel::update(pods::table.find(before.id.as_str()))
        .set(PodRow::of(after))
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}

pub(crate) async fn add_target(
    connection: &mut AsyncPgConnection,
    target: &Target,
    names: &[DatabaseName],
    now: Timestamp,
) -> Result<(), DirectoryError> {
    let times = (database_instances::created_at.eq(now), database_instances::updated_at.eq(now));
    let added = diesel::insert_into(database_instances::table)
        .values((InstanceRow::of(target)?, times))
        .execute(connection)
        .await;
    match added {
        Ok(_) => {}
        Err(error) if violates(&error, "database_instances_pkey") => {
            return Err(DirectoryError::Exists(format!("the instance {}", target.id)));
        }
        Err(error) => return Err(store_error(error).into()),
    }
    link_pods(connection, &target.id, &target.pods).await?;
    Ok(add_databases(connection, &target.id, names, now).await?)
}

pub(crate) async fn change_target(
    connection: &mut AsyncPgConnection,
    before: &Target,
    after: &Target,
    now: Timestamp,
) -> Result<(), DirectoryError> {
    let id = &before.id;
    lock_instance(connection, id.as_str()).await.map_err(store_error)?;
    // Read after the lock was given: only now nobody else changes it.
    let stored = find_instance(connection, id.as_str()).await.map_err(store_error)?;
    let (row, pods) = stored.ok_or_else(|| DirectoryError::UnknownInstance(id.clone()))?;
    if row.read(pods)? != *before {
        return Err(DirectoryError::Changed(format!("the instance {id}")));
    }
    diesel::update(database_instances::table.find(id.as_str()))
        .set((InstanceRow::of(after)?, database_instances::updated_at.eq(now)))
        .execute(connection)
        .await
        .map_err(store_error)?;
    if (after.bound_revision, after.active) != (before.bound_revision, before.active) {
        diesel::update(database_instances::table.find(id.as_str()))
            .set(database_instances::next_sync_at.eq(None::<Timestamp>))
            .execute(connection)
            .await
            .map_err(store_error)?;
    }
    diesel::delete(instance_pods::table.filter(instance_pods::instance_id.eq(id.as_str())))
        .execute(connection)
        .await
        .map_err(store_error)?;
    link_pods(connection, id, &after.pods).await
}

/// Ties PODs to an instance, one by one so that an unknown one can be named.
async fn link_pods(
    connection: &mut AsyncPgConnection,
    instance: &InstanceId,
    pods: &[PodId],
) -> Result<(), DirectoryError> {
    for pod in pods {
        let linked = diesel::insert_into(instance_pods::table)
            .values((
                instance_pods::instance_id.eq(instance.as_str()),
                instance_pods::pod_id.eq(pod.as_str()),
            ))
            .on_conflict_do_nothing()
            .execute(connection)
            .await;
        match linked {
            Ok(_) => {}
            Err(error) if violates(&error, "instance_pods_pod_id_fkey") => {
                return Err(DirectoryError::UnknownPod(pod.clone()));
            }
            Err(error) => return Err(store_error(error).into()),
        }
    }
    Ok(())
}

async fn add_databases(
    connection: &mut AsyncPgConnection,
    instance: &InstanceId,
    names: &[DatabaseName],
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows: Vec<_> = names
        .iter()
        .map(|name| {
            (
                databases::instance_id.eq(instance.as_str()),
                databases::name.eq(name.as_str()),
                databases::source.eq(DatabaseSource::Manual.as_str()),
                databases::created_at.eq(now),
                databases::updated_at.eq(now),
            )
        })
        .collect();
    diesel::insert_into(databases::table)
        .values(rows)
        .on_conflict_do_nothing()
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}
