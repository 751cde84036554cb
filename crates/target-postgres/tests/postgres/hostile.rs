//! Submitters who work against the portal: with what their roles may do, nothing gets past it.

use std::time::{Duration, Instant};

use domain::ports::ExecutionError;
use tokio_util::sync::CancellationToken;

use super::harness::Db;

/// A type whose values change how the server reads texts, as soon as a text with such a value is prepared.
fn flipping(schema: &str) -> String {
    format!(
        "CREATE FUNCTION {schema}.flip(v text) RETURNS boolean LANGUAGE plpgsql AS $f$ BEGIN
            PERFORM set_config('standard_conforming_strings', 'off', false);
            PERFORM set_config('default_transaction_read_only', 'off', false);
            RETURN true; END $f$;
         CREATE DOMAIN {schema}.d AS text CHECK ({schema}.flip(value));"
    )
}

#[tokio::test]
async fn a_statement_stays_one_when_code_runs_while_it_is_prepared() {
    let db = Db::new().await;
    db.run("CREATE TABLE hits (id int)").await.report();
    let sql = format!(
        r"{} SELECT '{{x}}'::pg_temp.d[] AS a, '\'' ; insert into hits values (1); commit; select 1/0; --' AS b",
        flipping("pg_temp")
    );
    let outcome = db.run(&sql).await;
    assert_eq!(outcome.rows()[0][1], r"\' ; insert into hits values (1); commit; select 1/0; --");
    assert_eq!(outcome.report().statements.len(), 3);
    assert_eq!(db.count("SELECT count(*) FROM hits").await, 0);
    // The next statement's own preparation comes under the same settings.
    let sql = format!(
        r"{} SELECT '{{x}}'::pg_temp.d[] AS a; SELECT '\', 2 AS b, '; insert into hits values (2); commit; --'",
        flipping("pg_temp")
    );
    db.run(&sql).await.report();
    assert_eq!(db.count("SELECT count(*) FROM hits").await, 0);
    db.finish().await;
}

#[tokio::test]
async fn a_read_only_target_stays_read_only_when_code_runs_while_a_statement_is_prepared() {
    let db = Db::new().await;
    db.run("CREATE TABLE hits (id int); INSERT INTO hits VALUES (1)").await.report();
    db.admin.batch_execute(&flipping("public")).await.unwrap();
    for sql in [
        r"SELECT '{x}'::d[] AS a, '\'' ; commit; begin read write; update hits set id = 2; commit; --' AS b",
        r"SELECT '{x}'::d[] AS a, '\'' ; commit; update hits set id = 2; --' AS b",
    ] {
        let outcome = db.run_read_only(sql).await;
        assert_eq!(outcome.report().statements.len(), 1);
        assert_eq!(db.count("SELECT id::bigint FROM hits").await, 1, "{sql}");
    }
    let shown = db.run_read_only("SHOW default_transaction_read_only").await;
    assert_eq!(shown.lines(), ["[\"on\"]"]);
    db.finish().await;
}

#[tokio::test]
async fn another_encoding_does_not_outlive_its_statement() {
    let db = Db::new().await;
    let outcome =
        db.run("SELECT set_config('client_encoding', 'LATIN1', false); SELECT 'é', length('é')").await;
    assert_eq!(outcome.lines()[1], "[\"é\",1]");
    db.finish().await;
}

#[tokio::test]
async fn a_session_that_listens_to_nothing_is_ended() {
    let db = Db::cold().await;
    db.run("CREATE TABLE t (id int)").await.report();
    let deaf = "SELECT set_config('client_connection_check_interval', '0', false), set_config('statement_timeout', '0', false);
        DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$";
    let started = Instant::now();
    let outcome = db.run_for(Duration::from_secs(1), &format!("LOCK TABLE t; {deaf}")).await;
    assert!(matches!(outcome.error(), ExecutionError::TimedOut), "{:?}", outcome.error());
    assert!(started.elapsed() < Duration::from_secs(20));
    let left = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND state IS DISTINCT FROM 'idle'",
        db.role
    );
    assert_eq!(db.count(&left).await, 0);
    db.admin.batch_execute("BEGIN; LOCK TABLE t NOWAIT; ROLLBACK").await.unwrap();
    db.finish().await;
}

#[tokio::test]
async fn deferred_checks_that_listen_to_nothing_are_ended() {
    let db = Db::cold().await;
    let sql = "CREATE TABLE t (id int);
        CREATE FUNCTION deaf() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            PERFORM set_config('client_connection_check_interval', '0', false);
            LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$;
        CREATE CONSTRAINT TRIGGER deaf AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION deaf()";
    db.run(sql).await.report();
    let outcome = db.run_for(Duration::from_secs(1), "INSERT INTO t VALUES (1)").await;
    assert!(matches!(outcome.error(), ExecutionError::TimedOut), "{:?}", outcome.error());
    db.admin.batch_execute("BEGIN; LOCK TABLE t NOWAIT; ROLLBACK").await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    db.finish().await;
}

#[tokio::test]
async fn a_session_that_cannot_be_ended_leaves_the_outcome_open() {
    let db = Db::cold().await;
    // The session that would end the other one is not let in.
    db.admin.batch_execute(&format!("ALTER ROLE {} CONNECTION LIMIT 1", db.role)).await.unwrap();
    let deaf = "DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$";
    // Time enough for it to be deaf before it is asked to stop, on a busy machine, too.
    let outcome = db.run_for(Duration::from_secs(3), deaf).await;
    assert!(matches!(outcome.error(), ExecutionError::OutcomeUnknown { .. }), "{:?}", outcome.error());
    db.finish().await;
}

#[tokio::test]
async fn errors_are_cut() {
    let db = Db::new().await;
    let sql = "DO $$ BEGIN RAISE EXCEPTION '%', repeat('e', 1000000)
        USING DETAIL = repeat('d', 1000000), HINT = repeat('ü', 1000000); END $$";
    let outcome = db.run(sql).await;
    let error = outcome.database_error();
    assert_eq!(error.message, format!("{}… (cut)", "e".repeat(8_192)));
    assert_eq!(error.detail, Some(format!("{}… (cut)", "d".repeat(8_192))));
    assert_eq!(error.hint, Some(format!("{}… (cut)", "ü".repeat(4_096))));
    db.finish().await;
}

#[tokio::test]
async fn columns_have_a_limit_for_all_statements_together() {
    let db = Db::new().await;
    let wide = format!("SELECT {};", vec!["1"; 1_000].join(","));
    assert_eq!(db.run(&wide.repeat(20)).await.report().statements.len(), 20);
    let outcome = db.run(&format!("CREATE TABLE t (id int); {} SELECT 1", wide.repeat(20))).await;
    let error = outcome.database_error();
    assert_eq!((error.code.as_str(), error.statement), ("54011", Some(21)));
    assert_eq!(db.count("SELECT count(*) FROM pg_class WHERE relname = 't'").await, 0);
    db.finish().await;
}

#[tokio::test]
async fn a_cancel_by_somebody_else_is_an_error() {
    let db = Db::new().await;
    db.run("CREATE TABLE t (id int)").await.report();
    let sql = format!(
        "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE usename = '{}' AND wait_event = 'PgSleep'",
        db.role
    );
    let cancel = async {
        while db.count(&sql).await == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (outcome, ()) = tokio::join!(db.run("INSERT INTO t VALUES (1); SELECT pg_sleep(60)"), cancel);
    let error = outcome.database_error();
    assert_eq!((error.code.as_str(), error.statement), ("57014", Some(1)));
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    db.finish().await;
}

#[tokio::test]
async fn a_row_beyond_the_limit_is_left_out() {
    let db = Db::new().await;
    let mut order = db.order("SELECT 1; SELECT repeat('x', 10000000), repeat('y', 10000000); SELECT 2");
    order.limits.max_bytes = 1_000;
    let outcome = db.run_order(&order, CancellationToken::new()).await;
    assert_eq!(outcome.lines(), ["[1]"]);
    let truncated: Vec<_> = outcome.report().statements.iter().map(|s| s.truncated).collect();
    assert_eq!(truncated, [false, true, true]);
    db.finish().await;
}
