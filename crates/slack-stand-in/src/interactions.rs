//! What people press, as Slack tells the app about it, and how Slack signs that.

use ring::hmac;
use serde_json::{Value, json};

use crate::state::{Message, View};
use crate::{SIGNING_SECRET, SlackStandIn, TEAM, buttons};

/// A call to the app: its body and two headers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedCall {
    /// For `X-Slack-Request-Timestamp`.
    pub timestamp: String,
    /// For `X-Slack-Signature`.
    pub signature: String,
    /// `application/x-www-form-urlencoded`.
    pub body: String,
}

/// Signs as Slack does, with any secret.
pub fn sign_with(secret: &str, body: &str, timestamp: i64) -> SignedCall {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("v0:{timestamp}:{body}").as_bytes());
    SignedCall {
        timestamp: timestamp.to_string(),
        signature: format!("v0={}", hex::encode(tag.as_ref())),
        body: body.to_owned(),
    }
}

/// A payload as it goes over the wire.
pub fn form_body(payload: &Value) -> String {
    url::form_urlencoded::Serializer::new(String::new()).append_pair("payload", &payload.to_string()).finish()
}

impl SlackStandIn {
    /// Signs with the app's secret.
    pub fn sign(&self, body: &str, timestamp: i64) -> SignedCall {
        sign_with(SIGNING_SECRET, body, timestamp)
    }

    /// A press of the button with this id of a message, by somebody. The button has to be there.
    pub fn press(&self, message: &Message, action_id: &str, user: &str, timestamp: i64) -> SignedCall {
        self.sign(&form_body(&self.press_payload(message, action_id, user)), timestamp)
    }

    /// What Slack says of a press.
    pub fn press_payload(&self, message: &Message, action_id: &str, user: &str) -> Value {
        let button = buttons(&message.blocks).into_iter().find(|button| button["action_id"] == action_id);
        let button = button.unwrap_or_else(|| panic!("the message has no button {action_id:?}: {message:?}"));
        let block =
            message.blocks.iter().find(|block| buttons(std::slice::from_ref(*block)).contains(&button));
        let mut state = self.state();
        let trigger = format!("{}.{}.trigger", state.next_number(), user);
        state.triggers.insert(trigger.clone(), user.to_owned());
        json!({
            "type": "block_actions",
            "user": { "id": user, "username": "somebody", "name": "somebody", "team_id": TEAM },
            "api_app_id": "A0PORTAL",
            "token": "not-used",
            "container": {
                "type": "message", "message_ts": message.ts, "channel_id": message.channel, "is_ephemeral": false,
            },
            "trigger_id": trigger,
            "team": { "id": TEAM, "domain": "stand-in" },
            "enterprise": null,
            "is_enterprise_install": false,
            "channel": { "id": message.channel, "name": "somewhere" },
            "message": {
                "type": "message", "user": "U0PORTAL", "ts": message.ts, "text": message.text, "team": TEAM,
                "blocks": message.blocks,
            },
            "state": { "values": {} },
            "response_url": "https://hooks.slack.com/actions/T0STANDIN/1/not-used",
            "actions": [{
                "action_id": action_id, "block_id": block.map_or(Value::Null, |b| b["block_id"].clone()),
                "text": button["text"], "value": button["value"], "style": button["style"], "type": "button",
                "action_ts": "1772442000.000001",
            }],
        })
    }

    /// A dialog that is sent off by whoever it was opened for, with this text in its one input.
    pub fn submit(&self, view: &View, input: &str, timestamp: i64) -> SignedCall {
        self.sign(&form_body(&Self::submit_payload(view, input)), timestamp)
    }

    /// What Slack says of a dialog that was sent off.
    pub fn submit_payload(view: &View, input: &str) -> Value {
        let block = view.view["blocks"].as_array().and_then(|all| all.iter().find(|b| b["type"] == "input"));
        let block = block.unwrap_or_else(|| panic!("the dialog has no input: {view:?}"));
        let (block_id, action_id) = (&block["block_id"], &block["element"]["action_id"]);
        let (Some(block_id), Some(action_id)) = (block_id.as_str(), action_id.as_str()) else {
            panic!("the dialog's input has no ids: {view:?}");
        };
        let mut shown = view.view.clone();
        shown["id"] = view.id.clone().into();
        shown["state"] =
            json!({ "values": { block_id: { action_id: { "type": "plain_text_input", "value": input } } } });
        json!({
            "type": "view_submission",
            "team": { "id": TEAM, "domain": "stand-in" },
            "user": { "id": view.user, "username": "somebody", "name": "somebody", "team_id": TEAM },
            "api_app_id": "A0PORTAL",
            "token": "not-used",
            "trigger_id": "1.2.not-used",
            "view": shown,
            "response_urls": [],
            "is_enterprise_install": false,
            "enterprise": null,
        })
    }
}
