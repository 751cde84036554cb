//! How the sessions of scripts end early: deadlines, cancels, broken connections.

use std::time::{Duration, Instant};

use domain::execution::ExecutionOrder;
use domain::ports::{ExecutionError, ScriptTarget};
use domain::script::DatabaseCall;
use tokio_util::sync::CancellationToken;

use super::harness::Db;
use super::scripts::{Script, ended, failure, one};

const SHORT: Duration = Duration::from_millis(700);

impl Db {
    /// Sessions of the role that do something.
    async fn busy(&self) -> i64 {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND state <> 'idle' AND application_name LIKE 'query-portal/%'";
        self.count(&sql.replace("{}", &self.role)).await
    }
}

#[tokio::test]
async fn the_deadline_ends_a_statement_and_leaves_nothing() {
    let db = Db::cold().await;
    db.run("CREATE TABLE t (id int)").await.report();
    for explicit in [false, true] {
        let mut script = db.script_for(SHORT).await;
        let started = Instant::now();
        let answered = if explicit {
            script.begin().await.unwrap();
            script.tx("INSERT INTO t VALUES (1)").await.unwrap();
            script.tx("SELECT pg_sleep(60)").await
        } else {
            script.query("INSERT INTO t SELECT 1 FROM pg_sleep(60)").await
        };
        assert!(matches!(ended(answered), ExecutionError::TimedOut));
        assert!(started.elapsed() < Duration::from_secs(4));
        assert_eq!(db.busy().await, 0);
        for answered in [script.query("SELECT 1").await, script.tx("SELECT 1").await, script.commit().await] {
            assert!(matches!(ended(answered), ExecutionError::TimedOut));
        }
        script.close().await.unwrap();
        assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    }
    db.finish().await;
}

#[tokio::test]
async fn the_deadline_holds_for_all_calls_together_and_between_them() {
    let db = Db::cold().await;
    db.run("CREATE TABLE t (id int)").await.report();
    let mut script = db.script_for(SHORT).await;
    let mut answered = script.query("SELECT pg_sleep(0.2)").await;
    for _ in 0..5 {
        if answered.is_ok() {
            answered = script.with("SELECT pg_sleep($1)", &[Some("0.2")]).await;
        }
    }
    assert!(matches!(ended(answered), ExecutionError::TimedOut));
    script.close().await.unwrap();
    let mut script = db.script_for(SHORT).await;
    script.begin().await.unwrap();
    script.tx("INSERT INTO t VALUES (1)").await.unwrap();
    tokio::time::sleep(SHORT).await;
    assert!(matches!(ended(script.commit().await), ExecutionError::TimedOut));
    assert_eq!(db.busy().await, 0);
    db.admin.batch_execute("BEGIN; LOCK TABLE t NOWAIT; ROLLBACK").await.unwrap();
    script.close().await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    db.finish().await;
}

#[tokio::test]
async fn the_deadline_ends_endless_rows_deferred_checks_and_the_deaf() {
    let db = Db::cold().await;
    let sql = "CREATE TABLE t (id int);
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION slow()";
    db.run(sql).await.report();
    let deaf = "DO $$ BEGIN PERFORM set_config('client_connection_check_interval', '0', false);
        LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$";
    for sql in ["INSERT INTO t VALUES (1)", deaf] {
        let mut script = db.script_for(SHORT).await;
        script.query("SELECT set_config('statement_timeout', '0', false)").await.unwrap();
        let started = Instant::now();
        assert!(matches!(ended(script.query(sql).await), ExecutionError::TimedOut), "{sql}");
        assert!(started.elapsed() < Duration::from_secs(15));
        assert_eq!(db.busy().await, 0);
        script.close().await.unwrap();
    }
    let mut script = db.script_for(SHORT).await;
    let stream =
        script.stream("SELECT pg_sleep(n / 10.0) FROM generate_series(1, 1000) n", &[]).await.unwrap();
    let fetched = script.fetch(stream.stream.unwrap(), 1_000).await;
    assert!(matches!(ended(fetched), ExecutionError::TimedOut));
    script.close().await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    db.finish().await;
}

#[tokio::test]
async fn a_stop_ends_a_statement_and_leaves_nothing() {
    let db = Db::cold().await;
    db.run("CREATE TABLE t (id int)").await.report();
    for sql in
        ["INSERT INTO t SELECT 1 FROM pg_sleep(60)", "SELECT count(*) FROM generate_series(1, 100000000000)"]
    {
        let stop = CancellationToken::new();
        let mut script = Script::open(&db, &db.order("-"), &stop).await;
        script.query("SELECT 1").await.unwrap();
        let started = Instant::now();
        let stopping = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            stop.cancel();
        };
        let (answered, ()) = tokio::join!(script.query(sql), stopping);
        assert!(matches!(ended(answered), ExecutionError::Cancelled));
        assert!(started.elapsed() < Duration::from_secs(4));
        assert_eq!(db.busy().await, 0);
        assert!(matches!(ended(script.query("SELECT 1").await), ExecutionError::Cancelled));
        script.close().await.unwrap();
    }
    let stop = CancellationToken::new();
    let mut script = Script::open(&db, &db.order("-"), &stop).await;
    script.begin().await.unwrap();
    script.tx("INSERT INTO t VALUES (1)").await.unwrap();
    stop.cancel();
    assert!(matches!(ended(script.commit().await), ExecutionError::Cancelled));
    script.close().await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    db.finish().await;
}

#[tokio::test]
async fn a_stop_beforehand_opens_nothing() {
    let db = Db::cold().await;
    let stop = CancellationToken::new();
    stop.cancel();
    let opened = ScriptTarget::open(&db.executor, &db.order("-"), stop).await;
    assert!(matches!(opened.err(), Some(ExecutionError::Cancelled)));
    assert_eq!(db.sessions().await, 0);
    db.finish().await;
}

#[tokio::test]
async fn a_login_that_is_not_let_in_or_may_do_too_much_gets_no_session() {
    let db = Db::cold().await;
    let mut order = db.order("-");
    order.credentials.password = "wrong".into();
    let opened = ScriptTarget::open(&db.executor, &order, CancellationToken::new()).await;
    assert!(matches!(opened.err(), Some(ExecutionError::CredentialsRejected { .. })));
    db.admin.batch_execute(&format!("GRANT pg_read_server_files TO {}", db.role)).await.unwrap();
    let opened = ScriptTarget::open(&db.executor, &db.order("-"), CancellationToken::new()).await;
    assert!(matches!(opened.err(), Some(ExecutionError::RoleNotAllowed { .. })));
    db.finish().await;
}

#[tokio::test]
async fn a_session_that_is_killed_ends_the_script() {
    let db = Db::cold().await;
    db.run("CREATE TABLE t (id int)").await.report();
    let mut script = db.script().await;
    let killed = script.query("INSERT INTO t SELECT 1 FROM pg_sleep(60)");
    let (answered, ()) = tokio::join!(killed, db.kill_when("PgSleep"));
    assert!(matches!(ended(answered), ExecutionError::Database(error) if error.code == "57P01"));
    assert!(matches!(ended(script.query("SELECT 1").await), ExecutionError::Database(_)));
    script.close().await.unwrap();
    // Between two calls of a transaction.
    let mut script = db.script().await;
    script.begin().await.unwrap();
    script.tx("INSERT INTO t VALUES (1)").await.unwrap();
    db.kill_when("ClientRead").await;
    let answered = ended(script.commit().await);
    assert!(
        matches!(&answered, ExecutionError::Unavailable { .. })
            || matches!(&answered, ExecutionError::Database(error) if error.code == "57P01"),
        "{answered:?}"
    );
    script.close().await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    db.finish().await;
}

#[tokio::test]
async fn a_session_that_is_killed_during_the_commit_leaves_the_outcome_open() {
    let db = Db::cold().await;
    db.slow_commit(60).await;
    let mut script = db.script().await;
    let (answered, ()) = tokio::join!(script.query("INSERT INTO first VALUES (1)"), db.kill_when("PgSleep"));
    assert!(matches!(ended(answered), ExecutionError::OutcomeUnknown { .. }));
    script.close().await.unwrap();
    let mut script = db.script().await;
    script.begin().await.unwrap();
    script.tx("INSERT INTO first VALUES (1)").await.unwrap();
    let (answered, ()) = tokio::join!(script.commit(), db.kill_when("PgSleep"));
    assert!(matches!(ended(answered), ExecutionError::OutcomeUnknown { .. }));
    assert!(matches!(ended(script.begin().await), ExecutionError::OutcomeUnknown { .. }));
    script.close().await.unwrap();
    db.finish().await;
}

#[tokio::test]
async fn a_stop_during_a_slow_commit_loses() {
    let db = Db::cold().await;
    db.slow_commit(1).await;
    let stop = CancellationToken::new();
    let mut script = Script::open(&db, &db.order("-"), &stop).await;
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        stop.cancel();
    };
    let (answered, ()) = tokio::join!(script.query("INSERT INTO first VALUES (1)"), stopping);
    assert_eq!(answered.unwrap().affected, Some(1));
    assert!(matches!(ended(script.query("SELECT 1").await), ExecutionError::Cancelled));
    script.close().await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM t").await, 1);
    db.finish().await;
}

#[tokio::test]
async fn a_session_that_is_dropped_leaves_nothing() {
    let db = Db::cold().await;
    db.run("CREATE TABLE t (id int)").await.report();
    let mut script = db.script().await;
    script.begin().await.unwrap();
    script.tx("INSERT INTO t VALUES (1)").await.unwrap();
    drop(script);
    let mut script = db.script().await;
    let call = script.query("INSERT INTO t SELECT 1 FROM pg_sleep(60)");
    assert!(tokio::time::timeout(Duration::from_millis(300), call).await.is_err());
    drop(script);
    let deadline = Instant::now() + Duration::from_secs(5);
    while db.sessions().await > 0 {
        assert!(Instant::now() < deadline, "a session is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    db.finish().await;
}

#[tokio::test]
async fn a_call_that_was_given_up_is_the_last_one() {
    let db = Db::cold().await;
    let mut script = db.script().await;
    let call = script.query("SELECT pg_sleep(60)");
    assert!(tokio::time::timeout(Duration::from_millis(300), call).await.is_err());
    assert!(matches!(ended(script.query("SELECT 1").await), ExecutionError::OutcomeUnknown { .. }));
    assert_eq!(db.busy().await, 1);
    script.close().await.unwrap();
    assert_eq!(db.busy().await, 0);
    db.finish().await;
}

#[tokio::test]
async fn a_row_that_is_longer_than_any_message_may_be_ends_the_script() {
    let db = Db::cold().await;
    db.run("CREATE TABLE t (id int)").await.report();
    let mut script = db.script().await;
    script.query("INSERT INTO t VALUES (1)").await.unwrap();
    let answered = script.query("INSERT INTO t VALUES (2) RETURNING repeat('x', 40000000)").await;
    assert!(matches!(ended(answered), ExecutionError::Database(error)
        if error.code == "54000" && error.statement.is_none()));
    script.close().await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM t").await, 1);
    db.finish().await;
}

#[tokio::test]
async fn a_cancel_by_somebody_else_is_an_error_of_its_call_only() {
    let db = Db::cold().await;
    let mut script = db.script().await;
    let sql = format!(
        "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE usename = '{}' AND wait_event = 'PgSleep'",
        db.role
    );
    let cancel = async {
        while db.count(&sql).await == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (answered, ()) = tokio::join!(script.query("SELECT pg_sleep(60)"), cancel);
    assert_eq!(failure(answered).code, "57014");
    assert_eq!(script.value("SELECT 1").await, "[1]");
    script.close().await.unwrap();
    db.finish().await;
}

#[tokio::test]
async fn a_session_that_was_kept_ready_serves_a_script_and_no_other() {
    let db = Db::new().await;
    let mut script = db.script().await;
    script.query("SELECT set_config('my.secret', 'x', false)").await.unwrap();
    let first = script.value("SELECT pg_backend_pid()").await;
    script.close().await.unwrap();
    for _ in 0..3 {
        let order = ExecutionOrder { read_only: true, ..db.order("-") };
        let mut script = Script::open(&db, &order, &CancellationToken::new()).await;
        let answer = script.query("SELECT pg_backend_pid()").await.unwrap();
        assert_ne!(one(&answer), first);
        assert_eq!(script.value("SELECT current_setting('my.secret', true)").await, "[null]");
        script.call(DatabaseCall::Begin).await.unwrap();
        script.close().await.unwrap();
    }
    db.finish().await;
}
