//! Processes: none is left behind, none outlives its script, its limit or the portal, and there is one when needed.
//!
//! These tests count the children and the descriptors of their own process, so that each needs one to itself.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use domain::script::{LogEntry, ScriptOutcome};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use script_runner::{ProcessScriptRunner, ProcessSettings, ScriptSettings};
use tokio_util::sync::CancellationToken;

use crate::harness::{script, settings};
use crate::hostile::example;

fn runner(warm: usize, most: usize) -> ProcessScriptRunner {
    assert!(
        std::env::var_os("NEXTEST").is_some(),
        "run this with `cargo nextest`, which gives each test a process"
    );
    let processes = ProcessSettings { warm, most, checks: 1 };
    ProcessScriptRunner::start(ScriptSettings { processes, ..settings() }).unwrap()
}

/// The children of a process, each with the letter of its state (`proc_pid_stat(5)`).
fn children(parent: u32) -> BTreeMap<u32, char> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let mut fields = stat.rsplit(')').next().unwrap().split_whitespace();
        let state = fields.next().unwrap().chars().next().unwrap();
        if fields.next().unwrap().parse::<u32>().unwrap() == parent {
            found.insert(id, state);
        }
    }
    found
}

pub(crate) fn own() -> BTreeMap<u32, char> {
    children(std::process::id())
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Waits until something holds, and for no longer than that.
pub(crate) async fn soon(limit: Duration, holds: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if holds() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    holds()
}

/// Looks every few milliseconds how long there is a child that computes or waits.
struct Watch {
    over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<(Duration, usize)>,
}

impl Watch {
    fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&over);
        let begun = Instant::now();
        let thread = std::thread::spawn(move || {
            let (mut last, mut most) = (Duration::ZERO, 0);
            while !stop.load(Ordering::SeqCst) {
                let alive = own().values().filter(|state| **state != 'Z').count();
                most = most.max(alive);
                if alive > 0 {
                    last = begun.elapsed();
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            (last, most)
        });
        Self { over, thread }
    }

    /// When a child was last seen, and how many there were at most.
    fn end(self) -> (Duration, usize) {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

async fn many(runner: &ProcessScriptRunner, count: usize) {
    for _ in 0..count / 4 {
        let one = || script("return await sleep(0) ?? 1").run_on(runner);
        let all = tokio::join!(one(), one(), one(), one());
        for seen in [all.0, all.1, all.2, all.3] {
            assert_eq!(seen.value(), "1");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_scripts_leave_no_process_and_no_descriptor() {
    let runner = runner(2, 4);
    many(&runner, 40).await;
    assert!(soon(Duration::from_secs(5), || own().len() == 2).await, "{:?}", own());
    let before = descriptors();
    many(&runner, 10_000).await;
    assert!(
        soon(Duration::from_secs(5), || own().len() == 2).await,
        "only the warm ones are left: {:?}",
        own()
    );
    assert!(own().values().all(|state| *state != 'Z'), "{:?}", own());
    assert_eq!(descriptors(), before);
    runner.shut_down();
    assert!(soon(Duration::from_secs(5), || own().is_empty()).await, "{:?}", own());
}

#[tokio::test]
async fn scripts_that_end_badly_leave_nothing_either() {
    let runner = runner(0, 2);
    script("return 1").run_on(&runner).await;
    assert!(soon(Duration::from_secs(5), || own().is_empty()).await, "{:?}", own());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = descriptors();
    for _ in 0..20 {
        for text in [
            "throw 1",
            "for (;;) {}",
            "const a = []; for (;;) a.push(new Uint8Array(2 ** 24).fill(1))",
            "db.query('x'); for (;;) {}",
        ] {
            script(text).timeout(Duration::from_millis(60)).run_on(&runner).await;
        }
    }
    assert!(soon(Duration::from_secs(5), || own().is_empty()).await, "{:?}", own());
    assert!(soon(Duration::from_secs(5), || descriptors() == before).await, "{} {before}", descriptors());
}

#[tokio::test]
async fn a_script_that_was_ended_is_gone_when_its_end_is_told() {
    let runner = runner(0, 1);
    for text in ["for (;;) {}", "await sleep(1e9)", "for (;;) console.log('x')"] {
        let seen = script(text).timeout(Duration::from_millis(100)).run_on(&runner).await;
        assert!(matches!(seen.end.outcome, ScriptOutcome::TimedOut), "{:?}", seen.end);
        assert!(own().is_empty(), "{text}: {:?}", own());
    }
}

#[tokio::test]
async fn a_process_dies_at_its_limit_even_when_its_call_takes_long_to_stop() {
    let runner = runner(0, 1);
    let (limit, stopping) = (Duration::from_millis(500), Duration::from_millis(1500));
    let watch = Watch::start();
    let mut slow =
        script("db.query('SELECT pg_sleep(60)'); for (;;) {}").timeout(limit).pace(Duration::from_mins(1));
    slow.stopping = stopping;
    let seen = slow.run_on(&runner).await;
    let (last, _) = watch.end();
    assert!(matches!(seen.end.outcome, ScriptOutcome::TimedOut), "{:?}", seen.end);
    assert!(seen.end.duration >= limit + stopping, "the call's answer is waited for: {:?}", seen.end);
    assert!(last < limit + Duration::from_millis(500), "the process lived for {last:?}");
    let [LogEntry::Call(record)] = seen.log.as_slice() else { panic!("{:?}", seen.log) };
    assert_eq!(record.error.as_deref(), Some("cancelled"));
    assert_eq!(seen.end.commits, 0);
}

#[tokio::test]
async fn a_script_that_is_cancelled_dies_at_once() {
    let runner = runner(0, 1);
    let cancel = CancellationToken::new();
    let watch = Watch::start();
    let mut endless = script("for (;;) {}");
    endless.cancel = cancel.clone();
    let canceller = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cancel.cancel();
    };
    let (seen, ()) = tokio::join!(endless.run_on(&runner), canceller);
    let (last, _) = watch.end();
    assert!(matches!(seen.end.outcome, ScriptOutcome::Cancelled), "{:?}", seen.end);
    assert!(last < Duration::from_millis(800), "{last:?}");
}

#[tokio::test]
async fn a_script_that_is_cancelled_before_there_is_a_process_does_not_begin() {
    let runner = runner(0, 1);
    let mut late = script("await db.query('x')");
    late.cancel.cancel();
    late.timeout = Duration::from_secs(5);
    let seen = late.run_on(&runner).await;
    assert!(matches!(seen.end.outcome, ScriptOutcome::Cancelled), "{:?}", seen.end);
    assert_eq!(seen.calls, []);
}

#[tokio::test]
async fn warm_processes_that_died_are_replaced() {
    let runner = runner(3, 4);
    runner.warm_up();
    assert!(soon(Duration::from_secs(10), || own().len() == 3).await, "{:?}", own());
    // They are ready a moment after they are there.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let first = own();
    for id in first.keys() {
        kill(Pid::from_raw(i32::try_from(*id).unwrap()), Signal::SIGKILL).unwrap();
    }
    assert!(soon(Duration::from_secs(5), || own().is_empty()).await, "{:?}", own());
    assert_eq!(script("return 1").run_on(&runner).await.value(), "1");
    assert!(soon(Duration::from_secs(10), || own().len() == 3).await, "{:?}", own());
    assert!(own().keys().all(|id| !first.contains_key(id)));
}

/// As when a host is suspended, or a container paused.
#[tokio::test]
async fn a_process_that_is_stopped_for_a_while_goes_on_afterwards() {
    let runner = runner(0, 1);
    for text in ["await sleep(400); return 1", "await db.query('x'); return 1"] {
        let pause = async {
            assert!(soon(Duration::from_secs(5), || own().len() == 1).await);
            tokio::time::sleep(Duration::from_millis(150)).await;
            for signal in [Signal::SIGSTOP, Signal::SIGCONT] {
                for id in own().keys() {
                    kill(Pid::from_raw(i32::try_from(*id).unwrap()), signal).unwrap();
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        // The snapshot's process is over before there is one that can be stopped.
        assert_eq!(script("return 1").run_on(&runner).await.value(), "1");
        assert!(soon(Duration::from_secs(5), || own().is_empty()).await);
        let (seen, ()) = tokio::join!(script(text).pace(Duration::from_millis(400)).run_on(&runner), pause);
        assert_eq!(seen.value(), "1", "{text}");
    }
}

#[tokio::test]
async fn more_scripts_than_there_may_be_processes_wait_for_their_turn() {
    let runner = runner(0, 2);
    assert_eq!(script("return 1").run_on(&runner).await.value(), "1");
    let watch = Watch::start();
    let begun = Instant::now();
    let one = || script("await sleep(200); return 1").run_on(&runner);
    let all = tokio::join!(one(), one(), one(), one(), one(), one());
    let took = begun.elapsed();
    let (_, most) = watch.end();
    for seen in [all.0, all.1, all.2, all.3, all.4, all.5] {
        assert_eq!(seen.value(), "1");
    }
    assert!(took >= Duration::from_millis(600), "{took:?}");
    // A process that gave its value may still be on its way out when the next one starts.
    assert!(most <= 4, "{most} processes at once");
}

#[tokio::test]
async fn a_runner_that_is_dropped_takes_its_processes_along() {
    let runner = runner(3, 3);
    runner.warm_up();
    assert!(soon(Duration::from_secs(10), || own().len() == 3).await, "{:?}", own());
    drop(runner);
    let gone = || own().values().all(|state| *state == 'Z');
    assert!(soon(Duration::from_secs(5), gone).await, "{:?}", own());
}

#[tokio::test]
async fn scripts_die_with_the_portal() {
    let mut portal = Command::new(example("portal"))
        .arg(env!("CARGO_BIN_EXE_script-sandbox"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let id = portal.id();
    // One that runs without end, and two that wait.
    assert!(soon(Duration::from_secs(10), || children(id).len() == 3).await, "{:?}", children(id));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let scripts = children(id);
    assert!(scripts.values().any(|state| *state == 'R'), "{scripts:?}");
    portal.kill().unwrap();
    portal.wait().unwrap();
    let alive = |id: &u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
    };
    let dead = soon(Duration::from_secs(1), || !scripts.keys().any(alive)).await;
    assert!(dead, "{scripts:?}");
}

#[tokio::test]
async fn full_isolation_is_had_or_told_to_be_missing() {
    let runner = runner(0, 1);
    let layers = runner.isolation().await.unwrap();
    let names: Vec<&str> = layers.iter().map(|l| l.layer.as_str()).collect();
    assert_eq!(
        names,
        [
            "no_new_privs",
            "namespaces",
            "descriptors",
            "landlock",
            "limits",
            "not_dumpable",
            "seccomp",
            "memory_watch"
        ]
    );
    for layer in &layers {
        println!("{}: {}", layer.layer, layer.missing.as_deref().unwrap_or("on"));
    }
    let full = layers.iter().all(|layer| layer.missing.is_none());
    let strict =
        ProcessScriptRunner::start(ScriptSettings { require_full_isolation: true, ..settings() }).unwrap();
    let seen = script("return 1").run_on(&strict).await;
    assert_eq!(matches!(seen.end.outcome, ScriptOutcome::Returned(_)), full, "{:?}", seen.end);
    assert_eq!(matches!(seen.end.outcome, ScriptOutcome::NotStarted { .. }), !full, "{:?}", seen.end);
}

#[tokio::test]
async fn a_host_without_a_layer_is_refused_where_full_isolation_is_asked_for() {
    let on = |require_full_isolation| {
        let bare = ScriptSettings::new(example("forger"), vec!["bare".into()]);
        let processes = ProcessSettings { warm: 1, most: 1, checks: 1 };
        ProcessScriptRunner::start(ScriptSettings { require_full_isolation, processes, ..bare }).unwrap()
    };
    assert_eq!(script("honest").run_on(&on(false)).await.value(), "1");
    let seen = script("honest").run_on(&on(true)).await;
    let ScriptOutcome::NotStarted { source } = seen.end.outcome else { panic!("{:?}", seen.end) };
    assert_eq!(
        source.to_string(),
        "this host does not give full isolation, which script.require_full_isolation asks for: landlock (this kernel is too old)"
    );
    assert_eq!(seen.calls, []);
}
