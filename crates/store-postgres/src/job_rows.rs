//! Jobs as rows, and what a claim looks at: the parts that the queue, notifications and the reaper share.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::Timestamp;
use domain::job::Lease;
use domain::lifecycle::StartFacts;
use domain::ports::StoreError;
use domain::request::Request;
use futures_util::try_join;
use uuid::Uuid;

use crate::error::store_error;
use crate::schema::{execution_result_chunks, jobs, users};
use crate::target_rows::{DatabaseRow, PodRow, find_database, find_instance, find_pod};
use crate::transitions::EXECUTE;

/// An execution that may start.
#[derive(Queryable)]
pub(crate) struct DueJob {
    pub(crate) id: Uuid,
    pub(crate) request: i64,
    pub(crate) fence: i64,
    pub(crate) attempts: i32,
}

/// How a job ends.
pub(crate) enum JobEnd {
    Completed,
    Failed(&'static str),
    Dropped,
}

#[derive(AsChangeset)]
#[diesel(table_name = jobs, treat_none_as_null = true)]
struct EndColumns {
    status: &'static str,
    lease_until: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    failed_at: Option<Timestamp>,
    error: Option<String>,
    updated_at: Timestamp,
}

pub(crate) async fn end(
    connection: &mut AsyncPgConnection,
    job: Uuid,
    how: &JobEnd,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (status, error) = match how {
        JobEnd::Completed => ("completed", None),
        JobEnd::Failed(error) => ("failed", Some((*error).to_owned())),
        JobEnd::Dropped => ("dropped", None),
    };
    let columns = EndColumns {
        status,
        lease_until: None,
        completed_at: matches!(how, JobEnd::Completed).then_some(now),
        failed_at: matches!(how, JobEnd::Failed(_)).then_some(now),
        error,
        updated_at: now,
    };
    diesel::update(jobs::table.find(job)).set(columns).execute(connection).await.map_err(store_error)?;
    Ok(())
}

/// The results of a request that did not complete are nobody's.
pub(crate) async fn delete_result(
    connection: &mut AsyncPgConnection,
    request: i64,
) -> Result<(), StoreError> {
    diesel::delete(execution_result_chunks::table.filter(execution_result_chunks::request_id.eq(request)))
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}

/// The job as long as this lease holds it.
#[diesel::dsl::auto_type]
pub(crate) fn held(lease: &Lease) -> _ {
    let job: Uuid = lease.job.as_uuid();
    let fence: i64 = lease.fence;
    jobs::table.filter(jobs::id.eq(job)).filter(jobs::fence.eq(fence)).filter(jobs::status.eq("running"))
}

pub(crate) async fn lock_due(
    connection: &mut AsyncPgConnection,
    now: Timestamp,
) -> Result<Option<DueJob>, StoreError> {
    jobs::table
        .filter(jobs::kind.eq(EXECUTE))
        .filter(jobs::status.eq("pending"))
        .filter(jobs::scheduled_at.le(now))
        .order((jobs::priority.desc(), jobs::scheduled_at, jobs::created_at, jobs::id))
        .limit(1)
        .for_update()
        .skip_locked()
        .select((jobs::id, jobs::request_id, jobs::fence, jobs::attempts))
        .get_result(connection)
        .await
        .optional()
        .map_err(store_error)
}

pub(crate) async fn hold(
    connection: &mut AsyncPgConnection,
    lease: &Lease,
    attempts: i32,
    now: Timestamp,
    until: Timestamp,
) -> Result<(), StoreError> {
    diesel::update(jobs::table.find(lease.job.as_uuid()))
        .set((
            jobs::status.eq("running"),
            jobs::fence.eq(lease.fence),
            jobs::attempts.eq(attempts),
            jobs::worker.eq(&lease.worker.0),
            jobs::lease_until.eq(until),
            jobs::started_at.eq(now),
            jobs::updated_at.eq(now),
        ))
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}

/// The world as it is in this transaction. All questions are sent before the first is answered.
pub(crate) async fn facts(
    connection: &mut AsyncPgConnection,
    request: &Request,
) -> Result<StartFacts, StoreError> {
    let connection = &*connection;
    let instance = request.target.instance.as_str();
    let requester = users::table.find(request.requester.id.as_uuid()).select(users::is_active);
    let (target, database, pod, requester_active) = try_join!(
        find_instance(connection, instance),
        find_database(connection, instance, request.target.database.as_str()),
        find_pod(connection, request.pod.id.as_str()),
        async { requester.get_result(&mut { connection }).await.optional() },
    )
    .map_err(store_error)?;
    Ok(StartFacts {
        target: target.map(|(row, pods)| row.read(pods)).transpose()?,
        database: database.map(DatabaseRow::read).transpose()?,
        pod: pod.map(PodRow::read).transpose()?,
        requester_active: requester_active.unwrap_or(false),
    })
}
