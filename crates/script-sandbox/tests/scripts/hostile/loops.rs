//! Scripts that never end by themselves.

use super::{never_ends, thrown_by, value_of};

#[tokio::test]
async fn a_loop_without_end_is_ended() {
    never_ends("for (;;) {}").await;
}

#[tokio::test]
async fn a_loop_that_catches_everything_is_ended() {
    never_ends("for (;;) { try { for (;;) { null.x } } catch {} finally { continue } }").await;
}

#[tokio::test]
async fn a_flood_of_microtasks_is_ended() {
    never_ends("const turn = () => queue = Promise.resolve().then(turn); let queue; turn(); await new Promise(() => {})")
        .await;
}

#[tokio::test]
async fn an_await_in_a_loop_is_ended() {
    never_ends("for (;;) await null").await;
}

#[tokio::test]
async fn a_recursion_of_promises_is_ended() {
    never_ends(
        "const f = async () => { await 0; return null; }; for (;;) await Promise.race([f(), f(), f()])",
    )
    .await;
}

#[tokio::test]
async fn a_generator_without_end_is_ended() {
    never_ends("function* g() { for (;;) yield 1 } for (const x of g()) {}").await;
}

#[tokio::test]
async fn a_getter_that_loops_is_ended() {
    never_ends("return { get x() { for (;;) {} } }").await;
}

#[tokio::test]
async fn a_regular_expression_that_backtracks_is_ended() {
    never_ends("return /^(a+)+$/.test('a'.repeat(64) + 'b')").await;
}

#[tokio::test]
async fn a_native_loop_is_ended_as_well() {
    // TerminateExecution does not stop these; SIGKILL does.
    never_ends("for (;;) { const a = new Array(2 ** 23).fill(0); a.indexOf(1); a.reverse() }").await;
}

#[tokio::test]
async fn a_comparison_that_loops_is_ended() {
    never_ends("return [3, 1, 2].sort(() => { for (;;) {} })").await;
}

#[tokio::test]
async fn a_comparison_without_sense_ends_by_itself() {
    assert_eq!(
        value_of("return new Array(1e5).fill(1).sort(() => Math.random() - 0.5).length").await,
        "100000"
    );
}

#[tokio::test]
async fn a_json_of_ever_new_objects_is_ended() {
    never_ends("return { toJSON() { for (;;) {} } }").await;
}

#[tokio::test]
async fn a_json_that_nests_itself_runs_out_of_stack() {
    let message = thrown_by("const o = { toJSON() { return { o: { toJSON: o.toJSON } } } }; return o").await;
    assert_eq!(message, "RangeError: Maximum call stack size exceeded");
}

#[tokio::test]
async fn a_huge_replacement_is_ended() {
    never_ends("const s = 'a'.repeat(2 ** 20); for (;;) s.replace(/a/g, 'b')").await;
}

#[tokio::test]
async fn a_power_of_big_integers_is_ended() {
    never_ends("let x = 3n ** 100000n; for (;;) (x * x) % (x + 1n)").await;
}

#[tokio::test]
async fn a_power_beyond_all_size_is_refused_by_the_engine() {
    assert_eq!(thrown_by("return 2n ** (2n ** 31n)").await, "RangeError: Maximum BigInt size exceeded");
}

#[tokio::test]
async fn pauses_without_end_are_ended() {
    never_ends("for (;;) await sleep(0)").await;
    never_ends("await sleep(Infinity)").await;
    never_ends("sleep(1e9)").await;
}

#[tokio::test]
async fn a_proxy_that_is_its_own_prototype_chain_is_ended() {
    never_ends("const p = new Proxy({}, { get(t, k, r) { for (;;) {} } }); return p.x").await;
}
