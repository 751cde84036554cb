//! Delivers notifications: one message in the POD's channel about each request, kept up to date, and direct messages.
//!
//! Before a message is sent it is noted that its outcome is unclear, and afterwards what became of it. When it is still
//! unclear at the next try (the connection broke, the portal was killed), the conversation is searched for the message,
//! whose first block carries the id of the job: see [`crate::search`]. Where that is not possible the message is sent
//! again: people may then read it twice, but never not at all.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use domain::Timestamp;
use domain::audit::AuditEntry;
use domain::job::{Audience, NotificationJob};
use domain::ports::{
    Clock, Deliveries, Delivery, Notification, Notifier, NotifyError, SlackMessage, SlackPeople, StoreError,
};
use domain::request::StateKind;
use domain::user::Origin;

use crate::client::Slack;
use crate::errors::{CallError, Verdict};
use crate::message::{Message, channel_message, direct_message};
use crate::pace::Pace;
use crate::people::trusted_email;
use crate::search::CutOff;

/// Less than the lease of the job: what takes longer is tried again.
const LONGEST: Duration = Duration::from_secs(45);
/// How often somebody without an account in Slack is looked for.
const LOOK_AGAIN: TimeDelta = TimeDelta::hours(24);

/// See the module.
pub struct SlackNotifier {
    pub(crate) slack: Slack,
    deliveries: Arc<dyn Deliveries>,
    people: Arc<dyn SlackPeople>,
    pub(crate) clock: Arc<dyn Clock>,
    pace: Pace,
    pub(crate) cut_off: CutOff,
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
    /// The app cannot reach its channel any more, and the POD has another one by now.
    LeftBehind,
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
        let (pace, cut_off, channel_ids) = (Pace::default(), CutOff::default(), Mutex::default());
        Self { slack, deliveries, people, clock, pace, cut_off, channel_ids }
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

    async fn tell_channel(
        &self,
        told: &Notification,
        mut delivery: Option<Delivery>,
    ) -> Result<(), NotifyError> {
        let message = channel_message(told, self.slack.request_link());
        let configured = told.pod.as_ref().and_then(|pod| pod.slack_channel.as_deref());
        let configured = configured.or(self.slack.default_channel());
        let there = self.deliveries.channel_message(told.request.id).await.map_err(later)?;
        let is_new = there.is_none();
        if let Some(there) = there {
            self.turn(&there.channel, &told.job, "chat.update")?;
            let pending = told.request.state.kind() == StateKind::Pending;
            // Where it cannot be told, the channel is tried at least while somebody has to decide.
            let moved =
                configured.is_none_or(|name| self.channel_id(name).map_or(pending, |id| id != there.channel));
            match self.update(told, delivery.as_ref(), &there, moved, &message).await? {
                Update::Done => return Ok(()),
                Update::Gone => {}
                // What may have arrived there is of no use to anybody.
                Update::LeftBehind => delivery = delivery.filter(|d| d.recipient != there.channel),
            }
            if !pending {
                // There is nothing left that anybody could act on.
                let reason = "the message in the channel is not there any more, or cannot be changed";
                return self.nobody(&told.job, &there.channel, reason).await;
            }
        }
        let Some(name) = configured else {
            tracing::info!(request = %told.request.id, kind = told.job.kind.as_str(), "no channel in Slack to tell");
            return Ok(());
        };
        let id = self.channel_id(name);
        if is_new {
            self.turn(id.as_deref().unwrap_or(name), &told.job, "chat.postMessage")?;
        } else {
            // The turn was taken for the update, which told nobody anything.
            self.may_call("chat.postMessage", Some(id.as_deref().unwrap_or(name)))?;
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
        self.may_call("conversations.open", None)?;
        let conversation = match self.slack.open_conversation(&user).await {
            Ok(conversation) => conversation,
            Err(error) => {
                if error.verdict() == Verdict::Final {
                    self.nobody(&told.job, &user, &error.to_string()).await?;
                }
                return Err(self.not_done(error));
            }
        };
        self.may_call("chat.postMessage", Some(&conversation))?;
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
        if !contact.active {
            let reason = "the requester's account is not active";
            self.nobody(&told.job, contact.email.as_str(), reason).await?;
            return Ok(None);
        }
        if let Some(id) = contact.slack_user_id {
            return Ok(Some(id));
        }
        if contact.not_found_at.is_some_and(|at| at + LOOK_AGAIN > now) {
            return Ok(None);
        }
        self.may_call("users.lookupByEmail", None)?;
        let found = match self.slack.lookup_by_email(contact.email.as_str()).await {
            Ok(person) => Some(person),
            Err(error) if error.code() == Some("users_not_found") => None,
            Err(error) => return Err(self.not_done(error)),
        };
        if let Some(person) = found {
            let email = trusted_email(&self.slack, &person).await.map_err(|error| self.not_done(error))?;
            let audit = AuditEntry::slack_tie(user, &person.id, None, Origin::system(), now);
            if email.as_ref() == Some(&contact.email)
                && self.people.tie(user, &contact.email, &person.id, &audit).await.map_err(later)?
            {
                return Ok(Some(person.id));
            }
        }
        // Noted before it is no news any more: otherwise a crash between the two would leave nothing to be seen.
        if contact.not_found_at.is_none() {
            self.nobody(&told.job, contact.email.as_str(), "nobody in Slack has this address").await?;
        }
        self.people.not_found(user, now).await.map_err(later)?;
        Ok(None)
    }

    /// Notes that nobody can be told.
    async fn nobody(&self, job: &NotificationJob, recipient: &str, reason: &str) -> Result<(), NotifyError> {
        tracing::info!(request = %job.request, kind = job.kind.as_str(), "there is nobody in Slack to tell");
        self.deliveries.nobody(job, recipient, reason, self.clock.now()).await.map_err(later)
    }

    /// Changes the message that is there. A doubt about an earlier post stays as it is on record: to change a message
    /// twice does no harm.
    async fn update(
        &self,
        told: &Notification,
        delivery: Option<&Delivery>,
        there: &SlackMessage,
        moved: bool,
        message: &Message,
    ) -> Result<Update, NotifyError> {
        let job = &told.job;
        let mut opened = None;
        if delivery.is_none_or(|delivery| delivery.unclear_since.is_none()) {
            opened = Some(self.deliveries.begin(job, &there.channel, self.clock.now()).await.map_err(later)?);
        }
        match self.slack.update(&there.channel, &there.ts, message).await {
            Ok(_) => {
                self.deliveries.sent(job.lease.job, there, self.clock.now()).await.map_err(later)?;
                Ok(Update::Done)
            }
            Err(error) => {
                self.refused(job, &error, opened).await?;
                match error.code() {
                    Some("is_archived" | "channel_not_found" | "not_in_channel" | "is_inactive") if moved => {
                        Ok(Update::LeftBehind)
                    }
                    Some(
                        "message_not_found" | "cant_update_message" | "edit_window_closed" | "is_inactive",
                    ) => Ok(Update::Gone),
                    _ => Err(self.not_delivered(error, Some(&there.channel))),
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
        let doubt = delivery.and_then(|delivery| Some((delivery.unclear_since?, delivery.recipient)));
        if let Some((since, recipient)) = &doubt {
            // Where it may have been sent to; the POD may have another channel by now.
            let same = recipient == place.recipient;
            let channel = if same { place.id.clone() } else { self.channel_id(recipient) };
            if let Some(message) = self.search(job, channel.as_deref(), *since).await? {
                return self.deliveries.sent(job.lease.job, &message, self.clock.now()).await.map_err(later);
            }
        }
        let since = self.deliveries.begin(job, place.recipient, self.clock.now()).await.map_err(later)?;
        match self.slack.post_message(place.name, message).await {
            Ok(posted) => {
                self.remember_channel(place.name, &posted.channel);
                let message = SlackMessage { channel: posted.channel, ts: posted.ts };
                self.deliveries.sent(job.lease.job, &message, self.clock.now()).await.map_err(later)
            }
            Err(error) => {
                self.refused(job, &error, doubt.is_none().then_some(since)).await?;
                Err(self.not_delivered(error, Some(place.id.as_deref().unwrap_or(place.name))))
            }
        }
    }

    /// Ends the doubt that was `opened` just now, if Slack says that nothing happened. That says nothing about an earlier
    /// try: its doubt stays.
    async fn refused(
        &self,
        job: &NotificationJob,
        error: &CallError,
        opened: Option<Timestamp>,
    ) -> Result<(), NotifyError> {
        match opened {
            Some(since) if error.nothing_happened() => {
                self.deliveries.refused(job.lease.job, since).await.map_err(later)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Before anything is begun: whether it is the job's turn in the channel, and whether Slack wants to be asked at all.
    fn turn(&self, channel: &str, job: &NotificationJob, method: &'static str) -> Result<(), NotifyError> {
        self.may_call(method, Some(channel))?;
        let turn = self.pace.turn(channel, job.lease.job, self.clock.now());
        turn.map_err(|after| NotifyError::Later { after })
    }

    /// Slack counts what it is sent by channel, and everything else by method.
    pub(crate) fn may_call(&self, method: &'static str, channel: Option<&str>) -> Result<(), NotifyError> {
        match self.pace.held(method, channel, self.clock.now()) {
            Some(after) => Err(NotifyError::Later { after }),
            None => Ok(()),
        }
    }

    /// Of a call that is not about sending.
    pub(crate) fn not_done(&self, error: CallError) -> NotifyError {
        self.not_delivered(error, None)
    }

    fn not_delivered(&self, error: CallError, channel: Option<&str>) -> NotifyError {
        if let CallError::TooMany { method, after } = &error {
            let until = TimeDelta::from_std(*after).unwrap_or(TimeDelta::hours(1));
            self.pace.hold(method, channel, self.clock.now(), until);
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

/// Names of channels are in lower case.
fn is_channel_id(text: &str) -> bool {
    let letters = text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    text.len() >= 8 && letters && text.starts_with(['C', 'G', 'D'])
}

fn later(error: StoreError) -> NotifyError {
    NotifyError::Retry { source: error.into() }
}
