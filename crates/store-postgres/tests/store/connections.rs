//! What happens when the database is away, or comes back.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use domain::ports::{AuditLog, Directory, Health, RequestStore, StoreError};
use store_postgres::{PgAuditLog, PgDirectory, PgHealth, PgStore, StoreConfig};
use testkit::builders::request;

use crate::world::{World, entry};

fn unavailable<T: std::fmt::Debug>(outcome: Result<T, StoreError>) {
    assert!(matches!(outcome, Err(StoreError::Unavailable { .. })), "{outcome:?}");
}

/// A port that nobody listens on.
pub(crate) fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_store_whose_database_is_away_starts_and_says_so() {
    let url = format!("postgres://nobody:secret@127.0.0.1:{}/portal", closed_port());
    let config = StoreConfig::new(url.into());
    let store = PgStore::connect(&config).unwrap();
    let start = Instant::now();
    let failure = PgHealth::new(store.clone()).check().await;
    let Err(StoreError::Unavailable { source }) = &failure else { panic!("{failure:?}") };
    let text = format!("{source} {source:?}");
    assert!(text.contains("refused") && !text.contains("secret"), "{text}");
    unavailable(PgAuditLog::new(store.clone()).record(entry("user.login_failed")).await);
    unavailable(PgDirectory::new(store).pods().await);
    assert!(start.elapsed() < config.acquire_timeout, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_in_time() {
    // It accepts connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://nobody:secret@127.0.0.1:{}/portal", silent.local_addr().unwrap().port());
    let mut config = StoreConfig::new(url.into());
    config.acquire_timeout = Duration::from_millis(400);
    let store = PgStore::connect(&config).unwrap();
    let start = Instant::now();
    unavailable(PgHealth::new(store).check().await);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_busy_pool_is_unavailable_after_the_time_to_wait() {
    let world = World::peopled().await;
    let mut config = world.database.config();
    config.max_connections = 1;
    config.acquire_timeout = Duration::from_millis(300);
    let requests = world.process_on(PgStore::connect(&config).unwrap()).requests;
    // Somebody else holds the lock on the trail, and the one connection waits for it.
    let blocker = world.database.client().await;
    blocker.batch_execute("BEGIN; LOCK TABLE query_requests IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let id = request().unsaved().id;
    let waiting = {
        let requests = requests.clone();
        tokio::spawn(async move { requests.find(id).await })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    unavailable(requests.find(id).await);
    blocker.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), None);
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_unavailable() {
    let world = World::peopled().await;
    let mut config = world.database.config();
    config.statement_timeout = Duration::from_millis(200);
    let requests = world.process_on(PgStore::connect(&config).unwrap()).requests;
    let blocker = world.database.client().await;
    blocker.batch_execute("BEGIN; LOCK TABLE query_requests IN ACCESS EXCLUSIVE MODE").await.unwrap();
    unavailable(requests.find(request().unsaved().id).await);
}

#[tokio::test]
async fn terminated_backends_are_survived_by_the_next_call() {
    let world = World::peopled().await;
    let mut config = world.database.config();
    config.application_name = "the victim".to_owned();
    let process = world.process_on(PgStore::connect(&config).unwrap());
    let client = world.database.client().await;
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'the victim'";
    for _ in 0..10 {
        // Several connections, so that more than the first one is dead.
        let id = request().unsaved().id;
        let (one, two) = tokio::join!(process.requests.find(id), process.requests.find(id));
        assert_eq!((one.unwrap(), two.unwrap()), (None, None));
        assert!(client.execute(kill, &[]).await.unwrap() >= 1);
        process.requests.find(id).await.expect("a read goes to a new connection");
        assert!(client.execute(kill, &[]).await.unwrap() >= 1);
        process.submit(request()).await;
    }
}

#[tokio::test]
async fn a_caller_that_gives_up_in_the_middle_leaves_no_transaction_behind() {
    let world = World::peopled().await;
    let mut config = world.database.config();
    config.max_connections = 1;
    let process = world.process_on(PgStore::connect(&config).unwrap());
    let blocker = world.database.client().await;
    blocker.batch_execute("BEGIN; LOCK TABLE audit_logs IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let new = request().unsaved();
    let audit = domain::lifecycle::submission_audit(&new, domain::user::Origin::default());
    let given_up =
        tokio::time::timeout(Duration::from_millis(200), process.requests.insert(&new, &audit, &[], None))
            .await;
    assert!(given_up.is_err());
    blocker.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(process.requests.find(new.id).await.unwrap(), None);
    process.submit(request()).await;
}
