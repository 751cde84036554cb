//! Messages as people read them, and what nobody can make of them.

mod injection;
mod read;

use std::time::Duration;

use domain::ids::JobId;
use domain::job::Audience;
use domain::ports::Notification;
use domain::request::{NotificationKind, Request, StateKind};
use domain::target::{Limits, SlackResults, Target};
use serde_json::Value;
use testkit::builders::{at, notification, remark, request, target, uuid_for};

use super::{APPROVE, ButtonValue, Message, REJECT, channel_message, direct_message};

const LINK: &str = "https://portal.example.com/requests/{id}";

fn told(
    audience: Audience,
    kind: NotificationKind,
    request: &Request,
    target: Option<Target>,
) -> Notification {
    let mut told = Notification { target, ..notification(kind, audience, request) };
    told.job.lease.job = JobId::from_uuid(uuid_for("job"));
    told
}

fn in_channel(request: &Request) -> Message {
    in_channel_about(request, Some(target("orders-db").build()))
}

fn in_channel_about(request: &Request, target: Option<Target>) -> Message {
    channel_message(&told(Audience::Channel, NotificationKind::Submitted, request, target), Some(LINK))
}

fn to_requester(kind: NotificationKind, request: &Request, results: SlackResults) -> Message {
    let target = target("orders-db").slack_results(results).build();
    direct_message(&told(Audience::Requester, kind, request, Some(target)), Some(LINK))
}

fn json(message: &Message) -> Vec<Value> {
    message.blocks.iter().map(|block| serde_json::to_value(block).unwrap()).collect()
}

/// A message in letters: `**label**`, `` `code` ``, blocks between fences, `[link]`, `(button)`.
fn letters(message: &Message) -> String {
    json(message).iter().map(block_letters).collect::<String>()
}

fn block_letters(block: &Value) -> String {
    match block["type"].as_str().unwrap() {
        "header" => format!("# {}\n", block["text"]["text"].as_str().unwrap()),
        "rich_text" => block["elements"].as_array().unwrap().iter().map(element_letters).collect(),
        "actions" => {
            let buttons = block["elements"].as_array().unwrap().iter();
            let words: Vec<_> =
                buttons.map(|b| format!("({})", b["text"]["text"].as_str().unwrap())).collect();
            words.concat() + "\n"
        }
        other => panic!("{other}"),
    }
}

fn element_letters(element: &Value) -> String {
    let parts: String = element["elements"].as_array().unwrap().iter().map(part_letters).collect();
    match element["type"].as_str().unwrap() {
        "rich_text_section" => parts,
        "rich_text_preformatted" => format!("\n```\n{parts}\n```\n"),
        other => panic!("{other}"),
    }
}

fn part_letters(part: &Value) -> String {
    let text = part["text"].as_str().unwrap();
    match (part["type"].as_str().unwrap(), &part["style"]) {
        ("link", _) => format!("[{text}]({})", part["url"].as_str().unwrap()),
        ("text", style) if style["bold"] == true => format!("**{text}**"),
        ("text", style) if style["code"] == true => format!("`{text}`"),
        ("text", _) => text.to_owned(),
        other => panic!("{other:?}"),
    }
}

fn action_ids(message: &Message) -> Vec<String> {
    let ids = slack_stand_in::buttons(&json(message)).into_iter();
    ids.map(|button| button["action_id"].as_str().unwrap().to_owned()).collect()
}

fn button_value(message: &Message, action_id: &str) -> ButtonValue {
    let buttons = slack_stand_in::buttons(&json(message));
    let button = buttons.iter().find(|button| button["action_id"] == action_id).unwrap();
    ButtonValue::parse(button["value"].as_str().unwrap()).unwrap()
}
