//! The queue of background work: notifications.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use domain::Timestamp;
use domain::ids::{JobId, RequestId};
use domain::job::{Lease, NotificationJob, WorkerId};
use domain::ports::StoreError;
use domain::request::NotificationKind;
use serde_json::Value;
use uuid::Uuid;

use crate::error::store_error;
use crate::job_rows::{JobEnd, end, held};
use crate::pool::PgStore;
use crate::rows::RowReader;
use crate::schema::{jobs, query_requests};
use crate::transitions::NOTIFY;

#[derive(Queryable)]
struct DueNotification {
    id: Uuid,
    request: Uuid,
    payload: Value,
    fence: i64,
    attempts: i32,
    max_attempts: i32,
}

pub(crate) async fn claim(
    store: &PgStore,
    worker: &WorkerId,
    now: Timestamp,
    lease_until: Timestamp,
) -> Result<Option<NotificationJob>, StoreError> {
    let mut transaction = store.begin().await?;
    let due: Option<(Uuid, i64)> = jobs::table
        .filter(jobs::kind.eq(NOTIFY))
        .filter(jobs::status.eq("pending"))
        .filter(jobs::scheduled_at.le(now))
        .order((jobs::priority.desc(), jobs::scheduled_at, jobs::created_at, jobs::id))
        .limit(1)
        .for_update()
        .skip_locked()
        .select((jobs::id, jobs::request_id))
        .get_result(&mut *transaction)
        .await
        .optional()
        .map_err(store_error)?;
    let Some((job, _)) = due else {
        transaction.rollback().await?;
        return Ok(None);
    };
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
            end(&mut transaction, job, &JobEnd::Failed("the notification cannot be read"), now).await?;
            transaction.commit().await?;
            Err(error)
        }
    }
}

impl DueNotification {
    fn read(self, worker: &WorkerId) -> Result<NotificationJob, StoreError> {
        let row = RowReader::new("jobs", self.id);
        let kind = self.payload.get("notification").and_then(Value::as_str).and_then(NotificationKind::parse);
        Ok(NotificationJob {
            lease: Lease { job: JobId::from_uuid(self.id), fence: self.fence, worker: worker.clone() },
            request: RequestId::from_uuid(self.request),
            kind: row.present("payload", kind)?,
            attempt: row.number("attempts", i64::from(self.attempts))?,
            max_attempts: row.number("max_attempts", i64::from(self.max_attempts))?,
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
    // For operators: enough to act on, without letting a long answer of a server fill the table.
    let error: String = error.replace('\0', "\u{fffd}").chars().take(2_000).collect();
    let mut transaction = store.begin().await?;
    let job = diesel::update(held(lease).filter(jobs::kind.eq(NOTIFY)));
    let common = (jobs::lease_until.eq(None::<Timestamp>), jobs::error.eq(error), jobs::updated_at.eq(now));
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
    failed.map_err(store_error)?;
    transaction.commit().await?;
    Ok(())
}
