//! Calls from Slack: who is believed, what is answered, and what goes on behind the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::rt::time::sleep;
use actix_web::test::TestRequest;
use async_trait::async_trait;
use domain::Timestamp;
use domain::auth::TokenHash;
use domain::ids::RequestId;
use domain::ports::{
    Interaction, InvalidCall, MockReplayGuard, MockSlackDesk, Presser, SignedCall, SlackDesk, SlackError,
    SlackProfile, Wish,
};
use domain::request::{Request, StateKind};
use domain::user::Channel;
use testkit::builders::{TEST_PASSWORD, at, email, user};
use tokio::sync::Semaphore;

use crate::support::{Answer, Options, Portal, account, ada_request};

const URI: &str = "/api/slack/interactions";
const GRACE: &str = "U0GRACE";
/// What nobody but Slack and the portal may read again.
const PAYLOAD: &str = "payload=%7B%22private%22%3A%22n0t-f0r-an-err0r%22%7D";

/// A desk to which no call looks like Slack's.
pub(crate) struct Forged;

#[async_trait]
impl SlackDesk for Forged {
    fn read(&self, _: SignedCall<'_>, _: Timestamp) -> Result<Interaction, InvalidCall> {
        Err(InvalidCall::Forged)
    }

    async fn is_ours(&self, _: &Presser) -> Result<bool, SlackError> {
        panic!("nobody is looked at")
    }

    async fn ask_for_reason(&self, _: &str, _: &Presser, _: RequestId) -> Result<(), SlackError> {
        panic!("nobody is asked")
    }

    async fn tell(&self, _: &Presser, _: &str) -> Result<(), SlackError> {
        panic!("nobody is told")
    }

    async fn profile(&self, _: &str) -> Result<Option<SlackProfile>, SlackError> {
        panic!("nobody is looked up")
    }
}

fn press(wish: Wish) -> Interaction {
    let by = Presser { slack_user_id: GRACE.to_owned(), teams: vec![], channel: "C0PAYMENTS".to_owned() };
    Interaction { by, wish, signature: TokenHash::of("v0=abc") }
}

fn approve(request: &Request) -> Wish {
    Wish::Approve { request: request.id, digest: request.digest() }
}

/// A desk that takes every call for this one.
fn reads(call: &Result<Interaction, InvalidCall>) -> MockSlackDesk {
    let mut desk = MockSlackDesk::new();
    let call = call.clone();
    desk.expect_read().returning(move |_, _| call.clone());
    desk.expect_is_ours().returning(|_| Ok(true));
    desk
}

/// A desk to which every call looks like one of Slack's, about nothing.
pub(crate) fn believing() -> MockSlackDesk {
    reads(&Ok(press(Wish::Nothing)))
}

async fn portal(desk: impl SlackDesk + 'static) -> Portal {
    let portal = Portal::with(Options { slack: Some(Arc::new(desk)), ..Options::default() }).await;
    let grace = user("grace").role("manager").pod("payments").slack(GRACE).build();
    portal.store.put_user(&grace, TEST_PASSWORD);
    portal
}

/// As Slack calls: a form, signed, without a token of the portal.
fn call() -> TestRequest {
    TestRequest::post()
        .uri(URI)
        .insert_header(("content-type", "application/x-www-form-urlencoded"))
        .insert_header(("x-slack-request-timestamp", "1772442000"))
        .insert_header(("x-slack-signature", "v0=abc"))
        .set_payload(PAYLOAD)
}

async fn state(portal: &Portal, id: RequestId) -> StateKind {
    let found = portal.store.request_store().find(id).await.expect("the store is there");
    found.expect("it is stored").state.kind()
}

fn is_told_nothing_of_the_call(answer: &Answer) {
    for private in ["n0t-f0r-an-err0r", "payload", "v0=", "C0PAYMENTS", GRACE] {
        assert!(!answer.text().contains(private), "{private:?} in {}", answer.text());
    }
}

#[actix_web::test]
async fn a_press_is_carried_out_and_answered_with_nothing() {
    let pending = ada_request(1).pending();
    let mut desk = MockSlackDesk::new();
    let wish = approve(&pending);
    desk.expect_read()
        .withf(|call, now| {
            let headers = (call.timestamp, call.signature);
            headers == (Some("1772442000"), Some("v0=abc"))
                && call.body == PAYLOAD.as_bytes()
                && *now == at(0)
        })
        .times(1)
        .returning(move |_, _| Ok(press(wish.clone())));
    desk.expect_is_ours().withf(|by| by.slack_user_id == GRACE).times(1).returning(|_| Ok(true));
    let portal = portal(desk).await;
    portal.put(&pending);
    let answer = portal.send(call()).await;
    assert_eq!((answer.status, answer.text()), (200, ""));
    assert_eq!(state(&portal, pending.id).await, StateKind::Approved);
    let entry = portal.store.audit_entries().pop().expect("it is on the trail");
    assert_eq!((entry.action.as_str(), entry.user), ("request.approve", Some(account("grace").id)));
    assert_eq!(entry.origin.channel, Channel::Slack);
}

#[actix_web::test]
async fn who_may_not_is_told_in_slack_and_the_call_is_taken_all_the_same() {
    let own = ada_request(1).requester(&account("grace")).pending();
    let mut desk = reads(&Ok(press(approve(&own))));
    desk.expect_tell()
        .withf(|to, text| to.slack_user_id == GRACE && text.contains("own"))
        .times(1)
        .returning(|_, _| Ok(()));
    let portal = portal(desk).await;
    portal.put(&own);
    let answer = portal.send(call()).await;
    assert_eq!((answer.status, answer.text()), (200, ""));
    assert_eq!(state(&portal, own.id).await, StateKind::Pending);
}

#[actix_web::test]
async fn a_call_that_is_not_believed_is_refused_without_a_word_of_it() {
    let cases = [
        (InvalidCall::Forged, "401 slack_signature"),
        (InvalidCall::Late, "401 slack_late"),
        (InvalidCall::Malformed { reason: "n0t-f0r-an-err0r at 3".to_owned() }, "400 slack_unreadable"),
    ];
    for (invalid, verdict) in cases {
        // A desk that is asked for anything else ends the test.
        let portal = portal(reads(&Err(invalid))).await;
        let answer = portal.send(call()).await;
        assert_eq!(answer.verdict(), verdict);
        is_told_nothing_of_the_call(&answer);
        assert!(portal.store.audit_entries().is_empty());
    }
}

#[actix_web::test]
async fn a_call_that_was_taken_before_is_refused_and_decides_nothing() {
    let pending = ada_request(1).pending();
    let portal = portal(reads(&Ok(press(approve(&pending))))).await;
    portal.put(&pending);
    assert_eq!(portal.send(call()).await.status, 200);
    assert_eq!(state(&portal, pending.id).await, StateKind::Approved);
    portal.put(&pending);
    let again = portal.send(call()).await;
    assert_eq!(again.verdict(), "401 slack_replayed");
    assert_eq!(state(&portal, pending.id).await, StateKind::Pending);
    is_told_nothing_of_the_call(&again);
}

#[actix_web::test]
async fn a_call_is_remembered_before_anything_of_it_is_done() {
    let pending = ada_request(1).pending();
    let mut replays = MockReplayGuard::new();
    replays
        .expect_first_time()
        .withf(|signature, now, forget_before| {
            *signature == TokenHash::of("v0=abc") && *now == at(0) && *forget_before < at(-600)
        })
        .times(1)
        .returning(|_, _, _| Ok(false));
    let desk = reads(&Ok(press(approve(&pending))));
    let options =
        Options { slack: Some(Arc::new(desk)), replays: Some(Arc::new(replays)), ..Options::default() };
    let portal = Portal::with(options).await;
    portal.put(&pending);
    assert_eq!(portal.send(call()).await.verdict(), "401 slack_replayed");
    assert_eq!(state(&portal, pending.id).await, StateKind::Pending);
}

#[actix_web::test]
async fn of_a_call_that_does_not_even_look_like_slacks_nothing_is_read() {
    let bare = || TestRequest::post().uri(URI).set_payload("x".repeat(9 * 1024 * 1024));
    let timed = |at: &'static str| bare().insert_header(("x-slack-request-timestamp", at));
    let signed = |at: &'static str| timed(at).insert_header(("x-slack-signature", "v0=abc"));
    let latin1 = actix_web::http::header::HeaderValue::from_bytes(b"v0=\xe9").expect("it is a header");
    for (request, verdict) in [
        (bare(), "401 slack_signature"),
        (timed("1772442000"), "401 slack_signature"),
        (timed("1772442000").insert_header(("x-slack-signature", latin1)), "401 slack_signature"),
        (signed("soon"), "401 slack_signature"),
        (signed("1772442000.5"), "401 slack_signature"),
        (signed("99999999999999999999"), "401 slack_signature"),
        (signed("-9223372036854775808"), "401 slack_late"),
        (signed("1772440400"), "401 slack_late"),
    ] {
        // A desk that is asked for anything ends the test.
        let answer = portal(MockSlackDesk::new()).await.send(request).await;
        assert_eq!(answer.verdict(), verdict);
    }
}

#[actix_web::test]
async fn a_body_that_is_larger_than_slacks_is_not_even_looked_at() {
    let portal = portal(MockSlackDesk::new()).await;
    let answer = portal.send(call().set_payload("x".repeat(512 * 1024 + 1))).await;
    assert_eq!(answer.verdict(), "413 body_too_large");
}

#[actix_web::test]
async fn a_portal_without_slack_says_what_is_to_be_set() {
    let portal = Portal::new().await;
    for request in [call(), TestRequest::post().uri(URI)] {
        let answer = portal.send(request).await;
        assert_eq!(answer.verdict(), "404 not_found");
        assert!(answer.text().contains("slack.signing_secret"), "{}", answer.text());
        is_told_nothing_of_the_call(&answer);
    }
}

#[actix_web::test]
async fn a_store_that_is_away_has_slack_show_an_error_and_the_press_can_be_done_again() {
    let pending = ada_request(1).pending();
    let portal = portal(reads(&Ok(press(approve(&pending))))).await;
    portal.put(&pending);
    portal.store.set_unavailable(true);
    let answer = portal.send(call()).await;
    assert_eq!(answer.status, 503);
    is_told_nothing_of_the_call(&answer);
    portal.store.set_unavailable(false);
    assert_eq!(portal.send(call()).await.status, 200);
    assert_eq!(state(&portal, pending.id).await, StateKind::Approved);
}

/// A desk whose look at a profile lasts until it is let go.
struct Slow {
    wish: Wish,
    go: Arc<Semaphore>,
}

#[async_trait]
impl SlackDesk for Slow {
    fn read(&self, _: SignedCall<'_>, _: Timestamp) -> Result<Interaction, InvalidCall> {
        let press = press(self.wish.clone());
        Ok(Interaction { by: Presser { slack_user_id: "U0BARBARA".to_owned(), ..press.by.clone() }, ..press })
    }

    async fn is_ours(&self, _: &Presser) -> Result<bool, SlackError> {
        Ok(true)
    }

    async fn ask_for_reason(&self, _: &str, _: &Presser, _: RequestId) -> Result<(), SlackError> {
        Ok(())
    }

    async fn tell(&self, _: &Presser, _: &str) -> Result<(), SlackError> {
        Ok(())
    }

    async fn profile(&self, _: &str) -> Result<Option<SlackProfile>, SlackError> {
        self.go.acquire().await.expect("the semaphore is never closed").forget();
        Ok(Some(SlackProfile { email: Some(email("barbara")) }))
    }
}

#[actix_web::test]
async fn a_slow_slack_is_answered_in_time_and_the_rest_goes_on_behind_the_answer() {
    let pending = ada_request(1).pending();
    let go = Arc::new(Semaphore::new(0));
    let portal = portal(Slow { wish: approve(&pending), go: go.clone() }).await;
    let barbara = user("barbara").role("manager").pod("payments").build();
    portal.store.put_user(&barbara, TEST_PASSWORD);
    portal.put(&pending);
    let begin = Instant::now();
    assert_eq!(portal.send(call()).await.status, 200);
    assert!(begin.elapsed() < Duration::from_secs(30), "it did not wait for Slack");
    assert_eq!(state(&portal, pending.id).await, StateKind::Pending, "nothing is decided yet");
    go.add_permits(1);
    let done = async {
        while state(&portal, pending.id).await == StateKind::Pending {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = actix_web::rt::time::timeout(Duration::from_secs(30), done).await;
    waited.expect("the decision goes on after the answer");
    assert_eq!(state(&portal, pending.id).await, StateKind::Approved);
}
