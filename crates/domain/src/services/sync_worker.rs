//! Keeps the lists of databases up to date: in every process, so that any of them goes on when another is gone.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Connections, error_chain};
use crate::ports::StoreError;

/// See the module.
#[derive(Debug)]
pub struct SyncWorker {
    pub connections: Connections,
    /// Between two syncs of a target.
    pub period: Duration,
    /// Pause between two looks at what is due.
    pub every: Duration,
}

impl SyncWorker {
    /// Syncs everything that is due, one after the other, unless told to stop in between.
    pub async fn round(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        while !stop.is_cancelled() && self.connections.sync_due(self.period).await? {}
        Ok(())
    }

    /// Rounds until told to stop. A sync that has begun ends first: it takes no longer than a connection may take.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.round(&stop).await {
                tracing::warn!(error = %error_chain(&error), "a sync could not be noted; it is tried again");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.every) => {}
            }
        }
    }
}
