//! Attempts to write on a target that is read-only.

use super::Target;

/// All of these get an error.
const ATTEMPTS: &[&str] = &[
    // Statements that write.
    "INSERT INTO t VALUES (99)",
    "UPDATE t SET name = 'x'",
    "DELETE FROM t",
    "MERGE INTO t USING t AS u ON t.id = u.id WHEN MATCHED THEN DELETE",
    "TRUNCATE t",
    "WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d",
    "EXPLAIN ANALYZE DELETE FROM t",
    "SELECT * INTO u FROM t",
    "SELECT * FROM t FOR UPDATE",
    "CREATE TABLE u (id int)",
    "CREATE TEMP TABLE u (id int)",
    "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "DROP TABLE t",
    "ALTER TABLE t ADD COLUMN x int",
    "COMMENT ON TABLE t IS 'x'",
    "GRANT SELECT ON t TO PUBLIC",
    "REFRESH MATERIALIZED VIEW mv",
    "LOCK TABLE t",
    "NOTIFY c",
    "ANALYZE t",
    "CLUSTER t USING t_pkey",
    "REINDEX TABLE t",
    "VACUUM",
    "VACUUM FULL t",
    "CREATE INDEX CONCURRENTLY i ON t (name)",
    "CREATE DATABASE other",
    "ALTER SYSTEM SET default_transaction_read_only = off",
    "COPY t FROM STDIN",
    "IMPORT FOREIGN SCHEMA x FROM SERVER y INTO public",
    // The switch itself.
    "SET TRANSACTION READ WRITE; SELECT writes()",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "SET transaction_read_only = off; SELECT writes()",
    "SET default_transaction_read_only = off; SELECT writes()",
    "RESET transaction_read_only",
    "COMMIT; SELECT writes()",
    "ROLLBACK; BEGIN READ WRITE; SELECT writes()",
    "SELECT set_config('transaction_read_only', 'off', false); SELECT writes()",
    "SELECT set_config('transaction_read_only', 'off', true); SELECT writes()",
    "SELECT set_config('default_transaction_read_only', 'off', false); SELECT writes()",
    "DO $$ BEGIN SET TRANSACTION READ WRITE; INSERT INTO t VALUES (99); END $$",
    "DO $$ BEGIN SET LOCAL transaction_read_only = off; INSERT INTO t VALUES (99); END $$",
    "DO $$ BEGIN PERFORM set_config('transaction_read_only', 'off', false); INSERT INTO t VALUES (99); END $$",
    "DO $$ BEGIN COMMIT; SET TRANSACTION READ WRITE; INSERT INTO t VALUES (99); END $$",
    "DO $$ BEGIN ROLLBACK; INSERT INTO t VALUES (99); COMMIT; END $$",
    // Code.
    "SELECT writes()",
    "CALL write_it()",
    "CALL commit_it()",
    "CALL roll_it_back()",
    "DO $$ BEGIN INSERT INTO t VALUES (99); END $$",
    "DO $$ BEGIN EXECUTE 'CREATE TABLE u (id int)'; END $$",
    "DO $$ BEGIN EXECUTE 'CREATE TEMP TABLE u (id int)'; END $$",
    "DO $$ BEGIN EXECUTE 'VACUUM t'; END $$",
    "DO $$ BEGIN EXECUTE 'ALTER ROLE CURRENT_USER SET work_mem = ''9MB'''; END $$",
    "DO $$ BEGIN EXECUTE 'ALTER SYSTEM SET work_mem = ''9MB'''; END $$",
    "SELECT query_to_xml('INSERT INTO t VALUES (99) RETURNING id', true, true, '')",
    // Functions of the server.
    "SELECT nextval('s')",
    "SELECT setval('s', 7)",
    "SELECT lo_import('/etc/passwd')",
    "SELECT dblink_exec('dbname=' || current_database(), 'INSERT INTO t VALUES (99)')",
    "SELECT pg_switch_wal()",
    "SELECT brin_summarize_new_values('t_pkey')",
    "SELECT pg_create_logical_replication_slot('x', 'pgoutput')",
];

/// Servers before version 16 let a read-only transaction do these. It is never committed.
const VERSIONED: &[&str] = &["SELECT lo_create(0) > 0", "SELECT lo_from_bytea(0, '\\x01') > 0"];

/// These are no errors, and still nothing stays.
const HARMLESS: &[&str] = &[
    "SELECT pg_notify('c', 'x')",
    "SELECT pg_advisory_lock(1), pg_advisory_xact_lock(2)",
    "SELECT set_config('app.kept', 'x', false)",
    "SELECT pg_logical_emit_message(false, 'x', 'y') IS NOT NULL",
    "SELECT pg_current_xact_id()::text::bigint > 0",
    "DECLARE c CURSOR FOR SELECT id FROM t; FETCH ALL FROM c",
    "EXPLAIN (COSTS OFF) DELETE FROM t",
    "SELECT id FROM t",
];

#[tokio::test]
async fn what_attempts_to_write_on_a_read_only_target_get() {
    let mut target = Target::new().await;
    for sql in ATTEMPTS {
        let outcome = target.attempt(sql, true).await;
        assert!(outcome.result.is_err(), "{sql}");
    }
    for sql in HARMLESS {
        target.attempt(sql, true).await.report();
    }
    let told = target.told.clone();
    for sql in VERSIONED {
        target.attempt(sql, true).await;
    }
    target.finish().await;
    insta::assert_snapshot!("attempts_to_write_on_a_read_only_target", told);
}
