//! Cancel requests: whom they reach, and who wins.

use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use domain::ports::{ExecutionError, SubmissionReviewer, TargetExecutor};
use domain::request::{Submission, SubmissionKind};
use domain::review::Scope;
use domain::target::Admits;
use domain::text::SubmissionText;
use target_postgres::{PostgresExecutor, PostgresExecutorConfig, PostgresReviewer};
use tokio_util::sync::CancellationToken;

use super::harness::{Db, Outcome, VecSink};

/// In each of four tests.
const TRIES: u64 = 2_500;
const AT_A_TIME: u64 = 6;

/// What a server keeps of the tests' password, after one round of hashing: most of a login's time is for the
/// thousands that are usual.
const QUICK_PASSWORD: &str = "SCRAM-SHA-256$1:c2l4dGVlbiBieXRlcy4uIQ==$3lKyBl3SxijGpXY8hrua8AtcjKtJ3OYmqMzJeY6P3XE=:0vhyE1JjwwZYDKx8OVJVFbVDOHKQJuLIYWkwlvUTBTA=";

/// Numbers that look random and are the same in every run (splitmix64).
fn scattered(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 31)
}

/// The time after which about half of the executions are over, whatever machine this is. It follows what happens.
struct Halfway(AtomicU64);

impl Halfway {
    fn new() -> Self {
        Self(AtomicU64::new(5_000_000))
    }

    /// A moment around it.
    fn moment(&self, seed: u64) -> Duration {
        let nanos = self.0.load(Ordering::Relaxed);
        Duration::from_nanos(nanos / 2 + scattered(seed) % nanos.max(1))
    }

    fn learn(&self, too_late: bool) {
        let nanos = self.0.load(Ordering::Relaxed);
        let step = nanos / 50;
        self.0.store(if too_late { nanos - step } else { nanos + step + 1 }, Ordering::Relaxed);
    }
}

impl Db {
    /// Runs a text and cancels it after this time, if it still runs then.
    async fn run_and_cancel(&self, sql: &str, after: Duration) -> Outcome {
        let (order, cancel) = (self.order(sql), CancellationToken::new());
        let mut run = pin!(self.run_order(&order, cancel.clone()));
        if let Ok(outcome) = tokio::time::timeout(after, &mut run).await {
            return outcome;
        }
        cancel.cancel();
        run.await
    }
}

/// Cancels executions around their ends, while others run that nobody cancels. `{}` stands for the number of the
/// execution. Returns the database, and of every number whether its execution came to its own end.
async fn tries(set_up: &str, sql: &str) -> (Db, Vec<(u64, bool)>) {
    let config = PostgresExecutorConfig {
        warm_sessions: 8,
        // So many logins at once take their time.
        connect_timeout: Duration::from_secs(30),
        ..PostgresExecutorConfig::default()
    };
    let db = Db { executor: PostgresExecutor::new(config), ..Db::new().await };
    let quick = format!("ALTER ROLE {} PASSWORD '{QUICK_PASSWORD}'", db.role);
    db.admin.batch_execute(&quick).await.unwrap();
    db.run(set_up).await.report();
    let (next, witnessed) = (AtomicU64::new(0), AtomicU64::new(0));
    let (done, halfway) = (AtomicBool::new(false), Halfway::new());
    let worker = async || {
        let mut ends = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= TRIES {
                return ends;
            }
            let sql = sql.replace("{}", &number.to_string());
            let outcome = db.run_and_cancel(&sql, halfway.moment(number)).await;
            let ended = match outcome.result {
                Ok(_) => true,
                Err(ExecutionError::Database(error)) if error.code == "22012" => true,
                Err(ExecutionError::Cancelled) => false,
                Err(other) => panic!("{other:?}"),
            };
            halfway.learn(ended);
            ends.push((number, ended));
        }
    };
    let workers = async {
        let ends = futures_util::future::join_all((0..AT_A_TIME).map(|_| worker())).await;
        done.store(true, Ordering::Relaxed);
        ends.concat()
    };
    let witness = async {
        while !done.load(Ordering::Relaxed) {
            let outcome = db.run("SELECT 1; SELECT pg_sleep(0.002); SELECT pg_sleep(0.002)").await;
            assert_eq!(outcome.report().statements.len(), 3);
            witnessed.fetch_add(1, Ordering::Relaxed);
        }
    };
    let (ends, ()) = tokio::join!(workers, witness);
    // The cancels came neither all too early nor all too late.
    let ended = ends.iter().filter(|(_, ended)| *ended).count();
    assert!((ends.len() / 5..ends.len() * 4 / 5).contains(&ended), "{ended}");
    assert!(witnessed.into_inner() > 50);
    (db, ends)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_cancel_of_a_read_reaches_another_execution() {
    let (db, ends) = tries("SELECT 1", "SELECT 1; SELECT {}").await;
    assert_eq!(ends.len() as u64, TRIES);
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_cancel_of_many_rows_reaches_another_execution() {
    let (db, ends) = tries("SELECT 1", "SELECT n, repeat('x', 100) FROM generate_series(1, 2000) AS n").await;
    assert_eq!(ends.len() as u64, TRIES);
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_cancel_of_a_failure_reaches_another_execution() {
    let (db, ends) = tries("SELECT 1", "SELECT {}; SELECT 1/0").await;
    assert_eq!(ends.len() as u64, TRIES);
    db.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_against_a_commit_tells_what_really_happened() {
    let (db, ends) = tries("CREATE TABLE t (id bigint PRIMARY KEY)", "INSERT INTO t VALUES ({})").await;
    let mut said: Vec<i64> = ends.iter().filter(|(_, ended)| *ended).map(|(n, _)| n.cast_signed()).collect();
    said.sort_unstable();
    let rows = db.admin.query("SELECT id FROM t ORDER BY id", &[]).await.unwrap();
    let there: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(said, there);
    db.finish().await;
}

/// A commit that waits for something nobody can hurry: it is not given up, and it wins.
#[tokio::test]
async fn a_cancel_during_a_slow_commit_loses() {
    let db = Db::new().await;
    db.slow_commit(1).await;
    let outcome = db.run_and_cancel("INSERT INTO first VALUES (1)", Duration::from_millis(500)).await;
    outcome.report();
    assert_eq!(db.count("SELECT count(*) FROM t").await, 1);
    db.finish().await;
}

#[tokio::test]
async fn a_cancel_is_heard_while_the_text_waits_for_its_review() {
    let db = Db::new().await;
    // Enough to keep every reviewer busy for longer than this test waits.
    let text = format!("SELECT 1{}", ", 'text' || 1 + 2 * (3)".repeat(80_000));
    let submission = Submission {
        kind: SubmissionKind::Query,
        text: SubmissionText::parse(&text).unwrap(),
        filename: None,
        compiled: Vec::new(),
    };
    let scope = Scope { database: None, read_only: false, admits: Admits::default() };
    let reviews =
        futures_util::future::join_all((0..200).map(|_| PostgresReviewer.review(&submission, &scope)));
    let cancel = CancellationToken::new();
    let mut sink = VecSink::default();
    let order = db.order("SELECT 1");
    let cancel_later = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        cancel.cancel();
        pending::<()>().await;
    };
    tokio::select! {
        biased;
        _ = reviews => panic!("the reviews took no time"),
        () = cancel_later => {}
        result = db.executor.execute(&order, &mut sink, cancel.clone()) => {
            assert!(matches!(result, Err(ExecutionError::Cancelled)), "{result:?}");
        }
    }
    db.finish().await;
}
