//! The one message about a request in its POD's channel, always as the request is now.

use domain::ports::Notification;
use domain::request::{Request, StateKind};
use slack_morphism::blocks::{
    SlackActionsBlock, SlackBlock, SlackBlockButtonElement, SlackBlockButtonStyle, SlackBlockConfirmItem,
};

use super::facts::{standing, texts, what, who_and_where};
use super::parts::{RichText, header, link_to, words};
use super::{APPROVE, ButtonValue, Message, REJECT, delivery_block_id};

/// Said where what is there is more or other than what somebody sees.
const UNFAITHFUL: &str = "This message cannot show all of it as it is: it is too long or has very many lines or spaces, or \
                          characters that cannot be seen (⟨U+…⟩ stands for one), that cover others, or that run from \
                          right to left. ";

/// What the buttons of a message may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Buttons {
    Both,
    RejectOnly,
    None,
}

pub(crate) fn channel_message(told: &Notification, link: Option<&str>) -> Message {
    let request = &told.request;
    let title = title(request.state.kind());
    let mut facts = RichText::new();
    standing(&mut facts, request);
    who_and_where(&mut facts, request);
    what(&mut facts, request);
    texts(&mut facts, request);
    let pending = request.state.kind() == StateKind::Pending;
    let in_slack = told.target.as_ref().is_some_and(|target| target.slack_decisions);
    let buttons = match (pending, in_slack, facts.faithful) {
        (false, _, _) | (true, false, _) => Buttons::None,
        (true, true, true) => Buttons::Both,
        (true, true, false) => Buttons::RejectOnly,
    };
    let mut notes = RichText::new();
    if !facts.faithful {
        notes.say(UNFAITHFUL);
        notes
            .say(if pending {
                "Look at it in the portal before you approve."
            } else {
                "The portal shows it."
            })
            .end();
    }
    if pending && !in_slack {
        notes.say("Decisions about this target are made in the portal itself.").end();
    }
    if let Some(url) = link_to(link, request.id) {
        notes.link(&url, "Open in the portal");
    }
    let mut blocks = vec![header(title, delivery_block_id(told.job.lease.job))];
    blocks.extend(facts.into_block());
    blocks.extend(notes.into_block());
    blocks.extend(actions(buttons, request));
    Message { text: format!("{title}: request {}", request.id), blocks }
}

fn title(state: StateKind) -> &'static str {
    match state {
        StateKind::Pending => "A request waits for approval",
        StateKind::Approved => "A request is approved",
        StateKind::Rejected => "A request is rejected",
        StateKind::Withdrawn => "A request is withdrawn",
        StateKind::Expired => "A request has expired",
        StateKind::Executing => "A request is running",
        StateKind::Completed => "A request is completed",
        StateKind::Failed => "A request has failed",
        StateKind::Cancelled => "A request is cancelled",
        StateKind::Interrupted => "A request was interrupted",
    }
}

fn actions(buttons: Buttons, request: &Request) -> Option<SlackBlock> {
    let elements = match buttons {
        Buttons::None => return None,
        Buttons::RejectOnly => vec![reject(request).into()],
        Buttons::Both => vec![approve(request).into(), reject(request).into()],
    };
    Some(SlackActionsBlock::new(elements).into())
}

fn approve(request: &Request) -> SlackBlockButtonElement {
    let confirm = SlackBlockConfirmItem::new(
        words("Approve this request?"),
        words("You approve exactly what this message shows. With the last approval that it needs, it runs.")
            .into(),
        words("Approve"),
        words("Not now"),
    );
    SlackBlockButtonElement::new(words("Approve"))
        .with_action_id(APPROVE.into())
        .with_style(SlackBlockButtonStyle::Primary)
        .with_value(ButtonValue::new(request.id, Some(request.digest())).written())
        .with_confirm(confirm)
}

fn reject(request: &Request) -> SlackBlockButtonElement {
    SlackBlockButtonElement::new(words("Reject"))
        .with_action_id(REJECT.into())
        .with_style(SlackBlockButtonStyle::Danger)
        .with_value(ButtonValue::new(request.id, None).written())
}
