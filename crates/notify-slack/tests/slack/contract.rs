//! The contract of notifiers, kept by this one with the worker's patience.

use std::sync::Arc;

use async_trait::async_trait;
use domain::ports::{Notification, Notifier, NotifyError};
use slack_stand_in::SlackStandIn;
use testkit::fakes::FakeClock;

use crate::support::Portal;

/// Waits when it is told to, as the worker does: time passes at once.
struct Patient {
    notifier: Arc<dyn Notifier>,
    clock: Arc<FakeClock>,
    _slack: SlackStandIn,
}

#[async_trait]
impl Notifier for Patient {
    async fn notify(&self, notification: &Notification) -> Result<(), NotifyError> {
        loop {
            match self.notifier.notify(notification).await {
                Err(NotifyError::Later { after }) => self.clock.advance(after),
                outcome => return outcome,
            }
        }
    }
}

async fn slack_notifier() -> Arc<dyn Notifier> {
    let portal = Portal::new().await;
    Arc::new(Patient { notifier: portal.worker.notifier, clock: portal.clock, _slack: portal.slack })
}

testkit::notifier_contract!(slack_notifier);
