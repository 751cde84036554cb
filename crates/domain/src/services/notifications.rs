//! Delivers notifications that transitions have queued.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{error_chain, wait_for_jobs};
use crate::job::{NotificationJob, WorkerId, backoff};
use crate::ports::{ChangeFeed, Clock, JobQueue, Notifier, NotifyError, RequestStore, StoreError};

/// How long one delivery may take before somebody else may try.
const LEASE: Duration = Duration::from_mins(1);

/// See the module.
pub struct NotificationWorker {
    pub queue: Arc<dyn JobQueue>,
    pub requests: Arc<dyn RequestStore>,
    pub notifier: Arc<dyn Notifier>,
    pub changes: Arc<dyn ChangeFeed>,
    pub clock: Arc<dyn Clock>,
    pub worker: WorkerId,
    /// How often to look when there is no news.
    pub poll: Duration,
}

impl std::fmt::Debug for NotificationWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NotificationWorker").field("worker", &self.worker).finish_non_exhaustive()
    }
}

impl NotificationWorker {
    /// Delivers until told to stop.
    pub async fn run(&self, stop: CancellationToken) {
        let mut news = self.changes.subscribe();
        while !stop.is_cancelled() {
            match self.deliver_one().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(error = %error_chain(&error), "notifications wait for the portal database");
                }
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
        let outcome = match self.requests.find(job.request).await? {
            Some(request) => self.notifier.notify(&job, &request).await,
            None => Err(NotifyError::Permanent { reason: "the request does not exist".to_owned() }),
        };
        let now = self.clock.now();
        match outcome {
            Ok(()) => self.queue.complete_notification(&job.lease, now).await?,
            Err(error) => {
                let text = error_chain(&error);
                tracing::warn!(request = %job.request, kind = job.kind.as_str(), attempt = job.attempt, error = %text,
                    "a notification was not delivered");
                let retry_at = next_try(&job, &error).map(|pause| now + pause);
                self.queue.fail_notification(&job.lease, &text, retry_at, now).await?;
            }
        }
        Ok(true)
    }
}

/// How long to wait before the next try; `None` gives the notification up.
fn next_try(job: &NotificationJob, error: &NotifyError) -> Option<Duration> {
    match error {
        NotifyError::Retry { .. } if job.attempt < job.max_attempts => Some(backoff(job.attempt)),
        NotifyError::Retry { .. } | NotifyError::Permanent { .. } => None,
    }
}
