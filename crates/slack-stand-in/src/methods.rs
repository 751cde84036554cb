//! The methods of the Web API, as far as the stand-in has them.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use wiremock::{Request, ResponseTemplate};

use crate::blocks::{check_blocks, check_view};
use crate::faults::{Fault, HANG};
use crate::state::{Call, Ephemeral, State, View, conversation_with};
use crate::{BOT_TOKEN, TEAM};

/// An answer, or the code of a refusal.
type Answer = Result<Value, &'static str>;

/// Most messages that a page of the history has.
const PAGE: usize = 200;

pub(crate) fn respond(state: &mut State, request: &Request) -> ResponseTemplate {
    let method = request.url.path().rsplit('/').next().unwrap_or_default().to_owned();
    let body = match request.body.as_slice() {
        [] => request.url.query().unwrap_or_default().to_owned(),
        body => String::from_utf8_lossy(body).into_owned(),
    };
    state.calls.push(Call { method: method.clone(), body });
    if state.away {
        return ResponseTemplate::new(503).set_body_string("<html>upstream connect error</html>");
    }
    if let Some(token_error) = token_error(request) {
        return refused(token_error);
    }
    let arguments = arguments(request);
    match state.faults.take(&method) {
        None => answered(answer(state, &method, &arguments)),
        Some(Fault::Refuse(code)) => refused(&code),
        Some(Fault::TooMany(after)) => {
            let response = ResponseTemplate::new(429);
            let response = match after {
                Some(after) => response.insert_header("Retry-After", after.to_string().as_str()),
                None => response,
            };
            response.set_body_json(json!({ "ok": false, "error": "ratelimited" }))
        }
        Some(Fault::Instead(body)) => answered(Ok(body)),
        Some(Fault::Status(status)) => failed(status, &arguments),
        Some(Fault::Hang) => ResponseTemplate::new(200).set_delay(HANG),
        Some(Fault::TakeAndHang) => answered(answer(state, &method, &arguments)).set_delay(HANG),
        Some(Fault::TakeAndStatus(status)) => {
            let _lost = answer(state, &method, &arguments);
            failed(status, &arguments)
        }
        Some(Fault::Nonsense) => ResponseTemplate::new(200).set_body_raw("{\"ok\": tr", "application/json"),
    }
}

/// Says what it was told, as proxies and debug pages do.
fn failed(status: u16, arguments: &Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_string(format!("Internal error near {arguments}"))
}

fn answered(answer: Answer) -> ResponseTemplate {
    match answer {
        Ok(mut body) => {
            body["ok"] = Value::Bool(true);
            ResponseTemplate::new(200).set_body_json(body)
        }
        Err(code) => refused(code),
    }
}

fn refused(code: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({ "ok": false, "error": code }))
}

fn token_error(request: &Request) -> Option<&'static str> {
    match request.headers.get("authorization").map(wiremock::http::HeaderValue::as_bytes) {
        None => Some("not_authed"),
        Some(header) if header == format!("Bearer {BOT_TOKEN}").as_bytes() => None,
        Some(_) => Some("invalid_auth"),
    }
}

/// Arguments as JSON, in a form, or in the query.
fn arguments(request: &Request) -> Value {
    let is_json = request
        .headers
        .get("content-type")
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if is_json {
        return serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    }
    let query = request.url.query_pairs();
    let form = url::form_urlencoded::parse(&request.body);
    let all: HashMap<String, String> = query.chain(form).map(|(k, v)| (k.into(), v.into())).collect();
    Value::Object(all.into_iter().map(|(k, v)| (k, Value::String(v))).collect::<Map<_, _>>())
}

fn answer(state: &mut State, method: &str, arguments: &Value) -> Answer {
    match method {
        "auth.test" => Ok(json!({
            "url": "https://stand-in.example.com/", "team": "Stand-in", "team_id": TEAM,
            "user": "portal", "user_id": "U0PORTAL", "bot_id": "B0PORTAL",
        })),
        "chat.postMessage" => post_message(state, arguments),
        "chat.update" => update(state, arguments),
        "chat.postEphemeral" => post_ephemeral(state, arguments),
        "conversations.open" => open_conversation(state, arguments),
        "conversations.history" => history(state, arguments),
        "users.lookupByEmail" => lookup_by_email(state, arguments),
        "users.info" => {
            let person = state.people.get(text(arguments, "user")).ok_or("user_not_found")?;
            Ok(json!({ "user": person.shown() }))
        }
        "views.open" => open_view(state, arguments),
        _ => Err("unknown_method"),
    }
}

fn text<'a>(arguments: &'a Value, name: &str) -> &'a str {
    arguments[name].as_str().unwrap_or_default()
}

fn blocks(arguments: &Value) -> Result<Vec<Value>, &'static str> {
    let blocks = match &arguments["blocks"] {
        Value::Null => Vec::new(),
        Value::Array(blocks) => blocks.clone(),
        Value::String(_) | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            return Err("invalid_blocks");
        }
    };
    check_blocks(&blocks)?;
    if blocks.is_empty() && text(arguments, "text").is_empty() { Err("no_text") } else { Ok(blocks) }
}

/// The id of a place to which the app can write.
fn place(state: &State, id_or_name: &str) -> Result<String, &'static str> {
    if state.conversations.contains(id_or_name) {
        return Ok(id_or_name.to_owned());
    }
    let channel = state.channel(id_or_name).ok_or("channel_not_found")?;
    match channel {
        channel if channel.archived => Err("is_archived"),
        channel if !channel.member => Err("not_in_channel"),
        channel => Ok(channel.id.clone()),
    }
}

fn post_message(state: &mut State, arguments: &Value) -> Answer {
    let channel = place(state, text(arguments, "channel"))?;
    let blocks = blocks(arguments)?;
    let message = state.post(&channel, text(arguments, "text"), blocks);
    Ok(
        json!({ "channel": message.channel, "ts": message.ts, "message": { "type": "message", "ts": message.ts } }),
    )
}

fn update(state: &mut State, arguments: &Value) -> Answer {
    let channel = text(arguments, "channel");
    // Names are for `chat.postMessage` only.
    if !state.channels.contains_key(channel) && !state.conversations.contains(channel) {
        return Err("channel_not_found");
    }
    let blocks = blocks(arguments)?;
    let ts = text(arguments, "ts");
    let message = state.messages.iter_mut().find(|m| m.channel == channel && m.ts == ts);
    let message = message.ok_or("message_not_found")?;
    text(arguments, "text").clone_into(&mut message.text);
    message.blocks = blocks;
    message.edits += 1;
    Ok(json!({ "channel": channel, "ts": ts, "text": message.text }))
}

fn post_ephemeral(state: &mut State, arguments: &Value) -> Answer {
    let channel = place(state, text(arguments, "channel"))?;
    let user = text(arguments, "user").to_owned();
    if !state.people.contains_key(&user) {
        return Err("user_not_in_channel");
    }
    let blocks = blocks(arguments)?;
    let text = text(arguments, "text").to_owned();
    state.ephemerals.push(Ephemeral { channel, user, text, blocks });
    let number = state.next_number();
    Ok(json!({ "message_ts": format!("1.{number:06}") }))
}

fn open_conversation(state: &mut State, arguments: &Value) -> Answer {
    let person = state.people.get(text(arguments, "users")).ok_or("user_not_found")?;
    if person.deleted {
        return Err("user_disabled");
    }
    if person.bot {
        return Err("cannot_dm_bot");
    }
    let id = conversation_with(&person.id);
    state.conversations.insert(id.clone());
    Ok(json!({ "channel": { "id": id } }))
}

/// Newest first, in pages.
fn history(state: &State, arguments: &Value) -> Answer {
    let channel = text(arguments, "channel");
    if !state.channels.contains_key(channel) && !state.conversations.contains(channel) {
        return Err("channel_not_found");
    }
    let oldest = text(arguments, "oldest").parse().unwrap_or(0.0_f64);
    let limit = text(arguments, "limit").parse().unwrap_or(100).min(PAGE);
    let skipped = text(arguments, "cursor").trim_start_matches("page-").parse().unwrap_or(0);
    let young = |ts: &str| ts.parse::<f64>().is_ok_and(|ts| ts > oldest);
    let all: Vec<_> = state.messages.iter().rev().filter(|m| m.channel == channel && young(&m.ts)).collect();
    let page: Vec<Value> = all
        .iter()
        .skip(skipped)
        .take(limit)
        .map(|m| json!({ "type": "message", "ts": m.ts, "text": m.text, "blocks": m.blocks }))
        .collect();
    let next = skipped + page.len();
    let more = next < all.len();
    let cursor = if more { format!("page-{next}") } else { String::new() };
    Ok(json!({ "messages": page, "has_more": more, "response_metadata": { "next_cursor": cursor } }))
}

fn lookup_by_email(state: &State, arguments: &Value) -> Answer {
    let email = text(arguments, "email");
    let found = state.people.values().find(|p| p.email.eq_ignore_ascii_case(email) && !p.deleted);
    Ok(json!({ "user": found.ok_or("users_not_found")?.shown() }))
}

fn open_view(state: &mut State, arguments: &Value) -> Answer {
    let user = state.triggers.remove(text(arguments, "trigger_id")).ok_or("expired_trigger_id")?;
    let view = arguments["view"].clone();
    check_view(&view)?;
    let id = format!("V{:07}", state.next_number());
    state.views.push(View { id: id.clone(), user, view });
    Ok(json!({ "view": { "id": id } }))
}
