//! What an execution may do to its own session, and that it ends with it.

use std::time::{Duration, Instant};

use domain::ports::ExecutionError;

use super::Target;
use crate::harness::Db;

/// All of these complete.
const ATTEMPTS: &[&str] = &[
    "SET work_mem = '9MB'; SHOW work_mem",
    "SET LOCAL search_path = pg_catalog; SHOW search_path",
    "SET SESSION TIME ZONE 'Asia/Kolkata'; SHOW TimeZone",
    "SET app.kept = 'x'; SHOW app.kept",
    "RESET work_mem",
    "SET CONSTRAINTS ALL DEFERRED",
    "SELECT set_config('app.kept', 'x', false)",
    "SELECT set_config('statement_timeout', '0', false), set_config('search_path', 'x', false)",
    "SELECT set_config('default_transaction_read_only', 'on', false)",
    "CREATE TEMP TABLE left_here (id int); INSERT INTO left_here VALUES (1); SELECT * FROM left_here",
    "CREATE TEMP TABLE t (id int) ON COMMIT PRESERVE ROWS; SELECT count(*) FROM t",
    "CREATE TEMP SEQUENCE left_here; SELECT nextval('left_here'), lastval()",
    "CREATE FUNCTION pg_temp.left_here() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT pg_temp.left_here()",
    "SELECT pg_advisory_lock(1), pg_advisory_lock_shared(2), pg_advisory_xact_lock(3)",
    "LOCK TABLE t IN ACCESS EXCLUSIVE MODE",
    "SELECT * FROM t FOR UPDATE",
    "DECLARE left_here CURSOR WITH HOLD FOR SELECT * FROM t",
    "DO $$ BEGIN EXECUTE 'PREPARE left_here AS SELECT 1'; END $$",
    "DO $$ BEGIN EXECUTE 'LISTEN left_here'; END $$",
    "NOTIFY c, 'x'",
    "SELECT pg_notify('c', 'x')",
    "DO $$ BEGIN EXECUTE 'DISCARD PLANS'; END $$",
];

#[tokio::test]
async fn what_is_done_to_a_session_ends_with_it() {
    let mut target = Target::new().await;
    for sql in ATTEMPTS {
        let outcome = target.attempt(sql, false).await;
        outcome.report();
    }
    insta::assert_snapshot!("done_to_a_session", target.finish().await);
}

/// A role may keep settings for itself, and code can hide that from the review. They come with a login, and what
/// the portal depends on is set after it.
#[tokio::test]
async fn settings_that_a_role_keeps_for_itself_weaken_no_limit() {
    let db = Db::cold().await;
    let keep = |name: &str, value: &str| format!("EXECUTE 'ALTER ROLE CURRENT_USER SET {name} = {value}';");
    let kept: String = [
        ("statement_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
        ("lock_timeout", "0"),
        ("client_connection_check_interval", "0"),
        ("default_transaction_read_only", "off"),
        ("standard_conforming_strings", "off"),
        ("DateStyle", "SQL"),
        ("IntervalStyle", "iso_8601"),
        ("bytea_output", "escape"),
        ("extra_float_digits", "-15"),
        ("client_encoding", "LATIN1"),
        ("search_path", "pg_temp"),
    ]
    .map(|(name, value)| keep(name, value))
    .concat();
    db.run(&format!("CREATE TABLE public.t (id int); DO $$ BEGIN {kept} END $$")).await.report();
    let started = Instant::now();
    let outcome = db.run_for(Duration::from_millis(500), "SELECT pg_sleep(60)").await;
    assert!(matches!(outcome.error(), ExecutionError::TimedOut));
    assert!(started.elapsed() < Duration::from_secs(5));
    let written = db.run_read_only("DO $$ BEGIN INSERT INTO public.t VALUES (1); END $$").await;
    assert_eq!(written.database_error().code, "25006");
    let values = r"SELECT '\', '2024-02-03'::date, '1 day'::interval, '\x00'::bytea, 0.1::float8 + 0.2, 'é';
        SELECT current_setting('lock_timeout') <> '0', current_setting('client_connection_check_interval')";
    assert_eq!(
        db.run(values).await.lines(),
        ["[\"\\\\\",\"2024-02-03\",\"1 day\",\"\\\\x00\",0.30000000000000004,\"é\"]", "[true,\"500ms\"]"]
    );
    db.finish().await;
}
