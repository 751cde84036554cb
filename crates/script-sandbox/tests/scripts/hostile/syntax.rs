//! Texts that try to leave the function around a script, or to say what they are not.

use domain::script::ScriptOutcome;

use super::{survive, thrown_by, value_of};
use crate::harness::{check, script};

/// Refused when it is submitted, and when it is run all the same; nothing of it runs.
async fn is_refused(text: &str) -> String {
    let refusal = check(text).await.expect_err(text);
    assert_eq!(refusal.code, "script_syntax", "{text}");
    assert!(refusal.position.is_some(), "{text}");
    let seen = survive(script(text)).await;
    assert!(matches!(&seen.end.outcome, ScriptOutcome::Threw(_)), "{text}: {:?}", seen.end);
    assert_eq!(seen.error().message, refusal.message, "{text}");
    assert_eq!(seen.console(), Vec::<String>::new(), "{text}");
    assert_eq!(seen.calls, [], "{text}");
    refusal.message
}

#[tokio::test]
async fn brackets_that_close_the_function_around_are_refused() {
    for text in [
        "}); leaked = 1; (async () => {",
        "})(); for (;;) {} (async () => {",
        "}, async () => {",
        "}, leaked = 1, async () => {",
        "}); console.log('out'); ({ async x() {",
        "}\n)\n;\n(\nasync () => {",
        "});//",
        "})/*",
        "}/**/)",
    ] {
        is_refused(text).await;
    }
    let message = is_refused("} + async function () {").await;
    assert!(message.starts_with("SyntaxError: "), "{message}");
}

#[tokio::test]
async fn comments_and_texts_that_do_not_end_are_refused() {
    for text in [
        "/* no end",
        "*/",
        "return `${",
        "return `no end",
        "return '",
        "return /",
        "return [",
        "(((",
        "return {",
        "'\\u{110000}'",
        "`${`",
    ] {
        is_refused(text).await;
    }
}

#[tokio::test]
async fn words_of_modules_and_other_functions_are_refused() {
    for text in [
        "super()",
        "return super.x",
        "return new.target",
        "yield 1; const yield = 1; 'use strict'; with (a) {}",
        "export const a = 1",
        "import x from 'y'",
        "break",
        "continue",
        "#!/usr/bin/env node",
        "#private in this",
    ] {
        // What is allowed somewhere is refused as a whole or throws; it never does anything else.
        let seen = survive(script(text)).await;
        assert!(matches!(&seen.end.outcome, ScriptOutcome::Threw(_)), "{text}: {:?}", seen.end);
        assert!(!seen.error().message.contains('/'), "{text}: {}", seen.error().message);
    }
}

#[tokio::test]
async fn await_in_odd_places_is_refused_or_does_what_it_says() {
    for text in [
        "const await = 1",
        "function f(a = await 1) {}",
        "(a = await 1) => a; await: 1",
        "class A { x = await 1 }",
        "await",
        "for await (;;) {}",
        "var { await } = {}",
    ] {
        is_refused(text).await;
    }
    assert_eq!(value_of("return await (await (async () => await 1)())").await, "1");
    assert_eq!(value_of("for await (const x of [Promise.resolve(1)]) return x").await, "1");
    assert_eq!(value_of("if (true) { return 1 } return 2").await, "1");
    assert_eq!(value_of("label: { break label } return 1").await, "1");
}

#[tokio::test]
async fn comments_of_old_pages_are_comments() {
    assert_eq!(value_of("return 1 <!-- 2").await, "1");
    assert_eq!(value_of("let a = 1\n--> leaked = 1\nreturn a").await, "1");
    assert_eq!(value_of("return '</script><!--'").await, r#""</script><!--""#);
}

#[tokio::test]
async fn separators_of_lines_end_comments_as_they_should() {
    assert_eq!(value_of("// comment\u{2028}return 1").await, "1");
    assert_eq!(value_of("return 'a\u{2029}b'").await, "\"a\u{2029}b\"");
    is_refused("// comment\u{2028}});leaked = 1;(async () => {").await;
}

#[tokio::test]
async fn a_directive_makes_a_script_strict() {
    assert_eq!(thrown_by("'use strict'; undeclared = 1").await, "ReferenceError: undeclared is not defined");
    assert_eq!(value_of("'use strict'; return (function () { return this === undefined })()").await, "true");
}

#[tokio::test]
async fn arguments_and_this_tell_nothing_of_the_host() {
    assert_eq!(thrown_by("return arguments.length").await, "ReferenceError: arguments is not defined");
    assert_eq!(value_of("return this === globalThis || this === undefined").await, "true");
}

#[tokio::test]
async fn names_that_a_text_gives_itself_are_not_believed() {
    for comment in
        ["//# sourceURL=/etc/passwd", "//# sourceMappingURL=file:///etc/shadow", "//@ sourceURL=/root/x"]
    {
        let seen = survive(script(&format!("function f() {{ throw new Error('x') }}\nf()\n{comment}"))).await;
        let error = seen.error();
        assert_eq!(error.message, "Error: x");
        assert_eq!(error.stack, "at f (script.js:1:22)\nat script.js:2:1", "{comment}");
    }
    // Code made from texts has no place in the submitted one, whatever it calls itself.
    let seen = survive(script("eval('throw new Error(1)\\n//# sourceURL=/etc/passwd')")).await;
    assert!(!seen.error().stack.contains("passwd"), "{}", seen.error().stack);
    let told = value_of("try { eval('null.x\\n//# sourceURL=here.js') } catch (e) { return e.stack.split('\\n').filter((l) => l.includes('/')) }").await;
    assert_eq!(told, "[]");
}

#[tokio::test]
async fn the_stack_that_a_script_sees_has_no_path_of_the_host() {
    let stack = value_of("try { await db.query(1) } catch (e) { return e.stack }").await;
    assert!(!stack.contains('/'), "{stack}");
    let stack = value_of("return new Error('x').stack").await;
    assert!(!stack.contains('/'), "{stack}");
}

#[tokio::test]
async fn a_text_of_nothing_but_brackets_is_refused() {
    for text in [
        "(".repeat(1_000_000),
        "[".repeat(1_000_000),
        "{".repeat(500_000),
        "`${".repeat(200_000),
        "a=>".repeat(200_000),
        "!".repeat(1_000_000),
    ] {
        let refusal = check(&text).await.expect_err("it nests too deeply");
        let name = &text[..1];
        assert_eq!(refusal.code, "script_syntax", "{name}");
        let seen = survive(script(&text)).await;
        assert!(matches!(&seen.end.outcome, ScriptOutcome::Threw(_)), "{name}: {:?}", seen.end);
    }
}

#[tokio::test]
async fn names_that_hide_what_the_prelude_gives_are_the_scripts_own() {
    assert_eq!(
        value_of("const db = 1, console = 2, sleep = 3; return [db, console, sleep]").await,
        "[1,2,3]"
    );
    assert_eq!(value_of("var globalThis = 5, undefined; return globalThis").await, "5");
}

#[tokio::test]
async fn letters_that_turn_the_direction_change_no_meaning() {
    assert_eq!(value_of("const a = '\u{202e}'; /* \u{2066} return 2 \u{2069} */ return 1").await, "1");
}
