//! What tests rely on beside the contracts.

use std::sync::Arc;
use std::time::Duration;

use domain::auth::AccessClaims;
use domain::ids::{SessionId, UserId};
use domain::policy::{self, RequestAction};
use domain::ports::{
    AccessTokens, Clock, IdGenerator, InvalidToken, PasswordHasher, SecretGenerator, StoreError,
    TargetExecutor,
};
use domain::request::StateKind;
use domain::text::NewPassword;
use futures_util::TryStreamExt;
use secrecy::ExposeSecret;
use testkit::InMemoryStore;
use testkit::builders::{TEST_PASSWORD, actor, at, epoch, request, user, uuid_for};
use testkit::fakes::{
    CollectingSink, FakeClock, FakeExecutor, FakeTokens, PlainPasswords, Script, SequentialIds,
    SequentialSecrets,
};
use tokio_util::sync::CancellationToken;

#[test]
fn builders_reach_every_state() {
    for state in StateKind::ALL {
        let request = request().approvals_needed(2).in_state(state);
        assert_eq!(request.state.kind(), state);
        assert!(request.version >= 1);
    }
}

#[test]
fn requests_differ_in_their_ids_and_people_do_not() {
    assert_ne!(request().pending().id, request().pending().id);
    assert_eq!(user("ada").build(), user("ada").build());
    assert_ne!(user("ada").build().id, user("bob").build().id);
}

#[test]
fn a_built_manager_decides_on_a_built_request() {
    let grace = actor("grace").role("manager").pod("payments").build();
    let ada = actor("ada").build();
    let request = request().pending();
    assert_eq!(policy::on_request(&grace, RequestAction::Approve, &request), Ok(()));
    assert_eq!(policy::on_request(&ada, RequestAction::Withdraw, &request), Ok(()));
}

#[test]
fn the_clock_goes_when_it_is_told() {
    let clock = FakeClock::new();
    assert_eq!(clock.now(), epoch());
    clock.advance(Duration::from_secs(5));
    assert_eq!(clock.now(), at(5));
    clock.set(at(1));
    assert_eq!(clock.now(), at(1));
}

#[test]
fn ids_and_secrets_can_be_foreseen() {
    let (ids, secrets) = (SequentialIds::new(), SequentialSecrets::new());
    assert_eq!([ids.new_id(), ids.new_id()], [SequentialIds::nth(1), SequentialIds::nth(2)]);
    assert_eq!(secrets.new_token().expose_secret(), SequentialSecrets::nth(1));
    assert_eq!(secrets.new_token().expose_secret(), SequentialSecrets::nth(2));
}

#[test]
fn a_fake_token_says_what_was_signed_until_it_expires() {
    let claims = AccessClaims {
        user: UserId::from_uuid(uuid_for("ada")),
        session: SessionId::from_uuid(uuid_for("session")),
        issued_at: at(0),
        expires_at: at(60),
    };
    let token = FakeTokens::new().sign(&claims);
    assert_eq!(FakeTokens::new().verify(token.expose_secret(), at(59)), Ok(claims));
    assert_eq!(FakeTokens::new().verify(token.expose_secret(), at(60)), Err(InvalidToken::Expired));
    assert_eq!(FakeTokens::new().verify("fake.x", at(0)), Err(InvalidToken::Invalid));
}

#[tokio::test]
async fn test_accounts_have_the_test_password() {
    let hash = PlainPasswords.hash(&NewPassword::parse(TEST_PASSWORD.into()).expect("long enough")).await;
    assert_eq!(user("ada").new_user().password_hash, hash);
    assert!(PlainPasswords.verify(&TEST_PASSWORD.into(), Some(hash.clone())).await);
    assert!(!PlainPasswords.verify(&"wrong".into(), Some(hash)).await);
    assert!(!PlainPasswords.verify(&TEST_PASSWORD.into(), None).await);
}

#[tokio::test]
async fn a_store_that_is_switched_off_is_unavailable_until_it_is_switched_on() {
    let store = InMemoryStore::new();
    store.set_unavailable(true);
    let error = store.health().check().await.expect_err("it is off");
    assert!(matches!(error, StoreError::Unavailable { .. }));
    store.request_store().find(request().pending().id).await.expect_err("it is off");
    store.job_queue().reap(at(0)).await.expect_err("it is off");
    store.result_store().read(request().pending().id).try_collect::<Vec<_>>().await.expect_err("it is off");
    store.set_unavailable(false);
    store.health().check().await.expect("it is on again");
}

#[tokio::test]
async fn an_execution_that_waits_goes_on_when_it_is_released() {
    let executor = Arc::new(FakeExecutor::default());
    executor.plays(Script::rows(["[7]"]).waits_for_release());
    let order = {
        let request = request().unsaved();
        domain::execution::ExecutionOrder {
            request: request.id,
            target: testkit::builders::target("orders-db").build(),
            database: testkit::builders::database(),
            credentials: domain::execution::Credentials::new("", "".into()),
            submission: request.submission,
            limits: request.limits,
            read_only: false,
            extended_json: domain::request::ExtendedJson::default(),
        }
    };
    let running = executor.clone();
    let run = tokio::spawn(async move {
        let mut sink = CollectingSink::new();
        running.execute(&order, &mut sink, CancellationToken::new()).await.map(|_| sink.lines())
    });
    executor.started().await;
    assert!(!run.is_finished());
    executor.release();
    assert_eq!(run.await.expect("no panic").expect("it succeeds"), ["[7]"]);
    assert_eq!(executor.executions(), 1);
}
