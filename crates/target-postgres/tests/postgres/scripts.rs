//! What scripts can do with their session, and what they are told when they cannot.

use std::time::Duration;

use domain::execution::{DatabaseError, ExecutionOrder};
use domain::ports::{ExecutionError, ScriptSession, ScriptTarget};
use domain::review::Position;
use domain::script::{CallAnswer, CallError, DatabaseCall, ScriptStatement};
use tokio_util::sync::CancellationToken;

use super::harness::Db;

pub(crate) type Answered = Result<CallAnswer, CallError>;

/// A session as a script has it.
pub(crate) struct Script {
    pub(crate) session: Box<dyn ScriptSession>,
}

fn statement(text: &str, parameters: &[Option<&str>], in_transaction: bool) -> ScriptStatement {
    let parameters = parameters.iter().map(|value| value.map(str::to_owned)).collect();
    ScriptStatement { text: text.to_owned(), parameters, in_transaction }
}

impl Script {
    pub(crate) async fn open(db: &Db, order: &ExecutionOrder, stop: &CancellationToken) -> Self {
        let session = ScriptTarget::open(&db.executor, order, stop.clone()).await.unwrap();
        Self { session }
    }

    pub(crate) async fn call(&mut self, call: DatabaseCall) -> Answered {
        self.session.call(call).await
    }

    pub(crate) async fn query(&mut self, sql: &str) -> Answered {
        self.with(sql, &[]).await
    }

    pub(crate) async fn with(&mut self, sql: &str, parameters: &[Option<&str>]) -> Answered {
        self.call(DatabaseCall::Query(statement(sql, parameters, false))).await
    }

    pub(crate) async fn tx(&mut self, sql: &str) -> Answered {
        self.tx_with(sql, &[]).await
    }

    pub(crate) async fn tx_with(&mut self, sql: &str, parameters: &[Option<&str>]) -> Answered {
        self.call(DatabaseCall::Query(statement(sql, parameters, true))).await
    }

    pub(crate) async fn begin(&mut self) -> Answered {
        self.call(DatabaseCall::Begin).await
    }

    pub(crate) async fn commit(&mut self) -> Answered {
        self.call(DatabaseCall::Commit).await
    }

    pub(crate) async fn rollback(&mut self) -> Answered {
        self.call(DatabaseCall::Rollback).await
    }

    pub(crate) async fn stream(&mut self, sql: &str, parameters: &[Option<&str>]) -> Answered {
        self.call(DatabaseCall::Open(statement(sql, parameters, false))).await
    }

    pub(crate) async fn tx_stream(&mut self, sql: &str, parameters: &[Option<&str>]) -> Answered {
        self.call(DatabaseCall::Open(statement(sql, parameters, true))).await
    }

    pub(crate) async fn fetch(&mut self, stream: u32, rows: u32) -> Answered {
        self.call(DatabaseCall::Fetch { stream, rows }).await
    }

    pub(crate) async fn close_stream(&mut self, stream: u32) -> Answered {
        self.call(DatabaseCall::Close { stream }).await
    }

    /// The only value of a query.
    pub(crate) async fn value(&mut self, sql: &str) -> String {
        one(&self.query(sql).await.unwrap())
    }

    pub(crate) async fn close(self) -> Result<(), ExecutionError> {
        self.session.close().await
    }
}

impl Db {
    pub(crate) async fn script(&self) -> Script {
        Script::open(self, &self.order("-"), &CancellationToken::new()).await
    }

    pub(crate) async fn script_for(&self, timeout: Duration) -> Script {
        let mut order = self.order("-");
        order.limits.timeout = timeout;
        Script::open(self, &order, &CancellationToken::new()).await
    }

    pub(crate) async fn read_only_script(&self) -> Script {
        let order = ExecutionOrder { read_only: true, ..self.order("-") };
        Script::open(self, &order, &CancellationToken::new()).await
    }
}

pub(crate) fn lines(answer: &CallAnswer) -> Vec<&str> {
    let text = std::str::from_utf8(&answer.ndjson).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), answer.rows as usize);
    lines
}

/// The only line of an answer with one row.
pub(crate) fn one(answer: &CallAnswer) -> String {
    let lines = lines(answer);
    assert_eq!(lines.len(), 1);
    lines[0].to_owned()
}

/// The code of a refusal.
pub(crate) fn refusal(answered: Answered) -> String {
    match answered {
        Err(CallError::Refused(refusal)) => refusal.code,
        other => panic!("{other:?}"),
    }
}

/// What the server said.
pub(crate) fn failure(answered: Answered) -> DatabaseError {
    match answered {
        Err(CallError::Database(error)) => error,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn ended(answered: Answered) -> ExecutionError {
    match answered {
        Err(CallError::Ended(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_call_takes_effect_by_itself_and_tells_what_it_did() {
    let db = Db::new().await;
    let mut script = db.script().await;
    let made = script.query("CREATE TABLE t (id int, note text)").await.unwrap();
    assert_eq!((made.command.as_str(), made.affected, made.rows, made.done), ("CREATE TABLE", None, 0, true));
    let inserted = script.query("INSERT INTO t VALUES (1, 'a'), (2, NULL)").await.unwrap();
    assert_eq!((inserted.command.as_str(), inserted.affected), ("INSERT", Some(2)));
    assert!(inserted.columns.is_empty());
    assert_eq!(db.count("SELECT count(*) FROM t").await, 2);
    let read = script.query("SELECT * FROM t ORDER BY id; ").await.unwrap();
    assert_eq!(lines(&read), ["[1,\"a\"]", "[2,null]"]);
    assert_eq!((read.command.as_str(), read.affected), ("SELECT", Some(2)));
    let columns: Vec<_> = read.columns.iter().map(|c| (c.name.as_str(), c.type_name.as_str())).collect();
    assert_eq!(columns, [("id", "int4"), ("note", "text")]);
    let none = script.query("SELECT id FROM t WHERE false").await.unwrap();
    assert_eq!((none.rows, none.columns.len()), (0, 1));
    script.close().await.unwrap();
    db.finish().await;
}

#[tokio::test]
async fn a_call_that_fails_leaves_nothing_and_the_script_goes_on() {
    let db = Db::new().await;
    let mut script = db.script().await;
    script.query("CREATE TABLE t (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)").await.unwrap();
    assert_eq!(
        failure(script.query("INSERT INTO t SELECT 1 / (3 - n) FROM generate_series(1, 9) n").await).code,
        "22012"
    );
    // What is only found out at the end is found out for this call.
    assert_eq!(failure(script.query("INSERT INTO t VALUES (7), (7)").await).code, "23505");
    let error = failure(script.query("SELECT é,\n  nothing FROM t").await);
    assert_eq!((error.code.as_str(), error.statement), ("42703", None));
    assert_eq!(error.position, Some(Position { line: 1, column: 8 }));
    assert_eq!(script.value("SELECT count(*)::int FROM t").await, "[0]");
    script.close().await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    db.finish().await;
}

#[tokio::test]
async fn a_transaction_is_kept_as_a_whole_or_not_at_all() {
    let db = Db::new().await;
    let mut script = db.script().await;
    script.query("CREATE TABLE t (id int)").await.unwrap();
    assert_eq!(script.begin().await.unwrap().command, "BEGIN");
    script.tx("INSERT INTO t VALUES (1)").await.unwrap();
    script.tx_with("INSERT INTO t VALUES ($1)", &[Some("2")]).await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    assert_eq!(script.commit().await.unwrap().command, "COMMIT");
    assert_eq!(db.count("SELECT count(*) FROM t").await, 2);
    script.begin().await.unwrap();
    script.tx("DELETE FROM t").await.unwrap();
    assert_eq!(script.rollback().await.unwrap().command, "ROLLBACK");
    assert_eq!(db.count("SELECT count(*) FROM t").await, 2);
    // What is open when the session ends is undone.
    script.begin().await.unwrap();
    script.tx("DELETE FROM t").await.unwrap();
    script.close().await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM t").await, 2);
    db.finish().await;
}

#[tokio::test]
async fn nothing_but_a_rollback_comes_after_an_error_in_a_transaction() {
    let db = Db::new().await;
    let mut script = db.script().await;
    script.query("CREATE TABLE t (id int)").await.unwrap();
    for fail in ["SELECT 1/0", "INSERT INTO t VALUES ('x')", "SELECT nothing"] {
        script.begin().await.unwrap();
        script.tx("INSERT INTO t VALUES (1)").await.unwrap();
        failure(script.tx(fail).await);
        assert_eq!(refusal(script.tx("SELECT 1").await), "transaction_failed");
        assert_eq!(refusal(script.tx_stream("SELECT 1", &[]).await), "transaction_failed");
        assert_eq!(refusal(script.commit().await), "transaction_failed");
        assert_eq!(refusal(script.query("SELECT 1").await), "transaction_open");
        assert_eq!(refusal(script.begin().await), "transaction_open");
        script.rollback().await.unwrap();
        assert_eq!(refusal(script.rollback().await), "no_transaction");
    }
    script.begin().await.unwrap();
    failure(script.tx_with("INSERT INTO t VALUES (1 / $1)", &[Some("0")]).await);
    assert_eq!(refusal(script.commit().await), "transaction_failed");
    script.rollback().await.unwrap();
    assert_eq!(script.value("SELECT count(*)::int FROM t").await, "[0]");
    script.close().await.unwrap();
    db.finish().await;
}

#[tokio::test]
async fn a_commit_that_fails_ends_the_transaction_without_effect() {
    let db = Db::new().await;
    let mut script = db.script().await;
    script.query("CREATE TABLE t (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)").await.unwrap();
    script.begin().await.unwrap();
    script.tx("INSERT INTO t VALUES (1), (1)").await.unwrap();
    assert_eq!(failure(script.commit().await).code, "23505");
    assert_eq!(refusal(script.commit().await), "no_transaction");
    script.query("INSERT INTO t VALUES (2)").await.unwrap();
    script.close().await.unwrap();
    assert_eq!(db.count("SELECT sum(id) FROM t").await, 2);
    db.finish().await;
}

#[tokio::test]
async fn calls_out_of_place_are_refused_and_change_nothing() {
    let db = Db::new().await;
    let mut script = db.script().await;
    script.query("CREATE TABLE t (id int)").await.unwrap();
    for answered in [
        script.tx("SELECT 1").await,
        script.tx_stream("SELECT 1", &[]).await,
        script.commit().await,
        script.rollback().await,
    ] {
        assert_eq!(refusal(answered), "no_transaction");
    }
    script.begin().await.unwrap();
    script.tx("INSERT INTO t VALUES (1)").await.unwrap();
    for answered in
        [script.query("SELECT 1").await, script.stream("SELECT 1", &[]).await, script.begin().await]
    {
        assert_eq!(refusal(answered), "transaction_open");
    }
    for (sql, code) in REFUSED {
        assert_eq!(refusal(script.tx(sql).await), *code, "{sql}");
    }
    assert_eq!(refusal(script.tx_with("SELECT $1::int", &[]).await), "parameter_count");
    script.commit().await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM t").await, 1);
    for (sql, code) in REFUSED {
        assert_eq!(refusal(script.query(sql).await), *code, "{sql}");
        refusal(script.stream(sql, &[]).await);
    }
    assert_eq!(script.value("SELECT 1").await, "[1]");
    script.close().await.unwrap();
    db.finish().await;
}

/// Statements that never reach the server.
const REFUSED: &[(&str, &str)] = &[
    ("", "no_statement"),
    (" -- nothing\n;", "no_statement"),
    ("SELECT 1; SELECT 2", "several_statements"),
    ("SELECT 1; VACUUM t", "must_run_alone"),
    ("VACUUM t", "runs_alone"),
    ("CREATE INDEX CONCURRENTLY ON t (id)", "runs_alone"),
    ("CREATE DATABASE x", "runs_alone"),
    ("SELECT '\0'", "statement_with_nul"),
    ("BEGIN", "transaction_control"),
    ("start transaction read write", "transaction_control"),
    ("COMMIT", "transaction_control"),
    ("/* x */ commit and chain", "transaction_control"),
    ("END", "transaction_control"),
    ("ABORT", "transaction_control"),
    ("ROLLBACK", "transaction_control"),
    ("ROLLBACK TO SAVEPOINT a", "transaction_control"),
    ("SAVEPOINT a", "transaction_control"),
    ("RELEASE a", "transaction_control"),
    ("PREPARE TRANSACTION 'x'", "transaction_control"),
    ("COMMIT PREPARED 'x'", "transaction_control"),
    ("SELECT 1; COMMIT", "transaction_control"),
    ("PREPARE p AS SELECT 1", "prepared_statement"),
    ("EXECUTE query_portal_1", "prepared_statement"),
    ("DEALLOCATE ALL", "prepared_statement"),
    ("COPY t TO STDOUT", "copy_unsupported"),
    ("LISTEN x", "listen_unsupported"),
    ("DISCARD ALL", "discard_refused"),
    ("ALTER SYSTEM SET work_mem = '1MB'", "alter_system"),
];

#[tokio::test]
async fn what_is_refused_for_scripts_says_what_to_do_instead() {
    let db = Db::new().await;
    let mut script = db.script().await;
    let Err(CallError::Refused(refused)) = script.query("\n  COMMIT").await else { panic!("it ran") };
    assert!(refused.message.contains("db.transaction"), "{}", refused.message);
    assert_eq!(refused.position, Some(Position { line: 2, column: 3 }));
    let long = format!("SELECT '{}'", "x".repeat(2 * 1024 * 1024));
    assert_eq!(refusal(script.query(&long).await), "statement_too_long");
    script.close().await.unwrap();
    db.finish().await;
}

#[tokio::test]
async fn what_a_statement_leaves_in_the_session_lasts_as_long_as_the_script() {
    let db = Db::new().await;
    let mut script = db.script().await;
    script.query("SET search_path = pg_temp, public").await.unwrap();
    script.query("CREATE TEMP TABLE mine AS SELECT 5 AS n").await.unwrap();
    assert_eq!(script.value("SELECT n FROM mine").await, "[5]");
    script.close().await.unwrap();
    let mut script = db.script().await;
    assert_eq!(failure(script.query("SELECT n FROM mine").await).code, "42P01");
    script.close().await.unwrap();
    db.finish().await;
}

#[tokio::test]
async fn numbers_that_javascript_would_round_are_strings() {
    let db = Db::new().await;
    let mut script = db.script().await;
    script.query("CREATE DOMAIN exact AS numeric(30, 10)").await.unwrap();
    script.query("CREATE TYPE pair AS (a int8, b int4, c exact, d numeric[])").await.unwrap();
    let sql = "SELECT 9007199254740993::int8, -1.10::numeric, 'NaN'::numeric, 7::int2, 8::int4, 0.1::float8, 'Infinity'::float8,
        '{9007199254740993,NULL}'::int8[], '[1,3)'::int8range, 12.5::exact, '{1.50}'::exact[],
        ROW(9007199254740993, 2, 3, '{4.0}')::pair, ARRAY[ROW(1, 2, 3, NULL)::pair], '{\"n\":9007199254740993}'::jsonb,
        '12.50'::money, 5::oid";
    let expected = concat!(
        r#"["9007199254740993","-1.10","NaN",7,8,0.1,"Infinity","#,
        r#"["9007199254740993",null],"[1,3)","12.5000000000",["1.5000000000"],"#,
        r#"{"a":"9007199254740993","b":2,"c":"3.0000000000","d":["4.0"]},"#,
        r#"[{"a":"1","b":2,"c":"3.0000000000","d":null}],{"n": 9007199254740993},"$12.50","5"]"#
    );
    assert_eq!(script.value(sql).await, expected);
    // A query of the same executor gives numbers.
    assert_eq!(
        db.run("SELECT 9007199254740993::int8, 1.10::numeric").await.lines(),
        ["[9007199254740993,1.10]"]
    );
    script.close().await.unwrap();
    db.finish().await;
}

#[tokio::test]
async fn an_answer_that_is_too_large_leaves_nothing() {
    let db = Db::new().await;
    let mut order = db.order("-");
    order.limits.max_rows = 1_000;
    let mut script = Script::open(&db, &order, &CancellationToken::new()).await;
    script.query("CREATE TABLE t (id int)").await.unwrap();
    let inserting = "INSERT INTO t SELECT generate_series(1, 1001) RETURNING id";
    assert_eq!(refusal(script.query(inserting).await), "answer_too_large");
    assert_eq!(script.value("SELECT count(*)::int FROM t").await, "[0]");
    let most = script.query("SELECT generate_series(1, 1000)").await.unwrap();
    assert_eq!(most.rows, 1_000);
    // The statement is not run to its end.
    for _ in 0..20 {
        let endless = script.query("SELECT generate_series(1, 100000000000)").await;
        assert_eq!(refusal(endless), "answer_too_large");
        assert_eq!(script.value("SELECT 1").await, "[1]");
    }
    for sql in ["SELECT repeat('x', 17000000)", "SELECT repeat('x', 1000000) FROM generate_series(1, 20)"] {
        assert_eq!(refusal(script.query(sql).await), "answer_too_large");
    }
    let parameters = script.with("SELECT generate_series(1, $1::int8)", &[Some("100000000000")]).await;
    assert_eq!(refusal(parameters), "answer_too_large");
    script.begin().await.unwrap();
    script.tx("INSERT INTO t VALUES (1)").await.unwrap();
    assert_eq!(refusal(script.tx("SELECT generate_series(1, 1001)").await), "answer_too_large");
    assert_eq!(refusal(script.commit().await), "transaction_failed");
    script.rollback().await.unwrap();
    script.close().await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    db.finish().await;
}

#[tokio::test]
async fn thousands_of_calls_leave_nothing_behind_on_the_server() {
    let db = Db::new().await;
    let mut script = db.script_for(Duration::from_mins(2)).await;
    script.query("CREATE TABLE t (id int)").await.unwrap();
    for n in 0..1_000 {
        script.with("INSERT INTO t VALUES ($1)", &[Some(&n.to_string())]).await.unwrap();
        if n % 10 == 0 {
            failure(script.with("SELECT 1 / $1::int", &[Some("0")]).await);
            failure(script.with("SELECT $1::int", &[Some("x")]).await);
            refusal(script.with("SELECT $1::int", &[]).await);
        }
    }
    script.begin().await.unwrap();
    for n in 0..1_000 {
        script.tx_with("UPDATE t SET id = id WHERE id = $1", &[Some(&n.to_string())]).await.unwrap();
    }
    let notices = "DO $$ BEGIN FOR i IN 1..100 LOOP RAISE NOTICE '%', repeat('x', 10000); END LOOP; END $$";
    script.tx(notices).await.unwrap();
    script.commit().await.unwrap();
    let left =
        "SELECT (SELECT count(*) FROM pg_prepared_statements)::int, (SELECT count(*) FROM pg_cursors)::int";
    assert_eq!(script.value(left).await, "[0,0]");
    assert_eq!(script.value("SELECT count(*)::int FROM t").await, "[1000]");
    script.close().await.unwrap();
    db.finish().await;
}
