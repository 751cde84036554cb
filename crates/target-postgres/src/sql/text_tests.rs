use proptest::prelude::*;

use super::*;

fn on_big_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    thread::Builder::new().stack_size(STACK_BYTES).spawn(work).unwrap().join().unwrap()
}

fn read(text: &str) -> Result<Text, Refusal> {
    let text = text.to_owned();
    on_big_stack(move || analyse_here(&text, false))
}

fn class(text: &str) -> Class {
    let found = read(text).unwrap_or_else(|refusal| panic!("{text}: {refusal:?}"));
    assert_eq!(found.statements.len(), 1, "{text}");
    found.statements[0].class
}

fn codes(text: &str) -> Vec<String> {
    read(text).unwrap().findings().iter().map(|f| f.code.clone()).collect()
}

fn refused(text: &str) -> String {
    match read(text) {
        Ok(found) => panic!("{text} was allowed: {found:?}"),
        Err(refusal) => refusal.code,
    }
}

#[test]
fn reads_are_reads() {
    for text in [
        "select 1",
        "SELECT 'commit; begin'",
        "((select 1) union (select 2)) order by 1",
        "values (1), (2)",
        "table t",
        "with a as (select 1) select * from a",
        "with recursive a as (select 1 union all select 2) table a",
        "show work_mem",
        "explain delete from t where a = 1",
        "explain (analyze, buffers) select 1",
        "explain (select 1)",
        "select $$ commit $$, $a$ ; $a$",
        "select a.begin, \"commit\" from a /* rollback */",
    ] {
        assert_eq!(class(text), Class::Read, "{text}");
        assert!(!codes(text).contains(&"unparsed".to_owned()), "{text}");
    }
}

#[test]
fn writes_are_writes() {
    for text in [
        "insert into t values (1)",
        "update t set a = 1 where a = 2",
        "delete from t where a = 1",
        "merge into t using s on t.a = s.a when matched then delete",
        "with d as (delete from t where a = 1 returning *) select * from d",
        "with x as (select 1) insert into t select * from x",
        "select * from t for update",
        "explain analyze update t set a = 1 where a = 2",
        "explain (analyze) with d as (delete from t where a = 1 returning *) select * from d",
        "truncate t",
        "lock table t",
        "notify channel",
    ] {
        assert_eq!(class(text), Class::Write, "{text}");
    }
}

#[test]
fn other_classes_are_told_apart() {
    for text in [
        "create table t (a int)",
        "create table t as select 1",
        "select 1 into t",
        "create index on t (a)",
        "drop table t",
        "alter table t add b int",
        "grant select on t to r",
        "create role r",
        "comment on table t is 'x'",
        "refresh materialized view concurrently v",
        "analyze t",
        "reindex table t",
        "cluster t",
        "explain analyze create table t as select 1",
    ] {
        assert_eq!(class(text), Class::Administrative, "{text}");
    }
    for text in [
        "vacuum",
        "vacuum full t",
        "create index concurrently on t (a)",
        "create unique index concurrently if not exists i on t (a)",
        "drop index concurrently i",
        "reindex index concurrently i",
        "reindex (concurrently) table t",
        "reindex database d",
        "create database d",
        "drop database d",
        "create tablespace s location '/x'",
        "drop tablespace s",
        "cluster",
        "cluster verbose",
        "alter database d set tablespace s",
        "alter table t detach partition p concurrently",
    ] {
        assert_eq!(class(text), Class::Alone, "{text}");
        assert!(codes(text).contains(&"runs_alone".to_owned()), "{text}");
    }
    assert_eq!(class("do $$ begin commit; end $$"), Class::Code);
    assert_eq!(class("call p()"), Class::Code);
    assert_eq!(class("set search_path to app"), Class::Session);
    assert_eq!(class("set constraints all deferred"), Class::Session);
    assert_eq!(class("declare c cursor for select 1"), Class::Cursor);
    assert_eq!(class("fetch all from c"), Class::Cursor);
}

#[test]
fn transaction_control_is_refused_in_every_disguise() {
    for text in [
        "commit",
        "COMMIT AND CHAIN",
        "begin",
        "start transaction read write",
        "end",
        "abort",
        "rollback",
        "rollback to savepoint s",
        "savepoint s",
        "release s",
        "prepare transaction 'x'",
        "commit prepared 'x'",
        "rollback prepared 'x'",
        "set transaction read write",
        "set session characteristics as transaction read write",
        "/* x */ commit",
        "/* /* nested */ select 1 */ commit",
        "-- select 1\ncommit",
        "-- select 1\rcommit",
        "\u{b}\u{c}\t\r\ncommit",
        "select 1; commit; select 2",
        "select 1;;; /* */ CoMmIt work",
        "select '\\'; commit; --'",
        "select U&'\\'; commit; --'",
        "select $$a$$; commit",
        "explain commit",
        "select 1 -- \\\n; commit",
    ] {
        assert!(
            ["transaction_control", "statement_not_recognised"].contains(&refused(text).as_str()),
            "{text}"
        );
    }
    for text in [
        "\u{feff}commit",
        "\u{a0}commit",
        "\u{2003}commit",
        "\"commit\"",
        "U&\"commit\"",
        "(commit)",
        "$1",
        "'x'",
    ] {
        assert_eq!(refused(text), "statement_not_recognised", "{text}");
    }
}

#[test]
fn what_cannot_run_here_says_so() {
    for (text, code) in [
        ("copy t from stdin", "copy_unsupported"),
        ("copy t to stdout", "copy_unsupported"),
        ("copy t to program 'sh'", "copy_unsupported"),
        ("copy (select 1) to '/tmp/x'", "copy_unsupported"),
        ("alter system set work_mem = '1GB'", "alter_system"),
        ("listen c", "listen_unsupported"),
        ("unlisten *", "listen_unsupported"),
        ("load 'x'", "load_refused"),
        ("checkpoint", "checkpoint_refused"),
        ("discard all", "discard_refused"),
        ("prepare p as select 1", "prepared_statement"),
        ("execute p", "prepared_statement"),
        ("explain execute p", "prepared_statement"),
        ("deallocate all", "prepared_statement"),
        ("set role x", "role_change"),
        ("set statement_timeout = 0", "guarded_setting"),
        ("reset all", "guarded_setting"),
        ("-- nothing", "no_statement"),
        ("select 1; /* drop table t", "open_comment"),
        ("/* /* */ select 1", "open_comment"),
        (" ; ; ", "no_statement"),
        ("vacuum; select 1", "must_run_alone"),
        ("frobnicate the table", "statement_not_recognised"),
        ("import csv", "statement_not_recognised"),
    ] {
        assert_eq!(refused(text), code, "{text}");
    }
}

#[test]
fn refusals_name_the_place() {
    let refusal = read("select 'é';\n  commit").unwrap_err();
    assert_eq!(refusal.position, Some(Position { line: 2, column: 3 }));
    let refusal = analyse_here("select 1;\ninsert into t values (1)", true).unwrap_err();
    assert_eq!(refusal.code, "read_only");
    assert_eq!(refusal.position, Some(Position { line: 2, column: 1 }));
}

#[test]
fn read_only_lets_code_through_to_the_server() {
    for text in
        ["do $$ begin end $$", "call p()", "select f()", "set work_mem = '1MB'", "explain delete from t"]
    {
        let found = analyse_here(text, true).unwrap();
        assert_eq!(found.effect(true), Effect::Read, "{text}");
    }
    for text in
        ["vacuum", "create table t (a int)", "select * from t for share", "explain analyze delete from t"]
    {
        assert_eq!(analyse_here(text, true).unwrap_err().code, "read_only", "{text}");
    }
}

#[test]
fn findings_tell_the_approver() {
    assert_eq!(codes("update t set a = 1"), ["update_without_where"]);
    assert_eq!(codes("delete from t"), ["delete_without_where"]);
    assert_eq!(codes("delete from t where current of c"), Vec::<String>::new());
    assert_eq!(codes("with d as (delete from t returning *) select * from d"), ["delete_without_where"]);
    assert_eq!(codes("insert into t values (1) on conflict (a) do update set a = 2"), Vec::<String>::new());
    assert_eq!(codes("truncate t"), ["truncate"]);
    assert_eq!(codes("drop table t"), ["drop"]);
    let function = "create function f() returns int language sql as 'delete from t'";
    assert_eq!(codes(function), ["hidden_code"]);
    assert_eq!(read("select 1; update t set a = 1").unwrap().effect(false), Effect::Write);
    let found = read("select 1;\n update t set a = 1").unwrap();
    assert_eq!(found.findings()[0].position, Some(Position { line: 2, column: 2 }));
}

#[test]
fn what_only_the_server_may_understand_is_a_finding() {
    assert!(codes("select from where").contains(&"unparsed".to_owned()));
    assert!(codes("insert into t frobnicate").contains(&"unparsed".to_owned()));
    assert_eq!(class("select 1 frob frob frob delete"), Class::Write);
}

#[test]
fn function_bodies_may_hold_anything() {
    for text in [
        "create function f() returns int language sql begin atomic select 1; select 2; end",
        "create function f() returns void language plpgsql as $$ begin commit; end; $$",
        "create procedure p() language sql as 'select 1; select 2'",
    ] {
        assert_eq!(class(text), Class::Administrative, "{text}");
    }
}

#[tokio::test]
async fn deep_nesting_is_refused_and_never_crashes() {
    let nested = |n: usize| format!("select {}1{}", "(".repeat(n), ")".repeat(n));
    let cases = |n: usize| format!("select {} 1 {}", "case when true then ".repeat(n), "end ".repeat(n));
    for deep in
        [nested(10_000), format!("select 1{}", " + 1".repeat(500_000)), "not ".repeat(500_000), cases(9_000)]
    {
        let code = analyse(format!("select {deep}"), false).await.unwrap_err().code;
        assert_eq!(code, "too_complicated");
    }
    for bearable in [
        nested(200),
        format!("select 1{}", " + 1".repeat(MAX_DEPTH / 2 - 10)),
        format!("select {} true", "not ".repeat(MAX_DEPTH - 10)),
        format!("select {} 1", "- ".repeat(MAX_DEPTH - 10)),
        format!("select 1{}", " union select 1".repeat(MAX_DEPTH / 3 - 10)),
        cases(MAX_DEPTH / 5 - 10),
        format!("select {}", "a.".repeat(MAX_DEPTH / 2 - 10)),
        format!("select 1{}", "::int".repeat(MAX_DEPTH / 3 - 10)),
        format!("select a{}", "[1]".repeat(MAX_DEPTH / 3)),
    ] {
        let start = bearable[..30].to_owned();
        assert!(analyse(bearable, false).await.is_ok(), "{start}");
    }
}

#[tokio::test]
async fn a_text_of_a_megabyte_is_fine() {
    let rows: Vec<String> = (0..50_000).map(|n| format!("({n}, 'row {n}')")).collect();
    let text = format!("insert into t values {}", rows.join(","));
    assert!(text.len() > 1_000_000);
    assert_eq!(analyse(text, false).await.unwrap().statements[0].class, Class::Write);
}

#[tokio::test]
async fn a_thousand_statements_are_fine_and_more_are_not() {
    let found = analyse("select 1;\n".repeat(1_000), false).await.unwrap();
    assert_eq!(found.statements.len(), 1_000);
    for text in ["select 1;\n".repeat(1_001), "delete from t;\n".repeat(140_000)] {
        let refusal = analyse(text, false).await.unwrap_err();
        assert_eq!(refusal.code, "too_many_statements");
        assert_eq!(refusal.position, Some(Position { line: 1_001, column: 1 }));
    }
    // All on one line.
    let refusal = analyse("select 1;".repeat(100_000), false).await.unwrap_err();
    assert_eq!(refusal.position, Some(Position { line: 1, column: 9_001 }));
}

/// A step that reads the text anew for each of its parts would need far longer than a test may run.
#[tokio::test]
async fn two_megabytes_of_any_shape_are_looked_at_once() {
    const BYTES: usize = 2 * 1024 * 1024;
    let many = |part: &str| part.repeat(BYTES / part.len());
    for (text, findings) in [
        // 100,000 findings on one line.
        (format!("with {} z as (select 1) table z", "a as (delete from t), ".repeat(100_000)), 101),
        (format!("select {} 1", many("dblink(), ")), 1),
        (format!("select 1 /*{}*/", many("delete ")), 0),
        (format!("select 1 {}", many("/**/")), 0),
        (format!("select 1 {}{}", "/*".repeat(BYTES / 4), "*/".repeat(BYTES / 4)), 0),
        (format!("select $a${}$a$", many("$b$")), 0),
        (format!("select {} 1", many("$a$;$a$,")), 0),
        (format!("select 'a'{}", many("\n'b'")), 0),
        (format!("do $$ {} $$", many("alter x create y ")), 1),
        (format!("{}select 1", many(";")), 0),
    ] {
        let start = text[..30].to_owned();
        let found = analyse(text, false).await.unwrap_or_else(|refusal| panic!("{start}: {refusal:?}"));
        assert_eq!(found.findings().len(), findings, "{start}");
    }
}

#[test]
fn many_findings_hide_no_other_one() {
    let text = format!("{}do $$ begin end $$; drop table t", "delete from t; ".repeat(990));
    let found = read(&text).unwrap();
    let findings = found.findings();
    assert_eq!(findings.len(), 101);
    let codes: Vec<&str> = findings.iter().map(|f| f.code.as_str()).collect();
    assert_eq!(codes[97..], ["delete_without_where", "hidden_code", "drop", "more_findings"]);
    assert!(findings[100].message.contains(" 892 more"), "{}", findings[100].message);
    assert_eq!(read(&"delete from t; ".repeat(100)).unwrap().findings().len(), 100);
    // Neither names of one's own making nor harmless code push out what matters.
    let names = (0..400).map(|n| format!("select dblink{n}()")).collect::<Vec<_>>().join("; ");
    let text = format!("{names}; {}do $$ begin execute 'x'; end $$; drop table t", "call p(); ".repeat(400));
    let found = read(&text).unwrap();
    let shown = |part: &str| found.findings().iter().any(|f| f.message.contains(part));
    assert!(shown("EXECUTE") && shown("DROP TABLE") && shown("dblink") && shown(" 702 more"));
}

#[tokio::test]
async fn analyses_wait_for_their_turn() {
    let turns = Arc::new(Semaphore::new(0));
    let mut waiting = Box::pin(analyse_in_turn(turns.clone(), "select 1".to_owned(), false));
    let early = tokio::time::timeout(std::time::Duration::from_millis(20), &mut waiting).await;
    assert!(early.is_err());
    turns.add_permits(1);
    assert!(waiting.await.is_ok());
    // The turn comes back, also from a text that is refused.
    assert!(analyse_in_turn(turns.clone(), "commit".to_owned(), false).await.is_err());
    assert!(analyse_in_turn(turns.clone(), "select 1".to_owned(), false).await.is_ok());
    assert!(AT_A_TIME.available_permits() <= thread::available_parallelism().unwrap().get());
}

#[test]
fn accounts_and_kept_settings_are_refused() {
    for (text, code) in [
        ("alter role current_user password 'x'", "role_password"),
        ("select 1; create user u password 'x'", "role_password"),
        ("alter role all set search_path = x", "stored_setting"),
        ("alter database d reset all", "stored_setting"),
        ("create user mapping for u server s options (password 'x')", "stored_password"),
    ] {
        assert_eq!(refused(text), code, "{text}");
    }
    assert_eq!(class("create user mapping for u server s options (user 'x')"), Class::Administrative);
}

#[test]
fn hidden_code_is_a_finding() {
    let message = |text: &str| {
        let found = read(text).unwrap();
        found.findings().iter().find(|f| f.code == "hidden_code").map(|f| f.message.clone())
    };
    for text in [
        "do $$ begin update t set a = 1; end $$",
        "call p()",
        "create function f(user_id int) returns int language sql as 'select 1'",
        "create or replace procedure p() language sql as 'select 1'",
        "create trigger g before insert on t execute function f()",
        "create or replace constraint trigger g after insert on t execute function f()",
        "create event trigger e on ddl_command_end execute function f()",
        "create rule r as on insert to t do also notify c",
        "create schema s create table t (a int) create trigger g before insert on t execute function f()",
    ] {
        let message = message(text).unwrap_or_else(|| panic!("{text}"));
        assert!(message.contains("cannot look into") && !message.contains("Careful"), "{text}: {message}");
    }
    for text in [
        "do $$ begin execute 'x'; end $$",
        "DO $$ BEGIN ALTER /* x */ ROLE r SUPERUSER; END $$",
        "do $$ begin create\n user r; end $$",
        "do $x$ begin perform set_config('a', 'b', true); end $x$",
        "do $x$ begin perform PG_TERMINATE_backend(1); end $x$",
        r"do E'begin \x65xecute 1; end'",
        "create function f() returns void language sql as 'alter role r password ''x'''",
        "call p('PASSWORD')",
    ] {
        let message = message(text).unwrap_or_else(|| panic!("{text}"));
        assert!(message.contains("Careful"), "{text}: {message}");
    }
    for text in ["select 1", "create table t (a int)", "create schema s", "explain select 1"] {
        assert_eq!(message(text), None, "{text}");
    }
}

#[test]
fn names_that_reach_beyond_are_a_finding() {
    for text in [
        "select pg_terminate_backend(1)",
        "select PG_Cancel_Backend (pid) from x",
        "select * from pg_catalog.\"pg_stat_activity\"",
        "select \"PG_RELOAD_CONF\"()",
        "select set_config('a', 'b', false), set_config('a', 'c', false)",
        "select lo_import('/x')",
        "select lo_export(1, '/x')",
        "select pg_read_file('/x')",
        "select pg_read_binary_file('/x')",
        "select pg_ls_dir('/')",
        "select dblink_exec('x', 'y'), dblink('x', 'z')",
        "select U&\"pg\\005fread_file\"('/x')",
        "select U&\"pg!005fread_file\" uescape '!' ('/x')",
        "explain select pg_reload_conf()",
    ] {
        let found = codes(text);
        assert_eq!(found.iter().filter(|c| *c == "touches_sessions").count(), 1, "{text}: {found:?}");
    }
    for text in ["select 'pg_read_file'", "select 1 /* dblink */ -- lo_import", "select $$set_config$$"] {
        assert_eq!(codes(text), Vec::<String>::new(), "{text}");
    }
    let found = read("select 1,\n  pg_read_file('/x')").unwrap();
    assert_eq!(found.findings()[0].position, Some(Position { line: 2, column: 3 }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_text_panics(words in prop::collection::vec(prop::sample::select(vec![
        "select", "commit", "begin", "with", "as", "(", ")", ";", "'", "\"", "$$", "$a$", "--", "\n", "/*", "*/", "E'",
        "U&\"", "\\", "insert", "into", "t", "explain", "analyze", "create", "function", "end", "case", "1", ",", "é",
        "set", "=", "::", "[", "]", "atomic", "1e", ".", "\u{a0}",
    ]), 0..30)) {
        let text = words.join(" ");
        let found = on_big_stack({
            let text = text.clone();
            move || analyse_here(&text, false)
        });
        if let Ok(found) = found {
            let mut last = 0;
            for statement in found.statements {
                prop_assert!(statement.range.start >= last && statement.range.end <= text.len());
                last = statement.range.end;
            }
        }
    }

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        on_big_stack(move || drop(analyse_here(&text, true)));
    }
}
