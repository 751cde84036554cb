//! Scripts that say too much, or at the wrong moment.

use std::fs;
use std::time::Duration;

use domain::script::{CONSOLE_BYTES, LogEntry, ScriptOutcome};

use super::{survive, value_of};
use crate::harness::{Seen, script};

fn kept(seen: &Seen) -> (usize, u64) {
    let texts = seen.log.iter().map(|entry| match entry {
        LogEntry::Console { text, .. } => text.len(),
        LogEntry::Call(_) => 0,
    });
    (texts.sum(), seen.end.console_dropped)
}

/// Most bytes that this process had in memory, by its own account.
fn own_peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn of_a_gigabyte_of_output_a_mebibyte_is_kept_and_the_rest_counted() {
    let before = own_peak();
    let seen = survive(script(
        "const s = 'x'.repeat(2 ** 20); for (let i = 0; i < 1024; i++) console.log(s); return 'said'",
    ))
    .await;
    assert_eq!(seen.value(), r#""said""#);
    assert_eq!(kept(&seen), (CONSOLE_BYTES, (1 << 30) - CONSOLE_BYTES as u64));
    let more = own_peak() - before;
    assert!(more < 16 << 20, "the portal grew by {more} bytes");
}

#[tokio::test]
async fn lines_without_a_character_count_as_well() {
    let seen = survive(script("for (let i = 0; i < 1e6; i++) console.log(); return 'said'")).await;
    assert_eq!(seen.value(), r#""said""#);
    assert_eq!(seen.log.len(), CONSOLE_BYTES / 64);
}

#[tokio::test]
async fn output_without_end_is_ended() {
    let limit = Duration::from_millis(500);
    let seen = survive(script("for (let i = 0; ; i++) console.log('line ' + i)").timeout(limit)).await;
    assert!(matches!(seen.end.outcome, ScriptOutcome::TimedOut), "{:?}", seen.end);
    assert!(kept(&seen).0 <= CONSOLE_BYTES);
    assert!(seen.end.duration < limit + Duration::from_millis(500), "{:?}", seen.end);
}

#[tokio::test]
async fn values_that_fight_against_being_shown_are_shown_somehow() {
    let seen = survive(script(
        "const cyclic = { a: 1 }; cyclic.self = cyclic;
         console.log(cyclic);
         console.log({ get secret() { throw new Error('asked') } });
         console.log(new Proxy({}, { ownKeys() { throw new Error('trap') } }));
         console.log(new Proxy({}, { getPrototypeOf() { for (;;) { throw 1 } } }));
         console.log(Symbol('s'), () => 1, class A {}, 10n, -0, NaN);
         console.log({ __proto__: null, x: 1 }, { ['__proto__']: 1 });
         console.log({ toString() { throw 1 }, [Symbol.toPrimitive]() { throw 2 } });
         console.log(new Array(1e9));
         console.log('%s %d', 'no', 'format');
         console.log(Object.defineProperty(new Error('e'), 'message', { get() { throw 1 } }))",
    ))
    .await;
    assert_eq!(
        seen.console(),
        [
            "log: { a: 1, self: [Circular] }",
            "log: { secret: [Getter] }",
            "log: [a value that cannot be shown]",
            "log: [a value that cannot be shown]",
            "log: Symbol(s) [Function ] [Function A] 10n -0 NaN",
            "log: [Object: null prototype] { x: 1 } { __proto__: 1 }",
            "log: { toString: [Function toString], [Symbol(Symbol.toPrimitive)]: [Function [Symbol.toPrimitive]] }",
            &format!("log: [ {}… 999999900 more ]", "undefined, ".repeat(100)),
            "log: %s %d no format",
            "log: [a value that cannot be shown]",
        ]
    );
}

#[tokio::test]
async fn lines_and_signs_of_control_in_output_stay_one_entry() {
    let seen =
        survive(script("console.log('a\\nlog: forged\\u001b[2J\\0\\ud800'); console.log.call(null, 'b')"))
            .await;
    assert_eq!(seen.console(), ["log: a\nlog: forged\u{1b}[2J\0\u{fffd}", "log: b"]);
}

#[tokio::test]
async fn output_after_the_value_is_not_heard() {
    let seen = survive(script("Promise.resolve().then(async () => { for (;;) { console.log('late'); await sleep(5) } }); return { toJSON() { console.log('as json'); return 1 } }").timeout(Duration::from_millis(400)))
        .await;
    // It pauses for ever, and is waited for: the value is not given before the limit.
    assert!(matches!(seen.end.outcome, ScriptOutcome::TimedOut), "{:?}", seen.end);
    // What is queued while the value becomes text runs before the value is sent, and nothing runs after.
    let seen = survive(script(
        "return { toJSON() { (async () => { for (let i = 0; ; i++) { console.log(i); await sleep(1) } })(); return 1 } }",
    ))
    .await;
    assert_eq!(seen.value(), "1");
    assert_eq!(seen.console(), ["log: 0"]);
}

#[tokio::test]
async fn a_console_that_was_replaced_is_the_scripts_own() {
    assert_eq!(
        value_of("const said = []; console = { log: (x) => said.push(x) }; console.log(1); return said")
            .await,
        "[1]"
    );
}
