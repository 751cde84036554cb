//! What statements do, report and leave behind.

use domain::ports::ExecutionError;
use domain::request::SubmissionKind;
use domain::review::Position;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::harness::Db;

#[tokio::test]
async fn several_statements_have_a_result_each() {
    let db = Db::new().await;
    let outcome = db
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, name text);
             INSERT INTO t VALUES (1, 'a'), (2, 'b') RETURNING id, name;
             UPDATE t SET name = 'c' WHERE id = 2;
             -- a comment in between
             DELETE FROM t WHERE id = 7;
             WITH d AS (DELETE FROM t WHERE id = 1 RETURNING *) SELECT * FROM d;
             SELECT id, name FROM t; SHOW search_path; EXPLAIN (COSTS OFF) SELECT 1;
             SELECT; DO $$ BEGIN NULL; END $$",
        )
        .await;
    let found: Vec<_> = outcome
        .report()
        .statements
        .iter()
        .map(|s| (s.command.as_str(), s.columns.as_ref().map(Vec::len), s.rows, s.affected))
        .collect();
    assert_eq!(
        found,
        [
            ("CREATE TABLE", None, 0, None),
            ("INSERT", Some(2), 2, Some(2)),
            ("UPDATE", None, 0, Some(1)),
            ("DELETE", None, 0, Some(0)),
            ("SELECT", Some(2), 1, Some(1)),
            ("SELECT", Some(2), 1, Some(1)),
            ("SHOW", Some(1), 1, None),
            ("EXPLAIN", Some(1), 1, None),
            ("SELECT", Some(0), 1, Some(1)),
            ("DO", None, 0, None),
        ]
    );
    let statements: Vec<u32> = outcome.chunks.iter().map(|c| c.statement).collect();
    assert_eq!(statements, [1, 4, 5, 6, 7, 8]);
    assert_eq!(outcome.rows()[..4], [json!([1, "a"]), json!([2, "b"]), json!([1, "a"]), json!([2, "c"])]);
    assert_eq!(db.count("SELECT count(*) FROM t").await, 1);
    db.finish().await;
}

#[tokio::test]
async fn a_failed_statement_takes_the_others_with_it() {
    let db = Db::new().await;
    db.admin.batch_execute("CREATE TABLE t (id int PRIMARY KEY); GRANT ALL ON t TO PUBLIC").await.unwrap();
    let text = "INSERT INTO t VALUES (1); -- grüße 😀\nSELECT 'é😀',\n  'ü' || wrong_column FROM t; SELECT 1";
    let outcome = db.run(text).await;
    let error = outcome.database_error();
    assert_eq!((error.code.as_str(), error.statement), ("42703", Some(1)));
    assert_eq!(error.severity, "ERROR");
    assert_eq!(error.position, Some(Position { line: 3, column: 10 }));
    assert!(error.message.contains("wrong_column"));
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    let outcome = db.run("INSERT INTO t VALUES (2); INSERT INTO t VALUES (2)").await;
    let error = outcome.database_error();
    assert_eq!((error.code.as_str(), error.statement, error.position), ("23505", Some(1), None));
    assert!(error.detail.as_ref().unwrap().contains("(id)=(2)"));
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    db.finish().await;
}

#[tokio::test]
async fn errors_of_syntax_and_of_values_have_a_place() {
    let db = Db::new().await;
    for (text, code, line, column) in [
        ("  SELECT 1 FROM FROM t", "42601", 1, 17),
        ("SELECT 1;\n\n   SELECT 'é' + 'x'::date", "22007", 3, 17),
        ("SELECT 1; SELECT 'äöü'::int", "22P02", 1, 18),
        ("SELECT 1; SELECT * FROM nowhere", "42P01", 1, 25),
        ("SELECT nofunction()", "42883", 1, 8),
    ] {
        let outcome = db.run(text).await;
        let error = outcome.database_error();
        assert_eq!(error.position, Some(Position { line, column }), "{text}: {error:?}");
        assert_eq!(error.code, code, "{text}");
    }
    assert_eq!(db.run("SELECT 1/0").await.database_error().code, "22012");
    let error = db.run("SELECT lenght('x')").await;
    assert!(error.database_error().hint.is_some());
    db.finish().await;
}

#[tokio::test]
async fn a_deferred_constraint_fails_the_commit() {
    let db = Db::new().await;
    db.run("CREATE TABLE t (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)").await.report();
    let outcome = db.run("INSERT INTO t VALUES (1); INSERT INTO t VALUES (1)").await;
    let error = outcome.database_error();
    assert_eq!((error.code.as_str(), error.statement), ("23505", None));
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    db.finish().await;
}

#[tokio::test]
async fn what_cannot_run_in_a_transaction_runs_alone() {
    let db = Db::new().await;
    db.run("CREATE TABLE t (id int)").await.report();
    let outcome = db.run("VACUUM (VERBOSE) t").await;
    assert_eq!(outcome.report().statements[0].command, "VACUUM");
    db.run("CREATE INDEX CONCURRENTLY i ON t (id)").await.report();
    db.run("REINDEX TABLE CONCURRENTLY t").await.report();
    db.run("DROP INDEX CONCURRENTLY i").await.report();
    let outcome = db.run("CREATE INDEX CONCURRENTLY i ON t (nothing)").await;
    assert_eq!(outcome.database_error().code, "42703");
    db.finish().await;
}

#[tokio::test]
async fn notices_are_captured_up_to_a_limit() {
    let db = Db::new().await;
    let outcome =
        db.run("DO $$ BEGIN RAISE NOTICE 'hello %', 1; RAISE WARNING 'careful'; END $$; SELECT 1").await;
    let notices = &outcome.report().notices;
    let found: Vec<_> = notices.iter().map(|n| (n.severity.as_str(), n.message.as_str())).collect();
    assert_eq!(found, [("NOTICE", "hello 1"), ("WARNING", "careful")]);
    let many = "DO $$ BEGIN FOR i IN 1..500 LOOP RAISE NOTICE '%', repeat('x', 10000); END LOOP; END $$";
    let outcome = db.run(many).await;
    let notices = &outcome.report().notices;
    assert_eq!(notices.len(), 100);
    assert!(notices.iter().all(|n| n.message.len() <= 4096));
    db.finish().await;
}

#[tokio::test]
async fn limits_leave_rows_out_and_say_so() {
    let db = Db::new().await;
    db.run("CREATE TABLE t (id int)").await.report();
    let mut order =
        db.order("INSERT INTO t SELECT generate_series(1, 10) RETURNING id; SELECT 1; SELECT 2 WHERE false");
    order.limits.max_rows = 4;
    let outcome = db.run_order(&order, CancellationToken::new()).await;
    let report = outcome.report();
    let found: Vec<_> = report.statements.iter().map(|s| (s.rows, s.affected, s.truncated)).collect();
    assert_eq!(found, [(4, Some(10), true), (0, Some(1), true), (0, Some(0), false)]);
    assert!(report.truncated());
    assert_eq!(db.count("SELECT count(*) FROM t").await, 10);

    let mut order = db.order("SELECT repeat('x', n) FROM unnest(ARRAY[10, 10, 1000, 1]) n");
    order.limits.max_bytes = 100;
    let outcome = db.run_order(&order, CancellationToken::new()).await;
    assert_eq!(outcome.lines().len(), 2);
    assert!(outcome.report().truncated());
    assert_eq!(outcome.report().statements[0].affected, Some(4));

    let mut order = db.order("SELECT generate_series(1, 4)");
    order.limits.max_rows = 4;
    assert!(!db.run_order(&order, CancellationToken::new()).await.report().truncated());
    db.finish().await;
}

#[tokio::test]
async fn many_rows_stream_in_chunks() {
    let db = Db::new().await;
    let mut order = db.order("SELECT n, 'row ' || n FROM generate_series(1, 300000) n");
    order.limits.max_rows = 1_000_000;
    let outcome = db.run_order(&order, CancellationToken::new()).await;
    assert_eq!(outcome.report().statements[0].rows, 300_000);
    assert!(outcome.chunks.len() > 50, "{}", outcome.chunks.len());
    assert!(outcome.chunks.iter().all(|c| c.ndjson.len() < 70_000 && c.ndjson.ends_with(b"\n")));
    assert_eq!(outcome.chunks.iter().map(|c| u64::from(c.rows)).sum::<u64>(), 300_000);
    assert_eq!(outcome.lines().last().unwrap(), "[300000,\"row 300000\"]");
    db.finish().await;
}

#[tokio::test]
async fn types_made_in_the_same_request_are_known() {
    let db = Db::new().await;
    let sql = "CREATE TYPE pair AS (a int, b text); SELECT ROW(1, 'x')::pair;
        ALTER TYPE pair ADD ATTRIBUTE c bool; SELECT ROW(1, 'x', true)::pair";
    let outcome = db.run(sql).await;
    assert_eq!(outcome.rows(), [json!([{"a": 1, "b": "x"}]), json!([{"a": 1, "b": "x", "c": true}])]);
    db.finish().await;
}

#[tokio::test]
async fn a_rule_may_answer_with_other_columns() {
    let db = Db::new().await;
    let sql = "CREATE TABLE t (id int);
        CREATE RULE r AS ON INSERT TO t DO ALSO SELECT 'logged'::text AS note, 1 AS n";
    db.run(sql).await.report();
    let outcome = db.run("INSERT INTO t VALUES (1)").await;
    assert_eq!(outcome.lines(), ["[\"logged\",\"1\"]"]);
    db.finish().await;
}

#[tokio::test]
async fn a_changed_string_syntax_cannot_smuggle_a_commit() {
    let db = Db::new().await;
    db.run("CREATE TABLE t (id int)").await.report();
    let sql = r"INSERT INTO t VALUES (1); SELECT set_config('standard_conforming_strings', 'off', false);
        SELECT 'a\'; SELECT ' || ''; COMMIT; --' ; SELECT 1/0";
    let outcome = db.run(sql).await;
    assert!(outcome.result.is_err());
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    db.finish().await;
}

#[tokio::test]
async fn a_script_is_not_run_as_a_query() {
    let db = Db::new().await;
    let mut order = db.order("SELECT 1");
    order.submission.kind = SubmissionKind::Script;
    let outcome = db.run_order(&order, CancellationToken::new()).await;
    assert!(matches!(outcome.error(), ExecutionError::Refused(r) if r.code == "not_a_query"));
    db.finish().await;
}

#[tokio::test]
async fn cursors_with_hold_are_not_run_to_their_end() {
    let db = Db::new().await;
    let started = std::time::Instant::now();
    db.run("DECLARE c CURSOR WITH HOLD FOR SELECT pg_sleep(60)").await.report();
    assert!(started.elapsed() < std::time::Duration::from_secs(5));
    db.finish().await;
}

#[tokio::test]
async fn types_nested_deeply_do_no_harm() {
    let db = Db::new().await;
    let make = "DO $$ BEGIN CREATE TYPE n0 AS (a int); FOR i IN 1..LEVELS LOOP
        EXECUTE format('CREATE TYPE n%s AS (a n%s, b n%s)', i, i - 1, i - 1); END LOOP; END $$";
    db.run(&make.replace("LEVELS", "20")).await.report();
    assert_eq!(db.run("SELECT NULL::n20, ROW(1)::n0").await.lines(), ["[null,{\"a\":1}]"]);
    let long = std::time::Duration::from_secs(100);
    let chain = "DO $$ BEGIN CREATE TYPE m0 AS (a int); FOR i IN 1..2000 LOOP
        EXECUTE format('CREATE TYPE m%s AS (a m%s)', i, i - 1); END LOOP; END $$";
    db.run_for(long, chain).await.report();
    let outcome = db.run_for(long, "SELECT NULL::m2000; SELECT ROW(NULL)::m2000").await;
    assert_eq!(outcome.lines(), ["[null]", "[\"()\"]"]);
    assert_eq!(outcome.report().statements[0].columns.as_ref().unwrap()[0].type_name, "m2000");
    db.finish().await;
}
