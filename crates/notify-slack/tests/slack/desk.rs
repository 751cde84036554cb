//! What people press: whose call it is, what it says, and what is answered.

use std::time::Duration;

use domain::auth::TokenHash;
use domain::ports::{InvalidCall, Presser, SignedCall, SlackDesk as _, Wish};
use domain::request::Request;
use notify_slack::{APPROVE, REJECT, Slack, WebApiDesk};
use serde_json::{Value, json};
use slack_stand_in::{Fault, Message, Person, SlackStandIn, form_body, sign_with};
use testkit::builders::{at, epoch, request};

use crate::support::{CHANNEL, Portal, config};

const GRACE: &str = "U0GRACE";

struct Desk {
    portal: Portal,
    desk: WebApiDesk,
    request: Request,
    message: Message,
}

impl Desk {
    async fn new() -> Self {
        let portal = Portal::impatient().await;
        portal.slack.add_person(Person::new(GRACE, "Grace@Example.com"));
        let request = portal.submit(request()).await;
        portal.deliver().await;
        let [message] = portal.slack.messages(CHANNEL).try_into().unwrap();
        let desk = WebApiDesk::new(Slack::new(config(&portal.slack, Duration::from_secs(1))).unwrap());
        Self { portal, desk, request, message }
    }

    fn slack(&self) -> &SlackStandIn {
        &self.portal.slack
    }

    fn press(&self, action_id: &str) -> slack_stand_in::SignedCall {
        self.slack().press(&self.message, action_id, GRACE, epoch().timestamp())
    }

    fn read(
        &self,
        call: &slack_stand_in::SignedCall,
        second: i64,
    ) -> Result<domain::ports::Interaction, InvalidCall> {
        let call = SignedCall {
            timestamp: Some(&call.timestamp),
            signature: Some(&call.signature),
            body: call.body.as_bytes(),
        };
        self.desk.read(call, at(second))
    }

    fn signed(&self, payload: &Value) -> slack_stand_in::SignedCall {
        self.slack().sign(&form_body(payload), epoch().timestamp())
    }
}

fn grace(channel: &str) -> Presser {
    let teams = vec![slack_stand_in::TEAM.to_owned()];
    Presser { slack_user_id: GRACE.to_owned(), teams, channel: channel.to_owned() }
}

#[tokio::test]
async fn a_press_is_by_somebody_of_the_apps_own_workspace_or_organisation() {
    let desk = Desk::new().await;
    let view = json!({ "callback_id": "x" });
    let (own, other) = (slack_stand_in::TEAM, "T0ELSEWHERE");
    let cases = [
        (json!({ "team_id": own }), json!({ "id": own }), false, true),
        (json!({}), json!({ "id": own }), false, true),
        (json!({ "team_id": own }), Value::Null, false, true),
        // In a shared channel.
        (json!({ "team_id": other }), json!({ "id": own }), false, false),
        (json!({ "team_id": other }), json!({ "id": own, "enterprise_id": "E0OURS" }), true, false),
        (json!({ "team_id": other }), json!({ "id": other, "enterprise_id": "E0THEIRS" }), true, false),
        (json!({ "team_id": other }), json!({ "id": other }), true, false),
        (json!({}), Value::Null, true, false),
        // Of another workspace of the organisation.
        (json!({ "team_id": other }), json!({ "id": other, "enterprise_id": "E0OURS" }), true, true),
        (json!({ "team_id": other }), json!({ "id": other, "enterprise_id": "E0OURS" }), false, false),
        (json!({ "team_id": "E0OURS" }), json!({ "id": other }), true, true),
    ];
    for (mut user, team, in_organisation, ours) in cases {
        if in_organisation {
            let answer = json!({ "team_id": own, "enterprise_id": "E0OURS" });
            desk.slack().next("auth.test", Fault::Instead(answer));
        }
        user["id"] = GRACE.into();
        let fresh = WebApiDesk::new(Slack::new(config(desk.slack(), Duration::from_secs(1))).unwrap());
        for kind in ["block_actions", "view_submission"] {
            let payload = json!({ "type": kind, "user": user, "team": team, "view": view });
            let by = desk.read(&desk.signed(&payload), 0).unwrap().by;
            assert_eq!(fresh.is_ours(&by).await.unwrap(), ours, "{in_organisation} {payload}");
        }
    }
    assert!(desk.desk.is_ours(&grace(CHANNEL)).await.unwrap());
    let unasked = WebApiDesk::new(Slack::new(config(desk.slack(), Duration::from_secs(1))).unwrap());
    desk.slack().next("auth.test", Fault::Status(500));
    assert!(unasked.is_ours(&grace(CHANNEL)).await.is_err(), "who cannot be told is nobody");
}

#[tokio::test]
async fn an_id_that_is_no_users_is_not_read() {
    let desk = Desk::new().await;
    let long = format!("U{}", "0".repeat(63));
    for id in [GRACE, "W1", &long] {
        let payload = json!({ "type": "block_actions", "user": { "id": id } });
        assert_eq!(desk.read(&desk.signed(&payload), 0).unwrap().by.slack_user_id, id);
    }
    for id in ["", "U", "B0GRACE", "u0grace", "U0 GRACE", "U0GRÄCE", "U0GRACE\n", &format!("{long}0")] {
        let payload = json!({ "type": "block_actions", "user": { "id": id } });
        let read = desk.read(&desk.signed(&payload), 0);
        assert!(matches!(read, Err(InvalidCall::Malformed { .. })), "{id:?}");
    }
}

#[tokio::test]
async fn a_press_of_approve_says_who_approves_what() {
    let desk = Desk::new().await;
    let call = desk.press(APPROVE);
    let interaction = desk.read(&call, 0).unwrap();
    assert_eq!(interaction.by, grace(CHANNEL));
    assert_eq!(interaction.wish, Wish::Approve { request: desk.request.id, digest: desk.request.digest() });
    assert_eq!(interaction.signature, TokenHash::of(&call.signature));
}

#[tokio::test]
async fn a_rejection_asks_for_its_reason_and_comes_back_with_it() {
    let desk = Desk::new().await;
    let interaction = desk.read(&desk.press(REJECT), 0).unwrap();
    let Wish::AskToReject { request, trigger } = interaction.wish else { panic!("{:?}", interaction.wish) };
    assert_eq!(request, desk.request.id);
    desk.desk.ask_for_reason(&trigger, &interaction.by, request).await.unwrap();
    let [view] = desk.slack().views().try_into().unwrap();
    let input = &view.view["blocks"][1]["element"];
    assert_eq!((&input["multiline"], &input["max_length"]), (&true.into(), &2_000.into()));

    let reason = "Ünüsual <@U1> *reasons*\nof two lines";
    let interaction = desk.read(&desk.slack().submit(&view, reason, epoch().timestamp()), 0).unwrap();
    assert_eq!(interaction.by, grace(CHANNEL));
    assert_eq!(interaction.wish, Wish::Reject { request, reason: reason.to_owned() });
    // A trigger opens one dialog.
    assert!(desk.desk.ask_for_reason(&trigger, &interaction.by, request).await.is_err());
}

#[tokio::test]
async fn a_call_is_taken_for_five_minutes_before_and_after_it_was_signed() {
    let desk = Desk::new().await;
    let call = desk.press(APPROVE);
    for second in [-300, 0, 300] {
        assert!(desk.read(&call, second).is_ok(), "{second}");
    }
    for second in [-86_400, -301, 301, 86_400] {
        assert_eq!(desk.read(&call, second), Err(InvalidCall::Late), "{second}");
    }
}

#[tokio::test]
async fn what_is_not_signed_with_the_secret_is_forged() {
    let desk = Desk::new().await;
    let good = desk.press(APPROVE);
    let now = epoch().timestamp();
    let other_secret = sign_with("another secret", &good.body, now);
    let hex = good.signature.trim_start_matches("v0=").to_owned();
    let changed = [
        slack_stand_in::SignedCall { body: good.body.replace(GRACE, "U0EVIL"), ..good.clone() },
        slack_stand_in::SignedCall { body: format!("{} ", good.body), ..good.clone() },
        slack_stand_in::SignedCall { timestamp: (now + 1).to_string(), ..good.clone() },
        slack_stand_in::SignedCall { timestamp: format!("+{now}"), ..good.clone() },
        slack_stand_in::SignedCall { timestamp: String::new(), ..good.clone() },
        slack_stand_in::SignedCall { timestamp: "yesterday".to_owned(), ..good.clone() },
        slack_stand_in::SignedCall { signature: format!("v1={hex}"), ..good.clone() },
        slack_stand_in::SignedCall { signature: hex.clone(), ..good.clone() },
        slack_stand_in::SignedCall { signature: format!("v0={}", hex.to_uppercase()), ..good.clone() },
        slack_stand_in::SignedCall { signature: format!("v0={}", &hex[..62]), ..good.clone() },
        slack_stand_in::SignedCall { signature: "v0=".to_owned(), ..good.clone() },
        slack_stand_in::SignedCall { signature: String::new(), ..good.clone() },
        other_secret,
        sign_with("", &good.body, now),
    ];
    for call in changed {
        assert_eq!(desk.read(&call, 0), Err(InvalidCall::Forged), "{call:?}");
    }
    let (timestamp, signature, body) =
        (Some(good.timestamp.as_str()), Some(good.signature.as_str()), good.body.as_bytes());
    for call in [
        SignedCall { timestamp: None, signature, body },
        SignedCall { timestamp, signature: None, body },
        SignedCall { timestamp, signature, body: b"" },
        SignedCall { timestamp, signature, body: b"\xff\xfe" },
    ] {
        assert_eq!(desk.desk.read(call, epoch()), Err(InvalidCall::Forged));
    }
    assert!(desk.read(&good, 0).is_ok());
}

#[tokio::test]
async fn a_date_that_is_none_is_refused_even_when_it_is_signed() {
    let desk = Desk::new().await;
    let body = desk.press(APPROVE).body;
    for timestamp in [i64::MIN + 1, i64::MAX, 0] {
        assert_eq!(desk.read(&desk.slack().sign(&body, timestamp), 0), Err(InvalidCall::Late), "{timestamp}");
    }
}

#[tokio::test]
async fn what_slack_signed_but_no_message_of_the_portal_leads_to_is_nothing() {
    let desk = Desk::new().await;
    let user = json!({ "id": GRACE, "team_id": "T0STANDIN" });
    for payload in [
        json!({ "type": "block_actions", "user": user, "actions": [] }),
        json!({ "type": "block_actions", "user": user, "actions": [{ "action_id": "link", "type": "button" }] }),
        json!({ "type": "view_submission", "user": user, "view": { "callback_id": "somebody_elses" } }),
        json!({ "type": "view_closed", "user": user, "view": { "callback_id": "query_portal.reason" } }),
        json!({ "type": "shortcut", "user": user, "callback_id": "x", "trigger_id": "1.2" }),
        json!({ "type": "something_new", "user": user }),
    ] {
        let interaction = desk.read(&desk.signed(&payload), 0).unwrap();
        assert_eq!(
            (interaction.wish, interaction.by.slack_user_id.as_str()),
            (Wish::Nothing, GRACE),
            "{payload}"
        );
    }
}

#[tokio::test]
async fn garbage_with_a_good_signature_is_refused_without_being_repeated() {
    let desk = Desk::new().await;
    let now = epoch().timestamp();
    let bodies = [
        "",
        "planted",
        "payload=",
        "payload=%7Bplanted",
        "other=1",
        "payload=%22planted%22",
        "payload=%ff%fe",
    ];
    let mut calls: Vec<_> = bodies.iter().map(|body| desk.slack().sign(body, now)).collect();
    let press = desk.slack().press_payload(&desk.message, APPROVE, GRACE);
    let digest = "planted".repeat(8);
    for value in [
        Value::Null,
        json!("planted"),
        json!("{}"),
        json!(json!({ "request": "planted", "digest": digest }).to_string()),
        json!(json!({ "request": desk.request.id.to_string() }).to_string()),
        json!(json!({ "request": desk.request.id.to_string(), "digest": digest }).to_string()),
    ] {
        let mut payload = press.clone();
        payload["actions"][0]["value"] = value;
        calls.push(desk.signed(&payload));
    }
    for field in ["user", "channel"] {
        let mut payload = press.clone();
        payload.as_object_mut().unwrap().remove(field);
        calls.push(desk.signed(&payload));
    }
    let user = json!({ "id": GRACE });
    let view = json!({ "callback_id": "query_portal.reason", "private_metadata": "planted" });
    calls.push(desk.signed(&json!({ "type": "view_submission", "user": user, "view": view })));
    for call in calls {
        let error = desk.read(&call, 0).unwrap_err();
        assert!(matches!(error, InvalidCall::Malformed { .. }), "{error:?} of {}", call.body);
        assert!(!error.to_string().contains("planted"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_is_seen_by_the_presser_alone_and_means_nothing_to_slack() {
    let desk = Desk::new().await;
    desk.desk.tell(&grace(CHANNEL), "You cannot <!channel> & *decide* this.").await.unwrap();
    let [told] = desk.slack().ephemerals().try_into().unwrap();
    assert_eq!((told.user.as_str(), told.channel.as_str()), (GRACE, CHANNEL));
    assert_eq!(told.text, "You cannot &lt;!channel&gt; &amp; *decide* this.");
    let part = &told.blocks[0]["elements"][0]["elements"][0];
    assert_eq!(part, &json!({ "type": "text", "text": "You cannot <!channel> & *decide* this." }));
}

#[tokio::test]
async fn a_profile_has_an_address_only_where_it_can_be_trusted() {
    let desk = Desk::new().await;
    let profile = desk.desk.profile(GRACE).await.unwrap().unwrap();
    assert_eq!(profile.email.unwrap().as_str(), "grace@example.com");
    let person = Person::new(GRACE, "grace@example.com");
    for untrusted in [
        Person { bot: true, ..person.clone() },
        Person { deleted: true, ..person.clone() },
        Person { stranger: true, ..person.clone() },
        Person { team: "T0OTHER".to_owned(), ..person.clone() },
        Person { email_confirmed: false, ..person.clone() },
        Person { email: "no address".to_owned(), ..person },
    ] {
        desk.slack().add_person(untrusted.clone());
        assert_eq!(desk.desk.profile(GRACE).await.unwrap().unwrap().email, None, "{untrusted:?}");
    }
    assert_eq!(desk.desk.profile("U0NOBODY").await.unwrap(), None);
}

#[tokio::test]
async fn slack_that_does_not_answer_is_told_as_such() {
    let desk = Desk::new().await;
    let faults = [
        Fault::Hang,
        Fault::Status(500),
        Fault::Nonsense,
        Fault::TooMany(Some(3)),
        Fault::Refuse("missing_scope".to_owned()),
    ];
    for fault in faults {
        for method in ["views.open", "chat.postEphemeral", "users.info"] {
            desk.slack().next(method, fault.clone());
        }
        let by = grace(CHANNEL);
        assert!(desk.desk.ask_for_reason("1.2", &by, desk.request.id).await.is_err(), "{fault:?}");
        assert!(desk.desk.tell(&by, "planted").await.is_err(), "{fault:?}");
        let error = desk.desk.profile(GRACE).await.unwrap_err();
        assert_eq!(error.to_string(), "Slack could not be asked", "{fault:?}");
    }
}
