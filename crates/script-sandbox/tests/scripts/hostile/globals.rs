//! Scripts that replace what the prelude is made of, before they call it.

use super::{asked, query, survive};
use crate::harness::{in_turn, rows, script};

/// Spoils the world, then makes a call that must go out as written and come back as it was.
async fn makes_no_difference(spoil: &str) {
    let answer = rows(&[("id", "int4")], &["[1]", "[2]"]);
    let text = format!(
        "const given = ['a', [1, 'b'], new Uint8Array([255])];\n{spoil};\nconst r = await db.query('SELECT $1', given);\nreturn `${{r.rowCount}} ${{r.rows[1].id}}`"
    );
    let seen = survive(script(&text).answers(in_turn(vec![Ok(answer)]))).await;
    assert_eq!(seen.value(), r#""2 2""#, "{spoil}");
    assert_eq!(
        seen.calls,
        [asked("SELECT $1", &[Some("a"), Some(r#"{"1","b"}"#), Some("\\xff")], false)],
        "{spoil}"
    );
}

#[tokio::test]
async fn a_replaced_promise_makes_no_difference() {
    makes_no_difference("globalThis.Promise = function () { throw new Error('mine') }").await;
}

#[tokio::test]
async fn replaced_methods_of_arrays_make_no_difference() {
    makes_no_difference(
        "for (const name of ['push', 'shift', 'join', 'concat', 'map', 'slice']) Array.prototype[name] = () => { throw new Error('mine') };
         Array.isArray = () => false; Array.prototype[Symbol.iterator] = function* () {}",
    )
    .await;
}

#[tokio::test]
async fn replaced_methods_of_maps_and_strings_make_no_difference() {
    makes_no_difference(
        "Map.prototype.get = Map.prototype.set = WeakMap.prototype.set = () => { throw new Error('mine') };
         String.prototype.replaceAll = String.prototype.isWellFormed = () => 'mine'; Number.prototype.toString = () => 'zz'",
    )
    .await;
}

#[tokio::test]
async fn replaced_json_and_reflect_and_object_make_no_difference() {
    makes_no_difference(
        "JSON.stringify = () => '\"begin\"'; JSON.parse = () => 'mine'; Reflect.apply = Reflect.ownKeys = () => []; Object.defineProperty = Object.freeze = () => 1; Object.getPrototypeOf = () => null",
    )
    .await;
}

#[tokio::test]
async fn a_replaced_call_makes_no_difference() {
    makes_no_difference(
        "Function.prototype.call = Function.prototype.apply = Function.prototype.bind = () => 'mine'",
    )
    .await;
}

#[tokio::test]
async fn a_json_of_the_prototypes_does_not_reach_the_frames() {
    makes_no_difference(
        "Object.prototype.toJSON = Array.prototype.toJSON = String.prototype.toJSON = function () { return 'commit' }",
    )
    .await;
}

#[tokio::test]
async fn setters_of_the_prototypes_do_not_see_what_the_prelude_keeps() {
    makes_no_difference(
        "globalThis.stolen = []; const trap = { __proto__: null, set(v) { stolen.push(v); throw new Error('mine') }, get() { return undefined }, configurable: true };
         for (const name of ['0', '1', 'value', 'get', 'set', 'query', 'number', 'statement', 'resolve'])
           Object.defineProperty(Object.prototype, name, trap);
         Object.defineProperty(Array.prototype, '2', trap)",
    )
    .await;
}

#[tokio::test]
async fn a_species_of_ones_own_makes_no_difference() {
    makes_no_difference(
        "for (const of of [Array, Promise, Map, Uint8Array.__proto__, ArrayBuffer]) Object.defineProperty(of, Symbol.species, { get() { throw new Error('mine') } })",
    )
    .await;
}

#[tokio::test]
async fn an_error_of_ones_own_makes_no_difference() {
    makes_no_difference(
        "globalThis.Error = globalThis.TypeError = function () { throw 'mine' }; globalThis.DatabaseError = null; globalThis.Date = globalThis.Uint8Array = 1",
    )
    .await;
}

#[tokio::test]
async fn a_then_of_ones_own_gets_only_what_the_script_gets_anyway() {
    let answer = rows(&[("id", "int4")], &["[1]"]);
    let seen = survive(
        script(
            "const then = Promise.prototype.then, seen = [];
             Promise.prototype.then = function (...all) { seen.push(this instanceof Promise); return then.apply(this, all) };
             const r = await db.query('SELECT 1'); return r.rows",
        )
        .answers(in_turn(vec![Ok(answer)])),
    )
    .await;
    assert_eq!(seen.value(), r#"[{"id":1}]"#);
    assert_eq!(seen.calls, [query("SELECT 1")]);
}

#[tokio::test]
async fn a_then_that_never_calls_back_hurts_only_its_script() {
    let seen = survive(script(
        "Promise.prototype.then = () => {}; Object.defineProperty(Promise.prototype, 'constructor', { get() { return Object } }); await db.query('a'); return 1",
    ))
    .await;
    assert_eq!(
        seen.error().message,
        "the script waits for something that never comes: a promise that nothing settles"
    );
    assert_eq!(seen.calls, [query("a")]);
}

#[tokio::test]
async fn a_frozen_or_emptied_world_makes_no_difference() {
    makes_no_difference(
        "for (const name of Object.getOwnPropertyNames(globalThis)) if (!['db', 'globalThis', 'Object'].includes(name)) try { delete globalThis[name] } catch {}
         Object.freeze(Object.prototype)",
    )
    .await;
}

#[tokio::test]
async fn a_prototype_of_ones_own_for_all_objects_makes_no_difference() {
    makes_no_difference(
        "Object.setPrototypeOf(Array.prototype, new Proxy({}, { get(t, k) { throw new Error('mine ' + String(k)) }, set() { throw new Error('mine') }, has() { return true } }))",
    )
    .await;
}
