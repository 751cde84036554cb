//! Rows and messages that are too long to be taken.

use std::time::{Duration, Instant};

use domain::ports::ExecutionError;
use domain::target::TlsMode;
use target_postgres::{PostgresExecutor, PostgresExecutorConfig};

use super::harness::Db;

const ROW: &str =
    "a row of the result is longer than 32 MiB, the portal's limit; nothing of the request took effect";

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_row_of_200_mb_is_refused_and_nothing_took_effect() {
    let db = Db::new().await;
    db.run("CREATE TABLE t (id int)").await.report();
    let outcome =
        db.run("INSERT INTO t VALUES (1); SELECT 1; SELECT 'x', repeat('y', 200000000); SELECT 2").await;
    let error = outcome.database_error();
    assert_eq!((error.code.as_str(), error.statement), ("54000", Some(2)));
    assert_eq!(error.message, ROW);
    assert!(error.hint.as_ref().unwrap().contains("left(value, 1000)"), "{error:?}");
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    // Nothing is left behind: no session that works on, no lock, and the next execution knows nothing of it.
    let working =
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%200000000%' AND pid <> pg_backend_pid()";
    until("the server's process has ended", async || db.count(working).await == 0).await;
    db.run("LOCK TABLE t IN ACCESS EXCLUSIVE MODE; INSERT INTO t VALUES (2)").await.report();
    assert_eq!(db.run_read_only("SELECT id FROM t").await.lines(), ["[2]"]);
    db.finish().await;
}

#[tokio::test]
async fn a_row_just_below_the_limit_is_taken() {
    let db = Db::cold().await;
    // The length of a row is said once, and that of each value in it; the second column has 9 bytes with its length.
    let length = 32 * 1024 * 1024 - 4 - 2 - 4 - 9;
    let fits = db.run(&format!("SELECT repeat('y', {length}), 'short'")).await;
    assert_eq!(fits.report().statements[0].rows, 1);
    assert_eq!(fits.rows()[0][0].as_str().unwrap().len(), length);
    let outcome = db.run(&format!("SELECT repeat('y', {}), 'short'", length + 1)).await;
    assert_eq!(outcome.database_error().message, ROW);
    db.finish().await;
}

#[tokio::test]
async fn a_long_row_among_many_a_returning_clause_and_a_function_end_the_same_way() {
    let config = PostgresExecutorConfig { max_message: 1024 * 1024, ..PostgresExecutorConfig::default() };
    let mut db = Db::new().await;
    db.executor = PostgresExecutor::new(config);
    db.run("CREATE TABLE t (v text)").await.report();
    for sql in [
        "SELECT n, repeat('y', CASE n WHEN 9000 THEN 2000000 ELSE 100 END) FROM generate_series(1, 20000) n",
        "INSERT INTO t VALUES (repeat('y', 2000000)) RETURNING v",
        "SELECT repeat('y', 2000000)::bytea",
        "EXPLAIN VERBOSE SELECT repeat('y', 2000000)",
    ] {
        let outcome = db.run(sql).await;
        let error = outcome.database_error();
        assert!(error.message.starts_with("a row of the result is longer than 1 MiB"), "{sql}: {error:?}");
        assert_eq!(db.count("SELECT count(*) FROM t").await, 0, "{sql}");
    }
    db.finish().await;
}

#[tokio::test]
async fn a_long_notice_or_error_of_a_requesters_own_making_is_refused_too() {
    let config = PostgresExecutorConfig { max_message: 1024 * 1024, ..PostgresExecutorConfig::default() };
    let mut db = Db::new().await;
    db.executor = PostgresExecutor::new(config);
    for level in ["NOTICE", "EXCEPTION"] {
        let outcome = db.run(&format!("DO $$ BEGIN RAISE {level} '%', repeat('y', 2000000); END $$")).await;
        let error = outcome.database_error();
        assert_eq!(error.code, "54000");
        assert!(error.message.starts_with("a message of the server is longer than 1 MiB"), "{error:?}");
    }
    db.finish().await;
}

#[tokio::test]
async fn outside_of_a_transaction_a_long_message_leaves_the_outcome_open() {
    // Login and settings stay below this limit, and what VACUUM reports of a table with so long a name does not.
    let config = PostgresExecutorConfig { max_message: 450, ..PostgresExecutorConfig::default() };
    let mut db = Db::new().await;
    let table = "t".repeat(63);
    db.run(&format!("CREATE TABLE {table} (v text)")).await.report();
    db.executor = PostgresExecutor::new(config);
    db.run("SELECT 1").await.report();
    let outcome = db.run(&format!("VACUUM VERBOSE {table}")).await;
    let ExecutionError::OutcomeUnknown { source } = outcome.error() else { panic!("{:?}", outcome.result) };
    assert!(source.to_string().starts_with("a message of the server is longer than"), "{source}");
    db.finish().await;
}

#[tokio::test]
async fn the_limit_holds_above_tls_too() {
    let mut db = Db::cold().await;
    let server = super::tls::server_with_tls(&db.role).await;
    db.target.port = server.port();
    db.target.tls = TlsMode::Require;
    let mut order = db.order("SELECT 1; SELECT repeat('y', 200000000)");
    order.database = domain::text::DatabaseName::parse("postgres").unwrap();
    let outcome = db.run_order(&order, tokio_util::sync::CancellationToken::new()).await;
    assert_eq!(outcome.database_error().message, ROW);
    db.finish().await;
}

#[tokio::test]
async fn a_target_behind_a_sockets_file_is_reached_watched_over_and_cancelled_there() {
    let mut db = Db::new().await;
    db.target.host = db.admin.query_one("SHOW unix_socket_directories", &[]).await.unwrap().get(0);
    assert!(db.target.host.starts_with('/'), "{}", db.target.host);
    assert_eq!(db.run("SELECT inet_client_addr()").await.lines(), ["[null]"]);
    assert_eq!(db.run("SELECT repeat('y', 200000000)").await.database_error().message, ROW);
    let started = Instant::now();
    let outcome = db.run_for(Duration::from_secs(1), "SELECT pg_sleep(60)").await;
    assert!(matches!(outcome.error(), ExecutionError::TimedOut), "{:?}", outcome.result);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    db.finish().await;
}
