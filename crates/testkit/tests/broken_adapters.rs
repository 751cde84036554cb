//! Adapters with one fault each, and the rule that finds it: a rule that nobody can break proves nothing.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use domain::Timestamp;
use domain::auth::AccessClaims;
use domain::ports::{
    AccessTokens, Clock, Health, IdGenerator, InvalidToken, PasswordHasher, ScriptCheckError,
    SecretGenerator, StoreError, SubmissionReviewer,
};
use domain::request::Submission;
use domain::review::{Effect, Refusal, Review, Scope};
use domain::target::Engine;
use domain::text::{DatabaseName, NewPassword, SubmissionText};
use secrecy::{ExposeSecret, SecretString};
use testkit::builders::{at, request};
use testkit::contract::{
    HealthHarness, ReviewerHarness, Sample, TokenHarness, generators, health, passwords, reviewer, tokens,
};
use testkit::fakes::{FakeTokens, PlainPasswords};

async fn finds_the_fault(rule: impl Future<Output = ()> + Send + 'static) {
    assert!(tokio::spawn(rule).await.is_err(), "the rule found nothing");
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    QuickWithoutAccount,
    Blocks,
    Truncates,
}

struct Passwords(Fault);

#[async_trait]
impl PasswordHasher for Passwords {
    async fn hash(&self, password: &NewPassword) -> String {
        let start: String = password.secret().expose_secret().chars().take(71).collect();
        format!("plain:{start}")
    }

    async fn verify(&self, password: &SecretString, hash: Option<String>) -> bool {
        let slow = Duration::from_millis(40);
        match self.0 {
            Fault::QuickWithoutAccount if hash.is_some() => tokio::time::sleep(slow).await,
            Fault::Blocks => std::thread::sleep(slow),
            Fault::QuickWithoutAccount | Fault::Truncates => {}
        }
        let kept = if self.0 == Fault::Truncates { 71 } else { usize::MAX };
        let start: String = password.expose_secret().chars().take(kept).collect();
        PlainPasswords.verify(&start.into(), hash).await
    }
}

#[tokio::test]
async fn faults_of_password_hashers_are_found() {
    let with = |fault| -> Arc<dyn PasswordHasher> { Arc::new(Passwords(fault)) };
    let quick = with(Fault::QuickWithoutAccount);
    finds_the_fault(passwords::it_takes_as_long_without_an_account_as_with_a_wrong_password(quick)).await;
    let blocking = with(Fault::Blocks);
    finds_the_fault(passwords::hashing_and_verifying_do_not_block_the_runtime(blocking)).await;
    let short = with(Fault::Truncates);
    finds_the_fault(passwords::a_longer_password_does_not_verify_against_the_hash_of_its_beginning(short))
        .await;
}

/// Takes tokens of everybody, whatever the time.
struct Credulous;

impl AccessTokens for Credulous {
    fn sign(&self, claims: &AccessClaims) -> SecretString {
        FakeTokens::new().sign(claims)
    }

    fn verify(&self, token: &str, now: Timestamp) -> Result<AccessClaims, InvalidToken> {
        let payload = token.rsplit_once('.').ok_or(InvalidToken::Invalid)?.0;
        let parts: Vec<&str> = payload.split('.').collect();
        let ["fake", user, session, ..] = parts[..] else { return Err(InvalidToken::Invalid) };
        Ok(AccessClaims {
            user: user.parse().map_err(|_| InvalidToken::Invalid)?,
            session: session.parse().map_err(|_| InvalidToken::Invalid)?,
            issued_at: at(0),
            expires_at: now + TimeDelta::seconds(1),
        })
    }
}

impl TokenHarness for Credulous {
    fn tokens(&self) -> Arc<dyn AccessTokens> {
        Arc::new(Self)
    }

    fn others(&self) -> Vec<Arc<dyn AccessTokens>> {
        vec![Arc::new(FakeTokens::named("somebody else"))]
    }

    fn forgeries(&self, good: &str) -> Vec<String> {
        vec![format!("{good}0")]
    }
}

#[tokio::test]
async fn faults_of_access_tokens_are_found() {
    let credulous = || -> Arc<dyn TokenHarness> { Arc::new(Credulous) };
    finds_the_fault(tokens::a_token_is_good_until_its_time_is_over_and_then_expired(credulous())).await;
    finds_the_fault(tokens::the_moment_of_issue_is_kept_to_the_microsecond(credulous())).await;
    finds_the_fault(tokens::tokens_of_another_maker_are_invalid_both_ways(credulous())).await;
    finds_the_fault(tokens::forgeries_are_invalid(credulous())).await;
    finds_the_fault(tokens::a_token_with_any_character_changed_is_invalid(credulous())).await;
    finds_the_fault(tokens::a_token_cut_short_is_invalid(credulous())).await;
}

/// The same secret, the same id, and a time that is finer than microseconds and runs backwards.
struct Stuck(std::sync::Mutex<Timestamp>);

impl SecretGenerator for Stuck {
    fn new_token(&self) -> SecretString {
        "+".repeat(43).into()
    }
}

impl IdGenerator for Stuck {
    fn new_id(&self) -> uuid::Uuid {
        uuid::Uuid::nil()
    }
}

impl Clock for Stuck {
    fn now(&self) -> Timestamp {
        let mut now = self.0.lock().expect("nobody panics");
        *now -= TimeDelta::nanoseconds(1);
        *now
    }
}

#[tokio::test]
async fn faults_of_clocks_and_generators_are_found() {
    let stuck = || Arc::new(Stuck(std::sync::Mutex::new(at(0))));
    finds_the_fault(generators::a_secret_is_long_enough_for_256_bits_of_url_safe_characters(stuck())).await;
    finds_the_fault(generators::a_thousand_secrets_differ(stuck())).await;
    finds_the_fault(generators::ten_thousand_ids_differ(stuck())).await;
    finds_the_fault(generators::no_id_is_nil(stuck())).await;
    finds_the_fault(generators::the_time_is_in_whole_microseconds(stuck())).await;
    finds_the_fault(generators::the_time_does_not_run_backwards(stuck())).await;
}

/// Calls everything a write, on every target.
struct Careless;

#[async_trait]
impl SubmissionReviewer for Careless {
    fn engine(&self) -> Engine {
        Engine::Postgresql
    }

    async fn compile<'a>(
        &self,
        _text: &SubmissionText,
        _database: Option<&'a DatabaseName>,
    ) -> Result<Vec<String>, ScriptCheckError> {
        Ok(vec![])
    }

    async fn review(&self, _submission: &Submission, _scope: &Scope) -> Result<Review, Refusal> {
        Ok(Review { effect: Effect::Write, statements: 1, findings: vec![] })
    }
}

impl ReviewerHarness for Careless {
    fn reviewer(&self) -> Arc<dyn SubmissionReviewer> {
        Arc::new(Self)
    }

    fn submission(&self, _sample: Sample) -> Submission {
        request().unsaved().submission
    }
}

#[tokio::test]
async fn faults_of_reviewers_are_found() {
    let careless = || -> Arc<dyn ReviewerHarness> { Arc::new(Careless) };
    finds_the_fault(reviewer::a_read_is_a_read_on_every_target(careless())).await;
    finds_the_fault(reviewer::an_administrative_change_is_told_from_a_write(careless())).await;
    finds_the_fault(reviewer::what_changes_something_is_refused_on_a_read_only_target(careless())).await;
    finds_the_fault(reviewer::what_may_never_run_is_refused_on_every_target_with_the_reason(careless()))
        .await;
    finds_the_fault(reviewer::texts_of_nearly_nothing_are_survived(careless())).await;
}

/// Is always well.
struct Optimist;

#[async_trait]
impl Health for Optimist {
    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl HealthHarness for Optimist {
    fn present(&self) -> Arc<dyn Health> {
        Arc::new(Self)
    }

    fn away(&self) -> Arc<dyn Health> {
        Arc::new(Self)
    }
}

#[tokio::test]
async fn faults_of_health_checks_are_found() {
    finds_the_fault(health::a_store_that_is_away_is_unavailable_whenever_it_is_asked(Arc::new(Optimist)))
        .await;
}
