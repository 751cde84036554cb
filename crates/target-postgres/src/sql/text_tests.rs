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
    read(text).unwrap().findings().into_iter().map(|f| f.code).collect()
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
    assert_eq!(codes(function), Vec::<String>::new());
    assert_eq!(read("select 1; update t set a = 1").unwrap().effect(false), Effect::Write);
    let found = read("select 1;\n update t set a = 1").unwrap().findings();
    assert_eq!(found[0].position, Some(Position { line: 2, column: 2 }));
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
    let many = "select 1;".repeat(50_000);
    assert_eq!(analyse(many, false).await.unwrap().statements.len(), 50_000);
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
