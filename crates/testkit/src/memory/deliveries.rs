//! What was delivered to Slack, and what was not.

use async_trait::async_trait;
use domain::Timestamp;
use domain::ids::{JobId, RequestId};
use domain::job::{Audience, NotificationJob};
use domain::ports::{Deliveries, Delivery, SlackMessage, StoreError};

use super::world::World;
use super::{InMemoryStore, rejected};

/// The history of one notification, as tests look at it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeliveryRow {
    pub job: JobId,
    pub request: RequestId,
    pub audience: Audience,
    pub state: DeliveryState,
    /// What operators read about the failure.
    pub error: Option<String>,
    pub delivery: Delivery,
    pub sent_at: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeliveryState {
    Pending,
    Sent,
    Failed,
}

impl DeliveryState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Failed => "failed",
        }
    }
}

#[async_trait]
impl Deliveries for InMemoryStore {
    async fn find(&self, job: JobId) -> Result<Option<Delivery>, StoreError> {
        self.atomically(|world| Ok(world.delivery(job).map(|row| row.delivery.clone())))
    }

    async fn begin(
        &self,
        job: &NotificationJob,
        recipient: &str,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        self.atomically(|world| {
            let row = world.delivery_of(job.lease.job, job.request, job.audience);
            // What is known to have arrived stays so.
            if row.delivery.message.is_none() {
                recipient.clone_into(&mut row.delivery.recipient);
                row.delivery.unclear_since = row.delivery.unclear_since.or(Some(now));
                row.state = DeliveryState::Pending;
                row.error = None;
            }
            Ok(row.delivery.unclear_since.unwrap_or(now))
        })
    }

    async fn refused(&self, job: JobId, since: Timestamp) -> Result<(), StoreError> {
        self.atomically(|world| {
            if let Some(row) = world.delivery(job).filter(|row| row.delivery.unclear_since == Some(since)) {
                row.delivery.unclear_since = None;
            }
            Ok(())
        })
    }

    async fn sent(&self, job: JobId, message: &SlackMessage, now: Timestamp) -> Result<(), StoreError> {
        self.atomically(|world| {
            let row = world.delivery(job).ok_or_else(|| rejected("the delivery did not begin"))?;
            row.delivery.unclear_since = None;
            row.delivery.message = Some(message.clone());
            row.state = DeliveryState::Sent;
            row.error = None;
            row.sent_at = Some(now);
            Ok(())
        })
    }

    async fn nobody(
        &self,
        job: &NotificationJob,
        recipient: &str,
        reason: &str,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        self.atomically(|world| {
            let row = world.delivery_of(job.lease.job, job.request, job.audience);
            if row.delivery.message.is_none() {
                recipient.clone_into(&mut row.delivery.recipient);
                row.delivery.unclear_since = None;
                row.state = DeliveryState::Failed;
                row.error = Some(reason.to_owned());
            }
            Ok(())
        })
    }

    async fn channel_message(&self, request: RequestId) -> Result<Option<SlackMessage>, StoreError> {
        self.atomically(|world| {
            let rows = world.deliveries.iter();
            let to_channel = rows.filter(|row| row.request == request && row.audience == Audience::Channel);
            let last = to_channel.filter(|row| row.delivery.message.is_some()).max_by_key(|row| row.sent_at);
            Ok(last.and_then(|row| row.delivery.message.clone()))
        })
    }
}

impl World {
    fn delivery(&mut self, job: JobId) -> Option<&mut DeliveryRow> {
        self.deliveries.iter_mut().find(|row| row.job == job)
    }

    /// The entry of a job, a new one if there is none.
    fn delivery_of(&mut self, job: JobId, request: RequestId, audience: Audience) -> &mut DeliveryRow {
        if let Some(index) = self.deliveries.iter().position(|row| row.job == job) {
            return &mut self.deliveries[index];
        }
        self.deliveries.push(DeliveryRow {
            job,
            request,
            audience,
            state: DeliveryState::Pending,
            error: None,
            delivery: Delivery { recipient: String::new(), unclear_since: None, message: None },
            sent_at: None,
        });
        self.deliveries.last_mut().expect("it was just added")
    }

    /// Notes that a notification was given up, whether Slack was ever reached or not. What is known to have arrived
    /// stays so.
    pub(super) fn fail_delivery(&mut self, job: JobId, error: &str) {
        let Some(queued) = self.job_mut(job) else { return };
        let (request, Some(audience)) = (queued.request, queued.audience) else { return };
        let row = self.delivery_of(job, request, audience);
        if row.delivery.message.is_none() {
            row.state = DeliveryState::Failed;
            row.error = Some(error.to_owned());
        }
    }
}
