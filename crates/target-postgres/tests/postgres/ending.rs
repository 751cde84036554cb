//! How executions end early: deadlines, cancels, locks, broken connections, sinks that refuse.

use std::time::{Duration, Instant};

use domain::ports::{ExecutionError, SinkError, TargetExecutor};
use tokio_util::sync::CancellationToken;

use super::harness::{Db, VecSink};

const SHORT: Duration = Duration::from_millis(700);

#[tokio::test]
async fn the_deadline_ends_a_statement_and_rolls_back() {
    let db = Db::new().await;
    db.run("CREATE TABLE t (id int)").await.report();
    let started = Instant::now();
    let outcome = db.run_for(SHORT, "INSERT INTO t VALUES (1); SELECT pg_sleep(60)").await;
    assert!(matches!(outcome.error(), ExecutionError::TimedOut));
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    db.finish().await;
}

#[tokio::test]
async fn the_deadline_covers_all_statements_together() {
    let db = Db::new().await;
    let started = Instant::now();
    let outcome = db.run_for(SHORT, &"SELECT pg_sleep(0.3);".repeat(20)).await;
    assert!(matches!(outcome.error(), ExecutionError::TimedOut));
    assert!(started.elapsed() < Duration::from_secs(4));
    db.finish().await;
}

#[tokio::test]
async fn a_submitter_cannot_switch_the_deadline_off() {
    let db = Db::new().await;
    let started = Instant::now();
    let sql = "SELECT set_config('statement_timeout', '0', false); SELECT pg_sleep(60)";
    assert!(matches!(db.run_for(SHORT, sql).await.error(), ExecutionError::TimedOut));
    let endless = "DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$";
    let outcome =
        db.run_for(SHORT, &format!("SELECT set_config('statement_timeout', '0', false); {endless}")).await;
    assert!(matches!(outcome.error(), ExecutionError::TimedOut));
    assert!(started.elapsed() < Duration::from_secs(15));
    db.finish().await;
}

#[tokio::test]
async fn the_deadline_ends_endless_rows() {
    let db = Db::new().await;
    let started = Instant::now();
    let outcome = db.run_for(SHORT, "SELECT generate_series(1, 1000000000000)").await;
    assert!(matches!(outcome.error(), ExecutionError::TimedOut));
    assert!(started.elapsed() < Duration::from_secs(10));
    db.finish().await;
}

#[tokio::test]
async fn a_cancel_rolls_back() {
    let db = Db::new().await;
    db.run("CREATE TABLE t (id int)").await.report();
    let cancel = CancellationToken::new();
    let order = db.order("INSERT INTO t VALUES (1); SELECT pg_sleep(60)");
    let started = Instant::now();
    let later = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(db.run_order(&order, cancel.clone()), later);
    assert!(matches!(outcome.error(), ExecutionError::Cancelled));
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    db.finish().await;
}

#[tokio::test]
async fn a_cancel_beforehand_runs_nothing() {
    let db = Db::new().await;
    let cancel = CancellationToken::new();
    cancel.cancel();
    let outcome = db.run_order(&db.order("CREATE TABLE t (id int)"), cancel).await;
    assert!(matches!(outcome.error(), ExecutionError::Cancelled));
    assert_eq!(db.count("SELECT count(*) FROM pg_class WHERE relname = 't'").await, 0);
    db.finish().await;
}

#[tokio::test]
async fn a_cancel_ends_what_runs_alone() {
    let db = Db::new().await;
    db.run("CREATE TABLE t (id int)").await.report();
    db.admin.batch_execute("BEGIN; LOCK TABLE t").await.unwrap();
    let mut order = db.order("VACUUM t");
    order.limits.timeout = SHORT;
    order.limits.lock_timeout = Duration::from_mins(1);
    let outcome = db.run_order(&order, CancellationToken::new()).await;
    assert!(matches!(outcome.error(), ExecutionError::TimedOut), "{:?}", outcome.error());
    db.admin.batch_execute("ROLLBACK").await.unwrap();
    db.finish().await;
}

#[tokio::test]
async fn a_lock_is_not_waited_for_longer_than_allowed() {
    let db = Db::new().await;
    db.run("CREATE TABLE t (id int)").await.report();
    db.admin.batch_execute("BEGIN; LOCK TABLE t").await.unwrap();
    let mut order = db.order("SELECT * FROM t");
    order.limits.lock_timeout = Duration::from_millis(200);
    let outcome = db.run_order(&order, CancellationToken::new()).await;
    assert_eq!(outcome.database_error().code, "55P03");
    db.admin.batch_execute("ROLLBACK").await.unwrap();
    db.finish().await;
}

#[tokio::test]
async fn a_killed_session_in_a_transaction_is_a_failure() {
    let db = Db::new().await;
    db.run("CREATE TABLE t (id int)").await.report();
    let (outcome, ()) =
        tokio::join!(db.run("INSERT INTO t VALUES (1); SELECT pg_sleep(60)"), db.kill_when("PgSleep"));
    assert_eq!(outcome.database_error().code, "57P01");
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    db.finish().await;
}

/// A trigger that sleeps when constraints are checked.
const SLOW_CHECK: &str = "CREATE TABLE t (id int);
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION slow()";

#[tokio::test]
async fn deferred_checks_are_under_the_deadline() {
    let db = Db::new().await;
    db.run(SLOW_CHECK).await.report();
    let started = Instant::now();
    let outcome = db.run_for(SHORT, "INSERT INTO t VALUES (1)").await;
    assert!(matches!(outcome.error(), ExecutionError::TimedOut));
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    db.finish().await;
}

#[tokio::test]
async fn a_session_killed_during_the_checks_is_a_failure() {
    let db = Db::new().await;
    db.run(SLOW_CHECK).await.report();
    let (outcome, ()) = tokio::join!(db.run("INSERT INTO t VALUES (1)"), db.kill_when("PgSleep"));
    assert_eq!(outcome.database_error().code, "57P01");
    db.finish().await;
}

#[tokio::test]
async fn a_session_killed_during_the_commit_leaves_the_outcome_open() {
    let db = Db::new().await;
    db.slow_commit(60).await;
    let (outcome, ()) = tokio::join!(db.run("INSERT INTO first VALUES (1)"), db.kill_when("PgSleep"));
    assert!(matches!(outcome.error(), ExecutionError::OutcomeUnknown { .. }), "{:?}", outcome.result);
    db.finish().await;
}

#[tokio::test]
async fn a_sink_that_refuses_rolls_back() {
    let db = Db::new().await;
    db.run("CREATE TABLE t (id int)").await.report();
    let mut sink = VecSink { fail: true, ..VecSink::default() };
    let order = db.order("INSERT INTO t SELECT generate_series(1, 100000) RETURNING id");
    let result = db.executor.execute(&order, &mut sink, CancellationToken::new()).await;
    assert!(matches!(result, Err(ExecutionError::Sink(SinkError::LeaseLost))));
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    db.finish().await;
}

#[tokio::test]
async fn an_execution_that_is_dropped_leaves_nothing() {
    let db = Db::cold().await;
    db.run("CREATE TABLE t (id int)").await.report();
    let run = db.run("INSERT INTO t VALUES (1); SELECT pg_sleep(60)");
    assert!(tokio::time::timeout(Duration::from_millis(500), run).await.is_err());
    let deadline = Instant::now() + Duration::from_secs(5);
    while db.sessions().await > 0 {
        assert!(Instant::now() < deadline, "the session is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    db.finish().await;
}
