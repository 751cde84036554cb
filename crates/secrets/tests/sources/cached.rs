//! The memory in front of a source: the rules that every source keeps, and who shares which fetch.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::execution::Credentials;
use domain::ports::{CredentialError, CredentialSource};
use domain::target::{CredentialRef, CredentialSourceKind};
use secrecy::ExposeSecret;
use secrets::Cached;
use testkit::contract::CredentialHarness;
use testkit::everything_said;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::env::Environment;

const LONG: Duration = Duration::from_hours(1);

async fn cached_environment() -> Arc<dyn CredentialHarness> {
    Arc::new(Environment::behind(|source| Cached::new(Arc::new(source), LONG)))
}

async fn uncached_environment() -> Arc<dyn CredentialHarness> {
    Arc::new(Environment::behind(|source| Cached::new(Arc::new(source), Duration::ZERO)))
}

mod with_a_time_to_live {
    use super::*;
    testkit::credential_contract!(cached_environment);
}

mod without_a_time_to_live {
    use super::*;
    testkit::credential_contract!(uncached_environment);
}

/// Gives its answers one after the other, and the last one for ever. Each call takes a permit, where it is held.
struct Scripted {
    answers: Mutex<VecDeque<&'static str>>,
    asked: AtomicUsize,
    held: Option<Semaphore>,
}

impl Scripted {
    fn new(answers: &[&'static str]) -> Arc<Self> {
        let answers = Mutex::new(answers.iter().copied().collect());
        Arc::new(Self { answers, asked: AtomicUsize::new(0), held: None })
    }

    fn held(answers: &[&'static str]) -> Arc<Self> {
        let answers = Mutex::new(answers.iter().copied().collect());
        Arc::new(Self { answers, asked: AtomicUsize::new(0), held: Some(Semaphore::new(0)) })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn release(&self, calls: usize) {
        self.held.as_ref().expect("it is held").add_permits(calls);
    }

    async fn until_asked(&self, times: usize) {
        while self.asked() < times {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[async_trait]
impl CredentialSource for Scripted {
    fn kind(&self) -> CredentialSourceKind {
        CredentialSourceKind::Aws
    }

    async fn fetch(&self, _reference: &CredentialRef) -> Result<Credentials, CredentialError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        // The answer is the one of the moment at which the call came in, however long it is on its way.
        let answer = {
            let mut answers = self.answers.lock().unwrap();
            if answers.len() > 1 { answers.pop_front() } else { answers.front().copied() }.unwrap()
        };
        if let Some(held) = &self.held {
            held.acquire().await.unwrap().forget();
        }
        match answer {
            "away" => Err(CredentialError::Unavailable { source: "the vault is away".into() }),
            "denied" => Err(CredentialError::Denied { source: "the vault knows you".into() }),
            "wrong" => Err(CredentialError::Malformed { reason: "it is a poem".to_owned() }),
            password => Ok(login(password)),
        }
    }
}

fn login(password: &str) -> Credentials {
    Credentials::new("app", password.to_owned().into())
}

fn reference(name: &str) -> CredentialRef {
    CredentialRef { source: CredentialSourceKind::Aws, reference: name.to_owned() }
}

fn password(found: Result<Credentials, CredentialError>) -> String {
    found.unwrap_or_else(|error| panic!("{error}")).password.expose_secret().to_owned()
}

type Answers = Vec<JoinHandle<Result<Credentials, CredentialError>>>;

/// Starts eight callers at once, and lets each of them come so far that it waits.
async fn callers(cached: &Arc<Cached>, refused: Option<&'static str>) -> Answers {
    let callers = (0..8).map(|_| {
        let cached = cached.clone();
        tokio::spawn(async move {
            match refused {
                None => cached.fetch(&reference("shop")).await,
                Some(refused) => cached.fetch_anew(&reference("shop"), &login(refused)).await,
            }
        })
    });
    let callers = callers.collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    callers
}

/// A source of these answers, of which the first one was taken and refused; eight callers wait for another one.
async fn all_refused(answers: &[&'static str]) -> (Arc<Scripted>, Arc<Cached>, Answers) {
    let source = Scripted::held(answers);
    let cached = Arc::new(Cached::new(source.clone(), LONG));
    source.release(1);
    assert_eq!(password(cached.fetch(&reference("shop")).await), "old");
    let callers = callers(&cached, Some("old")).await;
    (source, cached, callers)
}

#[tokio::test]
async fn a_credential_is_fetched_once_and_kept() {
    let source = Scripted::new(&["one", "two"]);
    let cached = Cached::new(source.clone(), LONG);
    for _ in 0..3 {
        assert_eq!(password(cached.fetch(&reference("shop")).await), "one");
    }
    assert_eq!(source.asked(), 1);
    assert_eq!(
        password(cached.fetch(&reference("depot")).await),
        "two",
        "another reference is another credential"
    );
    assert_eq!(password(cached.fetch(&reference("shop")).await), "one");
}

#[tokio::test]
async fn after_its_time_to_live_a_credential_is_fetched_again() {
    let source = Scripted::new(&["one", "two"]);
    let cached = Cached::new(source.clone(), Duration::from_millis(60));
    assert_eq!(password(cached.fetch(&reference("shop")).await), "one");
    tokio::time::sleep(Duration::from_millis(120)).await;
    assert_eq!(password(cached.fetch(&reference("shop")).await), "two");
}

#[tokio::test]
async fn without_a_time_to_live_nothing_is_kept() {
    let source = Scripted::new(&["one", "two", "three"]);
    let cached = Cached::new(source.clone(), Duration::ZERO);
    assert_eq!(password(cached.fetch(&reference("shop")).await), "one");
    assert_eq!(password(cached.fetch(&reference("shop")).await), "two");
    assert_eq!(password(cached.fetch_anew(&reference("shop"), &login("two")).await), "three");
}

#[tokio::test]
async fn all_who_want_a_credential_at_once_share_one_fetch() {
    let source = Scripted::held(&["one", "two"]);
    let cached = Arc::new(Cached::new(source.clone(), LONG));
    let callers = callers(&cached, None).await;
    source.release(8);
    for caller in callers {
        assert_eq!(password(caller.await.unwrap()), "one");
    }
    assert_eq!(source.asked(), 1);
}

#[tokio::test]
async fn all_who_wait_get_the_same_failure_with_its_cause_and_it_is_not_kept() {
    for (answer, said) in
        [("away", "the vault is away"), ("denied", "the vault knows you"), ("wrong", "a poem")]
    {
        let source = Scripted::held(&[answer, "one"]);
        let expected = source_error(answer).await;
        let cached = Arc::new(Cached::new(source.clone(), LONG));
        let callers = callers(&cached, None).await;
        source.release(9);
        for caller in callers {
            let error = caller.await.unwrap().unwrap_err();
            assert_eq!(everything_said(&error), expected);
            assert!(expected.contains(said), "{expected}");
        }
        assert_eq!(source.asked(), 1);
        assert_eq!(password(cached.fetch(&reference("shop")).await), "one", "the next one asks again");
    }
}

/// What the source itself says, without anything in front of it.
async fn source_error(answer: &'static str) -> String {
    everything_said(&Scripted::new(&[answer]).fetch(&reference("shop")).await.unwrap_err())
}

#[tokio::test]
async fn who_gives_up_waiting_does_not_take_the_others_along() {
    let source = Scripted::held(&["one"]);
    let cached = Arc::new(Cached::new(source.clone(), LONG));
    let mut callers = callers(&cached, None).await;
    callers.remove(0).abort();
    source.release(8);
    for caller in callers {
        assert_eq!(password(caller.await.unwrap()), "one");
    }
}

#[tokio::test]
async fn a_refused_credential_is_dropped_and_fetched_once_more() {
    let source = Scripted::new(&["old", "new"]);
    let cached = Cached::new(source.clone(), LONG);
    assert_eq!(password(cached.fetch(&reference("shop")).await), "old");
    assert_eq!(password(cached.fetch_anew(&reference("shop"), &login("old")).await), "new");
    assert_eq!(password(cached.fetch(&reference("shop")).await), "new", "and the new one is kept");
    assert_eq!(source.asked(), 2);
}

#[tokio::test]
async fn when_another_credential_is_kept_by_now_nobody_is_asked() {
    let source = Scripted::new(&["new", "newer"]);
    let cached = Cached::new(source.clone(), LONG);
    assert_eq!(password(cached.fetch(&reference("shop")).await), "new");
    assert_eq!(password(cached.fetch_anew(&reference("shop"), &login("old")).await), "new");
    assert_eq!(source.asked(), 1);
}

#[tokio::test]
async fn all_who_are_refused_at_once_share_one_fetch() {
    let (source, _cached, callers) = all_refused(&["old", "new", "newer"]).await;
    source.release(8);
    for caller in callers {
        assert_eq!(password(caller.await.unwrap()), "new");
    }
    assert_eq!(source.asked(), 2, "one before, one for all eight");
}

#[tokio::test]
async fn when_nothing_has_changed_those_who_came_during_the_fetch_share_another_one() {
    let (source, _cached, callers) = all_refused(&["old"]).await;
    source.release(8);
    for caller in callers {
        assert_eq!(password(caller.await.unwrap()), "old");
    }
    assert_eq!(
        source.asked(),
        3,
        "one before, one for the first of eight, one for the seven who came after it began"
    );
}

#[tokio::test]
async fn a_failure_of_the_second_fetch_is_shared_and_leaves_nothing_of_the_refused_credential() {
    let (source, cached, callers) = all_refused(&["old", "away", "new"]).await;
    source.release(9);
    for caller in callers {
        let error = caller.await.unwrap().unwrap_err();
        assert!(matches!(error, CredentialError::Unavailable { .. }), "{error:?}");
    }
    assert_eq!(source.asked(), 2);
    assert_eq!(password(cached.fetch(&reference("shop")).await), "new");
}

#[tokio::test]
async fn what_was_on_its_way_before_the_refusal_is_not_taken_for_new() {
    let source = Scripted::held(&["old", "new"]);
    let cached = Arc::new(Cached::new(source.clone(), LONG));
    let first = tokio::spawn({
        let cached = cached.clone();
        async move { cached.fetch(&reference("shop")).await }
    });
    source.until_asked(1).await;
    let refused = callers(&cached, Some("old")).await;
    source.release(2);
    assert_eq!(password(first.await.unwrap()), "old");
    for caller in refused {
        assert_eq!(password(caller.await.unwrap()), "new");
    }
    assert_eq!(source.asked(), 2);
}
