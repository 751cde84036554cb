//! The reaper: in every process, so that one that dies is cleaned up after by the others, or by its successor.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::error_chain;
use crate::ports::{Clock, JobQueue, StoreError};

/// See the module.
pub struct Housekeeper {
    pub queue: Arc<dyn JobQueue>,
    pub clock: Arc<dyn Clock>,
    /// Pause between two rounds.
    pub every: Duration,
}

impl std::fmt::Debug for Housekeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Housekeeper").field("every", &self.every).finish_non_exhaustive()
    }
}

impl Housekeeper {
    /// One round.
    pub async fn tidy(&self) -> Result<(), StoreError> {
        let reaped = self.queue.reap(self.clock.now()).await?;
        for request in &reaped.interrupted {
            tracing::warn!(%request, "the process that executed this request was lost; the request is interrupted");
        }
        if !reaped.is_empty() {
            tracing::info!(
                interrupted = reaped.interrupted.len(),
                requeued = reaped.requeued,
                expired = reaped.expired.len(),
                "tidied up"
            );
        }
        Ok(())
    }

    /// Rounds until told to stop.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.tidy().await {
                tracing::warn!(error = %error_chain(&error), "tidying up failed; it is tried again");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.every) => {}
            }
        }
    }
}
