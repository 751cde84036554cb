//! What the workspace holds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::TEAM;
use crate::faults::Faults;

/// A call as it arrived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    pub method: String,
    /// The body, or the query of a call without one.
    pub body: String,
}

/// A channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Channel {
    pub id: String,
    /// Without `#`.
    pub name: String,
    /// Whether the app is in it.
    pub member: bool,
    pub archived: bool,
}

impl Channel {
    pub fn new(id: &str, name: &str) -> Self {
        Self { id: id.to_owned(), name: name.to_owned(), member: true, archived: false }
    }
}

/// Somebody in the workspace, or from another one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Person {
    pub id: String,
    pub email: String,
    pub team: String,
    pub bot: bool,
    pub deleted: bool,
    /// From another workspace, by a shared channel.
    pub stranger: bool,
    pub email_confirmed: bool,
}

impl Person {
    pub fn new(id: &str, email: &str) -> Self {
        Self {
            id: id.to_owned(),
            email: email.to_owned(),
            team: TEAM.to_owned(),
            bot: false,
            deleted: false,
            stranger: false,
            email_confirmed: true,
        }
    }

    /// As `users.info` shows them.
    pub(crate) fn shown(&self) -> Value {
        json!({
            "id": self.id, "team_id": self.team, "name": self.id.to_lowercase(), "deleted": self.deleted,
            "is_bot": self.bot, "is_stranger": self.stranger, "is_email_confirmed": self.email_confirmed,
            "profile": { "email": self.email, "team": self.team },
        })
    }
}

/// A message of a channel or of a direct conversation.
#[derive(Clone, PartialEq, Debug)]
pub struct Message {
    pub channel: String,
    pub ts: String,
    pub text: String,
    pub blocks: Vec<Value>,
    /// How often it was changed after it was sent.
    pub edits: u32,
}

/// A message that one person sees.
#[derive(Clone, PartialEq, Debug)]
pub struct Ephemeral {
    pub channel: String,
    pub user: String,
    pub text: String,
    pub blocks: Vec<Value>,
}

/// A dialog.
#[derive(Clone, PartialEq, Debug)]
pub struct View {
    pub id: String,
    /// For whom it was opened.
    pub user: String,
    pub view: Value,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) channels: BTreeMap<String, Channel>,
    pub(crate) people: BTreeMap<String, Person>,
    pub(crate) messages: Vec<Message>,
    /// Conversations that were opened.
    pub(crate) conversations: BTreeSet<String>,
    pub(crate) ephemerals: Vec<Ephemeral>,
    pub(crate) views: Vec<View>,
    /// Given out with a press and not used yet, each with who pressed.
    pub(crate) triggers: BTreeMap<String, String>,
    pub(crate) calls: Vec<Call>,
    pub(crate) faults: Faults,
    pub(crate) away: bool,
    pub(crate) now: Option<i64>,
    /// Numbers messages, dialogs and triggers.
    pub(crate) counter: u32,
}

/// The id of the app's direct conversation with somebody.
pub(crate) fn conversation_with(user: &str) -> String {
    format!("D{}", user.trim_start_matches(['U', 'W']))
}

impl State {
    pub(crate) fn put_channel(&mut self, channel: Channel) {
        self.channels.insert(channel.id.clone(), channel);
    }

    /// By id, or by name with or without `#`, as `chat.postMessage` takes them.
    pub(crate) fn channel(&self, id_or_name: &str) -> Option<&Channel> {
        let name = id_or_name.trim_start_matches('#');
        self.channels.get(id_or_name).or_else(|| self.channels.values().find(|c| c.name == name))
    }

    pub(crate) fn messages(&self, channel: &str) -> Vec<Message> {
        self.messages.iter().filter(|m| m.channel == channel).cloned().collect()
    }

    pub(crate) fn delete_message(&mut self, channel: &str, ts: &str) {
        self.messages.retain(|m| m.channel != channel || m.ts != ts);
    }

    pub(crate) fn post(&mut self, channel: &str, text: &str, blocks: Vec<Value>) -> Message {
        let ts = self.next_ts();
        let message = Message { channel: channel.to_owned(), ts, text: text.to_owned(), blocks, edits: 0 };
        self.messages.push(message.clone());
        message
    }

    pub(crate) fn next_number(&mut self) -> u32 {
        self.counter += 1;
        self.counter
    }

    fn next_ts(&mut self) -> String {
        let system = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let seconds = self.now.unwrap_or_else(|| i64::try_from(system).unwrap_or(i64::MAX));
        format!("{seconds}.{:06}", self.next_number())
    }
}
