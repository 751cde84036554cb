//! Reading and writing requests inside of a transaction: the parts that the request store, the job queue and the
//! reaper share.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::Timestamp;
use domain::audit::AuditEntry;
use domain::ids::RequestId;
use domain::job::NOTIFICATION_ATTEMPTS;
use domain::lifecycle::Transition;
use domain::ports::{Change, IdGenerator, StoreError};
use domain::request::{Effect, EventKind, Request, Version};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::audit;
use crate::error::store_error;
use crate::request_rows::{ApprovalRow, ContentColumns, OriginColumns, RequestRow};
use crate::request_state::StateColumns;
use crate::schema::{jobs, query_requests, request_approvals};

pub(crate) const EXECUTE: &str = "execute_request";
pub(crate) const NOTIFY: &str = "notify";

/// A request as it was written, and what to tell the others after the commit.
pub(crate) struct Written {
    pub(crate) request: Request,
    pub(crate) changes: Vec<Change>,
}

/// Writes a new request as version 1.
pub(crate) async fn insert(
    connection: &mut AsyncPgConnection,
    request: &Request,
    entry: &AuditEntry,
    effects: &[Effect],
    ids: &dyn IdGenerator,
) -> Result<Vec<Change>, StoreError> {
    let row: i64 = diesel::insert_into(query_requests::table)
        .values((OriginColumns::of(request)?, ContentColumns::of(request)?, StateColumns::of(request, 1)))
        .returning(query_requests::id)
        .get_result(connection)
        .await
        .map_err(store_error)?;
    add_approvals(connection, row, request).await?;
    audit::record(connection, entry).await?;
    carry_out(connection, row, request, effects, ids).await
}

/// Writes a transition as compare-and-swap; `None` when the stored version is another one.
pub(crate) async fn write(
    connection: &mut AsyncPgConnection,
    transition: &Transition,
    ids: &dyn IdGenerator,
) -> Result<Option<Written>, StoreError> {
    let Transition { request, expected_version, event, effects, audit: entry } = transition;
    if effects.contains(&Effect::DropExecution) {
        // Jobs are locked before requests, as a claim does it; the other way round the two could wait for each other.
        lock_queued_execution(connection, request.id).await?;
    }
    let Some(row) = swap(connection, request, *expected_version, *event).await? else { return Ok(None) };
    match event {
        EventKind::Approve => add_approvals(connection, row, request).await?,
        EventKind::Edit | EventKind::Reject | EventKind::Withdraw | EventKind::Expire => {
            drop_approvals(connection, row, request.updated_at).await?;
        }
        EventKind::Start
        | EventKind::Refuse
        | EventKind::Succeed
        | EventKind::Fail
        | EventKind::RequestCancel
        | EventKind::ConfirmCancelled
        | EventKind::LoseContact
        | EventKind::ResolveByProof
        | EventKind::ResolveByPerson => {}
    }
    audit::record(connection, entry).await?;
    let changes = carry_out(connection, row, request, effects, ids).await?;
    let request = Request { version: expected_version + 1, ..request.clone() };
    Ok(Some(Written { request, changes }))
}

async fn swap(
    connection: &mut AsyncPgConnection,
    request: &Request,
    expected: Version,
    event: EventKind,
) -> Result<Option<i64>, StoreError> {
    let state = StateColumns::of(request, expected + 1);
    let row = query_requests::table
        .filter(query_requests::uuid.eq(request.id.as_uuid()))
        .filter(query_requests::version.eq(expected));
    let swapped = if event == EventKind::Edit {
        diesel::update(row)
            .set((ContentColumns::of(request)?, state))
            .returning(query_requests::id)
            .get_result(connection)
            .await
    } else {
        diesel::update(row).set(state).returning(query_requests::id).get_result(connection).await
    };
    swapped.optional().map_err(store_error)
}

/// Locks the queued execution of a request, if there is one, until the end of the transaction.
pub(crate) async fn lock_queued_execution(
    connection: &mut AsyncPgConnection,
    request: RequestId,
) -> Result<(), StoreError> {
    let row = query_requests::table
        .filter(query_requests::uuid.eq(request.as_uuid()))
        .select(query_requests::id)
        .single_value();
    let _locked: Vec<Uuid> = jobs::table
        .filter(jobs::request_id.nullable().eq(row))
        .filter(jobs::kind.eq(EXECUTE))
        .filter(jobs::status.eq("pending"))
        .select(jobs::id)
        .for_update()
        .load(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}

/// Reads and locks a request by the key of its row.
pub(crate) async fn lock_request(
    connection: &mut AsyncPgConnection,
    row: i64,
) -> Result<Request, StoreError> {
    let locked: RequestRow = query_requests::table
        .filter(query_requests::id.eq(row))
        .select(RequestRow::as_select())
        .for_no_key_update()
        .get_result(connection)
        .await
        .map_err(store_error)?;
    // Not sent along with the lock: a statement that has to be prepared first is overtaken by one that is prepared.
    let approvals = live_approvals(connection, row).await.map_err(store_error)?;
    locked.into_request(approvals)
}

/// The approvals that count, in the order in which they were given.
async fn live_approvals(connection: &mut AsyncPgConnection, request: i64) -> QueryResult<Vec<ApprovalRow>> {
    request_approvals::table
        .filter(request_approvals::request_id.eq(request))
        .filter(request_approvals::dropped_at.is_null())
        .order(request_approvals::id)
        .select(ApprovalRow::as_select())
        .load(connection)
        .await
}

/// Adds the approvals that are not stored yet.
async fn add_approvals(
    connection: &mut AsyncPgConnection,
    row: i64,
    request: &Request,
) -> Result<(), StoreError> {
    let approvals: Vec<_> = request
        .state
        .approvals()
        .iter()
        .map(|approval| {
            (
                request_approvals::request_id.eq(row),
                request_approvals::approver_id.eq(approval.by.id.as_uuid()),
                request_approvals::approver_email.eq(approval.by.email.as_str()),
                request_approvals::digest.eq(approval.digest.to_string()),
                request_approvals::created_at.eq(approval.at),
            )
        })
        .collect();
    if approvals.is_empty() {
        return Ok(());
    }
    diesel::insert_into(request_approvals::table)
        .values(approvals)
        .on_conflict((request_approvals::request_id, request_approvals::approver_id))
        .filter_target(request_approvals::dropped_at.is_null())
        .do_nothing()
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}

/// Keeps the approvals on record, but out of every later count.
async fn drop_approvals(
    connection: &mut AsyncPgConnection,
    row: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    diesel::update(request_approvals::table)
        .filter(request_approvals::request_id.eq(row))
        .filter(request_approvals::dropped_at.is_null())
        .set(request_approvals::dropped_at.eq(now))
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}

/// Turns effects into jobs and announcements.
async fn carry_out(
    connection: &mut AsyncPgConnection,
    row: i64,
    request: &Request,
    effects: &[Effect],
    ids: &dyn IdGenerator,
) -> Result<Vec<Change>, StoreError> {
    let now = request.updated_at;
    let mut changes = vec![Change::Request(request.id)];
    let mut queued = Vec::new();
    for effect in effects {
        match effect {
            Effect::EnqueueExecution { not_before } => {
                let due = not_before.unwrap_or(now);
                queued.push((EXECUTE, json!({}), due, 1));
            }
            Effect::Notify(kind) => {
                let attempts = i32::try_from(NOTIFICATION_ATTEMPTS).unwrap_or(i32::MAX);
                for audience in kind.audiences(request) {
                    let payload = json!({ "notification": kind.as_str(), "audience": audience.as_str() });
                    queued.push((NOTIFY, payload, now, attempts));
                }
            }
            Effect::DropExecution => drop_execution(connection, row, now).await?,
            Effect::SignalCancel => changes.push(Change::Cancel(request.id)),
        }
    }
    if !queued.is_empty() {
        enqueue(connection, row, queued, now, ids).await?;
        changes.push(Change::Jobs);
    }
    Ok(changes)
}

async fn enqueue(
    connection: &mut AsyncPgConnection,
    row: i64,
    queued: Vec<(&str, Value, Timestamp, i32)>,
    now: Timestamp,
    ids: &dyn IdGenerator,
) -> Result<(), StoreError> {
    let rows: Vec<_> = queued
        .into_iter()
        .map(|(kind, payload, due, attempts)| {
            (
                jobs::id.eq(ids.new_id()),
                jobs::kind.eq(kind.to_owned()),
                jobs::request_id.eq(row),
                jobs::payload.eq(payload),
                jobs::status.eq("pending"),
                jobs::max_attempts.eq(attempts),
                jobs::scheduled_at.eq(due),
                jobs::created_at.eq(now),
                jobs::updated_at.eq(now),
            )
        })
        .collect();
    diesel::insert_into(jobs::table).values(rows).execute(connection).await.map_err(store_error)?;
    Ok(())
}

async fn drop_execution(
    connection: &mut AsyncPgConnection,
    row: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    diesel::update(jobs::table)
        .filter(jobs::request_id.eq(row))
        .filter(jobs::kind.eq(EXECUTE))
        .filter(jobs::status.eq("pending"))
        .set((jobs::status.eq("dropped"), jobs::updated_at.eq(now)))
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}
