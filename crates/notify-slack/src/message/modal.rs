//! The dialog that asks why a request is rejected.

use domain::ids::RequestId;
use domain::text::Remark;
use serde::{Deserialize, Serialize};
use slack_morphism::blocks::{SlackBlockPlainTextInputElement, SlackInputBlock, SlackModalView, SlackView};

use super::parts::{RichText, words};

/// The dialog's `callback_id`.
pub(crate) const REASON_MODAL: &str = "query_portal.reason";
/// The `block_id` of its input.
pub(crate) const REASON_INPUT: &str = "reason";
/// The `action_id` of its input.
pub(crate) const REASON_TEXT: &str = "text";

/// What the dialog carries: Slack gives it back, signed, when the dialog is sent off.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct ReasonFor {
    pub(crate) request: String,
    /// Where an answer can be given.
    pub(crate) channel: String,
}

pub(crate) fn reason_modal(request: RequestId, channel: &str) -> SlackView {
    let about = ReasonFor { request: request.to_string(), channel: channel.to_owned() };
    let input = SlackBlockPlainTextInputElement::new()
        .with_action_id(REASON_TEXT.into())
        .with_multiline(true)
        .with_min_length(1)
        .with_max_length(Remark::MAX_CHARS as u64)
        .with_focus_on_load(true);
    let mut intro = RichText::new();
    intro.field("Request", &request.to_string());
    let mut blocks: Vec<_> = intro.into_block().into_iter().collect();
    blocks.push(
        SlackInputBlock::new(words("Reason"), input.into())
            .with_block_id(REASON_INPUT.into())
            .with_hint(words("The requester reads it."))
            .into(),
    );
    SlackView::Modal(
        SlackModalView::new(words("Reject the request"), blocks)
            .with_submit(words("Reject"))
            .with_close(words("Back"))
            .with_callback_id(REASON_MODAL.into())
            .with_private_metadata(serde_json::to_string(&about).expect("two texts can be written")),
    )
}
