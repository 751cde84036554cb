//! Delivers notifications: one message in the POD's channel about each request, kept up to date, and direct messages.
//!
//! Before a message is sent it is noted that its outcome is unclear, and afterwards what became of it. When it is still
//! unclear at the next try (the connection broke, the portal was killed), the conversation is searched for the message,
//! whose first block carries the id of the job. Where the app may not read the conversation, or the channel is only known
//! by its name, the message is sent again: people may then read it twice, but never not at all.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use domain::Timestamp;
use domain::audit::{AuditEntry, Entity, EntityKind};
use domain::job::{Audience, NotificationJob};
use domain::ports::{
    Clock, Deliveries, Delivery, Notification, Notifier, NotifyError, SlackMessage, SlackPeople, StoreError,
};
use domain::request::StateKind;
use domain::user::{Channel, Origin};
use serde_json::json;

use crate::client::Slack;
use crate::errors::{CallError, Verdict};
use crate::message::{Message, channel_message, delivery_block_id, direct_message};
use crate::pace::Pace;
use crate::people::trusted_email;

/// Less than the lease of the job: what takes longer is tried again.
const LONGEST: Duration = Duration::from_secs(45);
/// Slack dates messages by its own clock.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::minutes(5);
/// 200 messages each; in a busier channel a message may be told twice.
const PAGES: usize = 20;
/// How often somebody without an account in Slack is looked for.
const LOOK_AGAIN: TimeDelta = TimeDelta::hours(24);

/// See the module.
pub struct SlackNotifier {
    slack: Slack,
    deliveries: Arc<dyn Deliveries>,
    people: Arc<dyn SlackPeople>,
    clock: Arc<dyn Clock>,
    pace: Pace,
    /// Ids of channels that are configured by name, as Slack told them.
    channel_ids: Mutex<HashMap<String, String>>,
}

impl fmt::Debug for SlackNotifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlackNotifier").finish_non_exhaustive()
    }
}

/// What became of the attempt to bring a message up to date.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Update {
    Done,
    /// The message is not there any more, or cannot be changed any more.
    Gone,
}

/// Where a message goes.
struct Place<'a> {
    /// As it is called when it is sent to.
    name: &'a str,
    /// As it is on record.
    recipient: &'a str,
    /// By which its history can be read; `None` where it is not known.
    id: Option<String>,
}

#[async_trait]
impl Notifier for SlackNotifier {
    async fn notify(&self, notification: &Notification) -> Result<(), NotifyError> {
        match tokio::time::timeout(LONGEST, self.deliver(notification)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(NotifyError::Retry { source: "Slack took too long".into() }),
        }
    }
}

impl SlackNotifier {
    pub fn new(
        slack: Slack,
        deliveries: Arc<dyn Deliveries>,
        people: Arc<dyn SlackPeople>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { slack, deliveries, people, clock, pace: Pace::default(), channel_ids: Mutex::default() }
    }

    async fn deliver(&self, told: &Notification) -> Result<(), NotifyError> {
        let delivery = self.deliveries.find(told.job.lease.job).await.map_err(later)?;
        if delivery.as_ref().is_some_and(|delivery| delivery.message.is_some()) {
            return Ok(());
        }
        match told.job.audience {
            Audience::Channel => self.tell_channel(told, delivery).await,
            Audience::Requester => self.tell_requester(told, delivery).await,
        }
    }

    async fn tell_channel(&self, told: &Notification, delivery: Option<Delivery>) -> Result<(), NotifyError> {
        let message = channel_message(told, self.slack.request_link());
        let there = self.deliveries.channel_message(told.request.id).await.map_err(later)?;
        let is_new = there.is_none();
        if let Some(there) = there {
            self.turn(&there.channel, &told.job, "chat.update")?;
            if self.update(told, &there, &message).await? == Update::Done {
                return Ok(());
            }
            if told.request.state.kind() != StateKind::Pending {
                // Somebody took the message away: there is nothing left that anybody could act on.
                let reason = "the message in the channel is not there any more, or cannot be changed";
                return self.nobody(&told.job, &there.channel, reason).await;
            }
        }
        let configured = told.pod.as_ref().and_then(|pod| pod.slack_channel.as_deref());
        let Some(name) = configured.or(self.slack.default_channel()) else {
            tracing::info!(request = %told.request.id, kind = told.job.kind.as_str(), "no channel in Slack to tell");
            return Ok(());
        };
        let id = self.channel_id(name);
        if is_new {
            self.turn(id.as_deref().unwrap_or(name), &told.job, "chat.postMessage")?;
        } else {
            // The turn was taken for the update, which told nobody anything.
            self.may_call("chat.postMessage")?;
        }
        let place = Place { name, recipient: name, id };
        self.post(told, delivery, &place, &message).await
    }

    async fn tell_requester(
        &self,
        told: &Notification,
        delivery: Option<Delivery>,
    ) -> Result<(), NotifyError> {
        let Some(user) = self.find_requester(told).await? else { return Ok(()) };
        self.turn(&user, &told.job, "chat.postMessage")?;
        self.may_call("conversations.open")?;
        let conversation = match self.slack.open_conversation(&user).await {
            Ok(conversation) => conversation,
            Err(error) => {
                if error.verdict() == Verdict::Final {
                    self.nobody(&told.job, &user, &error.to_string()).await?;
                }
                return Err(self.not_delivered(error));
            }
        };
        let place = Place { name: &conversation, recipient: &user, id: Some(conversation.clone()) };
        let message = direct_message(told, self.slack.request_link());
        self.post(told, delivery, &place, &message).await
    }

    /// The requester's account in Slack; `None` when it is on record that there is none.
    async fn find_requester(&self, told: &Notification) -> Result<Option<String>, NotifyError> {
        let user = told.request.requester.id;
        let now = self.clock.now();
        let contact = self.people.contact(user).await.map_err(later)?;
        let contact = contact
            .ok_or_else(|| NotifyError::Permanent { reason: "the requester has no account".to_owned() })?;
        if let Some(id) = contact.slack_user_id {
            return Ok(Some(id));
        }
        if contact.not_found_at.is_some_and(|at| at + LOOK_AGAIN > now) {
            return Ok(None);
        }
        self.may_call("users.lookupByEmail")?;
        let found = match self.slack.lookup_by_email(contact.email.as_str()).await {
            Ok(person) => Some(person),
            Err(error) if error.code() == Some("users_not_found") => None,
            Err(error) => return Err(self.not_delivered(error)),
        };
        if let Some(person) = found {
            let email =
                trusted_email(&self.slack, &person).await.map_err(|error| self.not_delivered(error))?;
            let audit = AuditEntry {
                user: None,
                action: "user.slack".to_owned(),
                entity: Entity::new(EntityKind::User, user),
                old_values: None,
                new_values: Some(json!({ "slack_user_id": person.id })),
                origin: Origin { channel: Channel::System, ..Origin::default() },
                at: now,
            };
            if email.as_ref() == Some(&contact.email)
                && self.people.tie(user, &contact.email, &person.id, &audit).await.map_err(later)?
            {
                return Ok(Some(person.id));
            }
        }
        if self.people.not_found(user, now).await.map_err(later)? {
            self.nobody(&told.job, contact.email.as_str(), "nobody in Slack has this address").await?;
        }
        Ok(None)
    }

    /// Notes that nobody can be told.
    async fn nobody(&self, job: &NotificationJob, recipient: &str, reason: &str) -> Result<(), NotifyError> {
        tracing::info!(request = %job.request, kind = job.kind.as_str(), "there is nobody in Slack to tell");
        self.deliveries.nobody(job, recipient, reason, self.clock.now()).await.map_err(later)
    }

    async fn update(
        &self,
        told: &Notification,
        there: &SlackMessage,
        message: &Message,
    ) -> Result<Update, NotifyError> {
        let job = &told.job;
        self.deliveries.begin(job, &there.channel, self.clock.now()).await.map_err(later)?;
        match self.slack.update(&there.channel, &there.ts, message).await {
            Ok(_) => {
                self.deliveries.sent(job.lease.job, there, self.clock.now()).await.map_err(later)?;
                Ok(Update::Done)
            }
            Err(error) => {
                if error.nothing_happened() {
                    self.deliveries.refused(job.lease.job).await.map_err(later)?;
                }
                match error.code() {
                    Some("message_not_found" | "cant_update_message" | "edit_window_closed") => {
                        Ok(Update::Gone)
                    }
                    _ => Err(self.not_delivered(error)),
                }
            }
        }
    }

    async fn post(
        &self,
        told: &Notification,
        delivery: Option<Delivery>,
        place: &Place<'_>,
        message: &Message,
    ) -> Result<(), NotifyError> {
        let job = &told.job;
        if let Some(since) = delivery.and_then(|delivery| delivery.unclear_since)
            && let Some(message) = self.search(job, place, since).await?
        {
            return self.deliveries.sent(job.lease.job, &message, self.clock.now()).await.map_err(later);
        }
        self.deliveries.begin(job, place.recipient, self.clock.now()).await.map_err(later)?;
        match self.slack.post_message(place.name, message).await {
            Ok(posted) => {
                self.remember_channel(place.name, &posted.channel);
                let message = SlackMessage { channel: posted.channel, ts: posted.ts };
                self.deliveries.sent(job.lease.job, &message, self.clock.now()).await.map_err(later)
            }
            Err(error) => {
                if error.nothing_happened() {
                    self.deliveries.refused(job.lease.job).await.map_err(later)?;
                }
                Err(self.not_delivered(error))
            }
        }
    }

    /// Looks for a message of which it is not known whether it was sent.
    async fn search(
        &self,
        job: &NotificationJob,
        place: &Place<'_>,
        since: Timestamp,
    ) -> Result<Option<SlackMessage>, NotifyError> {
        let again = |why: &str| {
            tracing::warn!(request = %job.request, job = %job.lease.job, why, "a message may be sent twice");
            Ok(None)
        };
        let Some(channel) = &place.id else { return again("the channel is only known by its name") };
        let block_id = delivery_block_id(job.lease.job);
        let oldest = (since - CLOCKS_DIFFER).timestamp();
        let mut cursor = None;
        for _ in 0..PAGES {
            self.may_call("conversations.history")?;
            let page = match self.slack.history(channel, oldest, cursor.as_deref()).await {
                Ok(page) => page,
                Err(error) if error.code().is_some_and(|code| CANNOT_READ.contains(&code)) => {
                    return again("the app may not read the conversation");
                }
                Err(error) => return Err(self.not_delivered(error)),
            };
            if let Some(ts) = page.find(&block_id) {
                return Ok(Some(SlackMessage { channel: channel.clone(), ts: ts.to_owned() }));
            }
            cursor = page.next();
            if cursor.is_none() {
                return Ok(None);
            }
        }
        again("the conversation is too busy to be searched")
    }

    /// Before anything is begun: whether it is the job's turn in the channel, and whether Slack wants to be asked at all.
    fn turn(&self, channel: &str, job: &NotificationJob, method: &'static str) -> Result<(), NotifyError> {
        self.may_call(method)?;
        let turn = self.pace.turn(channel, job.lease.job, self.clock.now());
        turn.map_err(|after| NotifyError::Later { after })
    }

    fn may_call(&self, method: &'static str) -> Result<(), NotifyError> {
        match self.pace.held(method, self.clock.now()) {
            Some(after) => Err(NotifyError::Later { after }),
            None => Ok(()),
        }
    }

    fn not_delivered(&self, error: CallError) -> NotifyError {
        if let CallError::TooMany { method, after } = &error {
            let until = TimeDelta::from_std(*after).unwrap_or(TimeDelta::hours(1));
            self.pace.hold(method, self.clock.now() + until);
            return NotifyError::Later { after: *after };
        }
        match error.verdict() {
            Verdict::Final => NotifyError::Permanent { reason: error.to_string() },
            Verdict::Wait(_) | Verdict::Retry => NotifyError::Retry { source: error.into() },
        }
    }

    fn channel_id(&self, name: &str) -> Option<String> {
        if is_channel_id(name) {
            return Some(name.to_owned());
        }
        self.channel_ids.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn remember_channel(&self, name: &str, id: &str) {
        if !is_channel_id(name) {
            let mut ids = self.channel_ids.lock().unwrap_or_else(PoisonError::into_inner);
            ids.insert(name.to_owned(), id.to_owned());
        }
    }
}

/// What Slack answers where the app may write, but not read.
const CANNOT_READ: &[&str] = &[
    "access_denied",
    "channel_not_found",
    "method_not_supported_for_channel_type",
    "missing_scope",
    "no_permission",
    "not_allowed_token_type",
    "not_in_channel",
    "team_access_not_granted",
];

/// Names of channels are in lower case.
fn is_channel_id(text: &str) -> bool {
    let letters = text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    text.len() >= 8 && letters && text.starts_with(['C', 'G', 'D'])
}

fn later(error: StoreError) -> NotifyError {
    NotifyError::Retry { source: error.into() }
}
