//! The queue of background work: notifications.
//!
//! What one audience is told of one request stays in order: a notification waits for those before it, and while one is
//! told no other is. Whoever claims one holds a lock that stands for the request and looks once more, since two claims
//! at once may each have looked before the other wrote.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Bool, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::Timestamp;
use domain::ids::{JobId, RequestId};
use domain::job::{Audience, Lease, NotificationJob, WorkerId};
use domain::ports::StoreError;
use domain::request::NotificationKind;
use serde_json::Value;
use uuid::Uuid;

use crate::deliveries::{fail_delivery, for_operators};
use crate::error::store_error;
use crate::job_rows::{JobEnd, end, held};
use crate::pool::{PgStore, Transaction};
use crate::rows::RowReader;
use crate::schema::{jobs, query_requests};
use crate::transitions::NOTIFY;

/// Sets the locks of claims apart from others: "tell" in ASCII.
const LOCK: i32 = 0x7465_6c6c;

/// What operators read of a job that a later version queued, or whose row is broken.
const UNREADABLE: &str = "the notification cannot be read";

#[derive(Queryable)]
struct DueNotification {
    id: Uuid,
    request: Uuid,
    payload: Value,
    fence: i64,
    attempts: i32,
    max_attempts: i32,
    created_at: Timestamp,
}

/// For whom the job of this alias is, in SQL. Earlier versions did not say it: they told the channel of submissions
/// and the requester of everything else.
pub(crate) fn audience_of(job: &str) -> String {
    format!(
        "COALESCE({job}.payload->>'audience', \
         CASE {job}.payload->>'notification' WHEN 'submitted' THEN 'channel' ELSE 'requester' END)"
    )
}

/// Whether the job `j` has to wait for another one, in SQL.
fn has_to_wait() -> String {
    format!(
        "EXISTS (SELECT FROM jobs e WHERE e.request_id = j.request_id AND e.kind = 'notify' AND e.id <> j.id \
         AND (e.status = 'running' OR (e.status = 'pending' AND (e.created_at, e.id) < (j.created_at, j.id))) \
         AND {} = {})",
        audience_of("e"),
        audience_of("j")
    )
}

/// The oldest notification that is due. A type of its own, so that the statement is prepared once per connection.
#[derive(Debug, Clone, Copy)]
struct NextNotification {
    now: Timestamp,
}

impl QueryFragment<Pg> for NextNotification {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT j.id, j.request_id FROM jobs j WHERE j.kind = 'notify' AND j.status = 'pending' AND NOT ",
        );
        out.push_sql(&has_to_wait());
        out.push_sql(" AND j.scheduled_at <= ");
        out.push_bind_param::<Timestamptz, _>(&self.now)?;
        out.push_sql(
            " ORDER BY j.priority DESC, j.scheduled_at, j.created_at, j.id LIMIT 1 FOR UPDATE OF j SKIP LOCKED",
        );
        Ok(())
    }
}

impl QueryId for NextNotification {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for NextNotification {
    type SqlType = (SqlUuid, BigInt);
}

#[derive(QueryableByName)]
struct Waits {
    #[diesel(sql_type = Bool)]
    waits: bool,
}

/// Locks the job that is next; `None` when nothing is due.
async fn lock_next(store: &PgStore, now: Timestamp) -> Result<Option<(Transaction, Uuid)>, StoreError> {
    loop {
        let mut transaction = store.begin().await?;
        let due: Option<(Uuid, i64)> =
            NextNotification { now }.get_result(&mut *transaction).await.optional().map_err(store_error)?;
        let Some((job, request)) = due else {
            transaction.rollback().await?;
            return Ok(None);
        };
        if is_still_next(&mut transaction, job, request).await.map_err(store_error)? {
            return Ok(Some((transaction, job)));
        }
        transaction.rollback().await?;
    }
}

/// Looks again, in a statement of its own, when no other claim can be between its look and its commit.
async fn is_still_next(connection: &mut AsyncPgConnection, job: Uuid, request: i64) -> QueryResult<bool> {
    diesel::sql_query(format!("SELECT pg_advisory_xact_lock({LOCK}, ($1 % 2147483647)::int4)"))
        .bind::<BigInt, _>(request)
        .execute(connection)
        .await?;
    let looked: Waits =
        diesel::sql_query(format!("SELECT {} AS waits FROM jobs j WHERE j.id = $1", has_to_wait()))
            .bind::<SqlUuid, _>(job)
            .get_result(connection)
            .await?;
    Ok(!looked.waits)
}

pub(crate) async fn claim(
    store: &PgStore,
    worker: &WorkerId,
    now: Timestamp,
    lease_until: Timestamp,
) -> Result<Option<NotificationJob>, StoreError> {
    let Some((mut transaction, job)) = lock_next(store, now).await? else { return Ok(None) };
    diesel::update(jobs::table.find(job))
        .set((
            jobs::status.eq("running"),
            jobs::fence.eq(jobs::fence + 1),
            jobs::attempts.eq(jobs::attempts + 1),
            jobs::worker.eq(&worker.0),
            jobs::lease_until.eq(lease_until),
            jobs::started_at.eq(now),
            jobs::updated_at.eq(now),
        ))
        .execute(&mut *transaction)
        .await
        .map_err(store_error)?;
    let claimed: DueNotification = jobs::table
        .find(job)
        .inner_join(query_requests::table)
        .select((
            jobs::id,
            query_requests::uuid,
            jobs::payload,
            jobs::fence,
            jobs::attempts,
            jobs::max_attempts,
            jobs::created_at,
        ))
        .get_result(&mut *transaction)
        .await
        .map_err(store_error)?;
    match claimed.read(worker) {
        Ok(notification) => {
            transaction.commit().await?;
            Ok(Some(notification))
        }
        Err(error) => {
            // Otherwise this job would stand before all others for ever.
            end(&mut transaction, job, &JobEnd::Failed(UNREADABLE), now).await?;
            fail_delivery(&mut transaction, job, UNREADABLE, now).await?;
            transaction.commit().await?;
            Err(error)
        }
    }
}

impl DueNotification {
    fn read(self, worker: &WorkerId) -> Result<NotificationJob, StoreError> {
        let row = RowReader::new("jobs", self.id);
        let kind = self.payload.get("notification").and_then(Value::as_str).and_then(NotificationKind::parse);
        let kind = row.present("payload", kind)?;
        let audience = match self.payload.get("audience") {
            Some(audience) => row.present("payload", audience.as_str().and_then(Audience::parse))?,
            // As in `audience_of`.
            None if kind == NotificationKind::Submitted => Audience::Channel,
            None => Audience::Requester,
        };
        Ok(NotificationJob {
            lease: Lease { job: JobId::from_uuid(self.id), fence: self.fence, worker: worker.clone() },
            request: RequestId::from_uuid(self.request),
            kind,
            audience,
            attempt: row.number("attempts", i64::from(self.attempts))?,
            max_attempts: row.number("max_attempts", i64::from(self.max_attempts))?,
            queued_at: self.created_at,
        })
    }
}

pub(crate) async fn complete(store: &PgStore, lease: &Lease, now: Timestamp) -> Result<(), StoreError> {
    let mut transaction = store.begin().await?;
    diesel::update(held(lease).filter(jobs::kind.eq(NOTIFY)))
        .set((
            jobs::status.eq("completed"),
            jobs::lease_until.eq(None::<Timestamp>),
            jobs::completed_at.eq(now),
            jobs::error.eq(None::<String>),
            jobs::updated_at.eq(now),
        ))
        .execute(&mut *transaction)
        .await
        .map_err(store_error)?;
    transaction.commit().await?;
    Ok(())
}

pub(crate) async fn fail(
    store: &PgStore,
    lease: &Lease,
    error: &str,
    retry_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut transaction = store.begin().await?;
    let job = diesel::update(held(lease).filter(jobs::kind.eq(NOTIFY)));
    let common = (
        jobs::lease_until.eq(None::<Timestamp>),
        jobs::error.eq(for_operators(error)),
        jobs::updated_at.eq(now),
    );
    let failed = match retry_at {
        Some(at) => {
            job.set((common, jobs::status.eq("pending"), jobs::scheduled_at.eq(at)))
                .execute(&mut *transaction)
                .await
        }
        None => {
            job.set((common, jobs::status.eq("failed"), jobs::failed_at.eq(now)))
                .execute(&mut *transaction)
                .await
        }
    };
    match (failed.map_err(store_error)?, retry_at) {
        (0, _) => return transaction.rollback().await,
        (_, Some(at)) => hold_back(&mut transaction, lease, at, now).await?,
        (_, None) => fail_delivery(&mut transaction, lease.job.as_uuid(), error, now).await?,
    }
    transaction.commit().await
}

pub(crate) async fn postpone(
    store: &PgStore,
    lease: &Lease,
    until: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut transaction = store.begin().await?;
    let postponed = diesel::update(held(lease).filter(jobs::kind.eq(NOTIFY)))
        .set((
            jobs::status.eq("pending"),
            jobs::attempts.eq(jobs::attempts - 1),
            jobs::lease_until.eq(None::<Timestamp>),
            jobs::scheduled_at.eq(until),
            jobs::updated_at.eq(now),
        ))
        .execute(&mut *transaction)
        .await
        .map_err(store_error)?;
    if postponed == 0 {
        return transaction.rollback().await;
    }
    hold_back(&mut transaction, lease, until, now).await?;
    transaction.commit().await
}

/// What waits for a notification is due no earlier than that. Their order keeps them back anyway; but while Slack is
/// away for hours, every claim would have to pass by all of them.
async fn hold_back(
    connection: &mut AsyncPgConnection,
    lease: &Lease,
    until: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    diesel::sql_query(format!(
        "UPDATE jobs f SET scheduled_at = $2, updated_at = $3 FROM jobs j \
         WHERE j.id = $1 AND f.request_id = j.request_id AND f.kind = 'notify' AND f.status = 'pending' \
         AND (f.created_at, f.id) > (j.created_at, j.id) AND f.scheduled_at < $2 AND {} = {}",
        audience_of("f"),
        audience_of("j")
    ))
    .bind::<SqlUuid, _>(lease.job.as_uuid())
    .bind::<Timestamptz, _>(until)
    .bind::<Timestamptz, _>(now)
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}
