//! Submitting with an idempotency key.

use std::time::Duration;

use domain::idempotency::{IdempotencyKey, KEPT_FOR};
use domain::ids::RequestId;
use domain::policy::Denied;
use domain::ports::{Clock, StoreError};
use domain::request::{ExtendedJson, RunOptions, SubmissionKind};
use domain::services::{ChangeError, Submit, SubmitError, Submitted};
use domain::text::SubmissionText;
use domain::user::{Actor, Origin, Permission, roles};
use testkit::builders::{
    actor, at, database_name, instance_id, pod_id, remark, request, target, target_database, user,
};

use super::submission::{Desk, query};

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).expect("it is a key")
}

fn ada() -> Actor {
    actor("ada").leads("orders").build()
}

fn text(text: &str) -> SubmissionText {
    SubmissionText::parse(text).expect("the text is valid")
}

impl Desk {
    async fn send(&self, submit: Submit, text: &str) -> Result<Submitted, SubmitError> {
        self.submissions.submit(&ada(), submit, Some(key(text)), Origin::default()).await
    }

    async fn clone_of(&self, id: RequestId, text: &str) -> Result<Submitted, ChangeError> {
        self.submissions.submit_again(&ada(), id, Some(key(text)), Origin::default()).await
    }

    /// Requests that were submitted, by their audit entries.
    fn submitted(&self) -> usize {
        self.world.store.audit_actions().iter().filter(|action| *action == "request.submit").count()
    }
}

#[tokio::test]
async fn the_same_submission_with_its_key_again_is_answered_with_the_first_one() {
    let desk = Desk::new();
    let first = desk.send(query(), "key").await.expect("it fits");
    assert!(!first.replayed);
    let again = desk.send(query(), "key").await.expect("it is the same");
    assert_eq!(again, Submitted { replayed: true, ..first });
    assert_eq!((desk.submitted(), desk.world.store.jobs().len()), (1, 1));
}

#[tokio::test]
async fn without_a_key_every_submission_is_a_new_one() {
    let desk = Desk::new();
    for expected in 1..=2 {
        let sent = desk.submissions.submit(&ada(), query(), None, Origin::default()).await.expect("it fits");
        assert_eq!((sent.replayed, desk.submitted()), (false, expected));
    }
}

#[tokio::test]
async fn a_retry_is_answered_whatever_has_happened_since() {
    let desk = Desk::new();
    let first = desk.send(query(), "key").await.expect("it fits").request;
    desk.world.store.put_target(&target("orders-db").inactive().build());
    desk.reviewer.refuses("transaction-control", "COMMIT is not allowed here.");
    let again = desk.send(query(), "key").await.expect("it was stored");
    assert_eq!((again.request.id, again.replayed), (first.id, true));
    desk.send(query(), "another key").await.expect_err("a new one is refused");
}

#[tokio::test]
async fn every_choice_of_the_requester_makes_another_submission() {
    let desk = Desk::new();
    desk.world.store.put_target(&target("orders-db").pods(&["payments", "orders"]).build());
    desk.world.store.put_database(&instance_id("orders-db"), &target_database("archive"));
    let full = Submit {
        pod: Some(pod_id("payments")),
        filename: Some("fix.js".to_owned()),
        comments: Some(remark("Please.")),
        options: RunOptions { not_before: Some(at(60)), ..RunOptions::default() },
        ..query()
    };
    desk.send(full.clone(), "key").await.expect("it fits");
    let relaxed = RunOptions::default;
    let canonical = RunOptions { extended_json: ExtendedJson::Canonical, ..full.options.clone() };
    let others = [
        ("instance", Submit { instance: instance_id("ledger-db"), ..full.clone() }),
        ("database", Submit { database: database_name("archive"), ..full.clone() }),
        ("pod", Submit { pod: Some(pod_id("orders")), ..full.clone() }),
        ("no pod", Submit { pod: None, ..full.clone() }),
        ("kind", Submit { kind: SubmissionKind::Script, ..full.clone() }),
        ("text", Submit { text: text("SELECT 2"), ..full.clone() }),
        ("white space in the text", Submit { text: text("SELECT 1 "), ..full.clone() }),
        ("file", Submit { filename: Some("other.js".to_owned()), ..full.clone() }),
        ("no file", Submit { filename: None, ..full.clone() }),
        ("comments", Submit { comments: Some(remark("Soon.")), ..full.clone() }),
        ("no comments", Submit { comments: None, ..full.clone() }),
        ("time", Submit { options: RunOptions { not_before: Some(at(61)), ..relaxed() }, ..full.clone() }),
        ("format", Submit { options: canonical, ..full.clone() }),
        ("no time", Submit { options: RunOptions::default(), ..full.clone() }),
    ];
    for (name, other) in others {
        let error = desk.send(other, "key").await.expect_err(name);
        assert!(matches!(error, SubmitError::KeyReused), "{name}: {error:?}");
    }
    assert_eq!(desk.submitted(), 1);
    assert!(desk.send(full, "key").await.expect("the key still stands for it").replayed);
}

#[tokio::test]
async fn a_submission_that_failed_does_not_use_its_key_up() {
    let desk = Desk::new();
    desk.send(Submit { instance: instance_id("no-such-db"), ..query() }, "key").await.expect_err("fields");
    desk.send(Submit { pod: Some(pod_id("orders")), ..query() }, "key")
        .await
        .expect_err("POD without access");
    let refusing = Desk::new();
    refusing.reviewer.refuses("transaction-control", "COMMIT is not allowed here.");
    refusing.send(query(), "key").await.expect_err("the reviewer refuses");
    assert_eq!(refusing.world.store.idempotency_keys(), 0);
    desk.world.store.set_unavailable(true);
    let error = desk.send(query(), "key").await.expect_err("the store is away");
    assert!(matches!(error, SubmitError::Store(StoreError::Unavailable { .. })), "{error:?}");
    desk.world.store.set_unavailable(false);
    assert_eq!((desk.submitted(), desk.world.store.idempotency_keys()), (0, 0));
    assert!(!desk.send(query(), "key").await.expect("it fits").replayed);
}

#[tokio::test]
async fn a_key_counts_as_new_after_its_time() {
    let desk = Desk::new();
    let first = desk.send(query(), "key").await.expect("it fits").request;
    let instant = Duration::from_micros(1);
    desk.world.clock.advance(KEPT_FOR.checked_sub(instant).expect("it is longer"));
    assert_eq!(desk.send(query(), "key").await.expect("it is kept").request.id, first.id);
    desk.world.clock.advance(instant);
    let second = desk.send(Submit { text: text("SELECT 2"), ..query() }, "key").await.expect("it is free");
    assert!(!second.replayed);
    assert_eq!(second.request.created_at, desk.world.clock.now());
}

#[tokio::test]
async fn everybody_has_their_own_keys() {
    let desk = Desk::new();
    desk.send(query(), "key").await.expect("it fits");
    let bob = actor("bob").build();
    let other = Submit { text: text("SELECT 2"), ..query() };
    let bobs =
        desk.submissions.submit(&bob, other, Some(key("key")), Origin::default()).await.expect("it is free");
    assert_eq!((bobs.replayed, bobs.request.requester.id), (false, bob.user));
}

#[tokio::test]
async fn who_may_not_submit_any_more_is_answered_with_nothing_of_the_past() {
    let desk = Desk::new();
    let first = desk.send(query(), "key").await.expect("it fits").request;
    let ada = actor("ada").role(roles::VIEWER).build();
    let error = desk
        .submissions
        .submit(&ada, query(), Some(key("key")), Origin::default())
        .await
        .expect_err("denied");
    let expected = Denied::Permission(Permission::SubmitRequests);
    assert!(matches!(error, SubmitError::Denied(denied) if denied == expected));
    let error = desk
        .submissions
        .submit_again(&ada, first.id, Some(key("key")), Origin::default())
        .await
        .expect_err("no");
    assert!(
        matches!(error, ChangeError::Submit(SubmitError::Denied(_)) | ChangeError::Request(_)),
        "{error:?}"
    );
}

#[tokio::test]
async fn submitting_a_request_again_takes_a_key_too() {
    let desk = Desk::new();
    let ada = user("ada").build();
    let (one, two) = (
        desk.world.pending(request().requester(&ada)).await,
        desk.world.pending(request().requester(&ada)).await,
    );
    let first = desk.clone_of(one.id, "key").await.expect("it fits");
    let again = desk.clone_of(one.id, "key").await.expect("it is the same");
    assert_eq!((again.request.id, first.replayed, again.replayed), (first.request.id, false, true));
    let error = desk.clone_of(two.id, "key").await.expect_err("another request");
    assert!(matches!(error, ChangeError::Submit(SubmitError::KeyReused)), "{error:?}");
    let error = desk.send(query(), "key").await.expect_err("another call");
    assert!(matches!(error, SubmitError::KeyReused), "{error:?}");
    assert_eq!(desk.submitted(), 3);
}
