//! A runner with real processes, and sessions and logs that remember what they were asked.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::execution::{Column, DatabaseError};
use domain::ids::RequestId;
use domain::ports::{
    ExecutionError, ScriptCheckError, ScriptConnection, ScriptLog, ScriptRunner as _, ScriptSession,
    ShellEvaluator as _, SinkError,
};
use domain::review::Refusal;
use domain::script::{
    CallAnswer, CallError, DatabaseCall, LogEntry, ReturnedValue, ScriptEnd, ScriptError, ScriptOrder,
    ScriptOutcome,
};
use domain::target::{Engine, Limits};
use domain::text::{DatabaseName, SubmissionText};
use script_runner::{ProcessScriptRunner, ScriptSettings};
use tokio_util::sync::CancellationToken;

/// What a session says to a call.
pub(crate) type Answers = Arc<dyn Fn(&DatabaseCall) -> Result<CallAnswer, CallError> + Send + Sync>;

/// How long a call takes.
#[derive(Clone, Copy)]
pub(crate) struct Pace(pub(crate) Duration);

pub(crate) struct Script {
    pub(crate) text: String,
    pub(crate) engine: Engine,
    pub(crate) timeout: Duration,
    pub(crate) answers: Answers,
    pub(crate) pace: Pace,
    /// How long a call that was stopped takes to say so.
    pub(crate) stopping: Duration,
    pub(crate) cancel: CancellationToken,
}

/// What was seen of a script.
pub(crate) struct Seen {
    pub(crate) end: ScriptEnd,
    pub(crate) calls: Vec<DatabaseCall>,
    pub(crate) log: Vec<LogEntry>,
    /// Calls as they reached the session, and records of calls as they were written, in one order.
    pub(crate) order: Vec<String>,
}

impl Seen {
    pub(crate) fn value(&self) -> String {
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        match &self.end.outcome {
            ScriptOutcome::Returned(ReturnedValue::Nothing) => "undefined".to_owned(),
            ScriptOutcome::Returned(ReturnedValue::Single(value)) => text(value),
            ScriptOutcome::Returned(ReturnedValue::Elements(values)) => {
                format!("[{}]", values.iter().map(text).collect::<Vec<_>>().join(","))
            }
            other => panic!("the script gave no value: {other:?}"),
        }
    }

    pub(crate) fn error(&self) -> &ScriptError {
        match &self.end.outcome {
            ScriptOutcome::Threw(error) => error,
            other => panic!("the script threw nothing: {other:?}"),
        }
    }

    pub(crate) fn console(&self) -> Vec<String> {
        let line = |entry: &LogEntry| match entry {
            LogEntry::Console { level, text } => Some(format!("{}: {text}", level.as_str())),
            LogEntry::Call(_) => None,
        };
        self.log.iter().filter_map(line).collect()
    }
}

pub(crate) fn settings() -> ScriptSettings {
    ScriptSettings::new(PathBuf::from(env!("CARGO_BIN_EXE_script-sandbox")), vec![])
}

pub(crate) fn script(text: &str) -> Script {
    Script {
        text: text.to_owned(),
        engine: Engine::Postgresql,
        timeout: Duration::from_secs(20),
        answers: Arc::new(|_| Ok(CallAnswer { command: "SELECT".to_owned(), ..CallAnswer::default() })),
        pace: Pace(Duration::ZERO),
        stopping: Duration::ZERO,
        cancel: CancellationToken::new(),
    }
}

impl Script {
    pub(crate) fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    pub(crate) fn pace(self, pace: Duration) -> Self {
        Self { pace: Pace(pace), ..self }
    }

    pub(crate) fn answers(
        self,
        answers: impl Fn(&DatabaseCall) -> Result<CallAnswer, CallError> + Send + Sync + 'static,
    ) -> Self {
        Self { answers: Arc::new(answers), ..self }
    }

    /// With MongoDB's `db` instead of PostgreSQL's.
    pub(crate) fn for_mongodb(self) -> Self {
        Self { engine: Engine::Mongodb, ..self }
    }

    pub(crate) async fn run(self) -> Seen {
        let runner = ProcessScriptRunner::start(settings()).unwrap();
        self.run_on(&runner).await
    }

    pub(crate) async fn run_on(self, runner: &ProcessScriptRunner) -> Seen {
        let order = ScriptOrder {
            request: RequestId::from_uuid(uuid::Uuid::from_u128(1)),
            engine: self.engine,
            database: DatabaseName::parse("app").unwrap(),
            text: SubmissionText::parse(&self.text).unwrap(),
            limits: Limits { timeout: self.timeout, ..Limits::default() },
            read_only: false,
        };
        let calls = Arc::new(Mutex::new(Vec::new()));
        let events = Arc::new(Mutex::new(Vec::new()));
        let stop = CancellationToken::new();
        let session = ListSession {
            answers: self.answers,
            calls: Arc::clone(&calls),
            events: Arc::clone(&events),
            pace: self.pace,
            stopping: self.stopping,
            stop: stop.clone(),
        };
        let mut log = ListLog { entries: vec![], events: Arc::clone(&events) };
        let connection = ScriptConnection { session: Box::new(session), stop };
        let end =
            runner.run(&order, Box::pin(std::future::ready(Ok(connection))), &mut log, self.cancel).await;
        let calls = std::mem::take(&mut *calls.lock().unwrap());
        let order = std::mem::take(&mut *events.lock().unwrap());
        Seen { end, calls, log: log.entries, order }
    }
}

struct ListSession {
    answers: Answers,
    calls: Arc<Mutex<Vec<DatabaseCall>>>,
    events: Arc<Mutex<Vec<String>>>,
    pace: Pace,
    stopping: Duration,
    stop: CancellationToken,
}

#[async_trait]
impl ScriptSession for ListSession {
    async fn call(&mut self, call: DatabaseCall) -> Result<CallAnswer, CallError> {
        self.calls.lock().unwrap().push(call.clone());
        self.events.lock().unwrap().push("called".to_owned());
        if !self.pace.0.is_zero() {
            tokio::select! {
                () = self.stop.cancelled() => {
                    tokio::time::sleep(self.stopping).await;
                    return Err(CallError::Ended(ExecutionError::Cancelled));
                }
                () = tokio::time::sleep(self.pace.0) => {}
            }
        }
        (self.answers)(&call)
    }

    async fn close(self: Box<Self>) -> Result<(), ExecutionError> {
        Ok(())
    }
}

struct ListLog {
    entries: Vec<LogEntry>,
    events: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl ScriptLog for ListLog {
    async fn write(&mut self, entries: Vec<LogEntry>) -> Result<(), SinkError> {
        // A log that takes its time, as a database does.
        tokio::time::sleep(Duration::from_millis(2)).await;
        for entry in entries {
            if let LogEntry::Call(record) = &entry {
                self.events.lock().unwrap().push(format!("wrote {}", record.number));
            }
            self.entries.push(entry);
        }
        Ok(())
    }
}

/// Rows of columns, each value as JSON.
pub(crate) fn rows(columns: &[(&str, &str)], values: &[&str]) -> CallAnswer {
    CallAnswer {
        command: "SELECT".to_owned(),
        columns: columns
            .iter()
            .map(|(name, kind)| Column { name: (*name).to_owned(), type_name: (*kind).to_owned() })
            .collect(),
        affected: Some(values.len() as u64),
        rows: u32::try_from(values.len()).unwrap(),
        ndjson: Bytes::from(values.iter().flat_map(|row| [*row, "\n"]).collect::<String>()),
        stream: None,
        done: true,
        committed: false,
    }
}

/// The answer to a call that has committed something.
pub(crate) fn committed() -> CallAnswer {
    CallAnswer { command: "INSERT".to_owned(), affected: Some(1), committed: true, ..CallAnswer::default() }
}

pub(crate) fn database_error() -> CallError {
    CallError::Database(DatabaseError {
        code: "42P01".to_owned(),
        severity: "ERROR".to_owned(),
        message: "relation \"nowhere\" does not exist".to_owned(),
        hint: Some("Create it.".to_owned()),
        ..DatabaseError::default()
    })
}

pub(crate) fn refusal() -> CallError {
    CallError::Refused(Refusal {
        code: "transaction_control".to_owned(),
        message: "COMMIT may not be submitted.".to_owned(),
        position: None,
    })
}

pub(crate) async fn check(text: &str) -> Result<(), Refusal> {
    let runner = ProcessScriptRunner::start(settings()).unwrap();
    match runner.check(&SubmissionText::parse(text).unwrap()).await {
        Ok(()) => Ok(()),
        Err(ScriptCheckError::Refused(refusal)) => Err(refusal),
        Err(other) => panic!("{other:?}"),
    }
}

/// The commands that a text comes to, for the database `app`, or why there are none.
pub(crate) async fn evaluate_on(runner: &ProcessScriptRunner, text: &str) -> Result<Vec<String>, Refusal> {
    let database = DatabaseName::parse("app").unwrap();
    match runner.evaluate(&SubmissionText::parse(text).unwrap(), Some(&database)).await {
        Ok(commands) => Ok(commands),
        Err(ScriptCheckError::Refused(refusal)) => Err(refusal),
        Err(other) => panic!("{text}: {other:?}"),
    }
}

/// Answers from a list, one call after the other.
pub(crate) fn in_turn(
    answers: Vec<Result<CallAnswer, CallError>>,
) -> impl Fn(&DatabaseCall) -> Result<CallAnswer, CallError> {
    let answers = Mutex::new(VecDeque::from(answers));
    move |_| answers.lock().unwrap().pop_front().expect("no more calls were expected")
}
