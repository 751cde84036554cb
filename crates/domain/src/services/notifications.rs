//! Delivers notifications that transitions have queued.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{FutureExt as _, join_all};
use tokio_util::sync::CancellationToken;

use super::{error_chain, wait_for_jobs};
use crate::Timestamp;
use crate::job::{NOTIFICATION_LIFETIME, NotificationJob, WorkerId, backoff};
use crate::ports::{
    ChangeFeed, Clock, Directory, JobQueue, Notification, Notifier, NotifyError, RequestStore, StoreError,
};

/// How long one delivery may take before somebody else may try.
const LEASE: Duration = Duration::from_mins(2);

/// See the module.
pub struct NotificationWorker {
    pub queue: Arc<dyn JobQueue>,
    pub requests: Arc<dyn RequestStore>,
    pub directory: Arc<dyn Directory>,
    pub notifier: Arc<dyn Notifier>,
    pub changes: Arc<dyn ChangeFeed>,
    pub clock: Arc<dyn Clock>,
    pub worker: WorkerId,
    /// How often to look when there is no news.
    pub poll: Duration,
    /// Deliveries at the same time, so that one that hangs does not hold up the others.
    pub concurrency: usize,
}

/// What came of looking for a notification that is due.
#[derive(Debug, PartialEq, Eq)]
enum Delivery {
    NothingDue,
    /// It is delivered, given up, or has failed and is tried again later.
    Done,
    /// It was not its turn.
    PutBack(Timestamp),
}

impl std::fmt::Debug for NotificationWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NotificationWorker").field("worker", &self.worker).finish_non_exhaustive()
    }
}

impl NotificationWorker {
    /// Delivers until told to stop.
    pub async fn run(&self, stop: CancellationToken) {
        join_all((0..self.concurrency.max(1)).map(|_| self.deliver_until(&stop))).await;
    }

    async fn deliver_until(&self, stop: &CancellationToken) {
        let mut news = self.changes.subscribe();
        let mut put_back = Vec::new();
        while !stop.is_cancelled() {
            let now = self.clock.now();
            put_back.retain(|due| *due > now);
            // A defect in one delivery must not end all others; its job is given back when its lease is over.
            match AssertUnwindSafe(self.deliver_next()).catch_unwind().await {
                Ok(Ok(Delivery::PutBack(due))) => {
                    put_back.push(due);
                    continue;
                }
                Ok(Ok(Delivery::Done)) => continue,
                Ok(Ok(Delivery::NothingDue)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(error = %error_chain(&error), "notifications wait for the portal database");
                }
                Err(_panic) => tracing::error!("a delivery panicked; it is tried again later"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.pause(&put_back)) => {}
                () = wait_for_jobs(&mut news) => {}
            }
        }
    }

    /// Until the first of what was put back is due, and no longer than without it: whoever comes late for its turn makes
    /// those behind it wait too.
    fn pause(&self, put_back: &[Timestamp]) -> Duration {
        let now = self.clock.now();
        let next = put_back.iter().min().map(|due| (*due - now).to_std().unwrap_or_default());
        next.map_or(self.poll, |next| next.min(self.poll))
    }

    /// Delivers the next notification that is due; false when there is none.
    pub async fn deliver_one(&self) -> Result<bool, StoreError> {
        Ok(self.deliver_next().await? != Delivery::NothingDue)
    }

    async fn deliver_next(&self) -> Result<Delivery, StoreError> {
        let now = self.clock.now();
        let Some(job) = self.queue.claim_notification(&self.worker, now, now + LEASE).await? else {
            return Ok(Delivery::NothingDue);
        };
        let outcome = self.tell(&job).await?;
        let now = self.clock.now();
        let (error, retry_at) = match outcome {
            Ok(()) => {
                self.queue.complete_notification(&job.lease, now).await?;
                return Ok(Delivery::Done);
            }
            Err(NotifyError::Later { after }) if in_time(&job, now + after) => {
                self.queue.postpone_notification(&job.lease, now + after, now).await?;
                return Ok(Delivery::PutBack(now + after));
            }
            Err(error @ NotifyError::Retry { .. }) => {
                let at = now + backoff(job.lease.job, job.attempt);
                (error, (job.attempt < job.max_attempts && in_time(&job, at)).then_some(at))
            }
            Err(error @ (NotifyError::Later { .. } | NotifyError::Permanent { .. })) => (error, None),
        };
        let text = error_chain(&error);
        tracing::warn!(request = %job.request, kind = job.kind.as_str(), audience = job.audience.as_str(),
            attempt = job.attempt, given_up = retry_at.is_none(), error = %text, "a notification was not delivered");
        self.queue.fail_notification(&job.lease, &text, retry_at, now).await?;
        Ok(Delivery::Done)
    }

    async fn tell(&self, job: &NotificationJob) -> Result<Result<(), NotifyError>, StoreError> {
        let Some(request) = self.requests.find(job.request).await? else {
            return Ok(Err(NotifyError::Permanent { reason: "the request does not exist".to_owned() }));
        };
        let target = self.directory.find_target(&request.target.instance).await?;
        let pod = self.directory.find_pod(&request.pod.id).await?;
        Ok(self.notifier.notify(&Notification { job: job.clone(), request, target, pod }).await)
    }
}

fn in_time(job: &NotificationJob, at: Timestamp) -> bool {
    at <= job.queued_at + NOTIFICATION_LIFETIME
}
