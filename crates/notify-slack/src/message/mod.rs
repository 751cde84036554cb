//! What people read in Slack. Pure functions from a notification to blocks.
//!
//! Words of ours are labels; everything that comes from people, targets or the store stands as code in rich text, which
//! Slack shows as it is. Nothing of it gets into the fallback text.

mod channel;
mod direct;
mod facts;
mod modal;
mod parts;
mod table;
#[cfg(test)]
mod tests;

use domain::Timestamp;
use domain::digest::Digest;
use domain::ids::{JobId, RequestId};
use serde::{Deserialize, Serialize};
use slack_morphism::SlackMessageContent;
use slack_morphism::blocks::SlackBlock;

pub(crate) use channel::channel_message;
pub(crate) use direct::direct_message;
pub(crate) use modal::{REASON_INPUT, REASON_MODAL, REASON_TEXT, ReasonFor, reason_modal};
pub(crate) use parts::said;

/// The `action_id` of the button that approves.
pub const APPROVE: &str = "query_portal.approve";
/// The `action_id` of the button that asks for the reason of a rejection.
pub const REJECT: &str = "query_portal.reject";

/// A message as it is sent.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Message {
    /// For notifications of the device and readers of the screen. Ids and words of ours only.
    pub(crate) text: String,
    pub(crate) blocks: Vec<SlackBlock>,
}

impl Message {
    pub(crate) fn content(&self) -> SlackMessageContent {
        SlackMessageContent::new().with_text(self.text.clone()).with_blocks(self.blocks.clone())
    }
}

/// Names the job in its message, to find it again when it is not known whether it was sent.
pub(crate) fn delivery_block_id(job: JobId) -> String {
    format!("delivery-{job}")
}

/// What the buttons carry. The digest says what the message showed.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct ButtonValue {
    request: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

impl ButtonValue {
    fn new(request: RequestId, digest: Option<Digest>) -> Self {
        Self { request: request.to_string(), digest: digest.map(|digest| digest.to_string()) }
    }

    fn written(&self) -> String {
        serde_json::to_string(self).expect("two texts can be written")
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(crate) fn request(&self) -> Option<RequestId> {
        self.request.parse().ok()
    }

    pub(crate) fn digest(&self) -> Option<Digest> {
        Digest::parse(self.digest.as_deref()?)
    }
}

/// A moment, to the minute.
fn moment(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}
