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
        while !stop.is_cancelled() {
            // A defect in one delivery must not end all others; its job is given back when its lease is over.
            match AssertUnwindSafe(self.deliver_one()).catch_unwind().await {
                Ok(Ok(true)) => continue,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(error = %error_chain(&error), "notifications wait for the portal database");
                }
                Err(_panic) => tracing::error!("a delivery panicked; it is tried again later"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.poll) => {}
                () = wait_for_jobs(&mut news) => {}
            }
        }
    }

    /// Delivers the next notification that is due; false when there is none.
    pub async fn deliver_one(&self) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let Some(job) = self.queue.claim_notification(&self.worker, now, now + LEASE).await? else {
            return Ok(false);
        };
        let outcome = self.tell(&job).await?;
        let now = self.clock.now();
        let (error, retry_at) = match outcome {
            Ok(()) => {
                self.queue.complete_notification(&job.lease, now).await?;
                return Ok(true);
            }
            Err(NotifyError::Later { after }) if in_time(&job, now + after) => {
                self.queue.postpone_notification(&job.lease, now + after, now).await?;
                return Ok(true);
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
        Ok(true)
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
