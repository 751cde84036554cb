//! Takes care of what was left behind: jobs of lost processes, requests that nobody executes, requests that
//! have waited for too long, idempotency keys whose time is over. Each in a transaction of its own, so that several
//! reapers share the work.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use domain::Timestamp;
use domain::ids::RequestId;
use domain::job::Reaped;
use domain::lifecycle;
use domain::ports::{Change, StoreError};
use domain::request::StateKind;
use futures_util::FutureExt;
use uuid::Uuid;

use crate::deliveries::fail_delivery;
use crate::error::{rejected, store_error};
use crate::idempotency;
use crate::job_rows::{JobEnd, delete_result, end};
use crate::jobs::PgJobQueue;
use crate::schema::{jobs, query_requests};
use crate::transitions::{EXECUTE, lock_queued_execution, lock_request};

/// Most items of one kind that one call takes; the rest waits for the next call.
const BATCH: i64 = 100;

pub(crate) async fn reap(queue: &PgJobQueue, now: Timestamp) -> Result<Reaped, StoreError> {
    let mut reaped = Reaped::default();
    for job in overdue(queue, now).await? {
        match unless_corrupt(take_job(queue, job, now).await)? {
            Some(Taken::Interrupted(request)) => reaped.interrupted.push(request),
            Some(Taken::Requeued) => reaped.requeued += 1,
            Some(Taken::Ended) | None => {}
        }
    }
    for row in abandoned(queue).await? {
        reaped.interrupted.extend(unless_corrupt(interrupt_abandoned(queue, row, now).await)?.flatten());
    }
    for (row, request) in outdated(queue, now).await? {
        reaped.expired.extend(unless_corrupt(expire(queue, row, request, now).await)?.flatten());
    }
    idempotency::forget(&queue.store, now).await?;
    Ok(reaped)
}

enum Taken {
    Interrupted(RequestId),
    Requeued,
    Ended,
}

/// One row that cannot be read must not keep the reaper from all others.
fn unless_corrupt<T>(outcome: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match outcome {
        Err(error @ StoreError::Corrupt { .. }) => {
            tracing::error!(error = %error, "the reaper skipped a row");
            Ok(None)
        }
        outcome => outcome.map(Some),
    }
}

async fn overdue(queue: &PgJobQueue, now: Timestamp) -> Result<Vec<Uuid>, StoreError> {
    queue
        .store
        .read(move |connection| {
            jobs::table
                .filter(jobs::status.eq("running"))
                .filter(jobs::lease_until.lt(now))
                .order(jobs::lease_until)
                .limit(BATCH)
                .select(jobs::id)
                .load(connection)
                .boxed()
        })
        .await
}

#[derive(Queryable)]
struct OverdueJob {
    kind: String,
    request: i64,
    attempts: i32,
    max_attempts: i32,
}

async fn take_job(queue: &PgJobQueue, id: Uuid, now: Timestamp) -> Result<Taken, StoreError> {
    let mut transaction = queue.store.begin().await?;
    // Looked at again under the lock: its worker may have renewed or ended it, another reaper may have it.
    let job: Option<OverdueJob> = jobs::table
        .filter(jobs::id.eq(id))
        .filter(jobs::status.eq("running"))
        .filter(jobs::lease_until.lt(now))
        .select((jobs::kind, jobs::request_id, jobs::attempts, jobs::max_attempts))
        .for_update()
        .skip_locked()
        .get_result(&mut *transaction)
        .await
        .optional()
        .map_err(store_error)?;
    let Some(job) = job else {
        transaction.rollback().await?;
        return Ok(Taken::Ended);
    };
    if job.kind == EXECUTE {
        let request = lock_request(&mut transaction, job.request).await?;
        end(&mut transaction, id, &JobEnd::Failed("the lease ran out"), now).await?;
        if request.state.kind() != StateKind::Executing {
            transaction.commit().await?;
            return Ok(Taken::Ended);
        }
        delete_result(&mut transaction, job.request).await?;
        let transition = lifecycle::lose_contact(request, now).map_err(rejected)?;
        let written = queue.write_and_commit(transaction, &transition).await?;
        return Ok(Taken::Interrupted(written.request.id));
    }
    if job.attempts >= job.max_attempts {
        let error = "the lease ran out at the last attempt";
        end(&mut transaction, id, &JobEnd::Failed(error), now).await?;
        fail_delivery(&mut transaction, id, error, now).await?;
        transaction.commit().await?;
        return Ok(Taken::Ended);
    }
    diesel::update(jobs::table.find(id))
        .set((
            jobs::status.eq("pending"),
            jobs::lease_until.eq(None::<Timestamp>),
            jobs::scheduled_at.eq(now),
            jobs::error.eq("the lease ran out"),
            jobs::updated_at.eq(now),
        ))
        .execute(&mut *transaction)
        .await
        .map_err(store_error)?;
    transaction.commit_and_announce(&[Change::Jobs]).await?;
    Ok(Taken::Requeued)
}

/// Executing requests without a live job. A start and an end change both rows in one transaction, so that
/// nothing but a defect or a hand in the database can bring this about.
async fn abandoned(queue: &PgJobQueue) -> Result<Vec<i64>, StoreError> {
    queue
        .store
        .read(move |connection| {
            query_requests::table
                .filter(query_requests::status.eq("executing"))
                .filter(diesel::dsl::not(diesel::dsl::exists(
                    jobs::table
                        .filter(jobs::request_id.eq(query_requests::id))
                        .filter(jobs::kind.eq(EXECUTE))
                        .filter(jobs::status.eq("running")),
                )))
                .order(query_requests::id)
                .limit(BATCH)
                .select(query_requests::id)
                .load(connection)
                .boxed()
        })
        .await
}

async fn interrupt_abandoned(
    queue: &PgJobQueue,
    row: i64,
    now: Timestamp,
) -> Result<Option<RequestId>, StoreError> {
    let mut transaction = queue.store.begin().await?;
    let request = lock_request(&mut transaction, row).await?;
    let live: i64 = jobs::table
        .filter(jobs::request_id.eq(row))
        .filter(jobs::kind.eq(EXECUTE))
        .filter(jobs::status.eq("running"))
        .count()
        .get_result(&mut *transaction)
        .await
        .map_err(store_error)?;
    if request.state.kind() != StateKind::Executing || live > 0 {
        transaction.rollback().await?;
        return Ok(None);
    }
    delete_result(&mut transaction, row).await?;
    let transition = lifecycle::lose_contact(request, now).map_err(rejected)?;
    let written = queue.write_and_commit(transaction, &transition).await?;
    Ok(Some(written.request.id))
}

async fn outdated(queue: &PgJobQueue, now: Timestamp) -> Result<Vec<(i64, Uuid)>, StoreError> {
    queue
        .store
        .read(move |connection| {
            query_requests::table
                .filter(query_requests::status.eq_any(["pending", "approved"]))
                .filter(query_requests::expires_at.le(now))
                .order(query_requests::expires_at)
                .limit(BATCH)
                .select((query_requests::id, query_requests::uuid))
                .load(connection)
                .boxed()
        })
        .await
}

async fn expire(
    queue: &PgJobQueue,
    row: i64,
    id: Uuid,
    now: Timestamp,
) -> Result<Option<RequestId>, StoreError> {
    let mut transaction = queue.store.begin().await?;
    // Jobs before requests, as everywhere.
    lock_queued_execution(&mut transaction, RequestId::from_uuid(id)).await?;
    let request = lock_request(&mut transaction, row).await?;
    // It may have started, or another reaper may have been here.
    if lifecycle::expires_at(&request).is_none_or(|end| end > now) {
        transaction.rollback().await?;
        return Ok(None);
    }
    let transition = lifecycle::expire(request, now).map_err(rejected)?;
    let written = queue.write_and_commit(transaction, &transition).await?;
    Ok(Some(written.request.id))
}
