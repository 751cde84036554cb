//! One execution of a script: what it is given, how it ends, and what is told of that.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::execution::{DatabaseError, FailureKind};
use domain::ids::RequestId;
use domain::ports::{CredentialError, ExecutionError, ScriptRunner, ScriptTarget, SinkError};
use domain::request::{NotificationKind, State, StateKind};
use domain::review::Position;
use domain::script::{
    CallAnswer, CallError, CallKind, DatabaseCall, LogEntry, LogLimit, LogLine, ReturnedValue, ScriptError,
    ScriptOutcome, ScriptStatement,
};
use domain::services::{ExecutionWorker, Scripts};
use domain::target::{Engine, Limits};
use secrecy::ExposeSecret;
use testkit::builders::{console_line, request, target};
use testkit::fakes::{FakeScriptRunner, FakeScriptTarget, Play};
use testkit::memory::JobState;
use tokio::task::JoinHandle;

use super::execution::{PASSWORD, Rig, patient};

const TEXT: &str = "return 1;";

/// A rig that runs scripts as well.
pub(super) struct Stage {
    pub(super) rig: Rig,
    pub(super) runner: Arc<FakeScriptRunner>,
    pub(super) target: Arc<FakeScriptTarget>,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self { rig: Rig::new(), runner: Arc::default(), target: Arc::default() }
    }

    pub(super) fn worker(&self) -> ExecutionWorker {
        let target = self.target.clone() as Arc<dyn ScriptTarget>;
        let scripts = Scripts {
            runner: self.runner.clone() as Arc<dyn ScriptRunner>,
            targets: HashMap::from([(Engine::Postgresql, target)]),
            logs: self.rig.world.store.script_logs(self.rig.world.clock.clone()),
        };
        ExecutionWorker { scripts: Some(scripts), ..self.rig.worker("host:1:1") }
    }

    pub(super) async fn approved(&self, limits: Limits) -> RequestId {
        self.rig.world.approved(request().script("fix.js", TEXT).limits(limits)).await.id
    }

    /// Runs a script that does this to its end.
    pub(super) async fn plays(&self, play: Play) -> RequestId {
        self.plays_within(play, patient()).await
    }

    pub(super) async fn plays_within(&self, play: Play, limits: Limits) -> RequestId {
        let id = self.approved(limits).await;
        self.runner.plays(play);
        assert!(self.worker().run_one().await.expect("the store answers"), "it is due");
        id
    }

    /// Begins to run a script that does this, and waits until there is nothing left but to end.
    pub(super) async fn begins(&self, play: Play) -> (RequestId, JoinHandle<()>) {
        let id = self.approved(patient()).await;
        self.runner.plays(play.waits_for_release());
        let worker = self.worker();
        let running = tokio::spawn(async move {
            worker.run_one().await.expect("the store answers");
        });
        self.runner.started().await;
        (id, running)
    }

    async fn log(&self, id: RequestId) -> Vec<LogLine> {
        let logs = self.rig.world.store.script_logs(self.rig.world.clock.clone());
        logs.read(id, 0, LogLimit::NONE).await.expect("the store answers").lines
    }
}

fn nothing() -> Play {
    Play::returns(ReturnedValue::Nothing)
}

fn query(text: &str) -> DatabaseCall {
    let text = text.to_owned();
    DatabaseCall::Query(ScriptStatement { text, parameters: vec![], in_transaction: false })
}

fn division_by_zero() -> DatabaseError {
    DatabaseError {
        code: "22012".to_owned(),
        message: "division by zero".to_owned(),
        ..DatabaseError::default()
    }
}

#[tokio::test]
async fn what_was_approved_is_what_runs_and_only_its_session_has_credentials() {
    let stage = Stage::new();
    let id = stage.plays(nothing()).await;
    let [order] = &stage.runner.orders()[..] else { panic!("it ran once") };
    assert_eq!((order.request, order.text.as_str(), order.read_only), (id, TEXT, false));
    assert_eq!(order.limits, patient());
    let [opened] = &stage.target.orders()[..] else { panic!("it had one session") };
    assert_eq!(opened.request, id);
    assert_eq!(opened.credentials.password.expose_secret(), PASSWORD);
    assert_eq!(stage.target.open_sessions(), 0);
    assert_eq!(stage.rig.executor.executions(), 0, "queries have another executor");
    assert_eq!(stage.rig.world.kind(id).await, StateKind::Completed);
    let trail = ["request.submit", "request.approve", "request.start", "request.succeed"];
    assert_eq!(stage.rig.world.trail(id), trail);
    assert_eq!(stage.rig.notified(id).last(), Some(&NotificationKind::Completed));
    assert_eq!(stage.rig.job_state(id), JobState::Done);
}

#[tokio::test]
async fn a_query_is_not_given_to_who_runs_scripts() {
    let stage = Stage::new();
    let id = stage.rig.approved().await;
    stage.worker().run_one().await.expect("the store answers");
    assert_eq!(stage.rig.world.kind(id).await, StateKind::Completed);
    assert_eq!((stage.runner.orders().len(), stage.target.orders().len()), (0, 0));
}

#[tokio::test]
async fn a_script_on_a_read_only_target_is_told_so() {
    let stage = Stage::new();
    let read_only = target("orders-db").limits(patient()).read_only().build();
    stage.rig.world.store.put_target(&read_only);
    stage.rig.world.approved(request().target(&read_only).script("look.js", TEXT)).await;
    stage.worker().run_one().await.expect("the store answers");
    assert!(stage.runner.orders()[0].read_only && stage.target.orders()[0].read_only);
}

#[tokio::test]
async fn what_a_script_says_and_does_is_in_its_log_in_order() {
    let stage = Stage::new();
    stage.target.answers(Ok(CallAnswer { affected: Some(3), ..CallAnswer::default() }));
    stage.target.answers(Err(CallError::Database(division_by_zero())));
    let play = nothing()
        .says(vec![console_line("one"), console_line("two")])
        .says(vec![console_line("three")])
        .calls(query("DELETE FROM carts"))
        .calls(query("SELECT 1/0"));
    let id = stage.plays(play).await;
    let lines = stage.log(id).await;
    assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(lines[2].entry, console_line("three"));
    let LogEntry::Call(done) = &lines[3].entry else { panic!("the fourth is a call") };
    assert_eq!((done.kind, done.affected, done.error.as_deref()), (CallKind::Query, Some(3), None));
    let LogEntry::Call(failed) = &lines[4].entry else { panic!("the fifth is a call") };
    assert_eq!((failed.number, failed.error.as_deref()), (2, Some("22012")));
    assert_eq!(stage.target.calls(), [query("DELETE FROM carts"), query("SELECT 1/0")]);
}

/// Every way in which a script can end, but by a value; with the password in whatever does not reach people.
fn ends() -> Vec<(&'static str, ScriptOutcome)> {
    let leak = || format!("login portal:{PASSWORD}@db.internal failed");
    let threw = |error: ScriptError| ScriptOutcome::Threw(error);
    let type_error = ScriptError {
        message: "TypeError: x is not a function".to_owned(),
        position: Some(Position { line: 3, column: 7 }),
        ..ScriptError::default()
    };
    let database_error = ScriptError {
        message: "Error: division by zero".to_owned(),
        database_error: Some(division_by_zero()),
        ..ScriptError::default()
    };
    vec![
        ("threw", threw(type_error)),
        ("threw what the database said", threw(database_error)),
        ("timed out", ScriptOutcome::TimedOut),
        ("cancelled though nobody asked", ScriptOutcome::Cancelled),
        ("out of memory", ScriptOutcome::OutOfMemory { limit_bytes: 64 * 1024 * 1024 }),
        ("violation", ScriptOutcome::Violation { what: "it called socket".to_owned() }),
        ("crashed", ScriptOutcome::Crashed { how: "signal 11".to_owned() }),
        ("not started", ScriptOutcome::NotStarted { source: leak().into() }),
        ("session gone", ScriptOutcome::Ended(ExecutionError::Unavailable { source: leak().into() })),
        ("session said", ScriptOutcome::Ended(ExecutionError::Database(division_by_zero()))),
        ("session timed out", ScriptOutcome::Ended(ExecutionError::TimedOut)),
        ("session cancelled", ScriptOutcome::Ended(ExecutionError::Cancelled)),
        ("log lost", ScriptOutcome::Ended(ExecutionError::Sink(SinkError::LeaseLost))),
        ("outcome unknown", ScriptOutcome::Ended(ExecutionError::OutcomeUnknown { source: leak().into() })),
    ]
}

#[tokio::test]
async fn every_end_becomes_a_plain_sentence_that_tells_what_stays() {
    let stage = Stage::new();
    let limits = Limits { timeout: Duration::from_millis(2_500), ..Limits::default() };
    let mut lines = vec![];
    for commits in [0, 1, 3] {
        for (name, outcome) in ends() {
            let id = stage.plays_within(Play::ends(outcome).commits(commits), limits).await;
            let line = match stage.rig.world.state(id).await {
                State::Failed { failure, .. } => format!("{} | {}", failure.kind.as_str(), failure.message),
                other => other.kind().to_string(),
            };
            lines.push(format!("{commits} {name}: {line}"));
            let world = &stage.rig.world;
            let everything = format!("{:?}{:?}", world.request(id).await, world.store.audit_entries());
            assert!(!everything.contains(PASSWORD), "{name}");
            assert_eq!(stage.target.open_sessions(), 0, "{name}");
        }
    }
    insta::assert_snapshot!(lines.join("\n"), @r"
    0 threw: script | TypeError: x is not a function
    0 threw what the database said: database | division by zero
    0 timed out: timed_out | Stopped after 2.5 seconds, the limit of the instance.
    0 cancelled though nobody asked: internal | The portal stopped the execution; nothing took effect. Submit it again.
    0 out of memory: out_of_memory | The script used more than 64 MiB of memory, its limit.
    0 violation: policy_violation | The script's process was ended, because it did what no script can do: it called socket.
    0 crashed: crashed | The script's process ended by itself: signal 11.
    0 not started: internal | No process for the script could be had; nothing ran.
    0 session gone: target_unavailable | The instance orders-db could not be reached; nothing was executed. Try again later.
    0 session said: database | division by zero
    0 session timed out: timed_out | Stopped after 2.5 seconds, the limit of the instance.
    0 session cancelled: internal | The portal stopped the execution; nothing took effect. Submit it again.
    0 log lost: internal | Stopped, because what the script said and did could not be kept.
    0 outcome unknown: interrupted
    1 threw: script | TypeError: x is not a function. One transaction had been committed before; it stays in effect.
    1 threw what the database said: database | division by zero. One transaction had been committed before; it stays in effect.
    1 timed out: timed_out | Stopped after 2.5 seconds, the limit of the instance. One transaction had been committed before; it stays in effect.
    1 cancelled though nobody asked: stopped | Stopped, because somebody asked for it. One transaction had been committed before; it stays in effect.
    1 out of memory: out_of_memory | The script used more than 64 MiB of memory, its limit. One transaction had been committed before; it stays in effect.
    1 violation: policy_violation | The script's process was ended, because it did what no script can do: it called socket. One transaction had been committed before; it stays in effect.
    1 crashed: crashed | The script's process ended by itself: signal 11. One transaction had been committed before; it stays in effect.
    1 not started: internal | No process for the script could be had; nothing ran. One transaction had been committed before; it stays in effect.
    1 session gone: target_unavailable | The script lost its session on the instance; whether its last statement still runs there is not known. One transaction had been committed before; it stays in effect.
    1 session said: database | The script lost its session on the instance; whether its last statement still runs there is not known. One transaction had been committed before; it stays in effect.
    1 session timed out: timed_out | Stopped after 2.5 seconds, the limit of the instance. One transaction had been committed before; it stays in effect.
    1 session cancelled: stopped | Stopped, because somebody asked for it. One transaction had been committed before; it stays in effect.
    1 log lost: internal | Stopped, because what the script said and did could not be kept. One transaction had been committed before; it stays in effect.
    1 outcome unknown: interrupted
    3 threw: script | TypeError: x is not a function. 3 transactions had been committed before; they stay in effect.
    3 threw what the database said: database | division by zero. 3 transactions had been committed before; they stay in effect.
    3 timed out: timed_out | Stopped after 2.5 seconds, the limit of the instance. 3 transactions had been committed before; they stay in effect.
    3 cancelled though nobody asked: stopped | Stopped, because somebody asked for it. 3 transactions had been committed before; they stay in effect.
    3 out of memory: out_of_memory | The script used more than 64 MiB of memory, its limit. 3 transactions had been committed before; they stay in effect.
    3 violation: policy_violation | The script's process was ended, because it did what no script can do: it called socket. 3 transactions had been committed before; they stay in effect.
    3 crashed: crashed | The script's process ended by itself: signal 11. 3 transactions had been committed before; they stay in effect.
    3 not started: internal | No process for the script could be had; nothing ran. 3 transactions had been committed before; they stay in effect.
    3 session gone: target_unavailable | The script lost its session on the instance; whether its last statement still runs there is not known. 3 transactions had been committed before; they stay in effect.
    3 session said: database | The script lost its session on the instance; whether its last statement still runs there is not known. 3 transactions had been committed before; they stay in effect.
    3 session timed out: timed_out | Stopped after 2.5 seconds, the limit of the instance. 3 transactions had been committed before; they stay in effect.
    3 session cancelled: stopped | Stopped, because somebody asked for it. 3 transactions had been committed before; they stay in effect.
    3 log lost: internal | Stopped, because what the script said and did could not be kept. 3 transactions had been committed before; they stay in effect.
    3 outcome unknown: interrupted
    ");
}

#[tokio::test]
async fn what_a_script_threw_is_kept_with_its_place_and_what_the_server_said() {
    let stage = Stage::new();
    let error = ScriptError {
        message: "Error: division by zero".to_owned(),
        position: Some(Position { line: 3, column: 7 }),
        stack: "at half (script.js:3:7)\nat script.js:9:1".to_owned(),
        database_error: Some(division_by_zero()),
    };
    let id = stage.plays(Play::ends(ScriptOutcome::Threw(error.clone()))).await;
    let failure = stage.rig.failure(id).await;
    assert_eq!(failure.kind, FailureKind::Database);
    assert_eq!(failure.database_error, error.database_error);
    let place = failure.script.expect("it is a script");
    assert_eq!((place.position, place.stack), (error.position, error.stack));
}

#[tokio::test]
async fn a_session_that_does_not_open_fails_as_it_does_for_a_query() {
    let stage = Stage::new();
    stage.target.fails(ExecutionError::Unavailable { source: "connection refused".into() });
    let id = stage.plays(nothing()).await;
    let failure = stage.rig.failure(id).await;
    assert_eq!((failure.kind, failure.script), (FailureKind::TargetUnavailable, None));
    assert!(failure.message.contains("nothing was executed"), "{}", failure.message);
    assert_eq!(stage.runner.orders().len(), 0);
}

#[tokio::test]
async fn credentials_that_cannot_be_had_fail_a_script_before_anything_runs() {
    let stage = Stage::new();
    stage.rig.credentials.fail_next(CredentialError::Forbidden);
    let id = stage.plays(nothing()).await;
    assert_eq!(stage.rig.failure(id).await.kind, FailureKind::Credentials);
    assert_eq!((stage.runner.orders().len(), stage.target.orders().len()), (0, 0));
}

#[tokio::test]
async fn a_portal_that_cannot_run_scripts_there_says_so() {
    let stage = Stage::new();
    let without_runner = ExecutionWorker { scripts: None, ..stage.worker() };
    let mut without_target = stage.worker();
    if let Some(scripts) = &mut without_target.scripts {
        scripts.targets.clear();
    }
    let expected = [
        (without_runner, "This portal runs no scripts."),
        (without_target, "This portal cannot run scripts on the instance's kind of database."),
    ];
    for (worker, message) in expected {
        let id = stage.approved(patient()).await;
        worker.run_one().await.expect("the store answers");
        let failure = stage.rig.failure(id).await;
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Internal, message));
    }
    assert_eq!((stage.runner.orders().len(), stage.target.orders().len()), (0, 0));
}

#[tokio::test]
async fn a_portal_without_an_executor_of_queries_runs_scripts() {
    let stage = Stage::new();
    let id = stage.approved(patient()).await;
    let worker = ExecutionWorker { executors: HashMap::new(), ..stage.worker() };
    worker.run_one().await.expect("the store answers");
    assert_eq!(stage.rig.world.kind(id).await, StateKind::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_script_that_is_asked_to_stop_is_cancelled_if_nothing_took_effect() {
    let stage = Stage::new();
    let (id, running) = stage.begins(nothing().says(vec![console_line("one")])).await;
    stage.rig.world.ask_to_cancel(id).await;
    let begin = tokio::time::Instant::now();
    running.await.expect("no panic");
    assert_eq!(stage.rig.world.kind(id).await, StateKind::Cancelled);
    assert_eq!(begin.elapsed(), Duration::ZERO, "the news stopped it, not a poll");
    assert_eq!(stage.log(id).await.len(), 1, "the log stays");
}

#[tokio::test(start_paused = true)]
async fn a_script_that_is_asked_to_stop_and_has_committed_fails_and_says_what_stays() {
    let stage = Stage::new();
    let (id, running) = stage.begins(nothing().commits(2)).await;
    stage.rig.world.ask_to_cancel(id).await;
    running.await.expect("no panic");
    let failure = stage.rig.failure(id).await;
    assert_eq!(failure.kind, FailureKind::Stopped);
    let expected = "Stopped, because somebody asked for it. 2 transactions had been committed before; they stay in effect.";
    assert_eq!(failure.message, expected);
}

#[tokio::test(start_paused = true)]
async fn a_script_whose_lease_is_lost_is_stopped_and_its_log_ends_there() {
    let stage = Stage::new();
    let (id, running) = stage.begins(nothing().says(vec![console_line("one")])).await;
    let world = &stage.rig.world;
    world.clock.advance(Duration::from_hours(1));
    world.store.job_queue().reap(domain::ports::Clock::now(&*world.clock)).await.expect("the store answers");
    assert_eq!(world.kind(id).await, StateKind::Interrupted);
    running.await.expect("no panic");
    assert_eq!(world.kind(id).await, StateKind::Interrupted, "its end counts for nothing");
    assert_eq!(stage.log(id).await.len(), 1);
    assert_eq!(stage.target.open_sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_script_whose_log_cannot_be_kept_is_stopped_and_fails() {
    let stage = Stage::new();
    let play = nothing().commits(1).says(vec![console_line("one")]).says_last(vec![console_line("two")]);
    let (id, running) = stage.begins(play).await;
    stage.rig.world.store.set_unavailable(true);
    stage.runner.release();
    tokio::time::sleep(Duration::from_secs(1)).await;
    stage.rig.world.store.set_unavailable(false);
    running.await.expect("no panic");
    let failure = stage.rig.failure(id).await;
    assert_eq!(failure.kind, FailureKind::Internal);
    let expected = "Stopped, because what the script said and did could not be kept. \
                    One transaction had been committed before; it stays in effect.";
    assert_eq!(failure.message, expected);
    assert_eq!(stage.log(id).await.len(), 1);
}
