//! Slack, played by a stand-in: messages, buttons, refusals and faults, through the real binary.

mod cycle;
mod faults;
mod refusals;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use notify_slack::{APPROVE, REJECT};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use slack_stand_in::{BOT_TOKEN, Message, SIGNING_SECRET, SignedCall, SlackStandIn, View};

use crate::harness::{Installation, Person, Server, email, eventually};
use crate::secrecy;

const SOON: Duration = Duration::from_secs(20);
const CHANNEL: &str = "C0PAYMENTS";

/// An installation that tells things in Slack.
struct Scene {
    slack: SlackStandIn,
    server: Server,
    dev: Person,
    manager: Person,
    admin: Person,
    installation: Installation,
}

impl Drop for Scene {
    fn drop(&mut self) {
        secrecy::assert_slack_is_silent(&self.slack);
    }
}

impl Scene {
    /// The POD payments has a channel, and everybody an account in Slack, as `U0DEV` or `U0OTHERMANAGER`.
    async fn new() -> Self {
        let installation = Installation::new().await;
        let slack = SlackStandIn::start().await;
        slack.add_channel(CHANNEL, "payments");
        for user in ["dev", "manager", "other-manager", "admin"] {
            slack.add_person(slack_stand_in::Person::new(&slack_id(user), &email(user)));
        }
        let server = installation.serve_with(&variables(&slack.api_url())).await;
        let admin = server.login("admin").await;
        let pod = admin.patch("/api/pods/payments", json!({ "slackChannel": CHANNEL })).await;
        assert_eq!(pod.0, StatusCode::OK, "{}", pod.1);
        let (dev, manager) = (server.login("dev").await, server.login("manager").await);
        Self { slack, server, dev, manager, admin, installation }
    }

    /// Submits in the name of `dev`, and answers with the request's id and its message in the channel.
    async fn submitted(&self, sql: &str) -> (String, Message) {
        let id = self.dev.submit(&self.installation, sql).await;
        let message = self.message_about(&id).await;
        (id, message)
    }

    /// The message in the channel about a request, once it is there.
    async fn message_about(&self, id: &str) -> Message {
        eventually("there is a message", SOON, async || self.found(id).is_some()).await;
        self.found(id).unwrap()
    }

    fn found(&self, id: &str) -> Option<Message> {
        let all: Vec<Message> =
            self.slack.messages(CHANNEL).into_iter().filter(|m| shown(m).contains(id)).collect();
        assert!(all.len() <= 1, "one message about a request, and not {all:?}");
        all.into_iter().next()
    }

    async fn told(&self, id: &str, what: &str) -> Message {
        eventually(what, SOON, async || self.direct(id, what).is_some()).await;
        self.direct(id, what).unwrap()
    }

    /// The direct message to `dev` about a request that says this.
    fn direct(&self, id: &str, what: &str) -> Option<Message> {
        self.slack
            .messages_to(&slack_id("dev"))
            .into_iter()
            .find(|m| shown(m).contains(id) && shown(m).contains(what))
    }

    async fn press(&self, message: &Message, action: &str, user: &str) -> StatusCode {
        self.call(&self.slack.press(message, action, &slack_id(user), now())).await.0
    }

    async fn send_off(&self, view: &View, reason: &str) -> StatusCode {
        self.call(&self.slack.submit(view, reason, now())).await.0
    }

    /// A call as Slack makes it.
    async fn call(&self, call: &SignedCall) -> (StatusCode, String) {
        let answer = Client::new()
            .post(format!("{}/api/slack/interactions", self.server.url))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-slack-request-timestamp", &call.timestamp)
            .header("x-slack-signature", &call.signature)
            .body(call.body.clone())
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        secrecy::assert_silent("an answer to Slack", &text);
        (status, text)
    }

    /// What only this person was told, last.
    async fn whispered(&self, user: &str) -> String {
        let id = slack_id(user);
        let find = || self.slack.ephemerals().into_iter().rfind(|e| e.user == id);
        eventually("somebody is told", SOON, async || find().is_some()).await;
        let ephemeral = find().unwrap();
        assert_eq!(ephemeral.channel, CHANNEL);
        ephemeral.text
    }

    async fn is(&self, id: &str, status: &str) {
        eventually(status, SOON, async || self.dev.status_of(id).await == status).await;
    }
}

fn variables(api_url: &str) -> [(&str, &str); 4] {
    [
        ("QUERY_PORTAL_SLACK__BOT_TOKEN", BOT_TOKEN),
        ("QUERY_PORTAL_SLACK__SIGNING_SECRET", SIGNING_SECRET),
        ("QUERY_PORTAL_SLACK__API_URL", api_url),
        ("QUERY_PORTAL_SLACK__REQUEST_LINK", "https://portal.test.example/requests/{id}"),
    ]
}

/// `dev` is `U0DEV` there.
fn slack_id(user: &str) -> String {
    format!("U0{}", user.replace('-', "").to_uppercase())
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// Everything that a message shows.
fn shown(message: &Message) -> String {
    format!("{} {}", message.text, Value::from(message.blocks.clone()))
}

fn has_button(message: &Message, action: &str) -> bool {
    slack_stand_in::buttons(&message.blocks).iter().any(|button| button["action_id"] == action)
}

fn is_decided(message: &Message) -> bool {
    !has_button(message, APPROVE) && !has_button(message, REJECT)
}
