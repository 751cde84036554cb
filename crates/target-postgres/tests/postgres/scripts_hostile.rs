//! Scripts that work against the portal: with what their roles may do, nothing gets past it.

use super::harness::Db;
use super::scripts::{Script, failure, lines, one, refusal};

/// A type whose values change how the server reads texts, as soon as a text with such a value is prepared.
const FLIPPING: &str = "CREATE FUNCTION flip(v text) RETURNS boolean LANGUAGE plpgsql AS $f$ BEGIN
        PERFORM set_config('standard_conforming_strings', 'off', false);
        PERFORM set_config('backslash_quote', 'on', false);
        PERFORM set_config('default_transaction_read_only', 'off', false);
        RETURN true; END $f$;
    CREATE DOMAIN d AS text CHECK (flip(value)); CREATE TABLE hits (id int); CREATE TABLE kept (id int)";

/// Texts that are one statement, and several under the other settings.
const TURNED: &[&str] = &[
    r"SELECT '{x}'::d[] AS a, '\'' ; insert into hits values (1); commit; select 1/0; --' AS b",
    r"SELECT '{x}'::d[] AS a, '\', 2 AS b, '; insert into hits values (2); commit; --' AS c",
];

#[tokio::test]
async fn a_statement_stays_one_when_code_runs_while_it_is_prepared() {
    let db = Db::new().await;
    db.run(FLIPPING).await.report();
    let hostile = "'); insert into hits values (3); commit; --";
    for read_only in [false, true] {
        let mut script = if read_only { db.read_only_script().await } else { db.script().await };
        for sql in TURNED.iter().chain(TURNED) {
            script.query(sql).await.unwrap();
            let with = format!("{sql}, $1::d AS p, $2::text AS q");
            let sql_with = with.replace(" --' AS", " ' AS");
            let values = [Some(r"\"), Some(hostile)];
            let answer = script.with(&sql_with, &values).await.unwrap();
            assert!(one(&answer).ends_with(&format!(r#""\\","{hostile}"]"#)), "{}", one(&answer));
            let stream = script.stream(&sql_with, &values).await.unwrap().stream.unwrap();
            assert_eq!(lines(&script.fetch(stream, 5).await.unwrap()), lines(&answer));
            if !read_only {
                let writing = format!("WITH i AS (INSERT INTO kept VALUES (1)) {sql_with}");
                assert_eq!(lines(&script.with(&writing, &values).await.unwrap()), lines(&answer));
            }
            script.begin().await.unwrap();
            script.tx(sql).await.unwrap();
            script.tx_with(&sql_with, &values).await.unwrap();
            let stream = script.tx_stream(&sql_with, &values).await.unwrap().stream.unwrap();
            assert_eq!(lines(&script.fetch(stream, 5).await.unwrap()), lines(&answer));
            script.commit().await.unwrap();
        }
        assert_eq!(script.value("SELECT count(*)::int FROM hits").await, "[0]");
        script.close().await.unwrap();
    }
    assert_eq!(db.count("SELECT count(*) FROM hits").await, 0);
    assert_eq!(db.count("SELECT count(*) FROM kept").await, 4);
    db.finish().await;
}

#[tokio::test]
async fn a_changed_string_syntax_does_not_reach_the_next_value() {
    let db = Db::new().await;
    let mut script = db.script().await;
    script.query("CREATE TABLE t (id int)").await.unwrap();
    script.query("SELECT set_config('standard_conforming_strings', 'off', false)").await.unwrap();
    script.query("SELECT set_config('backslash_quote', 'on', false)").await.unwrap();
    script.query("CREATE TABLE kept (id int)").await.unwrap();
    for value in [r"\", r"\'; DROP TABLE t; --", r"\'); DROP TABLE t; --", r"\\'", "'); DROP TABLE t; --"] {
        let answer =
            script.with("SELECT $1, $2::text", &[Some(value), Some("; DROP TABLE t; --")]).await.unwrap();
        let expected = serde_json::to_string(&[value, "; DROP TABLE t; --"]).unwrap();
        assert_eq!(one(&answer), expected);
    }
    // An encoding in which a byte of a character can be a backslash or a quote.
    for sql in ["SELECT $1, length($1)", "WITH i AS (INSERT INTO kept VALUES (1)) SELECT $1, length($1)"] {
        script.query("SELECT set_config('client_encoding', 'SJIS', false)").await.unwrap();
        let answer = script.with(sql, &[Some("表'; DROP TABLE t; --")]).await.unwrap();
        assert_eq!(one(&answer), r#"["表'; DROP TABLE t; --",20]"#);
    }
    assert_eq!(script.value("SELECT count(*)::int FROM t").await, "[0]");
    script.close().await.unwrap();
    db.finish().await;
}

/// What would end or begin a transaction from within a statement.
async fn in_disguise(script: &mut Script, explicit: bool) {
    for sql in [
        "DO $$ BEGIN INSERT INTO t VALUES (1); COMMIT; END $$",
        "DO $$ BEGIN INSERT INTO t VALUES (1); ROLLBACK; END $$",
        "CALL ends()",
        "DO $$ BEGIN CALL ends(); END $$",
        "DO $$ BEGIN EXECUTE 'COMMIT'; END $$",
        "DO $$ BEGIN EXECUTE 'START TRANSACTION READ WRITE'; END $$",
        "DO $$ BEGIN EXECUTE 'PREPARE TRANSACTION ''x'''; END $$",
        "SELECT call_ends()",
    ] {
        let answered = if explicit {
            script.begin().await.unwrap();
            script.tx("CREATE TABLE IF NOT EXISTS made (id int)").await.unwrap();
            script.tx(sql).await
        } else {
            script.query(sql).await
        };
        let code = failure(answered).code;
        assert!(["2D000", "0A000", "25001"].contains(&code.as_str()), "{sql}: {code}");
        if explicit {
            assert_eq!(refusal(script.commit().await), "transaction_failed");
            script.rollback().await.unwrap();
        }
    }
}

#[tokio::test]
async fn no_statement_ends_its_transaction_from_within() {
    let db = Db::new().await;
    let mut script = db.script().await;
    script.query("CREATE TABLE t (id int)").await.unwrap();
    let ends =
        "CREATE PROCEDURE ends() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t VALUES (1); COMMIT; END $$";
    script.query(ends).await.unwrap();
    let call = "CREATE FUNCTION call_ends() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CALL ends(); END $$";
    script.query(call).await.unwrap();
    in_disguise(&mut script, false).await;
    in_disguise(&mut script, true).await;
    script.close().await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM t").await, 0);
    assert_eq!(db.count("SELECT count(*) FROM pg_class WHERE relname = 'made'").await, 0);
    db.finish().await;
}

#[tokio::test]
async fn nothing_is_written_on_a_read_only_target() {
    let db = Db::new().await;
    let sql = "CREATE TABLE t (id int); CREATE SEQUENCE s; INSERT INTO t VALUES (1);
        CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (2) RETURNING id';
        CREATE PROCEDURE writes_too() LANGUAGE sql AS 'INSERT INTO t VALUES (3)';
        CREATE FUNCTION opens() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
            PERFORM set_config('transaction_read_only', 'off', false); INSERT INTO t VALUES (4); RETURN 1; END $$";
    db.run(sql).await.report();
    let mut script = db.read_only_script().await;
    for sql in [
        "INSERT INTO t VALUES (5)",
        "WITH i AS (INSERT INTO t VALUES (6) RETURNING 1) SELECT * FROM i",
        "CREATE TABLE u (id int)",
        "SELECT 1 AS a INTO u",
        "TRUNCATE t",
        "SELECT * FROM t FOR UPDATE",
    ] {
        assert_eq!(refusal(script.query(sql).await), "read_only", "{sql}");
    }
    for sql in [
        "SELECT writes()",
        "SELECT opens()",
        "SELECT nextval('s')",
        "CALL writes_too()",
        "DO $$ BEGIN INSERT INTO t VALUES (7); END $$",
        "EXPLAIN ANALYZE SELECT writes()",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "SELECT * FROM t, LATERAL (SELECT writes()) w",
    ] {
        assert_eq!(failure(script.query(sql).await).code[..2], *"25", "{sql}");
        script.begin().await.unwrap();
        assert_eq!(failure(script.tx(sql).await).code[..2], *"25", "{sql}");
        script.rollback().await.unwrap();
    }
    for sql in ["SELECT writes()", "SELECT nextval('s')", "SELECT $1::int + writes()"] {
        let values = &[Some("1")][..usize::from(sql.contains('$'))];
        assert_eq!(failure(script.with(sql, values).await).code, "25006");
        let stream = script.stream(sql, values).await.unwrap().stream.unwrap();
        assert_eq!(failure(script.fetch(stream, 1).await).code, "25006");
    }
    for sql in ["SET TRANSACTION READ WRITE", "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE"] {
        if script.query(sql).await.is_ok() {
            assert_eq!(failure(script.query("SELECT writes()").await).code, "25006");
        }
    }
    // A read is a success, its transactions too, and nothing of a session's settings stays.
    script.query("SELECT set_config('default_transaction_read_only', 'off', false)").await.unwrap();
    assert_eq!(script.value("SHOW default_transaction_read_only").await, "[\"on\"]");
    script.begin().await.unwrap();
    assert_eq!(one(&script.tx_with("SELECT id + $1 FROM t", &[Some("1")]).await.unwrap()), "[2]");
    script.commit().await.unwrap();
    let stream = script.stream("TABLE t", &[]).await.unwrap().stream.unwrap();
    assert!(script.fetch(stream, 5).await.unwrap().done);
    assert_eq!(script.value("SELECT 1").await, "[1]");
    script.close().await.unwrap();
    assert_eq!(db.count("SELECT sum(id) FROM t").await, 1);
    assert_eq!(db.count("SELECT last_value FROM s").await, 1);
    db.finish().await;
}

#[tokio::test]
async fn nobody_gains_from_the_names_that_the_portal_gives() {
    let db = Db::new().await;
    let mut script = db.script().await;
    script.query("CREATE TABLE t (id int)").await.unwrap();
    // Whoever has seen a name and prepares something else under the next ones, and whoever takes away what is running.
    let seen = "SELECT $1 || name FROM pg_cursors WHERE name LIKE 'query_portal_%'";
    let name = script.with(seen, &[Some("")]).await.unwrap();
    let name: Vec<String> = serde_json::from_str(&one(&name)).unwrap();
    let (prefix, number) = name[0].rsplit_once('_').unwrap();
    let next = number.parse::<u32>().unwrap() + 1;
    let squat = format!(
        "DO $$ BEGIN FOR n IN {next}..{} LOOP EXECUTE
            format('PREPARE {prefix}_%s (int) AS INSERT INTO t VALUES (1)', n); END LOOP; END $$",
        next + 20
    );
    script.query(&squat).await.unwrap();
    let delete = "DELETE FROM t WHERE id = $1";
    assert_eq!(failure(script.with(delete, &[Some("1")]).await).code, "42P05");
    script.query("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$").await.unwrap();
    assert_eq!(script.with(delete, &[Some("1")]).await.unwrap().affected, Some(0));
    let take = "CREATE FUNCTION take() RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DEALLOCATE ALL'; RETURN 1; END $$";
    script.query(take).await.unwrap();
    assert_eq!(failure(script.with("INSERT INTO t SELECT take() + $1", &[Some("1")]).await).code, "26000");
    script.begin().await.unwrap();
    let stream = script.tx_stream("SELECT 1 AS a", &[]).await.unwrap().stream.unwrap();
    script.tx("CLOSE ALL").await.unwrap();
    assert_eq!(failure(script.fetch(stream, 1).await).code, "34000");
    script.rollback().await.unwrap();
    assert_eq!(script.value("SELECT count(*)::int FROM t").await, "[0]");
    script.close().await.unwrap();
    db.finish().await;
}

/// The names that the server lists of what a session has open.
async fn open_cursors(script: &mut Script) -> Vec<String> {
    let listed = script.tx("SELECT name FROM pg_catalog.pg_cursors ORDER BY creation_time").await.unwrap();
    lines(&listed)
        .into_iter()
        .map(|line| serde_json::from_str::<[String; 1]>(line).unwrap()[0].clone())
        .collect()
}

#[tokio::test]
async fn nobody_guesses_the_names_that_the_portal_gives() {
    let db = Db::new().await;
    let mut prefixes = vec![];
    for _ in 0..2 {
        let mut script = db.script().await;
        script.begin().await.unwrap();
        let stream = script.tx_stream("SELECT generate_series(1, 3)", &[]).await.unwrap().stream.unwrap();
        assert_eq!(lines(&script.fetch(stream, 1).await.unwrap()), ["[1]"]);
        let swap = "DO $$ BEGIN FOR n IN 0..20 LOOP
            BEGIN EXECUTE format('CLOSE query_portal_%s', n); EXCEPTION WHEN invalid_cursor_name THEN NULL; END;
            EXECUTE format('DECLARE query_portal_%s CURSOR FOR SELECT 666 FROM generate_series(1, 3)', n);
            END LOOP; END $$";
        script.tx(swap).await.unwrap();
        let names = open_cursors(&mut script).await;
        assert_eq!(names.len(), 22, "{names:?}");
        let (prefix, number) = names[0].rsplit_once('_').unwrap();
        let random = prefix.strip_prefix("query_portal_").unwrap();
        assert!(random.len() == 16 && random.bytes().all(|b| b.is_ascii_hexdigit()), "{names:?}");
        assert_eq!(number, stream.to_string());
        prefixes.push(prefix.to_owned());
        let rest = script.fetch(stream, 5).await.unwrap();
        assert_eq!((lines(&rest), rest.done), (vec!["[2]", "[3]"], true));
        script.commit().await.unwrap();
        script.close().await.unwrap();
    }
    assert_ne!(prefixes[0], prefixes[1]);
    db.finish().await;
}

#[tokio::test]
async fn a_value_that_is_not_in_utf8_fails_its_call_only() {
    let db = Db::new().await;
    let mut script = db.script().await;
    script.query("CREATE TABLE t (id int)").await.unwrap();
    let sql = "INSERT INTO t SELECT 1 RETURNING set_config('client_encoding', 'LATIN1', false), 'é'";
    let answered = script.query(sql).await;
    assert_eq!(failure(answered).code, "22021");
    assert_eq!(script.value("SELECT 'é', count(*)::int FROM t").await, "[\"é\",0]");
    script.close().await.unwrap();
    db.finish().await;
}
