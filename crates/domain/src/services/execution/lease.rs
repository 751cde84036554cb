//! Keeps the lease on a running execution, and hears of the wish to cancel it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::ExecutionSettings;
use crate::ids::RequestId;
use crate::job::Lease;
use crate::lifecycle::transition;
use crate::ports::{Change, ChangeFeed, Clock, JobQueue, LeaseStatus, RequestStore};
use crate::request::Event;
use crate::services::error_chain;
use crate::user::Origin;

/// How long an execution whose lease is lost may take to stop before it is dropped.
const STOP_GRACE: Duration = Duration::from_mins(1);

pub(super) struct LeaseKeeper {
    pub(super) queue: Arc<dyn JobQueue>,
    pub(super) requests: Arc<dyn RequestStore>,
    pub(super) changes: Arc<dyn ChangeFeed>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) lease: Lease,
    pub(super) request: RequestId,
    pub(super) settings: ExecutionSettings,
    /// Cancelled when the execution has to stop.
    pub(super) cancel: CancellationToken,
}

impl LeaseKeeper {
    /// Renews until dropped. Returns only after the lease was lost and the execution had its time to stop.
    pub(super) async fn keep(self, drain: CancellationToken) {
        let mut news = self.changes.subscribe();
        let mut draining = false;
        let mut asked = false;
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.settings.renew_every) => {}
                () = cancel_news(&mut news, self.request) => {}
                () = drain.cancelled(), if !draining => draining = true,
            }
            if draining && !asked {
                asked = self.ask_to_cancel().await;
            }
            let now = self.clock.now();
            match self.queue.renew(&self.lease, now, now + self.settings.lease).await {
                Ok(LeaseStatus::Held { cancel_asked: false }) => {}
                Ok(LeaseStatus::Held { cancel_asked: true }) => self.cancel.cancel(),
                Ok(LeaseStatus::Lost) => {
                    self.cancel.cancel();
                    tokio::time::sleep(STOP_GRACE).await;
                    return;
                }
                Err(error) => {
                    tracing::warn!(request = %self.request, error = %error_chain(&error), "a lease was not renewed");
                }
            }
        }
    }

    /// A draining server asks in its own name, so that the request can end as cancelled.
    /// False when the store has to be asked again.
    async fn ask_to_cancel(&self) -> bool {
        let asked = async {
            let Some(request) = self.requests.find(self.request).await.map_err(|e| error_chain(&e))? else {
                return Ok(());
            };
            let event = Event::RequestCancel { by: None };
            let change = transition(request, event, None, Origin::system(), self.clock.now())
                .map_err(|e| error_chain(&e))?;
            self.requests.commit(&change).await.map_err(|e| error_chain(&e))?;
            Ok::<(), String>(())
        };
        if let Err(error) = asked.await {
            tracing::warn!(request = %self.request, error, "could not ask for a cancel while draining");
            return false;
        }
        true
    }
}

async fn cancel_news(news: &mut tokio::sync::broadcast::Receiver<Change>, request: RequestId) {
    loop {
        match news.recv().await {
            Ok(Change::Cancel(id)) if id == request => return,
            Err(RecvError::Lagged(_)) => return,
            Ok(Change::Cancel(_) | Change::Request(_) | Change::Log(_) | Change::Jobs) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
