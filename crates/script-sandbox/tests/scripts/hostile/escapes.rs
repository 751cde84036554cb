//! Ways out that were found in other sandboxes (vm2, isolated-vm, n8n, Node's `vm`), and what is not there at all.

use domain::script::ScriptOutcome;

use super::{survive, thrown_by, value_of};
use crate::harness::script;

#[tokio::test]
async fn constructors_of_constructors_lead_to_the_same_world() {
    for text in [
        "return this.constructor.constructor('return process')()",
        "return db.query.constructor('return process')()",
        "return console.log.constructor('return process')()",
        "return sleep.constructor.constructor('return process')()",
        "return (async () => {}).constructor('return process')()",
        "return db.stream('a').constructor.constructor('return process')().next()",
        "return new Function('return process')()",
        "return eval('process')",
        "return (0, eval)('process')",
        "return Reflect.construct(Function, ['return process'])()",
        "return (function* () {}).constructor('yield process')().next()",
        "return DatabaseError.constructor('return process')()",
        "return [].constructor.constructor.call(null, 'return process')()",
        "try { null.x } catch (e) { return e.constructor.constructor('return process')() }",
        "return db.query(1).catch((e) => e.constructor.constructor('return process')())",
    ] {
        let message = thrown_by(&text.replace("return this.", "return globalThis.")).await;
        assert_eq!(message, "ReferenceError: process is not defined", "{text}");
    }
}

#[tokio::test]
async fn what_other_worlds_have_is_not_there() {
    let absent = value_of(
        "const names = ['require', 'module', 'exports', '__dirname', 'process', 'global', 'Buffer', 'Deno', 'Bun', 'window', 'self', 'fetch',
           'XMLHttpRequest', 'WebSocket', 'Worker', 'importScripts', 'setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'structuredClone',
           'postMessage', 'performance', 'navigator', 'WebAssembly', 'SharedArrayBuffer', 'Atomics', 'ShadowRealm', 'print', 'load', 'read', 'quit', 'gc',
           'd8', 'version', 'host', 'alert', 'open', 'localStorage'];
         return names.filter((name) => name in globalThis || eval('typeof ' + name) !== 'undefined')",
    )
    .await;
    assert_eq!(absent, "[]");
}

#[tokio::test]
async fn requiring_and_importing_lead_nowhere() {
    assert_eq!(thrown_by("return require('child_process')").await, "ReferenceError: require is not defined");
    for what in [
        "'fs'",
        "'node:fs'",
        "'/etc/passwd'",
        "'data:text/javascript,1'",
        "'./x.js'",
        "{ toString() { return 'fs' } }",
    ] {
        let got = value_of(&format!(
            "try {{ return typeof await import({what}) }} catch (e) {{ return e instanceof Error }}"
        ))
        .await;
        assert_eq!(got, "true", "{what}");
    }
    assert_eq!(
        thrown_by("import fs from 'fs'").await,
        "SyntaxError: Cannot use import statement outside a module"
    );
    assert_eq!(
        thrown_by("return import.meta.url").await,
        "SyntaxError: Cannot use 'import.meta' outside a module"
    );
    assert_eq!(thrown_by("export default 1").await, "SyntaxError: Unexpected token 'export'");
}

#[tokio::test]
async fn memory_that_is_shared_cannot_be_reached_by_constructors() {
    let names = value_of(
        "const seen = new Set(), names = new Set(), queue = [globalThis, new Uint8Array(1).buffer, (function* () {})(), (async () => {})(), db.stream('a')];
         while (queue.length) {
           const o = queue.pop();
           if ((typeof o !== 'object' && typeof o !== 'function') || o === null || seen.has(o)) continue;
           seen.add(o);
           if (typeof o === 'function') names.add(o.name);
           queue.push(Object.getPrototypeOf(o));
           for (const key of Reflect.ownKeys(o)) {
             const p = Object.getOwnPropertyDescriptor(o, key);
             if (p === undefined) continue;
             if ('value' in p) queue.push(p.value); else queue.push(p.get, p.set);
             try { queue.push(o[key]) } catch {}
           }
         }
         return ['SharedArrayBuffer', 'Atomics', 'WebAssembly', 'Memory', 'waitAsync', 'ShadowRealm', 'Worker'].filter((n) => names.has(n))",
    )
    .await;
    assert_eq!(names, "[]");
    assert_eq!(value_of("return new Uint8Array(1).buffer.constructor.name").await, r#""ArrayBuffer""#);
}

#[tokio::test]
async fn callers_are_not_told() {
    let got = value_of(
        "const tried = [];
         function sloppy() { return sloppy.caller }
         tried.push(String(sloppy()));
         for (const f of [() => db.query.caller, () => db.query.arguments, () => console.log.caller, () => (function () { 'use strict'; return arguments.callee })()])
           try { tried.push(String(f())) } catch (e) { tried.push(e.name) }
         const value = { get x() { try { return String(arguments.callee.caller) } catch (e) { return e.name } } };
         tried.push(value.x);
         let asked; const toJSON = function () { asked = toJSON.caller; return 1 };
         JSON.stringify({ toJSON }); tried.push(String(asked));
         const told = ['under' + 'Way', 'Safe' + 'Promise', 'push(wait' + 'ing'];
         return [tried.length, tried.filter((t) => told.some((word) => t.includes(word)))]",
    )
    .await;
    assert_eq!(got, "[7,[]]");
}

#[tokio::test]
async fn a_getter_called_from_the_prelude_does_not_see_who_called() {
    let seen = survive(script(
        "let told = 'not asked'; const parameter = { toJSON: function f() { told = String(f.caller); return 1 } };
         await db.query('a', [parameter]); return told",
    ))
    .await;
    assert_eq!(seen.value(), r#""null""#);
}

#[tokio::test]
async fn prepared_stack_traces_show_no_function_of_the_prelude() {
    let seen = survive(script(
        "Error.prepareStackTrace = (error, sites) => sites.map((s) => [typeof s.getThis(), typeof s.getFunction()]);
         const asked = []; const spy = { toJSON() { asked.push(...new Error('x').stack); return 1 } };
         try { await db.query('a', [spy]) } catch {}
         return asked",
    ))
    .await;
    let told = seen.value();
    // The functions of the script itself are sloppy, and told; those of the prelude are strict, and are not.
    assert!(told.contains(r#"["undefined","undefined"]"#), "{told}");
    assert_eq!(told.matches(r#""function""#).count(), 1, "{told}");
}

#[tokio::test]
async fn a_prepared_stack_trace_that_loops_or_throws_changes_no_message() {
    for hook in [
        "() => { throw new Error('mine') }",
        "() => ({ toString() { for (;;) {} } })",
        "(e) => { e.message = 'forged'; return 1 }",
        "7",
    ] {
        let text = format!(
            "Error.prepareStackTrace = {hook}; Error.stackTraceLimit = Infinity;\nthrow new TypeError('real')"
        );
        let seen = survive(script(&text)).await;
        assert_eq!(seen.error().message, "TypeError: real", "{hook}");
        assert_eq!(seen.error().position.map(|p| (p.line, p.column)), Some((2, 7)), "{hook}");
        assert_eq!(seen.error().stack, "at script.js:2:7", "{hook}");
    }
}

#[tokio::test]
async fn limits_of_stack_traces_are_read_without_asking() {
    let text =
        "Object.defineProperty(Error, 'stackTraceLimit', { get() { for (;;) {} } });\nawait db.query('a')";
    let seen = survive(script(text)).await;
    assert_eq!(seen.value(), "undefined");
    let seen = survive(script("Error.stackTraceLimit = -1;\nthrow new Error('x')")).await;
    assert_eq!(seen.error().message, "Error: x");
}

#[tokio::test]
async fn asynchronous_stack_traces_show_the_scripts_own_functions_only() {
    let seen = survive(script("async function a() { await null; throw new Error('deep') }\nasync function b() { await a() }\nawait db.transaction(() => b())")).await;
    let error = seen.error();
    assert_eq!(error.message, "Error: deep");
    assert!(error.stack.lines().all(|line| line.contains("script.js:")), "{}", error.stack);
    assert!(error.stack.starts_with("at a (script.js:1:"), "{}", error.stack);
}

#[tokio::test]
async fn a_with_statement_and_unscopables_reach_only_the_script() {
    assert_eq!(
        value_of("const trap = new Proxy({}, { has: (t, k) => k !== 'trap' && k !== Symbol.unscopables, get: (t, k) => (k === Symbol.unscopables ? undefined : 'mine') }); with (trap) { return typeof process + process }").await,
        r#""stringmine""#
    );
    assert_eq!(
        value_of("Array.prototype[Symbol.unscopables].db = true; with ([]) { return typeof db }").await,
        r#""object""#
    );
}

#[tokio::test]
async fn weak_references_and_finalization_find_nothing() {
    assert_eq!(
        value_of("let told = 0; const r = new FinalizationRegistry(() => { told += 1 }); for (let i = 0; i < 1e5; i++) r.register({}, i); const w = new WeakRef({}); await sleep(5); return [typeof w.deref(), told <= 1e5]").await,
        r#"["object",true]"#
    );
}

#[tokio::test]
async fn flags_and_natives_of_the_engine_cannot_be_named() {
    for text in ["return %DebugPrint(1)", "return %SystemBreak()"] {
        assert_eq!(thrown_by(text).await, "SyntaxError: Unexpected token '%'", "{text}");
    }
    assert_eq!(
        thrown_by("return eval('%GetOptimizationStatus(1)')").await,
        "SyntaxError: Unexpected token '%'"
    );
    assert_eq!(value_of("debugger; return 1").await, "1");
}

#[tokio::test]
async fn an_escape_by_an_overflowing_stack_within_the_prelude_leaves_no_call_behind() {
    // vm2 was left through errors of the host's own, thrown where the stack ran out.
    let seen = survive(script(
        "let foreign = 0, tried = 0;
         const dig = () => { try { dig() } catch (e) { tried += 1; if (!(e instanceof RangeError)) foreign += 1; } try { console.log() } catch (e) { if (!(e instanceof Error)) foreign += 1 } };
         dig(); return [foreign, tried > 0]",
    ))
    .await;
    assert_eq!(seen.value(), "[0,true]");
    assert_eq!(seen.calls, []);
}

#[tokio::test]
async fn calls_made_where_the_stack_runs_out_come_in_order_or_not_at_all() {
    let seen = survive(script(
        "const dig = (n) => { try { dig(n + 1) } catch {} if (n % 50 === 0) db.query('q').catch(() => {}) }; dig(0); await sleep(1); return 'end'",
    ))
    .await;
    assert!(
        matches!(seen.end.outcome, ScriptOutcome::Returned(_) | ScriptOutcome::Threw(_)),
        "{:?}",
        seen.end
    );
    assert_eq!(seen.calls.len() as u64, seen.end.calls);
}
