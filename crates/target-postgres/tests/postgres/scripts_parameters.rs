//! Values for `$1` and so on: each is what it says, and nothing else.

use super::harness::Db;
use super::scripts::{failure, lines, one, refusal};

#[tokio::test]
async fn values_of_many_types_arrive_as_they_are() {
    let db = Db::new().await;
    let mut script = db.script().await;
    script.query("CREATE TABLE kept (id int)").await.unwrap();
    for (cast, value, expected) in [
        ("int4", "-7", "-7"),
        ("int8", "9007199254740993", "\"9007199254740993\""),
        ("numeric", "123456789012345678901234567890.12", "\"123456789012345678901234567890.12\""),
        ("float8", "0.1", "0.1"),
        ("boolean", "true", "true"),
        ("text", "it's a \"quote\" and a \\ and \\' and $1 and é\u{1f600}\n\t--", ""),
        ("text", "'); DROP TABLE x; --", ""),
        ("text", "\\'; DROP TABLE x; --", ""),
        ("text", "''", ""),
        ("text", "$$;COMMIT;$$", ""),
        ("text", "NULL", ""),
        ("text", "", ""),
        ("varchar", "E'\\x41'", ""),
        ("int4[]", "{1,2,NULL}", "[1,2,null]"),
        ("text[]", "{\"a'b\",\"c\\\\d\"}", r#"["a'b","c\\d"]"#),
        ("json", "{\"a\": \"it's\"}", r#"{"a":"it's"}"#),
        ("jsonb", "[1, \"\\\\\"]", r#"[1, "\\"]"#),
        ("bytea", "\\x00ff27", r#""\\x00ff27""#),
        ("timestamptz", "2024-01-02 03:04:05+02", "\"2024-01-02T01:04:05+00:00\""),
        ("date", "2024-02-29", "\"2024-02-29\""),
        ("interval", "1 day 2 hours", "\"1 day 02:00:00\""),
        ("uuid", "A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11", "\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\""),
        ("inet", "10.0.0.1/8", "\"10.0.0.1/8\""),
    ] {
        let expected =
            if expected.is_empty() { serde_json::to_string(value).unwrap() } else { expected.to_owned() };
        let sql = format!("SELECT $1::{cast}");
        script.query("SET TimeZone = 'UTC'").await.unwrap();
        assert_eq!(one(&script.with(&sql, &[Some(value)]).await.unwrap()), format!("[{expected}]"), "{cast}");
        assert_eq!(one(&script.with(&sql, &[None]).await.unwrap()), "[null]");
        // A statement that writes gets its values in another way.
        let writing = format!("WITH i AS (INSERT INTO kept VALUES (1)) {sql}");
        let answer = script.with(&writing, &[Some(value)]).await.unwrap();
        assert_eq!(one(&answer), format!("[{expected}]"), "{cast}");
        assert_eq!(one(&script.with(&writing, &[None]).await.unwrap()), "[null]");
        let stream = script.stream(&sql, &[Some(value)]).await.unwrap().stream.unwrap();
        assert_eq!(one(&script.fetch(stream, 10).await.unwrap()), format!("[{expected}]"), "{cast}");
    }
    script.close().await.unwrap();
    db.finish().await;
}

#[tokio::test]
async fn statements_of_every_kind_with_rows_take_values() {
    let db = Db::new().await;
    let mut script = db.script().await;
    script.query("CREATE TABLE t (id int PRIMARY KEY, note text)").await.unwrap();
    for (sql, values, affected, expected) in [
        ("INSERT INTO t VALUES ($1, $2) RETURNING note", &["1", "a"][..], 1, vec!["[\"a\"]"]),
        ("INSERT INTO t SELECT n, $1 FROM generate_series(2, $2) n", &["b", "4"], 3, vec![]),
        ("UPDATE t SET note = $1 WHERE id = ANY ($2::int[])", &["it's", "{2,3}"], 2, vec![]),
        ("SELECT id FROM t WHERE note = $1 ORDER BY id", &["it's"], 2, vec!["[2]", "[3]"]),
        ("(SELECT $1::int) UNION ALL VALUES ($2::int)", &["1", "2"], 2, vec!["[1]", "[2]"]),
        ("VALUES ($1::int + $2)", &["1", "2"], 1, vec!["[3]"]),
        (
            "WITH d AS (DELETE FROM t WHERE id = $1 RETURNING *) SELECT note FROM d",
            &["1"],
            1,
            vec!["[\"a\"]"],
        ),
        ("DELETE FROM t WHERE id > $1 -- the rest", &["1"], 3, vec![]),
    ] {
        let given: Vec<_> = values.iter().map(|value| Some(*value)).collect();
        let answer = script.with(sql, &given).await.unwrap();
        assert_eq!((lines(&answer), answer.affected), (expected, Some(affected)), "{sql}");
    }
    script.close().await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    db.finish().await;
}

#[tokio::test]
async fn values_that_do_not_fit_are_refused() {
    let db = Db::new().await;
    let mut script = db.script().await;
    script.query("CREATE TABLE t (id int)").await.unwrap();
    for (sql, values) in [
        ("SELECT $1::int", &[][..]),
        ("SELECT $1::int", &[Some("1"), None]),
        ("SELECT 1", &[None]),
        ("SELECT $2::int + $1", &[Some("1")]),
        ("INSERT INTO t VALUES ($1)", &[]),
    ] {
        assert_eq!(refusal(script.with(sql, values).await), "parameter_count", "{sql}");
        assert_eq!(script.value("SELECT 1").await, "[1]");
    }
    assert_eq!(refusal(script.stream("SELECT $1::int", &[]).await), "parameter_count");
    assert_eq!(refusal(script.with("SELECT $1::text", &[Some("a\0b")]).await), "parameter_with_nul");
    for sql in [
        "CREATE TABLE u AS SELECT $1::int AS n",
        "SELECT $1::int AS n INTO u",
        "EXPLAIN SELECT $1::int",
        "DO $$ BEGIN END $$",
        "CALL p($1)",
        "SET work_mem = $1",
        "DECLARE c CURSOR FOR SELECT $1::int",
    ] {
        assert_eq!(refusal(script.with(sql, &[Some("1")]).await), "parameters_not_possible", "{sql}");
    }
    assert_eq!(refusal(script.with("SELECT $1", &vec![None; 65_536]).await), "too_many_parameters");
    let half = "x".repeat(4 * 1024 * 1024);
    let large = [Some(half.as_str()), Some(&half)];
    let writing = "WITH i AS (INSERT INTO t VALUES (1)) SELECT length($1::text || $2)";
    assert_eq!(one(&script.with(writing, &large).await.unwrap()), "[8388608]");
    let answer = script.with("SELECT length($1::text || $2)", &large).await.unwrap();
    assert_eq!(one(&answer), "[8388608]");
    let too_large = [large[0], large[1], Some("x")];
    assert_eq!(refusal(script.with("SELECT $1 || $2 || $3", &too_large).await), "too_many_parameters");
    let error = failure(script.with("SELECT $1::int", &[Some("x")]).await);
    // The place would be one in a text that the script has never seen.
    assert_eq!((error.code.as_str(), error.position), ("22P02", None));
    assert!(failure(script.with("SELECT $1::int, nothing", &[Some("x")]).await).position.is_some());
    script.close().await.unwrap();
    db.finish().await;
}

#[tokio::test]
async fn as_many_values_as_the_protocol_knows() {
    let db = Db::new().await;
    let mut script = db.script().await;
    let list: Vec<_> = (1..=65_535).map(|n| format!("(${n}::int)")).collect();
    let sql = format!("SELECT count(*)::int FROM (VALUES {}) v", list.join(","));
    let values = vec![Some("1"); 65_535];
    assert_eq!(one(&script.with(&sql, &values).await.unwrap()), "[65535]");
    script.query("CREATE TABLE kept (id int)").await.unwrap();
    let writing = format!("WITH i AS (INSERT INTO kept VALUES (1)) {sql}");
    assert_eq!(one(&script.with(&writing, &values).await.unwrap()), "[65535]");
    let stream = script.stream(&sql, &values).await.unwrap().stream.unwrap();
    assert_eq!(one(&script.fetch(stream, 10).await.unwrap()), "[65535]");
    script.close().await.unwrap();
    db.finish().await;
}
