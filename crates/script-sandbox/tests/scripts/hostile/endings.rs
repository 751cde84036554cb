//! Values that are no plain values.

use super::{never_ends, query, survive, thrown_by, value_of};
use crate::harness::script;

const NEVER: &str = "the script waits for something that never comes: a promise that nothing settles";

#[tokio::test]
async fn a_thenable_that_never_settles_is_told() {
    assert_eq!(thrown_by("return { then() {} }").await, NEVER);
    assert_eq!(thrown_by("return new Promise(() => {})").await, NEVER);
    assert_eq!(thrown_by("await new Promise(() => {})").await, NEVER);
}

#[tokio::test]
async fn a_thenable_that_throws_is_an_error() {
    assert_eq!(thrown_by("return { then() { throw new Error('in then') } }").await, "Error: in then");
    assert_eq!(
        thrown_by("return { get then() { throw new Error('getting then') } }").await,
        "Error: getting then"
    );
}

#[tokio::test]
async fn a_thenable_that_settles_twice_counts_once() {
    assert_eq!(value_of("return { then(a, b) { a(1); b(2); a(3); throw 4 } }").await, "1");
}

#[tokio::test]
async fn a_thenable_of_thenables_without_end_is_ended() {
    never_ends("const t = { then(a) { a(t) } }; return t").await;
    never_ends("const next = () => ({ then(a) { a(next()) } }); return next()").await;
}

#[tokio::test]
async fn a_promise_of_itself_is_an_error() {
    assert_eq!(
        thrown_by("let p; p = Promise.resolve().then(() => p); return p").await,
        "TypeError: Chaining cycle detected for promise #<Promise>"
    );
}

#[tokio::test]
async fn a_proxy_as_a_value_is_what_it_shows() {
    assert_eq!(value_of("return new Proxy({ a: 1 }, {})").await, r#"{"a":1}"#);
    assert_eq!(value_of("return new Proxy([1, 2], {})").await, "[1,2]");
    assert_eq!(
        thrown_by("return new Proxy({}, { ownKeys() { throw new Error('trap') } })").await,
        "Error: trap"
    );
    assert_eq!(
        thrown_by("const r = Proxy.revocable({}, {}); setTimeout = 0; const p = { v: r.proxy }; r.revoke(); return p").await,
        "TypeError: Cannot perform 'get' on a proxy that has been revoked"
    );
    assert_eq!(
        thrown_by(
            "return new Proxy([], { get(t, k) { return k === 'length' ? 2 ** 40 : 'x'.repeat(1000) } })"
        )
        .await,
        "RangeError: the script's value is larger than 16777216 bytes of JSON"
    );
}

#[tokio::test]
async fn a_huge_sparse_array_is_larger_than_a_value_can_be() {
    assert_eq!(
        thrown_by("return new Array(2 ** 32 - 1)").await,
        "RangeError: the script's value is larger than 16777216 bytes of JSON"
    );
    assert_eq!(value_of("const a = []; a[3] = 1; return a").await, "[null,null,null,1]");
}

#[tokio::test]
async fn values_that_are_too_large_are_told() {
    let too_large = "RangeError: the script's value is larger than 16777216 bytes of JSON";
    assert_eq!(thrown_by("return 'x'.repeat(2 ** 24)").await, too_large);
    assert_eq!(thrown_by("return 'é'.repeat(2 ** 23)").await, too_large);
    assert_eq!(thrown_by("return new Array(20).fill('x'.repeat(2 ** 20))").await, too_large);
    assert_eq!(value_of("return 'x'.repeat(2 ** 24 - 2)").await.len(), 1 << 24);
}

#[tokio::test]
async fn a_value_nested_a_million_deep_is_an_error() {
    let text = "let a = []; for (let i = 0; i < 1e6; i++) a = [a]; return a";
    assert_eq!(thrown_by(text).await, "RangeError: Maximum call stack size exceeded");
}

#[tokio::test]
async fn a_value_that_holds_itself_is_an_error() {
    let message = thrown_by("const o = {}; o.o = o; return o").await;
    assert!(message.starts_with("TypeError: Converting circular structure to JSON"), "{message}");
    let message = thrown_by("const a = []; a.push(a); return a").await;
    assert!(message.starts_with("TypeError: Converting circular structure to JSON"), "{message}");
}

#[tokio::test]
async fn a_value_that_becomes_text_makes_no_calls() {
    let seen = survive(script("return { toJSON() { db.query('late'); return 1 } }")).await;
    assert_eq!(
        seen.error().message,
        "the script is over; it makes no more database calls".replace("the script", "Error: the script")
    );
    let seen = survive(script(
        "await db.query('a'); return { toJSON() { db.query('late').catch(() => {}); return 1 } }",
    ))
    .await;
    assert_eq!(seen.value(), "1");
    assert_eq!(seen.calls, [query("a")]);
}

#[tokio::test]
async fn values_without_json_are_nothing_or_null() {
    for text in
        ["return undefined", "return () => 1", "return Symbol()", "return { toJSON() {} }", "return class {}"]
    {
        assert_eq!(value_of(text).await, "undefined", "{text}");
    }
    assert_eq!(
        value_of("return [undefined, () => 1, Symbol(), NaN, -0, 10n]").await,
        r#"[null,null,null,null,0,"10"]"#
    );
    assert_eq!(value_of("return JSON.rawJSON ? JSON.rawJSON('1e400') : 0").await.len(), 5);
}

#[tokio::test]
async fn a_value_with_lines_stays_one_line() {
    assert_eq!(value_of("return 'a\\nb\\r\\u2028'").await, "\"a\\nb\\r\u{2028}\"");
    assert_eq!(value_of("return ['a\\nb', { 'k\\n': 1 }]").await, r#"["a\nb",{"k\n":1}]"#);
}

#[tokio::test]
async fn a_rejection_that_nobody_sees_ends_the_script() {
    assert_eq!(
        thrown_by("Promise.reject(new Error('unseen')); await sleep(100); return 1").await,
        "Error: unseen"
    );
    assert_eq!(thrown_by("(async () => { throw new Error('unseen') })(); return 1").await, "Error: unseen");
    assert_eq!(value_of("const p = Promise.reject(1); p.catch(() => {}); return 1").await, "1");
}

#[tokio::test]
async fn what_is_thrown_in_finally_counts() {
    assert_eq!(
        thrown_by("try { throw new Error('first') } finally { throw new Error('second') }").await,
        "Error: second"
    );
    assert_eq!(
        value_of("try { throw new Error('first') } finally { return 'swallowed' }").await,
        r#""swallowed""#
    );
}
