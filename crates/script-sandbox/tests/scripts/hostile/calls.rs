//! Scripts that make more calls than they may, or in an order that is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::script::{CallAnswer, DatabaseCall, ScriptOutcome};
use script_runner::{ProcessScriptRunner, ScriptSettings};

use super::{asked, few, query, survive};
use crate::harness::{in_turn, refusal, script, settings};

#[tokio::test]
async fn of_a_million_calls_that_nobody_awaits_the_limit_is_made_one_at_a_time() {
    let most = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&most);
    let settings = ScriptSettings { max_calls: 500, ..few(settings()) };
    let runner = ProcessScriptRunner::start(settings).unwrap();
    let seen = script("Error.stackTraceLimit = 0; let refused = 0; for (let i = 0; i < 1e6; i++) { db.query('q' + i).catch(() => { refused += 1 }); if (i % 5000 === 0) await null } await sleep(1); console.log(refused); return 'end'")
        .timeout(Duration::from_mins(1))
        .answers(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(CallAnswer { committed: true, ..CallAnswer::default() })
        })
        .run_on(&runner)
        .await;
    assert_eq!(seen.value(), r#""end""#);
    assert_eq!(seen.console(), ["log: 999500"]);
    assert_eq!(most.load(Ordering::SeqCst), 500);
    assert_eq!(seen.calls, (0..500).map(|i| query(&format!("q{i}"))).collect::<Vec<_>>());
    assert_eq!((seen.end.calls, seen.end.commits), (500, 500));
}

#[tokio::test]
async fn a_call_beyond_the_limit_is_an_error_that_can_be_caught_again_and_again() {
    let settings = ScriptSettings { max_calls: 2, ..few(settings()) };
    let runner = ProcessScriptRunner::start(settings).unwrap();
    let seen = script("const said = []; for (let i = 0; i < 4; i++) try { await db.query('q'); said.push(i) } catch (e) { said.push(`${e.name}: ${e.message}`) } return said")
        .run_on(&runner)
        .await;
    assert_eq!(
        seen.value(),
        r#"[0,1,"RangeError: a script makes no more than 2 database calls","RangeError: a script makes no more than 2 database calls"]"#
    );
    assert_eq!(seen.calls, [query("q"), query("q")]);
}

#[tokio::test]
async fn a_call_without_await_that_fails_ends_the_script() {
    let seen = survive(
        script("db.query('a'); await sleep(1000); return 'never'").answers(in_turn(vec![Err(refusal())])),
    )
    .await;
    assert_eq!(seen.error().message, "DatabaseError: COMMIT may not be submitted.");
    assert_eq!(seen.calls, [query("a")]);
}

#[tokio::test]
async fn a_handle_is_of_no_use_after_its_transaction() {
    let seen = survive(script(
        "let kept, rows; await db.transaction(async (tx) => { kept = tx; rows = tx.stream('s'); await tx.query('in') });
         const errors = [];
         for (const f of [() => kept.query('out'), () => kept.stream('out'), () => rows.next()]) try { await f() } catch (e) { errors.push(e.message) }
         await db.transaction(async () => { try { await kept.query('other') } catch (e) { errors.push(e.message) } });
         return [...new Set(errors), errors.length]",
    ))
    .await;
    assert_eq!(seen.value(), r#"["this transaction is over; its handle cannot be used any more",4]"#);
    let (begin, commit) = (DatabaseCall::Begin, DatabaseCall::Commit);
    assert_eq!(seen.calls, [begin.clone(), asked("in", &[], true), commit.clone(), begin, commit]);
}

#[tokio::test]
async fn a_transaction_within_a_transaction_is_for_the_session_to_refuse() {
    let answers = in_turn(vec![Ok(CallAnswer::default()), Err(refusal()), Ok(CallAnswer::default())]);
    let seen = survive(script("await db.transaction(() => db.transaction(() => 1))").answers(answers)).await;
    assert_eq!(seen.error().message, "DatabaseError: COMMIT may not be submitted.");
    assert_eq!(seen.calls, [DatabaseCall::Begin, DatabaseCall::Begin, DatabaseCall::Rollback]);
    assert_eq!(seen.end.commits, 0);
}

#[tokio::test]
async fn a_transaction_that_throws_is_undone_whatever_it_throws() {
    for thrown in ["undefined", "null", "Symbol()", "{ then() {} }", "new Proxy({}, { get() { throw 1 } })"] {
        let seen = survive(script(&format!(
            "try {{ await db.transaction(async (tx) => {{ tx.query('a'); throw {thrown} }}) }} catch {{ return 'caught' }}"
        )))
        .await;
        assert_eq!(seen.value(), r#""caught""#);
        assert_eq!(
            seen.calls,
            [DatabaseCall::Begin, asked("a", &[], true), DatabaseCall::Rollback],
            "{thrown}"
        );
        assert_eq!(seen.end.commits, 0);
    }
}

#[tokio::test]
async fn a_script_that_ends_within_its_transaction_has_committed_nothing() {
    let seen = survive(script(
        "db.transaction(async (tx) => { await tx.query('a'); await new Promise(() => {}) }); await sleep(50); throw new Error('out')",
    ))
    .await;
    assert_eq!(seen.error().message, "Error: out");
    assert_eq!(seen.calls, [DatabaseCall::Begin, asked("a", &[], true)]);
    assert_eq!(seen.end.commits, 0);
}

#[tokio::test]
async fn a_transaction_that_never_settles_is_told_and_not_waited_for() {
    let seen = survive(script("await db.transaction(() => new Promise(() => {}))")).await;
    assert_eq!(
        seen.error().message,
        "the script waits for something that never comes: a promise that nothing settles"
    );
    assert_eq!(seen.calls, [DatabaseCall::Begin]);
}

#[tokio::test]
async fn words_of_the_session_are_statements_like_any_other() {
    let words = [
        "COMMIT",
        "ROLLBACK; BEGIN",
        "COMMIT AND CHAIN",
        "PREPARE TRANSACTION 'x'",
        "SELECT 1; COMMIT; SELECT 2",
        "\u{feff}COMMIT",
        "/**/COMMIT--",
    ];
    let list = words.map(|w| format!("{w:?}").replace("\\u{feff}", "\\ufeff")).join(",");
    let seen = survive(
        script(&format!("let refused = 0; for (const w of [{list}]) try {{ await db.query(w) }} catch (e) {{ refused += e.refused ? 1 : 0 }} return refused"))
            .answers(|_| Err(refusal())),
    )
    .await;
    assert_eq!(seen.value(), words.len().to_string());
    assert_eq!(seen.calls, words.map(query));
    assert_eq!(seen.end.commits, 0);
}

#[tokio::test]
async fn the_handles_cannot_be_changed() {
    let seen = survive(script(
        "'use strict'; const errors = [];
         for (const f of [() => { db.query = 1 }, () => { delete db.transaction }, () => { db.x = 1 }, () => Object.defineProperty(db, 'query', { value: 1 }), () => Object.setPrototypeOf(db, {})]) try { f() } catch (e) { errors.push(e.name) }
         await db.transaction(async (tx) => { try { tx.query = 1 } catch (e) { errors.push(e.name) } errors.push(Object.keys(tx).join()) });
         return errors",
    ))
    .await;
    assert_eq!(
        seen.value(),
        r#"["TypeError","TypeError","TypeError","TypeError","TypeError","TypeError","query,stream"]"#
    );
}

#[tokio::test]
async fn pauses_take_numbers_and_nothing_else() {
    let seen = survive(script(
        "const errors = []; for (const bad of [NaN, -1, -Infinity, '1', null, undefined, {}, 1n, [5]]) try { await sleep(bad) } catch (e) { errors.push(e.message) }
         await sleep(0); await sleep(Number.MIN_VALUE); return [...new Set(errors), errors.length]",
    ))
    .await;
    assert_eq!(seen.value(), r#"["sleep takes a number of milliseconds, 0 or more",9]"#);
}

#[tokio::test]
async fn what_is_pending_when_a_script_returns_is_waited_for() {
    let seen = survive(script(
        "sleep(30).then(() => console.log('late')); db.query('a').then(() => db.query('b')); return 1",
    ))
    .await;
    assert_eq!(seen.value(), "1");
    assert_eq!(seen.console(), ["log: late"]);
    assert_eq!(seen.calls, [query("a"), query("b")]);
}

#[tokio::test]
async fn what_is_pending_at_the_deadline_is_stopped() {
    let limit = Duration::from_millis(300);
    let seen = survive(
        script("db.query('a'); db.query('b'); sleep(1e9); return 1")
            .timeout(limit)
            .pace(Duration::from_mins(1)),
    )
    .await;
    assert!(matches!(seen.end.outcome, ScriptOutcome::TimedOut), "{:?}", seen.end);
    assert_eq!(seen.calls, [query("a")]);
    assert!(seen.end.duration < limit + Duration::from_millis(500), "{:?}", seen.end);
}
