//! Scripts that mean harm. Each ends as told, asks the session for what is told, keeps within its memory, and leaves
//! nothing to the next script.

mod arguments;
mod calls;
mod console;
mod endings;
mod errors;
mod escapes;
mod forged;
mod globals;
mod loops;
mod memory;
mod syntax;

use std::path::PathBuf;
use std::time::Duration;

use domain::script::{DatabaseCall, ScriptOutcome, ScriptStatement};
use nix::sys::resource::{UsageWho, getrusage};
use script_runner::{ProcessScriptRunner, ProcessSettings, ScriptSettings};

use super::harness::{Script, Seen, script, settings};
use super::processes::{own, soon};

/// What tells that a world is as it was made.
const CLEAN: &str = "
    const native = (f) => Function.prototype.toString.call(f).includes('[native code]');
    const own = [Promise, Promise.prototype.then, Array.prototype.push, Map.prototype.get, JSON.stringify, Reflect.apply,
                 Function.prototype.call, Object.defineProperty, String.prototype.replaceAll, Error];
    const { rows } = await db.query('SELECT 1');
    return [typeof leaked, Object.keys(globalThis), Object.keys(Object.prototype), own.every(native),
            Error.prepareStackTrace === undefined, rows.length, await sleep(1)]";

const IS_CLEAN: &str = r#"["undefined",[],[],true,true,0,null]"#;

/// The limit of each process.
pub(crate) const LIMIT: u64 = 256 * 1024 * 1024;

pub(crate) fn few(settings: ScriptSettings) -> ScriptSettings {
    ScriptSettings {
        processes: ProcessSettings { warm: 1, most: 2, checks: 1 },
        memory_bytes: LIMIT,
        ..settings
    }
}

pub(crate) fn runner() -> ProcessScriptRunner {
    ProcessScriptRunner::start(few(settings())).unwrap()
}

/// Runs a script, then another on the same runner, which must find everything as it should be.
pub(crate) async fn survive(hostile: Script) -> Seen {
    let runner = runner();
    let seen = hostile.run_on(&runner).await;
    let next = script(CLEAN).run_on(&runner).await;
    assert_eq!(next.value(), IS_CLEAN);
    assert_eq!(next.calls, [query("SELECT 1")]);
    assert_eq!(next.console(), Vec::<String>::new());
    // The kernel tells of those that were waited for; one process may wait for a script.
    soon(Duration::from_secs(2), || own().len() <= 1).await;
    let peak = peak();
    assert!(peak <= LIMIT / 4 * 5, "{peak} bytes were resident, at a limit of {LIMIT}");
    seen
}

/// Most bytes that any process of this test had in memory.
pub(crate) fn peak() -> u64 {
    let used = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    u64::try_from(used.max_rss()).unwrap() * 1024
}

pub(crate) fn query(text: &str) -> DatabaseCall {
    asked(text, &[], false)
}

pub(crate) fn asked(text: &str, parameters: &[Option<&str>], in_transaction: bool) -> DatabaseCall {
    DatabaseCall::Query(ScriptStatement {
        text: text.to_owned(),
        parameters: parameters.iter().map(|p| p.map(str::to_owned)).collect(),
        in_transaction,
    })
}

/// The value of a script that calls nothing.
pub(crate) async fn value_of(text: &str) -> String {
    let seen = survive(script(text)).await;
    assert_eq!(seen.calls, []);
    seen.value()
}

/// The message of what a script throws that calls nothing.
pub(crate) async fn thrown_by(text: &str) -> String {
    let seen = survive(script(text)).await;
    assert_eq!(seen.calls, []);
    let error = seen.error();
    assert!(!error.message.contains('/') && !error.stack.contains('/'), "a path of the host: {error:?}");
    error.message.clone()
}

/// A script that never ends is ended at its limit, and no later than half a second after it.
pub(crate) async fn never_ends(text: &str) {
    let limit = Duration::from_millis(400);
    let seen = survive(script(text).timeout(limit)).await;
    assert!(matches!(seen.end.outcome, ScriptOutcome::TimedOut), "{:?}", seen.end);
    assert!(seen.end.duration >= limit, "{:?}", seen.end);
    assert!(seen.end.duration < limit + Duration::from_millis(500), "{:?}", seen.end);
    assert_eq!(seen.calls, []);
}

/// An example, which is built along with the tests.
pub(crate) fn example(name: &str) -> PathBuf {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_script-sandbox")).with_file_name("examples").join(name);
    assert!(
        built.exists(),
        "{} is missing: build it with `cargo build -p script-sandbox --examples`",
        built.display()
    );
    built
}
