//! What each kind of statement gives its requester.

use super::harness::Db;
use super::told::told;

const SET_UP: &str = "
    CREATE TABLE t (id int PRIMARY KEY, name text);
    CREATE PROCEDURE pay(INOUT amount int) LANGUAGE plpgsql AS $$ BEGIN amount := amount * 2; END $$;
    CREATE PROCEDURE quiet() LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'in the procedure'; END $$";

const STATEMENTS: &[&str] = &[
    // Rows written and read.
    "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, NULL) RETURNING id, name",
    "INSERT INTO t SELECT n FROM generate_series(4, 6) n",
    "INSERT INTO t VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = excluded.name || '!' RETURNING *",
    "WITH u AS (UPDATE t SET name = 'u' WHERE id > 4 RETURNING id) SELECT count(*), max(id) FROM u",
    "WITH d AS (SELECT 6 AS id) DELETE FROM t USING d WHERE t.id = d.id",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT * FROM r",
    "MERGE INTO t USING (VALUES (1, 'm'), (9, 'n')) AS v(id, name) ON t.id = v.id
        WHEN MATCHED THEN UPDATE SET name = v.name WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.name)",
    "TABLE t",
    "VALUES (1, 'a'), (2, NULL)",
    "(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1 DESC",
    "SELECT; SELECT FROM t",
    "SELECT 1 AS a, 2 AS a, 3 AS \"A\", 4, 5, 'x' AS \"odd \"\"name\"\"\"",
    "SELECT 1 WHERE false",
    "SELECT a.*, b.id FROM t a JOIN t b USING (id) WHERE id = 1",
    "TRUNCATE t; TABLE t",
    // Several at once, and what stands between them.
    "SELECT 1; SELECT 2;; ; SELECT 3;",
    "SELECT 1; -- the end",
    "/* a /* nested; */ comment; */ SELECT 1 /* ; */ -- ;",
    "-- only a comment",
    "/* only ; a comment */ ;",
    " ;; ",
    // Strings.
    "SELECT ';', 'it''s; so', $$;$$, $a$ $$ ; $b$ $a$, E';\\'', B'1', X'1F', U&'d\\0061t\\+000061', N'n'",
    "SELECT U&'d!0061t!!' UESCAPE '!', U&\"c\\006fl\" FROM (SELECT 1 AS col) AS x",
    "SELECT U&\"c#006fl\" UESCAPE '#' FROM (SELECT 1 AS col) AS x",
    "SELECT 'a\\', '; SELECT 2; --'",
    "SELECT E'a\\'; SELECT 2; --'",
    "SELECT 'one'\n' string', E'two\\n'\n-- between\n'\\x41'",
    "SELECT 1--2\n + 1, 5 /*;*/ - /* - */ 3",
    "SELECT '😀', 'é' AS ü, U&'\\+01F600'",
    // Code.
    "CREATE FUNCTION f(a int) RETURNS int LANGUAGE plpgsql AS $f$ BEGIN a := a + 1; RETURN a; /* $$ ; $$ */ END; $f$; SELECT f(1)",
    "CREATE FUNCTION g() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END; SELECT g()",
    "CALL pay(21)",
    "CALL quiet(); DO $$ BEGIN RAISE WARNING 'in the block; %', 1; END $$",
    "DO LANGUAGE plpgsql 'BEGIN NULL; END'",
    // What the server says about itself and about statements.
    "SHOW search_path; SHOW DateStyle; SHOW transaction_isolation",
    "EXPLAIN (COSTS OFF) SELECT * FROM t",
    "EXPLAIN (COSTS OFF) INSERT INTO t VALUES (2); TABLE t",
    "EXPLAIN (COSTS OFF) CREATE TABLE u AS SELECT 1",
    // What lasts for the request.
    "SET TIME ZONE 'Asia/Kolkata'; SELECT '2024-01-01 00:00:00+00'::timestamptz",
    "SET LOCAL work_mem = '5MB'; SHOW work_mem; RESET work_mem",
    "SET app.name = 'x'; SELECT current_setting('app.name')",
    "SHOW work_mem; SELECT current_setting('app.name', true)",
    "CREATE TEMP TABLE x (id int) ON COMMIT DROP; INSERT INTO x VALUES (1), (2); SELECT sum(id) FROM x",
    "DECLARE c SCROLL CURSOR FOR SELECT generate_series(1, 6); FETCH 2 FROM c; MOVE 1 FROM c; FETCH ALL FROM c;
        FETCH BACKWARD 1 FROM c; FETCH FIRST FROM c; CLOSE c",
    "INSERT INTO t VALUES (1); DECLARE c CURSOR FOR SELECT * FROM t FOR UPDATE; FETCH c; UPDATE t SET name = 'c' WHERE CURRENT OF c; TABLE t",
    // Objects.
    "CREATE TABLE u AS SELECT 1 AS a; ALTER TABLE u ADD b text DEFAULT 'x'; COMMENT ON TABLE u IS 'c'; TABLE u; DROP TABLE u",
    "CREATE VIEW v AS SELECT 1 AS a; SELECT * FROM v; DROP VIEW v; DROP TABLE IF EXISTS nowhere",
    "CREATE MATERIALIZED VIEW m AS SELECT 1 AS a; REFRESH MATERIALIZED VIEW m; DROP MATERIALIZED VIEW m",
    "SELECT 1 AS a INTO u; LOCK TABLE u; GRANT SELECT ON u TO PUBLIC; ANALYZE u; DROP TABLE u",
    "CREATE SCHEMA s CREATE TABLE x (id int) CREATE VIEW y AS SELECT 1; DROP SCHEMA s CASCADE",
    "CREATE RULE r AS ON INSERT TO t DO ALSO (NOTIFY c; SELECT 1); DROP RULE r ON t; NOTIFY c, 'x'",
    // What runs alone.
    "VACUUM t",
    "VACUUM t; SELECT 1",
    "CREATE INDEX CONCURRENTLY i ON t (name)",
    "REINDEX (VERBOSE) INDEX CONCURRENTLY i",
    "DROP INDEX CONCURRENTLY i",
    // What goes wrong.
    "SELECT 1; SELECT 1/0; SELECT 2",
    "SELECT $1",
    "SELECT nothing FROM nowhere",
    "SELEC 1",
    "SELECT 'no end",
    "SELECT $$ no end",
    "SELECT 1 /* no end",
    "SELECT 1; /* no end; DROP TABLE t",
    "SELECT 1 FROM",
    "INSERT INTO t VALUES (7); INSERT INTO t VALUES (7)",
];

#[tokio::test]
async fn what_each_statement_gets() {
    let db = Db::new().await;
    db.run(SET_UP).await.report();
    let mut all = String::new();
    for sql in STATEMENTS {
        all.push_str(&told(sql, &db.run(sql).await));
    }
    insta::assert_snapshot!(
        "what_each_statement_gets",
        all.replace(&db.role, "ROLE").replace(&db.name, "DATABASE")
    );
    db.finish().await;
}

#[tokio::test]
async fn a_statement_of_a_megabyte_runs() {
    let db = Db::new().await;
    db.run("CREATE TABLE t (id int, name text)").await.report();
    let rows: Vec<String> = (0..50_000).map(|n| format!("({n}, 'name; {n}')")).collect();
    let sql = format!("INSERT INTO t VALUES {}; SELECT '{}'", rows.join(","), "ü".repeat(100_000));
    assert!(sql.len() > 1_048_576);
    let outcome = db.run(&sql).await;
    assert_eq!(outcome.report().statements[0].affected, Some(50_000));
    assert_eq!(outcome.lines(), [format!("[\"{}\"]", "ü".repeat(100_000))]);
    assert_eq!(db.count("SELECT count(DISTINCT name) FROM t").await, 50_000);
    db.finish().await;
}

#[tokio::test]
async fn plans_come_in_every_format() {
    let db = Db::new().await;
    db.run("CREATE TABLE t (id int)").await.report();
    let explain = async |options: &str, sql: &str| {
        let outcome = db.run(&format!("EXPLAIN ({options}) {sql}")).await;
        let columns = outcome.report().statements[0].columns.clone().unwrap();
        (columns[0].type_name.clone(), outcome.rows())
    };
    let (ty, rows) = explain("FORMAT TEXT", "SELECT * FROM t").await;
    assert_eq!(ty, "text");
    assert!(rows[0][0].as_str().unwrap().starts_with("Seq Scan on t  (cost="), "{rows:?}");
    let (ty, rows) = explain("FORMAT JSON", "SELECT * FROM t").await;
    assert_eq!((ty.as_str(), &rows[0][0][0]["Plan"]["Node Type"]), ("json", &"Seq Scan".into()));
    let (ty, rows) = explain("FORMAT XML", "SELECT * FROM t").await;
    assert_eq!(ty, "xml");
    assert!(rows[0][0].as_str().unwrap().starts_with("<explain xmlns="), "{rows:?}");
    let (ty, rows) = explain("FORMAT YAML", "SELECT * FROM t").await;
    assert_eq!(ty, "text");
    assert!(rows[0][0].as_str().unwrap().starts_with("- Plan: \n    Node Type: \"Seq Scan\""), "{rows:?}");
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    let (_, rows) = explain("ANALYZE, FORMAT JSON", "INSERT INTO t SELECT generate_series(1, 3)").await;
    assert!(rows[0][0][0]["Execution Time"].is_number(), "{rows:?}");
    assert_eq!(db.count("SELECT count(*) FROM t").await, 3);
    db.finish().await;
}
