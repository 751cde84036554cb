//! Nothing that people, servers or results say means anything to Slack.

use domain::execution::{Column, PreviewRow};
use domain::request::{ResultKept, State};
use domain::text::{DisplayName, Email, Remark};
use proptest::prelude::*;
use serde_json::json as value;

use super::*;

/// Pieces that mean something in some markup of Slack.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = [
        "<!channel>",
        "<!here|here>",
        "<@U0GRACE>",
        "<#C0PAYMENTS>",
        "<!subteam^S1>",
        "<https://evil.example|ok>",
        "https://evil.example",
        "@here",
        "*b*",
        "_i_",
        "~s~",
        "`",
        "```",
        "\n> ",
        ":tada:",
        "&lt;!channel&gt;",
        "&",
        "{id}",
        "\u{202e}",
        "\u{200b}",
        "\n",
        "\t",
        "\"}]",
        "x",
        "ä",
        "🎉",
        "[a](https://evil.example)",
        "# ",
    ];
    let piece = prop_oneof![
        4 => prop::sample::select(pieces.to_vec()).prop_map(str::to_owned),
        1 => ".{0,8}",
    ];
    // Marked, to be found again.
    prop::collection::vec(piece, 1..12).prop_map(|pieces| format!("evil{}", pieces.concat()))
}

fn name(text: &str) -> DisplayName {
    let text: String = text.chars().filter(|c| !c.is_control()).take(120).collect();
    DisplayName::parse(&text).unwrap()
}

fn email(text: &str) -> Email {
    let clean: String =
        text.chars().filter(|c| !c.is_whitespace() && !c.is_control() && *c != '@').take(40).collect();
    Email::parse(&format!("{clean}@example.com")).unwrap()
}

/// A request in which everything that somebody else may word is this text.
fn filled(text: &str, state: StateKind) -> Request {
    let no_nul = text.replace('\0', "");
    let database: String = no_nul.chars().filter(|c| !c.is_control()).take(15).collect();
    let mut request = request()
        .script(text, &no_nul)
        .compiled(&[text])
        .comments(&no_nul)
        .database(&database)
        .reviewed_with_findings()
        .in_state(state);
    request.requester.name = name(text);
    request.requester.email = email(text);
    request.pod.name = name(text);
    request.target.name = name(text);
    request.target.search_path = Some(text.to_owned());
    for finding in &mut request.review.findings {
        text.clone_into(&mut finding.message);
    }
    match &mut request.state {
        State::Rejected { decision } => {
            decision.reason = Remark::parse(&no_nul).unwrap();
            decision.by.email = email(text);
        }
        State::Failed { failure, .. } => {
            text.clone_into(&mut failure.message);
            let error = failure.database_error.as_mut().unwrap();
            for place in [&mut error.code, &mut error.message, &mut error.severity] {
                text.clone_into(place);
            }
            error.detail = Some(text.to_owned());
            error.hint = Some(text.to_owned());
        }
        State::Completed { completion, approvals, .. } => {
            for approval in approvals {
                approval.by.email = email(text);
            }
            let ResultKept::Stored { report, preview } = &mut completion.result else {
                panic!("it is stored")
            };
            for statement in &mut report.statements {
                text.clone_into(&mut statement.command);
                statement.columns =
                    Some(vec![Column { name: text.to_owned(), type_name: "text".to_owned() }; 2]);
            }
            preview.push(PreviewRow { statement: 0, json: value!([text, { "a": text }]).to_string() });
            preview.push(PreviewRow { statement: 1, json: text.to_owned() });
        }
        State::Cancelled { asked, .. } => asked.by.as_mut().unwrap().email = email(text),
        State::Pending { .. }
        | State::Approved { .. }
        | State::Withdrawn { .. }
        | State::Expired { .. }
        | State::Executing { .. }
        | State::Interrupted { .. } => {}
    }
    request
}

/// Objects of Slack in which something other than our words may stand, and nothing but these.
fn check_node(node: &Value, link: &str) -> Result<(), TestCaseError> {
    if let Some(kind) = node["type"].as_str() {
        let known = [
            "header",
            "plain_text",
            "rich_text",
            "rich_text_section",
            "rich_text_preformatted",
            "text",
            "link",
            "actions",
            "button",
        ];
        prop_assert!(known.contains(&kind), "{kind} in {node}");
        let text = node["text"].as_str().unwrap_or_default();
        match kind {
            "link" => {
                prop_assert_eq!(node["url"].as_str(), Some(link));
                prop_assert_eq!(text, "Open in the portal");
            }
            "plain_text" => prop_assert!(!text.contains("evil"), "{text}"),
            _ => {}
        }
        if kind == "rich_text_section" {
            for part in node["elements"].as_array().unwrap() {
                let is_code = part["style"]["code"] == true;
                prop_assert!(is_code || !part["text"].as_str().unwrap().contains("evil"), "{part}");
            }
        }
    }
    let inner: Vec<&Value> = match node {
        Value::Object(fields) => fields.values().collect(),
        Value::Array(values) => values.iter().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => vec![],
    };
    inner.into_iter().try_for_each(|value| check_node(value, link))
}

proptest! {
    #[test]
    fn whatever_anybody_says_stays_plain_text(text in hostile()) {
        for state in StateKind::ALL {
            let request = filled(&text, state);
            let link = LINK.replace("{id}", &request.id.to_string());
            let messages = [
                in_channel(&request),
                to_requester(NotificationKind::Completed, &request, SlackResults::Preview),
            ];
            for message in messages {
                let blocks = json(&message);
                prop_assert_eq!(slack_stand_in::check_blocks(&blocks), Ok(()));
                blocks.iter().try_for_each(|block| check_node(block, &link))?;
                let title = blocks[0]["text"]["text"].as_str().unwrap();
                prop_assert_eq!(&message.text, &format!("{title}: request {}", request.id));
            }
        }
    }

    #[test]
    fn what_one_person_is_told_is_plain_text_too(text in hostile()) {
        let content = super::super::said(&text);
        let fallback = content.text.unwrap();
        prop_assert!(!fallback.contains(['<', '>']), "{fallback}");
        let blocks: Vec<Value> = content.blocks.unwrap().iter().map(|b| serde_json::to_value(b).unwrap()).collect();
        prop_assert_eq!(slack_stand_in::check_blocks(&blocks), Ok(()));
        let parts = &blocks[0]["elements"][0]["elements"];
        prop_assert_eq!(parts.as_array().unwrap().len(), 1);
        prop_assert_eq!(parts[0]["type"].as_str(), Some("text"));
    }
}
