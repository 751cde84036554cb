//! Hostile scripts through the whole portal: each ends as it should, writes nothing, is on the trail, and leaves the
//! next one clean. What each gets inside of its process is tested beside the sandbox.

use serde_json::json;

use super::Scene;

/// A script, and the kind of failure that it comes to; `completed` is no failure.
const HOSTILE: [(&str, &str); 24] = [
    ("for (;;) {}", "timed_out"),
    ("const f = () => Promise.resolve().then(f); await f()", "out_of_memory"),
    ("/^(a+)+$/.test('a'.repeat(50) + 'b')", "timed_out"),
    ("await new Promise(() => {})", "script"),
    ("await sleep(1e9)", "timed_out"),
    ("const a = []; for (;;) a.push(new Array(1000).fill({}))", "out_of_memory"),
    ("let s = 'x'; for (;;) s += s", "script"),
    ("const f = () => f() + 1; f()", "script"),
    ("return '['.repeat(1e6) + eval('['.repeat(1e6))", "script"),
    ("return constructor.constructor('return process')()", "script"),
    ("return globalThis.process.env", "script"),
    ("return require('fs').readFileSync('/etc/passwd')", "script"),
    ("return await import('fs')", "script"),
    ("return [typeof WebAssembly, typeof SharedArrayBuffer, typeof Atomics, typeof fetch]", "completed"),
    ("Error.prepareStackTrace = (e, frames) => { for (;;) {} }; null.x", "script"),
    (
        "Promise.prototype.then = () => { throw 1 }; Object.prototype.then = (r) => r(1); await db.query('SELECT 1')",
        "any",
    ),
    (
        "Array.prototype.push = null; JSON.stringify = null; Reflect.ownKeys = null; await db.query('SELECT 1'); return 1",
        "completed",
    ),
    ("for (let i = 0; i < 1e6; i += 1) db.query('SELECT 1')", "out_of_memory"),
    ("for (let i = 0; i < 1e5; i += 1) console.log('x'.repeat(10000))", "completed"),
    ("return { then() {} }", "script"),
    ("return { toJSON() { for (;;) {} } }", "timed_out"),
    ("return new Array(2 ** 32 - 1)", "script"),
    ("await db.query('SELECT $1', [{ toJSON() { return db.query('SELECT 2') } }])", "any"),
    (
        "await db.query('SELECT * FROM hits WHERE note = $1', [\"x'; DELETE FROM hits; --\"]); return 1",
        "completed",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_scripts_end_as_they_should_and_hurt_nobody_else() {
    let scene = Scene::with(&[("QUERY_PORTAL_SCRIPT__MEMORY_MIB", "128")]).await;
    let admin = scene.server.login("admin").await;
    let (status, body) = admin.patch("/api/instances/shop", json!({ "limits": { "timeoutMs": 3000 } })).await;
    assert!(status.is_success(), "{body}");
    let first = scene.run("await db.query(\"INSERT INTO hits (note) VALUES ('x')\")").await;
    assert_eq!(first.request["status"], "completed");
    let mut wrong = Vec::new();
    for (text, expected) in HOSTILE {
        let ran = scene.run(text).await;
        let kind = ran.request["error"]["kind"].as_str().unwrap_or("completed");
        if expected != "any" && kind != expected {
            wrong.push((text, expected, ran.request["error"].to_string()));
        }
        let audited = scene.installation.audited(&ran.id).await;
        let end = if kind == "completed" { "request.succeed" } else { "request.fail" };
        assert_eq!(audited, format!("request.submit request.approve request.start {end}"), "{text}");
        assert_eq!(scene.installation.hits("x").await, 1, "{text}");
        let clean =
            scene.run("return [typeof Promise.prototype.then, typeof Array.prototype.push, ({}).then]").await;
        assert_eq!(scene.rows(&clean).await, json!([["function"], ["function"], [null]]), "after {text}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(scene.running_on_target().await, 0);
}
