//! Rows that are read piece by piece.

use super::harness::Db;
use super::scripts::{failure, lines, refusal};

#[tokio::test]
async fn many_rows_arrive_in_pieces_and_in_order() {
    let db = Db::new().await;
    let mut script = db.script().await;
    let opened = script
        .stream("SELECT n, n::int8 AS m FROM generate_series(1, $1) n", &[Some("200000")])
        .await
        .unwrap();
    let columns: Vec<_> = opened.columns.iter().map(|c| c.type_name.as_str()).collect();
    assert_eq!((columns, opened.rows, opened.done), (vec!["int4", "int8"], 0, false));
    let stream = opened.stream.unwrap();
    let (mut next, mut pieces) = (1, 0);
    loop {
        // More than may be asked for at a time.
        let piece = script.fetch(stream, 1_000_000).await.unwrap();
        for line in lines(&piece) {
            assert_eq!(line, format!("[{next},\"{next}\"]"));
            next += 1;
        }
        pieces += 1;
        assert!(piece.rows <= 10_000 && (piece.done || piece.rows > 0));
        if piece.done {
            break;
        }
    }
    assert_eq!((next, pieces), (200_001, 21));
    assert_eq!(refusal(script.fetch(stream, 1).await), "no_stream");
    assert_eq!(refusal(script.close_stream(stream).await), "no_stream");
    assert_eq!(script.value("SELECT 1").await, "[1]");
    script.close().await.unwrap();
    db.finish().await;
}

#[tokio::test]
async fn pieces_are_of_the_size_that_is_asked_for_and_not_all_too_large() {
    let db = Db::new().await;
    let mut script = db.script().await;
    let stream = script.stream("SELECT generate_series(1, 5)", &[]).await.unwrap().stream.unwrap();
    assert_eq!(script.fetch(stream, 2).await.unwrap().rows, 2);
    assert_eq!(script.fetch(stream, 0).await.unwrap().rows, 1);
    let last = script.fetch(stream, 3).await.unwrap();
    assert_eq!((last.rows, last.done), (2, true));
    let wide = "SELECT repeat('x', 10000) FROM generate_series(1, 5000)";
    let stream = script.stream(wide, &[]).await.unwrap().stream.unwrap();
    let (mut rows, mut done) = (0, false);
    while !done {
        let piece = script.fetch(stream, 10_000).await.unwrap();
        assert!(piece.ndjson.len() < 2_000_000, "{}", piece.ndjson.len());
        rows += piece.rows;
        done = piece.done;
    }
    assert_eq!(rows, 5_000);
    let huge = "SELECT repeat('x', 1000000) FROM generate_series(1, 100)";
    let stream = script.stream(huge, &[]).await.unwrap().stream.unwrap();
    assert_eq!(refusal(script.fetch(stream, 100).await), "answer_too_large");
    assert_eq!(refusal(script.fetch(stream, 1).await), "no_stream");
    let stream = script.stream(huge, &[]).await.unwrap().stream.unwrap();
    assert_eq!(script.fetch(stream, 1).await.unwrap().rows, 1);
    script.close_stream(stream).await.unwrap();
    script.close().await.unwrap();
    db.finish().await;
}

#[tokio::test]
async fn streams_of_a_transaction_can_be_read_side_by_side() {
    let db = Db::new().await;
    let mut script = db.script().await;
    script.query("CREATE TABLE t (id int)").await.unwrap();
    script.begin().await.unwrap();
    let outer = script.tx_stream("SELECT generate_series(1, 3)", &[]).await.unwrap().stream.unwrap();
    let mut seen = vec![];
    loop {
        let row = script.fetch(outer, 1).await.unwrap();
        seen.extend(lines(&row).into_iter().map(str::to_owned));
        if row.done {
            break;
        }
        let inner = script.tx_stream("SELECT $1 || 'x'", &[Some("it's")]).await.unwrap().stream.unwrap();
        assert_ne!(inner, outer);
        assert_eq!(lines(&script.fetch(inner, 1).await.unwrap()), ["[\"it'sx\"]"]);
        script.close_stream(inner).await.unwrap();
        script.tx_with("INSERT INTO t VALUES ($1)", &[Some("1")]).await.unwrap();
    }
    assert_eq!(seen, ["[1]", "[2]", "[3]"]);
    let left = script.tx_stream("SELECT 1", &[]).await.unwrap().stream.unwrap();
    script.commit().await.unwrap();
    assert_eq!(refusal(script.fetch(left, 1).await), "no_stream");
    assert_eq!(db.count("SELECT count(*) FROM t").await, 3);
    // A stream goes with its transaction.
    script.begin().await.unwrap();
    let stream = script.tx_stream("SELECT 1 / (3 - n) FROM generate_series(1, 9) n", &[]).await.unwrap();
    assert_eq!(failure(script.fetch(stream.stream.unwrap(), 10).await).code, "22012");
    assert_eq!(refusal(script.fetch(stream.stream.unwrap(), 10).await), "transaction_failed");
    script.close_stream(stream.stream.unwrap()).await.unwrap();
    assert_eq!(refusal(script.commit().await), "transaction_failed");
    script.rollback().await.unwrap();
    script.close().await.unwrap();
    db.finish().await;
}

#[tokio::test]
async fn nothing_else_runs_outside_of_a_transaction_while_a_stream_is_open() {
    let db = Db::new().await;
    let mut script = db.script().await;
    let stream = script.stream("SELECT generate_series(1, 3)", &[]).await.unwrap().stream.unwrap();
    script.fetch(stream, 1).await.unwrap();
    for answered in
        [script.query("SELECT 1").await, script.stream("SELECT 1", &[]).await, script.begin().await]
    {
        assert_eq!(refusal(answered), "stream_open");
    }
    for answered in [script.tx("SELECT 1").await, script.commit().await, script.rollback().await] {
        assert_eq!(refusal(answered), "no_transaction");
    }
    assert_eq!(lines(&script.fetch(stream, 1).await.unwrap()), ["[2]"]);
    script.close_stream(stream).await.unwrap();
    assert_eq!(script.value("SELECT 1").await, "[1]");
    script.close().await.unwrap();
    db.finish().await;
}

#[tokio::test]
async fn a_streams_transaction_takes_effect_with_its_end_and_not_without() {
    let db = Db::new().await;
    let mut script = db.script().await;
    script.query("CREATE TABLE t (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)").await.unwrap();
    let function =
        "CREATE FUNCTION keep(n int) RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (n) RETURNING n'";
    script.query(function).await.unwrap();
    let sql = "SELECT keep(n) FROM generate_series(1, 5) n";
    let stream = script.stream(sql, &[]).await.unwrap().stream.unwrap();
    assert!(script.fetch(stream, 100).await.unwrap().done);
    assert_eq!(db.count("SELECT count(*) FROM t").await, 5);
    // What is only found out at the end is an error of the last piece.
    let stream = script.stream("SELECT keep(1)", &[]).await.unwrap().stream.unwrap();
    assert_eq!(failure(script.fetch(stream, 100).await).code, "23505");
    let stream = script.stream("SELECT keep(n) FROM generate_series(11, 15) n", &[]).await.unwrap();
    script.fetch(stream.stream.unwrap(), 2).await.unwrap();
    script.close().await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM t").await, 5);
    db.finish().await;
}

#[tokio::test]
async fn only_queries_can_be_streamed() {
    let db = Db::new().await;
    let mut script = db.script().await;
    script.query("CREATE TABLE t (id int)").await.unwrap();
    for sql in [
        "INSERT INTO t VALUES (1) RETURNING id",
        "WITH i AS (INSERT INTO t VALUES (1) RETURNING id) SELECT * FROM i",
        "SELECT 1 AS a INTO u",
        "CREATE TABLE u AS SELECT 1",
        "EXPLAIN SELECT 1",
        "SHOW work_mem",
        "DO $$ BEGIN END $$",
    ] {
        assert_eq!(refusal(script.stream(sql, &[]).await), "not_a_query", "{sql}");
    }
    for sql in [
        "VALUES (1)",
        "TABLE t",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "((SELECT 1))",
        "SELECT * FROM t FOR UPDATE",
    ] {
        let stream = script.stream(sql, &[]).await.unwrap().stream.unwrap();
        script.close_stream(stream).await.unwrap();
    }
    assert_eq!(failure(script.stream("SELECT 1/0 FROM nothing", &[]).await).code, "42P01");
    assert_eq!(failure(script.stream("SELECT $1::int", &[Some("x")]).await).code, "22P02");
    assert_eq!(refusal(script.fetch(99, 1).await), "no_stream");
    assert_eq!(script.value("SELECT count(*)::int FROM t").await, "[0]");
    script.close().await.unwrap();
    db.finish().await;
}
