//! What Slack answers, as far as the portal reads it: what else is in an answer, and however odd it is, does not matter.

use serde::Deserialize;

/// What became of a message.
#[derive(Deserialize, Debug)]
pub(crate) struct Posted {
    pub(crate) channel: String,
    pub(crate) ts: String,
}

/// A page of a channel's messages, newest first.
#[derive(Deserialize, Debug)]
pub(crate) struct HistoryPage {
    messages: Vec<HistoryMessage>,
    #[serde(default)]
    response_metadata: Option<Cursor>,
}

#[derive(Deserialize, Debug)]
struct HistoryMessage {
    ts: String,
    #[serde(default)]
    blocks: Vec<HistoryBlock>,
}

#[derive(Deserialize, Debug)]
struct HistoryBlock {
    #[serde(default)]
    block_id: Option<String>,
}

#[derive(Deserialize, Debug)]
struct Cursor {
    #[serde(default)]
    next_cursor: String,
}

impl HistoryPage {
    /// The message with a block of this id.
    pub(crate) fn find(&self, block_id: &str) -> Option<&str> {
        let has = |m: &&HistoryMessage| m.blocks.iter().any(|b| b.block_id.as_deref() == Some(block_id));
        self.messages.iter().find(has).map(|m| m.ts.as_str())
    }

    pub(crate) fn next(self) -> Option<String> {
        self.response_metadata.map(|m| m.next_cursor).filter(|cursor| !cursor.is_empty())
    }
}

/// Somebody in Slack.
#[derive(Deserialize, Debug)]
pub(crate) struct Person {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) team_id: Option<String>,
    #[serde(default)]
    pub(crate) deleted: bool,
    #[serde(default)]
    pub(crate) is_bot: bool,
    #[serde(default)]
    pub(crate) is_stranger: bool,
    /// Only there with some scopes.
    #[serde(default)]
    pub(crate) is_email_confirmed: Option<bool>,
    #[serde(default)]
    pub(crate) profile: Profile,
    /// Of an organisation with several workspaces.
    #[serde(default)]
    pub(crate) enterprise_user: Option<EnterpriseUser>,
}

#[derive(Deserialize, Debug, Default)]
pub(crate) struct Profile {
    #[serde(default)]
    pub(crate) email: Option<String>,
}

#[derive(Deserialize, Debug)]
pub(crate) struct EnterpriseUser {
    #[serde(default)]
    pub(crate) teams: Vec<String>,
}

#[derive(Deserialize)]
pub(crate) struct PersonAnswer {
    pub(crate) user: Person,
}

#[derive(Deserialize)]
pub(crate) struct ConversationAnswer {
    pub(crate) channel: Conversation,
}

#[derive(Deserialize)]
pub(crate) struct Conversation {
    pub(crate) id: String,
}

#[derive(Deserialize)]
pub(crate) struct TeamAnswer {
    pub(crate) team_id: String,
    /// Of the organisation, where the workspace belongs to one.
    #[serde(default)]
    pub(crate) enterprise_id: Option<String>,
}

/// An answer of which only matters that there is one: without `ok` it is none of Slack's.
#[derive(Deserialize)]
pub(crate) struct Done {
    #[serde(rename = "ok")]
    _ok: bool,
}
