//! Scripts that take memory. The process says so itself where it can; the watch and the kernel stand behind it.

use domain::script::ScriptOutcome;

use super::{LIMIT, peak, survive, thrown_by, value_of};
use crate::harness::{in_turn, rows, script};

/// Uses memory up, with the outcome that says so.
async fn is_out_of_memory(text: &str) {
    let seen = survive(script(text)).await;
    let ScriptOutcome::OutOfMemory { limit_bytes } = seen.end.outcome else { panic!("{:?}", seen.end) };
    assert_eq!(limit_bytes, LIMIT);
    assert_eq!(seen.calls, []);
    println!("{} MiB at most", peak() >> 20);
}

#[tokio::test]
async fn objects_run_out_of_memory() {
    is_out_of_memory("const a = []; for (;;) a.push({ x: [1, 2, 3] })").await;
}

#[tokio::test]
async fn nested_arrays_run_out_of_memory() {
    is_out_of_memory("let a = []; for (;;) a = [a]").await;
}

#[tokio::test]
async fn many_small_buffers_run_out_of_memory() {
    is_out_of_memory("const a = []; for (;;) a.push(new Uint8Array(4096).fill(1))").await;
}

#[tokio::test]
async fn many_buffers_that_nobody_touches_run_out_of_memory() {
    is_out_of_memory("const a = []; for (;;) a.push(new ArrayBuffer(65536))").await;
}

#[tokio::test]
async fn large_buffers_run_out_of_memory() {
    is_out_of_memory("const a = []; for (;;) a.push(new Uint8Array(2 ** 24).fill(1))").await;
}

#[tokio::test]
async fn one_huge_buffer_is_not_to_be_had() {
    // Whether V8 throws or gives up is its own business.
    let seen =
        survive(script("try { return new ArrayBuffer(2 ** 33).byteLength } catch (e) { return e.name }"))
            .await;
    match &seen.end.outcome {
        ScriptOutcome::OutOfMemory { .. } => {}
        _ => assert_eq!(seen.value(), r#""RangeError""#),
    }
}

#[tokio::test]
async fn resizable_buffers_run_out_of_memory() {
    let text = "const a = []; for (;;) { const b = new ArrayBuffer(2 ** 20, { maxByteLength: 2 ** 21 });
                new Uint8Array(b).fill(1); a.push(b) }";
    is_out_of_memory(&format!("try {{ {text} }} catch (e) {{ for (const x = [];;) x.push({{ x }}) }}")).await;
}

#[tokio::test]
async fn a_buffer_that_grows_runs_out_of_memory() {
    let text = "let b = new ArrayBuffer(2 ** 24); for (let i = 1; ; i++) { b = b.transfer(i * 2 ** 24);
                new Uint8Array(b).fill(1) }";
    is_out_of_memory(&format!("try {{ {text} }} catch (e) {{ for (const x = [];;) x.push({{ x }}) }}")).await;
}

#[tokio::test]
async fn a_heap_and_buffers_together_keep_within_the_one_limit() {
    is_out_of_memory(
        "const a = [], h = []; for (let i = 0; i < 1.2e6; i++) h.push({ i });
         for (;;) a.push(new Uint8Array(2 ** 20).fill(1))",
    )
    .await;
}

#[tokio::test]
async fn buffers_and_then_a_heap_keep_within_the_one_limit() {
    is_out_of_memory(
        "const a = [], h = []; for (let i = 0; i < 120; i++) a.push(new Uint8Array(2 ** 20).fill(1));
         for (;;) h.push({ h })",
    )
    .await;
}

#[tokio::test]
async fn repeated_strings_run_out_of_memory() {
    is_out_of_memory("const a = []; for (let i = 0; ; i++) a.push(JSON.stringify('ab'.repeat(2 ** 22) + i))")
        .await;
}

#[tokio::test]
async fn strings_that_double_end_in_memory_or_in_the_longest_string() {
    is_out_of_memory("let s = 'x'; for (;;) { s += s; /y/.test(s) }").await;
}

#[tokio::test]
async fn padded_strings_run_out_of_memory() {
    is_out_of_memory("const a = []; for (let i = 0; ; i++) a.push('x'.padEnd(2 ** 24 + i, 'abc'))").await;
}

#[tokio::test]
async fn joined_strings_run_out_of_memory() {
    is_out_of_memory("const a = []; for (;;) a.push(new Array(2 ** 20).fill('abcdef').join('-'))").await;
}

#[tokio::test]
async fn a_replacement_that_grows_runs_out_of_memory() {
    is_out_of_memory("return 'a'.repeat(2 ** 24).replace(/a/g, '$&$&$&$&$&$&$&$&').length").await;
}

#[tokio::test]
async fn encoding_for_an_address_runs_out_of_memory() {
    is_out_of_memory("const a = []; for (;;) a.push(encodeURIComponent('\\u1234'.repeat(2 ** 25)))").await;
}

#[tokio::test]
async fn an_array_of_a_hundred_million_runs_out_of_memory() {
    is_out_of_memory("return new Array(2 ** 27).fill(0).length").await;
}

#[tokio::test]
async fn maps_and_sets_run_out_of_memory() {
    is_out_of_memory("const m = new Map(); for (let i = 0; ; i++) m.set('k' + i, new Set([i]))").await;
}

#[tokio::test]
async fn closures_run_out_of_memory() {
    is_out_of_memory("const a = []; for (let i = 0; ; i++) { const big = [i, i, i]; a.push(() => big) }")
        .await;
}

#[tokio::test]
async fn compiled_expressions_run_out_of_memory() {
    is_out_of_memory(
        "const a = []; for (let i = 0; ; i++) { const r = new RegExp('(?:' + 'abc|'.repeat(5000) + i + ')'); r.test('a' + i); a.push(r) }",
    )
    .await;
}

#[tokio::test]
async fn the_stack_of_a_regular_expression_runs_out_of_memory() {
    is_out_of_memory("return /(?:a|b|ab)*?c/.test('ab'.repeat(2 ** 25))").await;
}

#[tokio::test]
async fn symbols_run_out_of_memory() {
    is_out_of_memory("const a = []; for (let i = 0; ; i++) a.push(Symbol('s' + i), Symbol.for('k' + i))")
        .await;
}

#[tokio::test]
async fn promises_that_nobody_awaits_run_out_of_memory() {
    is_out_of_memory("const a = []; for (;;) a.push(new Promise(() => {}))").await;
}

#[tokio::test]
async fn rejections_that_nobody_sees_run_out_of_memory() {
    is_out_of_memory("for (;;) Promise.reject(1)").await;
}

#[tokio::test]
async fn microtasks_that_double_run_out_of_memory() {
    is_out_of_memory(
        "const f = () => { Promise.resolve().then(f); Promise.resolve().then(f) }; f(); await new Promise(() => {})",
    )
    .await;
}

#[tokio::test]
async fn an_array_from_an_iterator_without_end_runs_out_of_memory() {
    is_out_of_memory("return Uint8Array.from({ *[Symbol.iterator]() { for (;;) yield 1 } })").await;
}

#[tokio::test]
async fn an_asynchronous_generator_runs_out_of_memory() {
    is_out_of_memory(
        "const a = []; async function* g() { for (;;) yield new Array(100).fill(1) } for await (const x of g()) a.push(x)",
    )
    .await;
}

#[tokio::test]
async fn pauses_that_pile_up_run_out_of_memory() {
    is_out_of_memory("for (;;) sleep(1e9)").await;
}

#[tokio::test]
async fn strings_kept_after_they_were_printed_run_out_of_memory() {
    is_out_of_memory("const a = []; for (let i = 0; ; i++) { const s = ('y' + i).repeat(2 ** 16); a.push(s); console.log(s) }")
        .await;
}

#[tokio::test]
async fn a_json_of_nothing_but_brackets_runs_out_of_memory() {
    is_out_of_memory("return JSON.parse('['.repeat(2 ** 25))").await;
}

#[tokio::test]
async fn an_array_that_is_joined_with_itself_runs_out_of_memory() {
    is_out_of_memory("let a = [1]; for (;;) a = a.concat(a)").await;
}

#[tokio::test]
async fn registrations_for_finalization_run_out_of_memory() {
    is_out_of_memory("const r = new FinalizationRegistry(() => {}), k = []; for (;;) { const o = {}; k.push(o, new WeakRef(o)); r.register(o, k) }")
        .await;
}

#[tokio::test]
async fn deep_recursion_is_an_error_that_can_be_caught() {
    let message = thrown_by("function f() { return f() + 1 } return f()").await;
    assert_eq!(message, "RangeError: Maximum call stack size exceeded");
    assert_eq!(
        value_of("function f() { try { return f() + 1 } catch { return 0 } } return f() > 100").await,
        "true"
    );
}

#[tokio::test]
async fn source_that_nests_deeply_is_an_error_that_can_be_caught() {
    for source in [
        "'['.repeat(1e6)",
        "'('.repeat(1e6)",
        "'-'.repeat(1e6) + 1",
        "'a=>'.repeat(1e5) + 1",
        "'{'.repeat(1e6)",
        "'`${'.repeat(1e5)",
    ] {
        let name = value_of(&format!("try {{ eval({source}) }} catch (e) {{ return e.name }}")).await;
        assert!(matches!(name.as_str(), r#""RangeError""# | r#""SyntaxError""#), "{source}: {name}");
    }
}

#[tokio::test]
async fn an_expression_that_nests_deeply_is_an_error_that_can_be_caught() {
    let name =
        value_of("try { new RegExp('('.repeat(1e6) + ')'.repeat(1e6)) } catch (e) { return e.name }").await;
    assert_eq!(name, r#""SyntaxError""#);
}

/// What is much but not too much stays possible: a system call that it needs and that is not allowed would show.
#[tokio::test]
async fn honest_work_near_the_limit_goes_on() {
    assert_eq!(
        value_of(
            "return Array.from({ length: 1e6 }, (_, i) => (i * 7919) % 1000003).sort((a, b) => a - b)[5]"
        )
        .await,
        "5"
    );
    assert_eq!(
        value_of("const s = JSON.stringify(Array.from({ length: 3e5 }, (_, i) => ({ i, s: 'abcdefghij' + i }))); return [s.length, JSON.parse(s).length]").await,
        "[10577781,300000]"
    );
    assert_eq!(
        value_of("for (let i = 0; i < 2000; i++) new Uint8Array(2 ** 20).fill(i); return new Uint8Array(150 * 2 ** 20).fill(7)[99]").await,
        "7"
    );
    assert_eq!(
        value_of("let n = 0; for (let i = 0; i < 1e6; i++) n += new Array(50).fill(i).length; return n")
            .await,
        "50000000"
    );
    assert_eq!(value_of("return String(7n ** 200000n).length").await, "169020");
    assert_eq!(
        value_of("return [new Date(2026, 0, 1).toISOString(), new Date('2026-07-01T12:00').getHours(), /(é+)-\\1/u.exec('é-é')[0], 'é'.toUpperCase()]").await,
        r#"["2026-01-01T00:00:00.000Z",12,"é-é","É"]"#
    );
}

/// As much as a session gives at once.
#[tokio::test]
async fn an_answer_of_sixteen_mebibytes_is_taken() {
    let row =
        r#"[1,"0123456789abcdef","2026-01-01T00:00:00+00:00",null,true,{"a":[1,2]},"0123456789abcdef",1.5]"#;
    let columns: Vec<(String, &str)> = (0..8).map(|n| (format!("column_{n}"), "text")).collect();
    let columns: Vec<(&str, &str)> = columns.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
    let many = vec![row; (1 << 24) / row.len()];
    let count = many.len();
    let answer = rows(&columns, &many);
    let text = "const r = await db.query('much'); return [r.rowCount, r.rows.length, r.rows.at(-1).column_7]";
    let seen = survive(script(text).answers(in_turn(vec![Ok(answer)]))).await;
    assert_eq!(seen.value(), format!("[{count},{count},1.5]"));
    println!("{} MiB at most", peak() >> 20);
}
