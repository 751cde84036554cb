//! One execution: how it ends, and what is written of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::execution::{DatabaseError, Failure, FailureKind, ResultChunk};
use domain::ids::RequestId;
use domain::job::{Audience, WorkerId};
use domain::ports::{CredentialError, CredentialSource, ExecutionError, SinkError, TargetExecutor};
use domain::request::{NotificationKind, ResultKept, State, StateKind};
use domain::review::Refusal;
use domain::services::{ExecutionSettings, ExecutionWorker, Keyring};
use domain::target::{Engine, Limits};
use futures_util::TryStreamExt;
use secrecy::ExposeSecret;
use testkit::builders::{database, request, target, target_database};
use testkit::fakes::{FakeCredentials, FakeExecutor, Script};
use testkit::memory::{JobKind, JobState};
use tokio::task::JoinHandle;

use super::World;

pub(super) const PASSWORD: &str = "s3cret-of-the-target";

/// A world with an executor and what a worker needs.
pub(super) struct Rig {
    pub(super) world: World,
    pub(super) executor: Arc<FakeExecutor>,
    pub(super) credentials: Arc<FakeCredentials>,
}

impl Rig {
    pub(super) fn new() -> Self {
        let credentials = FakeCredentials::default().with("TARGET_ORDERS-DB", "portal", PASSWORD).with(
            "TARGET_LEDGER-DB",
            "portal",
            PASSWORD,
        );
        let world = World::new();
        // Patient, so that no test meets the limit on time by accident.
        world.store.put_target(&target("orders-db").limits(patient()).build());
        Self { world, executor: Arc::default(), credentials: Arc::new(credentials) }
    }

    pub(super) fn worker(&self, name: &str) -> ExecutionWorker {
        let executor = self.executor.clone() as Arc<dyn TargetExecutor>;
        let credentials = self.credentials.clone() as Arc<dyn CredentialSource>;
        ExecutionWorker {
            queue: self.world.store.job_queue(),
            requests: self.world.store.request_store(),
            results: self.world.store.result_store(),
            scripts: None,
            executors: HashMap::from([(Engine::Postgresql, executor)]),
            credentials: Keyring::from_iter([credentials]),
            changes: self.world.store.change_feed(),
            clock: self.world.clock.clone(),
            worker: WorkerId(name.to_owned()),
            settings: ExecutionSettings::default(),
        }
    }

    pub(super) fn worker_with(&self, executor: impl TargetExecutor + 'static) -> ExecutionWorker {
        let executors = HashMap::from([(Engine::Postgresql, Arc::new(executor) as Arc<dyn TargetExecutor>)]);
        ExecutionWorker { executors, ..self.worker("host:1:1") }
    }

    pub(super) async fn approved(&self) -> RequestId {
        self.world.approved(request().limits(patient())).await.id
    }

    /// Runs the one execution that is due to its end.
    pub(super) async fn run(&self) {
        assert!(self.worker("host:1:1").run_one().await.expect("the store answers"), "something is due");
    }

    /// Begins to run the one execution that is due, and waits until the executor has it.
    pub(super) async fn begin(&self) -> JoinHandle<()> {
        let worker = self.worker("host:1:1");
        let running = tokio::spawn(async move {
            worker.run_one().await.expect("the store answers");
        });
        self.executor.started().await;
        running
    }

    pub(super) async fn failure(&self, id: RequestId) -> Failure {
        match self.world.state(id).await {
            State::Failed { failure, .. } => *failure,
            state => panic!("not failed but {state:?}"),
        }
    }

    /// What the POD's channel is told, oldest first.
    pub(super) fn notified(&self, id: RequestId) -> Vec<NotificationKind> {
        self.told(id, Audience::Channel)
    }

    fn told(&self, id: RequestId, audience: Audience) -> Vec<NotificationKind> {
        let jobs = self.world.store.jobs();
        let about = jobs.iter().filter(|job| job.request == id && job.audience == Some(audience));
        about
            .filter_map(|job| match job.kind {
                JobKind::Notification(kind) => Some(kind),
                JobKind::Execution => None,
            })
            .collect()
    }

    pub(super) fn job_state(&self, id: RequestId) -> JobState {
        let mut jobs = self.world.store.jobs().into_iter();
        jobs.find(|job| job.request == id && job.kind == JobKind::Execution).expect("it was queued").state
    }

    pub(super) async fn stored_lines(&self, id: RequestId) -> usize {
        let chunks: Vec<ResultChunk> =
            self.world.store.result_store().read(id).try_collect().await.expect("the store answers");
        chunks.iter().map(|chunk| chunk.rows as usize).sum()
    }
}

pub(super) fn patient() -> Limits {
    Limits { timeout: Duration::from_hours(1), ..Limits::default() }
}

#[tokio::test]
async fn nothing_runs_while_nothing_is_approved() {
    let rig = Rig::new();
    rig.world.pending(request()).await;
    assert!(!rig.worker("host:1:1").run_one().await.expect("the store answers"));
    assert_eq!(rig.executor.executions(), 0);
}

#[tokio::test]
async fn what_was_approved_is_what_runs_with_credentials_that_only_the_executor_sees() {
    let rig = Rig::new();
    let id = rig.world.approved(request().text("SELECT 42").limits(patient())).await.id;
    rig.run().await;
    let [order] = &rig.executor.orders()[..] else { panic!("it ran once") };
    assert_eq!((order.request, order.database.clone(), order.read_only), (id, database(), false));
    assert_eq!(order.submission.text.as_str(), "SELECT 42");
    assert_eq!(order.limits, patient());
    assert_eq!(order.credentials.username, "portal");
    assert_eq!(order.credentials.password.expose_secret(), PASSWORD);
    assert!(!format!("{order:?}").contains(PASSWORD));
}

#[tokio::test]
async fn a_read_only_target_runs_read_only() {
    let rig = Rig::new();
    let read_only = target("orders-db").limits(patient()).read_only().build();
    rig.world.store.put_target(&read_only);
    rig.world.approved(request().target(&read_only)).await;
    rig.run().await;
    assert!(rig.executor.orders()[0].read_only);
}

#[tokio::test]
async fn a_success_keeps_the_whole_result_and_a_preview_of_its_first_100_rows() {
    let rig = Rig::new();
    let id = rig.approved().await;
    rig.executor.plays(Script::rows((0..2_500).map(|n| format!("[{n}]"))));
    rig.run().await;
    let State::Completed { completion, run, .. } = rig.world.state(id).await else { panic!("it completed") };
    assert_eq!(run.worker, "host:1:1");
    let ResultKept::Stored { report, preview } = completion.result else { panic!("the result is kept") };
    assert_eq!(report.statements[0].rows, 2_500);
    let lines: Vec<&str> = preview.iter().map(|row| row.json.as_str()).collect();
    assert_eq!(lines, (0..100).map(|n| format!("[{n}]")).collect::<Vec<_>>());
    assert_eq!(rig.stored_lines(id).await, 2_500);
    assert_eq!(
        rig.world.trail(id),
        ["request.submit", "request.approve", "request.start", "request.succeed"]
    );
    let told = [NotificationKind::Submitted, NotificationKind::Approved, NotificationKind::Completed];
    assert_eq!(rig.notified(id), told);
    assert_eq!(rig.told(id, Audience::Requester), [NotificationKind::Completed]);
    assert_eq!(rig.job_state(id), JobState::Done);
}

#[tokio::test]
async fn a_preview_of_few_rows_has_them_all() {
    let rig = Rig::new();
    let id = rig.approved().await;
    rig.executor.plays(Script::rows(["[1]", "[2]"]));
    rig.run().await;
    let State::Completed { completion, .. } = rig.world.state(id).await else { panic!("it completed") };
    let ResultKept::Stored { preview, .. } = completion.result else { panic!("the result is kept") };
    assert_eq!(preview.len(), 2);
}

#[tokio::test]
async fn a_preview_stays_small_however_large_the_rows_are() {
    let rig = Rig::new();
    let id = rig.approved().await;
    let large = format!("[\"{}\"]", "x".repeat(100 * 1024));
    rig.executor.plays(Script::rows((0..10).map(|_| large.clone())));
    rig.run().await;
    let State::Completed { completion, .. } = rig.world.state(id).await else { panic!("it completed") };
    let ResultKept::Stored { preview, .. } = completion.result else { panic!("the result is kept") };
    assert_eq!(preview.len(), 2, "256 KiB hold two rows of 100");
    assert_eq!(rig.stored_lines(id).await, 10, "the result itself is whole");
}

/// Every error that an executor can report, with the password in whatever does not reach people.
fn errors() -> Vec<(&'static str, ExecutionError)> {
    let refusal = Refusal {
        code: "transaction-control".to_owned(),
        message: "COMMIT is not allowed here.".to_owned(),
        position: None,
    };
    let database = DatabaseError {
        code: "22012".to_owned(),
        message: "division by zero".to_owned(),
        ..DatabaseError::default()
    };
    let leak = || format!("login portal:{PASSWORD}@db.internal failed");
    vec![
        ("refused", ExecutionError::Refused(refusal)),
        ("database", ExecutionError::Database(database)),
        ("credentials rejected", ExecutionError::CredentialsRejected { source: leak().into() }),
        (
            "role not allowed",
            ExecutionError::RoleNotAllowed { reason: "The portal's role is a superuser.".to_owned() },
        ),
        ("unavailable", ExecutionError::Unavailable { source: leak().into() }),
        ("timed out", ExecutionError::TimedOut),
        ("sink", ExecutionError::Sink(SinkError::LeaseLost)),
        ("cancelled though nobody asked", ExecutionError::Cancelled),
    ]
}

#[tokio::test]
async fn every_failure_becomes_a_plain_sentence_without_a_credential() {
    let rig = Rig::new();
    let limits = Limits { timeout: Duration::from_millis(2_500), ..Limits::default() };
    let mut lines = vec![];
    for (name, error) in errors() {
        let id = rig.world.approved(request().limits(limits)).await.id;
        rig.executor.plays(Script::rows(["[1]"]).then_fails(error));
        rig.run().await;
        let failure = rig.failure(id).await;
        lines.push(format!("{name}: {} | {}", failure.kind.as_str(), failure.message));
        let everything = format!("{:?}{:?}", rig.world.request(id).await, rig.world.store.audit_entries());
        assert!(!everything.contains(PASSWORD), "{name}");
        assert_eq!(rig.stored_lines(id).await, 0, "{name}: nothing of the result stays");
        assert_eq!(rig.world.trail(id).last().map(String::as_str), Some("request.fail"), "{name}");
        assert_eq!(rig.notified(id).last(), Some(&NotificationKind::Failed), "{name}");
    }
    insta::assert_snapshot!(lines.join("\n"), @r"
    refused: refused | COMMIT is not allowed here.
    database: database | division by zero
    credentials rejected: credentials | The instance orders-db did not accept the portal's credentials. Ask an admin to look.
    role not allowed: refused | The portal's role is a superuser.
    unavailable: target_unavailable | The instance orders-db could not be reached; nothing was executed. Try again later.
    timed out: timed_out | Stopped after 2.5 seconds, the limit of the instance; nothing took effect.
    sink: internal | The result could not be kept, so everything was rolled back. Submit it again.
    cancelled though nobody asked: internal | The portal stopped the execution; nothing took effect. Submit it again.
    ");
}

#[tokio::test]
async fn what_the_server_said_is_kept_with_the_failure() {
    let rig = Rig::new();
    let id = rig.approved().await;
    let error = DatabaseError {
        code: "42P01".to_owned(),
        severity: "ERROR".to_owned(),
        message: "relation \"nothing\" does not exist".to_owned(),
        hint: Some("Look again.".to_owned()),
        ..DatabaseError::default()
    };
    rig.executor.plays(Script::fails(ExecutionError::Database(error.clone())));
    rig.run().await;
    assert_eq!(rig.failure(id).await.database_error, Some(error));
}

#[tokio::test]
async fn credentials_that_cannot_be_had_are_told_without_why() {
    let reasons = [
        CredentialError::NotFound,
        CredentialError::Malformed { reason: format!("not JSON: {PASSWORD}") },
        CredentialError::Unavailable { source: PASSWORD.into() },
        CredentialError::Forbidden,
        CredentialError::Denied { source: PASSWORD.into() },
        CredentialError::OtherServer,
    ];
    for reason in reasons {
        let rig = Rig::new();
        let id = rig.approved().await;
        rig.credentials.fail_next(reason);
        rig.run().await;
        let failure = rig.failure(id).await;
        assert_eq!(failure.kind, FailureKind::Credentials);
        let expected = "Credentials for the instance orders-db could not be fetched. Ask an admin to look.";
        assert_eq!(failure.message, expected);
        assert_eq!(rig.executor.executions(), 0);
    }
}

#[tokio::test]
async fn a_credential_source_that_is_not_configured_fails_the_request() {
    let rig = Rig::new();
    let id = rig.approved().await;
    let worker = ExecutionWorker { credentials: Keyring::default(), ..rig.worker("host:1:1") };
    worker.run_one().await.expect("the store answers");
    assert_eq!(rig.failure(id).await.kind, FailureKind::Credentials);
    assert_eq!(rig.executor.executions(), 0);
}

#[tokio::test]
async fn an_engine_without_an_executor_fails_the_request() {
    let rig = Rig::new();
    let mongo = target("events-db").engine(Engine::Mongodb).build();
    rig.world.store.put_target(&mongo);
    rig.world.store.put_database(&mongo.id, &target_database(database().as_str()));
    let id = rig.world.approved(request().target(&mongo)).await.id;
    rig.run().await;
    let failure = rig.failure(id).await;
    assert_eq!(failure.kind, FailureKind::Internal);
    assert_eq!(failure.message, "This portal has no executor for the instance's kind of database.");
}

#[tokio::test]
async fn a_request_whose_target_has_changed_is_refused_and_never_sent() {
    let rig = Rig::new();
    let id = rig.approved().await;
    let mut moved = target("orders-db").build();
    moved.connection_revision = 2;
    moved.bound_revision = Some(2);
    rig.world.store.put_target(&moved);
    rig.run().await;
    assert_eq!(rig.failure(id).await.kind, FailureKind::Refused);
    assert_eq!(rig.executor.executions(), 0);
}

#[tokio::test]
async fn an_approval_whose_time_is_over_is_never_sent() {
    let rig = Rig::new();
    let id = rig.approved().await;
    rig.world.clock.advance(Duration::from_hours(25));
    rig.worker("host:1:1").run_one().await.expect("the store answers");
    assert_eq!(rig.world.kind(id).await, StateKind::Expired);
    assert_eq!(rig.executor.executions(), 0);
    assert!(!rig.worker("host:1:1").run_one().await.expect("the store answers"), "its job is over");
}

#[tokio::test]
async fn an_outcome_that_nobody_knows_waits_for_a_person() {
    let rig = Rig::new();
    let id = rig.approved().await;
    let error = ExecutionError::OutcomeUnknown { source: "the connection broke at the commit".into() };
    rig.executor.plays(Script::fails(error));
    rig.run().await;
    assert_eq!(rig.world.kind(id).await, StateKind::Interrupted);
    assert_eq!(rig.notified(id).last(), Some(&NotificationKind::Interrupted));
    assert_eq!(rig.job_state(id), JobState::Done);
    assert!(!rig.worker("host:1:1").run_one().await.expect("the store answers"), "it is not run again");
}

#[tokio::test(start_paused = true)]
async fn an_end_that_cannot_be_written_yet_is_written_when_the_store_is_back() {
    let rig = Rig::new();
    let id = rig.approved().await;
    rig.executor.plays(Script::default().writes(1).waits_for_release());
    let running = rig.begin().await;
    rig.world.store.set_unavailable(true);
    rig.executor.release();
    tokio::time::sleep(Duration::from_mins(3)).await;
    assert!(!running.is_finished(), "the outcome is known nowhere else");
    rig.world.store.set_unavailable(false);
    running.await.expect("no panic");
    assert_eq!(rig.world.kind(id).await, StateKind::Completed);
    assert_eq!((rig.executor.executions(), rig.executor.written_rows()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_result_that_cannot_be_kept_fails_the_request() {
    let rig = Rig::new();
    let id = rig.approved().await;
    rig.executor.plays(Script::rows(["[1]"]).writes(1).waits_for_release());
    let running = rig.begin().await;
    rig.world.store.set_unavailable(true);
    rig.executor.release();
    tokio::time::sleep(Duration::from_secs(1)).await;
    rig.world.store.set_unavailable(false);
    running.await.expect("no panic");
    let failure = rig.failure(id).await;
    assert_eq!(failure.kind, FailureKind::Internal);
    assert_eq!(rig.executor.written_rows(), 0);
}
