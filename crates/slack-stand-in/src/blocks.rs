//! What Slack refuses of messages and dialogs: limits as documented for Block Kit.

use std::collections::HashSet;

use serde_json::Value;

type Checked = Result<(), &'static str>;

const INVALID: &str = "invalid_blocks";

/// More in one message is `msg_blocks_too_long`.
const MAX_MESSAGE_CHARS: usize = 13_200;

/// What Slack would refuse a message with these blocks with.
pub fn check_blocks(blocks: &[Value]) -> Checked {
    require(blocks.len() <= 50)?;
    let mut ids = HashSet::new();
    for block in blocks {
        if let Some(id) = block.get("block_id") {
            require(id.as_str().is_some_and(|id| (1..=255).contains(&id.chars().count()) && ids.insert(id)))?;
        }
        check_block(block)?;
    }
    let total: usize = blocks.iter().map(shown_chars).sum();
    if total > MAX_MESSAGE_CHARS { Err("msg_blocks_too_long") } else { Ok(()) }
}

pub(crate) fn check_view(view: &Value) -> Checked {
    require(view["type"] == "modal")?;
    for name in ["title", "submit", "close"] {
        check_plain(&view[name], 24)?;
    }
    require(view["private_metadata"].as_str().unwrap_or_default().chars().count() <= 3000)?;
    require(view["callback_id"].as_str().unwrap_or_default().chars().count() <= 255)?;
    check_blocks(view["blocks"].as_array().ok_or(INVALID)?)
}

fn require(holds: bool) -> Checked {
    if holds { Ok(()) } else { Err(INVALID) }
}

fn check_block(block: &Value) -> Checked {
    match block["type"].as_str() {
        Some("section") => check_text(&block["text"], 3000),
        Some("header") => check_plain(&block["text"], 150),
        Some("divider") => Ok(()),
        Some("context") => {
            let elements = elements(block, 10)?;
            elements.iter().try_for_each(|element| check_text(element, 3000))
        }
        Some("actions") => check_actions(elements(block, 25)?),
        Some("rich_text") => elements(block, 1000)?.iter().try_for_each(check_rich_text),
        Some("input") => {
            check_plain(&block["label"], 2000)?;
            let element = &block["element"];
            require(element["type"] == "plain_text_input")?;
            require(element["max_length"].as_u64().unwrap_or(3000) <= 3000)
        }
        _ => Err(INVALID),
    }
}

fn elements(block: &Value, most: usize) -> Result<&Vec<Value>, &'static str> {
    let elements = block["elements"].as_array().ok_or(INVALID)?;
    require((1..=most).contains(&elements.len()))?;
    Ok(elements)
}

fn check_plain(text: &Value, most: usize) -> Checked {
    require(text["type"] == "plain_text")?;
    check_text(text, most)
}

fn check_text(text: &Value, most: usize) -> Checked {
    require(text["type"] == "plain_text" || text["type"] == "mrkdwn")?;
    require(text["text"].as_str().is_some_and(|text| (1..=most).contains(&text.chars().count())))
}

fn check_actions(elements: &[Value]) -> Checked {
    let mut ids = HashSet::new();
    for button in elements {
        require(button["type"] == "button")?;
        check_plain(&button["text"], 75)?;
        require(
            button["action_id"].as_str().is_some_and(|id| (1..=255).contains(&id.len()) && ids.insert(id)),
        )?;
        require(button["value"].as_str().is_none_or(|value| (1..=2000).contains(&value.chars().count())))?;
        require(matches!(button["style"].as_str(), None | Some("primary" | "danger")))?;
        if let Some(confirm) = button.get("confirm") {
            check_plain(&confirm["title"], 100)?;
            check_text(&confirm["text"], 300)?;
            check_plain(&confirm["confirm"], 30)?;
            check_plain(&confirm["deny"], 30)?;
        }
    }
    Ok(())
}

fn check_rich_text(element: &Value) -> Checked {
    let parts = element["elements"].as_array().ok_or(INVALID)?;
    require(!parts.is_empty())?;
    match element["type"].as_str() {
        Some("rich_text_section") => parts.iter().try_for_each(check_inline),
        Some("rich_text_preformatted") => {
            require(parts.iter().all(|part| part["type"] == "text" || part["type"] == "link"))?;
            parts.iter().try_for_each(check_inline)
        }
        Some("rich_text_list") => parts.iter().try_for_each(check_rich_text),
        _ => Err(INVALID),
    }
}

fn check_inline(part: &Value) -> Checked {
    let filled = |name: &str| require(part[name].as_str().is_some_and(|text| !text.is_empty()));
    match part["type"].as_str() {
        Some("text") => filled("text"),
        Some("link") => filled("url"),
        Some("user") => filled("user_id"),
        Some("broadcast") => filled("range"),
        _ => Err(INVALID),
    }
}

/// All characters under `text`.
fn shown_chars(value: &Value) -> usize {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match value {
                Value::String(text) if name == "text" => text.chars().count(),
                value => shown_chars(value),
            })
            .sum(),
        Value::Array(values) => values.iter().map(shown_chars).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(text: &str) -> Value {
        json!({ "type": "rich_text", "elements": [
            { "type": "rich_text_preformatted", "elements": [{ "type": "text", "text": text }] },
        ] })
    }

    fn button(action_id: &str, value: &str) -> Value {
        json!({ "type": "button", "action_id": action_id, "value": value, "text": { "type": "plain_text", "text": "Go" } })
    }

    #[test]
    fn what_slack_takes_is_taken() {
        let blocks = [
            json!({ "type": "header", "block_id": "a", "text": { "type": "plain_text", "text": "Title" } }),
            json!({ "type": "section", "text": { "type": "mrkdwn", "text": "*b*" } }),
            text("SELECT 1"),
            json!({ "type": "actions", "elements": [button("go", "1"), button("stay", "2")] }),
        ];
        assert_eq!(check_blocks(&blocks), Ok(()));
    }

    #[test]
    fn what_slack_refuses_is_refused() {
        let named = json!({ "type": "divider", "block_id": "a" });
        let header =
            |title: &str| json!({ "type": "header", "text": { "type": "plain_text", "text": title } });
        let actions = |elements: &[Value]| json!({ "type": "actions", "elements": elements });
        let mention = json!({ "type": "rich_text", "elements": [
            { "type": "rich_text_preformatted", "elements": [{ "type": "user", "user_id": "U1" }] },
        ] });
        let cases = [
            vec![json!({ "type": "divider" }); 51],
            vec![named.clone(), named],
            vec![json!({ "type": "divider", "block_id": "x".repeat(256) })],
            vec![json!({ "type": "section", "text": { "type": "mrkdwn", "text": "x".repeat(3_001) } })],
            vec![json!({ "type": "rich_text", "elements": [] })],
            vec![json!({ "type": "unknown" })],
            vec![text("")],
            vec![header("")],
            vec![header(&"x".repeat(151))],
            vec![actions(&[])],
            vec![actions(&[button("go", &"x".repeat(2_001))])],
            vec![actions(&[button("go", "1"), button("go", "2")])],
            vec![mention],
        ];
        for blocks in cases {
            assert_eq!(check_blocks(&blocks), Err("invalid_blocks"), "{blocks:?}");
        }
        assert_eq!(check_blocks(&[text(&"x".repeat(13_201))]), Err("msg_blocks_too_long"));
    }
}
