//! Where values do not look as `to_json` writes them: each row of the table in `docs/values.md`.

use serde_json::json;

use super::super::harness::Db;
use super::typed;

#[tokio::test]
async fn records_without_a_declared_type_are_text() {
    let db = Db::new().await;
    let sql = "SELECT ROW(1, 'a'), ARRAY[ROW(1, 'a'), ROW(NULL, 'x y')], r, array_agg(r) OVER ()
        FROM (SELECT 1 AS id, 'n' AS name) AS r";
    let expected = json!(["(1,a)", ["(1,a)", "(,\"x y\")"], "(1,n)", ["(1,n)"]]);
    assert_eq!(db.run(sql).await.rows(), [expected]);
    // A row of a table has a declared type.
    let sql = "CREATE TABLE t (id int, name text); INSERT INTO t VALUES (1, 'a'); SELECT t, array_agg(t) FROM t GROUP BY t";
    let expected = json!([{"id": 1, "name": "a"}, [{"id": 1, "name": "a"}]]);
    assert_eq!(db.run(sql).await.rows(), [expected]);
    db.finish().await;
}

#[tokio::test]
async fn arrays_of_an_unknown_type_are_text() {
    let db = Db::new().await;
    let sql = "CREATE TABLE t AS SELECT n % 2 AS n FROM generate_series(1, 100) n; ANALYZE t;
        SELECT most_common_vals FROM pg_stats WHERE tablename = 't'";
    assert_eq!(db.run(sql).await.lines(), ["[\"{0,1}\"]"]);
    db.finish().await;
}

#[tokio::test]
async fn casts_to_json_of_a_users_own_are_not_called() {
    let db = typed().await;
    let sql =
        "CREATE FUNCTION mood_json(mood) RETURNS json LANGUAGE sql AS $$ SELECT '{\"cast\": 1}'::json $$;
        CREATE CAST (mood AS json) WITH FUNCTION mood_json(mood)";
    db.admin.batch_execute(sql).await.unwrap();
    let found = db.run("SELECT 'sad'::mood, to_json('sad'::mood)").await;
    assert_eq!(found.lines(), ["[\"sad\",{\"cast\":1}]"]);
    db.finish().await;
}

#[tokio::test]
async fn json_comes_without_its_blanks() {
    let db = Db::new().await;
    let sql = "SELECT E'{\\n \"a b\" : [ 1.10 ] }'::json, to_json(E'{\\n \"a b\" : [ 1.10 ] }'::json)::text";
    assert_eq!(db.run(sql).await.lines(), [r#"[{"a b":[1.10]},"{\n \"a b\" : [ 1.10 ] }"]"#]);
    db.finish().await;
}

#[tokio::test]
async fn another_date_style_gives_text_and_not_a_wrong_moment() {
    let db = Db::new().await;
    let sql = "SELECT set_config('datestyle', 'SQL, DMY', false); SELECT '2024-02-03 04:05:06'::timestamp";
    assert_eq!(db.run(sql).await.lines()[1], "[\"03/02/2024 04:05:06\"]");
    db.finish().await;
}

#[tokio::test]
async fn values_that_are_no_utf8_are_an_error() {
    let db = Db::new().await;
    let outcome = db.run("SELECT set_config('client_encoding', 'LATIN1', false), chr(233)").await;
    assert_eq!(outcome.database_error().code, "22021");
    db.finish().await;
}

#[tokio::test]
async fn columns_keep_duplicate_names_and_types() {
    let db = Db::new().await;
    let outcome = db.run("SELECT 1 AS a, 'x'::text AS a, ARRAY[1] AS \"b\"\"c\", now() WHERE false").await;
    let columns = outcome.report().statements[0].columns.clone().unwrap();
    let found: Vec<(&str, &str)> = columns.iter().map(|c| (c.name.as_str(), c.type_name.as_str())).collect();
    assert_eq!(found, [("a", "int4"), ("a", "text"), ("b\"c", "_int4"), ("now", "timestamptz")]);
    assert_eq!(outcome.report().statements[0].rows, 0);
    db.finish().await;
}
