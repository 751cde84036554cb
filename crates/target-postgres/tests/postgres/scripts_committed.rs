//! Which calls of scripts say that they have committed something.

use super::harness::Db;
use super::scripts::{Script, failure, refusal};

const PREPARED: &str = "CREATE TABLE t (id int UNIQUE DEFERRABLE INITIALLY DEFERRED);
    CREATE FUNCTION keep(n int) RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (n) RETURNING n';
    CREATE SEQUENCE s";

async fn committed(script: &mut Script, sql: &str) -> bool {
    script.query(sql).await.unwrap().committed
}

/// Whether each call of a stream outside of a transaction says that something was committed: the one that opens it,
/// the ones that read so many rows each, and the one that leaves it, if there is one.
async fn streamed(script: &mut Script, sql: &str, reads: &[u32], leave: bool) -> Vec<bool> {
    let opened = script.stream(sql, &[]).await.unwrap();
    let stream = opened.stream.unwrap();
    let mut said = vec![opened.committed];
    for rows in reads {
        said.push(script.fetch(stream, *rows).await.unwrap().committed);
    }
    if leave {
        said.push(script.close_stream(stream).await.unwrap().committed);
    }
    said
}

#[tokio::test]
async fn a_call_tells_a_write_from_a_mere_read() {
    let db = Db::new().await;
    db.run(PREPARED).await.report();
    let mut script = db.script().await;
    for sql in [
        "SELECT 1",
        "SELECT count(*) FROM t",
        "SELECT keep(1) WHERE false",
        "SHOW work_mem",
        "SET work_mem = '5MB'",
        "DO $$ BEGIN END $$",
        "EXPLAIN INSERT INTO t VALUES (1)",
    ] {
        assert!(!committed(&mut script, sql).await, "{sql}");
    }
    assert!(!script.with("SELECT id FROM t WHERE id = $1", &[Some("1")]).await.unwrap().committed);
    for sql in [
        "INSERT INTO t VALUES (1)",
        "SELECT keep(2)",
        "WITH i AS (INSERT INTO t VALUES (3) RETURNING 1) SELECT 1",
        "SELECT lo_creat(-1)",
        "SELECT nextval('s')",
        "CREATE TABLE u (id int)",
        "DO $$ BEGIN PERFORM keep(4); END $$",
        "EXPLAIN ANALYZE INSERT INTO t VALUES (5)",
    ] {
        assert!(committed(&mut script, sql).await, "{sql}");
    }
    assert!(script.with("SELECT keep($1)", &[Some("6")]).await.unwrap().committed);
    assert!(script.with("INSERT INTO t VALUES ($1)", &[Some("7")]).await.unwrap().committed);
    script.close().await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM t").await, 7);
    db.finish().await;
}

#[tokio::test]
async fn a_stream_of_its_own_tells_it_with_its_end_whether_read_or_left() {
    let db = Db::new().await;
    db.run(PREPARED).await.report();
    let mut script = db.script().await;
    let writing = "SELECT lo_creat(-1)";
    assert_eq!(streamed(&mut script, writing, &[1, 1], false).await, [false, false, true]);
    assert_eq!(streamed(&mut script, writing, &[9], false).await, [false, true]);
    assert_eq!(streamed(&mut script, writing, &[1], true).await, [false, false, true]);
    assert_eq!(db.count("SELECT count(*) FROM pg_largeobject_metadata").await, 3);
    // Left before anything of it ran.
    assert_eq!(streamed(&mut script, writing, &[], true).await, [false, false]);
    let reading = "SELECT generate_series(1, 3)";
    assert_eq!(streamed(&mut script, reading, &[2, 2], false).await, [false, false, false]);
    assert_eq!(streamed(&mut script, reading, &[2], true).await, [false, false, false]);
    script.close().await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM pg_largeobject_metadata").await, 3);
    db.finish().await;
}

#[tokio::test]
async fn a_transaction_tells_it_with_its_commit() {
    let db = Db::new().await;
    db.run(PREPARED).await.report();
    let mut script = db.script().await;
    for (sql, expected) in [("SELECT 1", false), ("INSERT INTO t VALUES (1)", true), ("SELECT keep(2)", true)]
    {
        assert!(!script.begin().await.unwrap().committed);
        assert!(!script.tx(sql).await.unwrap().committed, "{sql}");
        let stream = script.tx_stream(&format!("SELECT {}", i32::from(expected)), &[]).await.unwrap();
        assert!(!script.fetch(stream.stream.unwrap(), 9).await.unwrap().committed, "{sql}");
        assert_eq!(script.commit().await.unwrap().committed, expected, "{sql}");
    }
    // The stream of a transaction leaves it to the commit.
    script.begin().await.unwrap();
    for leave in [false, true] {
        let stream = script.tx_stream("SELECT lo_creat(-1)", &[]).await.unwrap().stream.unwrap();
        assert!(!script.fetch(stream, 1 + u32::from(!leave)).await.unwrap().committed);
        assert!(!leave || !script.close_stream(stream).await.unwrap().committed);
    }
    assert!(script.commit().await.unwrap().committed);
    script.begin().await.unwrap();
    assert!(!script.commit().await.unwrap().committed);
    script.close().await.unwrap();
    db.finish().await;
}

#[tokio::test]
async fn what_fails_or_is_rolled_back_claims_nothing() {
    let db = Db::new().await;
    db.run(PREPARED).await.report();
    let mut script = db.script().await;
    script.begin().await.unwrap();
    script.tx("INSERT INTO t VALUES (1)").await.unwrap();
    assert!(!script.rollback().await.unwrap().committed);
    // Only the end finds out that it fails.
    assert_eq!(failure(script.query("INSERT INTO t VALUES (1), (1)").await).code, "23505");
    script.begin().await.unwrap();
    script.tx("INSERT INTO t VALUES (1)").await.unwrap();
    failure(script.tx("SELECT 1/0").await);
    assert_eq!(refusal(script.commit().await), "transaction_failed");
    assert!(!script.rollback().await.unwrap().committed);
    // Nothing of what came before is left over for the next call.
    assert!(!committed(&mut script, "SELECT 1").await);
    script.close().await.unwrap();
    let mut script = db.read_only_script().await;
    assert!(!committed(&mut script, "SELECT 1").await);
    assert_eq!(failure(script.query("SELECT keep(1)").await).code, "25006");
    assert_eq!(streamed(&mut script, "SELECT generate_series(1, 3)", &[9], false).await, [false, false]);
    script.begin().await.unwrap();
    assert!(!script.commit().await.unwrap().committed);
    script.close().await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    db.finish().await;
}

#[tokio::test]
async fn what_a_deferred_trigger_writes_counts() {
    let db = Db::new().await;
    let sql = "CREATE TABLE first (id int); CREATE TABLE t (id int);
        CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO t VALUES (1); DELETE FROM first; RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER late AFTER INSERT ON first DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION late();
        CREATE FUNCTION touch() RETURNS int LANGUAGE sql AS 'INSERT INTO first VALUES (1) RETURNING id'";
    db.run(sql).await.report();
    let mut script = db.script().await;
    assert!(committed(&mut script, "SELECT touch()").await);
    assert_eq!(streamed(&mut script, "SELECT touch()", &[9], false).await, [false, true]);
    script.begin().await.unwrap();
    assert!(!script.tx("SELECT touch()").await.unwrap().committed);
    assert_eq!(db.count("SELECT count(*) FROM t").await, 2);
    assert!(script.commit().await.unwrap().committed);
    script.close().await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM t").await, 3);
    assert_eq!(db.count("SELECT count(*) FROM first").await, 0);
    db.finish().await;
}

#[tokio::test]
async fn no_code_of_a_script_stands_in_for_the_servers_word() {
    let db = Db::new().await;
    db.run(PREPARED).await.report();
    let mut script = db.script().await;
    for sql in [
        "CREATE FUNCTION pg_current_xact_id_if_assigned() RETURNS text LANGUAGE sql AS 'SELECT NULL::text'",
        "SET search_path = public, pg_catalog",
        "SELECT set_config('client_encoding', 'SJIS', false)",
    ] {
        script.query(sql).await.unwrap();
    }
    assert!(committed(&mut script, "INSERT INTO t VALUES (1)").await);
    assert!(!committed(&mut script, "SELECT 1").await);
    script.close().await.unwrap();
    db.finish().await;
}
