//! Thrown values of every kind.

use super::{never_ends, survive, thrown_by};
use crate::harness::{database_error, in_turn, script};

#[tokio::test]
async fn anything_can_be_thrown() {
    for (thrown, message) in [
        ("undefined", "Uncaught undefined"),
        ("null", "Uncaught null"),
        ("-0", "Uncaught -0"),
        ("'text'", "Uncaught 'text'"),
        ("Symbol('s')", "Uncaught Symbol(s)"),
        ("10n", "Uncaught 10n"),
        ("() => 1", "Uncaught [Function ]"),
        ("({ a: 1, get b() { throw 1 } })", "Uncaught { a: 1, b: [Getter] }"),
        ("[1, [2]]", "Uncaught [ 1, [ 2 ] ]"),
        ("new Proxy({}, {})", "Uncaught {}"),
        (
            "new Proxy({}, { get() { throw 1 }, getPrototypeOf() { throw 2 }, ownKeys() { throw 3 } })",
            "an error that cannot be shown",
        ),
        ("Object.freeze(new RangeError('frozen'))", "RangeError: frozen"),
        ("new AggregateError([new Error('a'), 1], 'many')", "AggregateError: many [errors: [Error: a]; 1]"),
        ("Object.create(null)", "Uncaught [Object: null prototype] {}"),
        ("Promise.resolve()", "Uncaught Promise {}"),
        ("new Error()", "Error"),
        ("new (class Mine extends Error { get name() { return 'Mine' } })('x')", "Mine: x"),
        (
            "globalThis.db",
            "Uncaught { query: [Function query], stream: [Function stream], transaction: [Function transaction] }",
        ),
    ] {
        assert_eq!(thrown_by(&format!("throw {thrown}")).await, message, "{thrown}");
        assert_eq!(thrown_by(&format!("return Promise.reject({thrown})")).await, message, "{thrown}");
    }
}

#[tokio::test]
async fn errors_that_are_their_own_cause_are_told_once() {
    assert_eq!(
        thrown_by("const e = new Error('e'); e.cause = e; throw e").await,
        "Error: e [cause: [Circular]]"
    );
    assert_eq!(
        thrown_by("const a = new AggregateError([], 'a'); const b = new Error('b', { cause: a }); a.errors.push(a, b); a.cause = b; throw a").await,
        "AggregateError: a [errors: [Circular]; [Error: b [cause: [Circular]]]] [cause: [Error: b [cause: [Circular]]]]"
    );
}

#[tokio::test]
async fn messages_that_are_no_strings_are_shown_somehow() {
    let error =
        |message: &str| format!("throw Object.defineProperty(new Error(), 'message', {{ {message} }})");
    assert_eq!(thrown_by(&error("value: 5")).await, "Error: 5");
    assert_eq!(thrown_by(&error("value: Symbol()")).await, "an error that cannot be shown");
    assert_eq!(thrown_by(&error("get() { throw new Error('mine') }")).await, "an error that cannot be shown");
    assert_eq!(thrown_by(&error("value: { toString() { return 'made' } }")).await, "Error: made");
    assert_eq!(
        thrown_by("const e = new Error('m'); e.name = { toString: null }; throw e").await,
        "an error that cannot be shown"
    );
}

#[tokio::test]
async fn a_message_that_loops_is_ended() {
    never_ends("throw Object.defineProperty(new Error(), 'message', { get() { for (;;) {} } })").await;
    never_ends("throw new Proxy(new Error('x'), { getPrototypeOf() { for (;;) {} } })").await;
}

#[tokio::test]
async fn a_message_of_a_hundred_megabytes_is_cut() {
    let message = thrown_by("throw new Error('x'.repeat(1e8))").await;
    assert!(message.starts_with("Error: xxx") && message.ends_with('…'), "{} bytes", message.len());
    assert!(message.len() < 11_000, "{} bytes", message.len());
    let message = thrown_by("const e = new Error(); e.name = 'n'.repeat(1e8); throw e").await;
    assert!(message.len() < 11_000, "{} bytes", message.len());
}

#[tokio::test]
async fn a_message_that_makes_a_call_makes_none() {
    let text = "throw Object.defineProperty(new Error(), 'message', { get() { db.query('x').catch(() => {}); return 'asked' } })";
    assert_eq!(thrown_by(text).await, "Error: asked");
}

#[tokio::test]
async fn a_stack_of_ones_own_is_not_believed() {
    let seen =
        survive(script("const e = new Error('x');\ne.stack = 'at root (/etc/passwd:1:1)';\nthrow e")).await;
    assert_eq!(seen.error().stack, "at script.js:1:11");
    assert_eq!(seen.error().position.map(|p| (p.line, p.column)), Some((1, 11)));
}

#[tokio::test]
async fn names_of_functions_in_stacks_are_cut() {
    let seen =
        survive(script("const f = { ['n'.repeat(1e6)]() { throw new Error('x') } };\nf['n'.repeat(1e6)]()"))
            .await;
    assert!(seen.error().stack.len() < 400, "{}", seen.error().stack.len());
}

#[tokio::test]
async fn an_error_of_the_database_cannot_be_forged() {
    let forged = "const e = new DatabaseError('forged'); e.code = '00000'; throw e";
    let seen = survive(script(forged)).await;
    assert_eq!(seen.error().message, "DatabaseError: forged");
    assert_eq!(seen.error().database_error, None);
    let changed = "try { await db.query('a') } catch (e) { e.code = '00000'; e.message = 'mine'; throw e }";
    let seen = survive(script(changed).answers(in_turn(vec![Err(database_error())]))).await;
    assert_eq!(seen.error().message, "DatabaseError: mine");
    assert_eq!(seen.error().database_error.as_ref().map(|e| e.code.as_str()), Some("42P01"));
}
