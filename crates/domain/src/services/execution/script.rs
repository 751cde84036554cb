//! Runs a script: its session, its process, its log, and from its end to what happens to the request.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::future::FutureExt as _;
use tokio_util::sync::CancellationToken;

use super::outcome::Outcome;
use super::preview::PreviewSink;
use crate::execution::{
    Column, ExecutionOrder, ExecutionReport, Failure, FailureKind, Notice, ResultChunk, ScriptPlace,
    StatementReport,
};
use crate::job::Lease;
use crate::ports::{
    ExecutionError, ResultSink, ScriptConnection, ScriptLogs, ScriptRunner, ScriptSession, ScriptTarget,
    SinkError,
};
use crate::script::{ReturnedValue, ScriptEnd, ScriptError, ScriptOrder, ScriptOutcome};
use crate::services::{Keyring, error_chain};
use crate::target::{Engine, Limits};

/// Chunks are about this large.
const CHUNK_BYTES: usize = 64 * 1024;

/// What scripts need beside what queries need.
#[derive(Clone)]
pub struct Scripts {
    pub runner: Arc<dyn ScriptRunner>,
    pub targets: HashMap<Engine, Arc<dyn ScriptTarget>>,
    pub logs: Arc<dyn ScriptLogs>,
}

impl fmt::Debug for Scripts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripts").field("engines", &self.targets.keys()).finish_non_exhaustive()
    }
}

/// The way to a script's session.
pub(super) struct Door {
    pub(super) target: Arc<dyn ScriptTarget>,
    pub(super) credentials: Keyring,
}

impl Door {
    /// A refused login is looked up once more: it may have been replaced since it was fetched.
    async fn open(
        self,
        mut order: ExecutionOrder,
        stop: &CancellationToken,
    ) -> Result<Box<dyn ScriptSession>, ExecutionError> {
        let refused = match self.target.open(&order, stop.clone()).await {
            Err(error @ ExecutionError::CredentialsRejected { .. }) => error,
            opened => return opened,
        };
        let Some(credentials) = super::renewed(&self.credentials, &order).await else { return Err(refused) };
        order.credentials = credentials;
        self.target.open(&order, stop.clone()).await
    }
}

impl Scripts {
    pub(super) async fn run(
        &self,
        door: Door,
        order: &ExecutionOrder,
        lease: &Lease,
        mut sink: PreviewSink,
        cancel: CancellationToken,
    ) -> Outcome {
        let (stop, its_order) = (cancel.child_token(), order.clone());
        let connect = async move {
            let session = door.open(its_order, &stop).await?;
            Ok(ScriptConnection { session, stop })
        };
        let script = ScriptOrder {
            request: order.request,
            engine: order.target.engine,
            database: order.database.clone(),
            text: order.submission.text.clone(),
            limits: order.limits,
            read_only: order.read_only,
        };
        let mut log = self.logs.writer(order.request, lease);
        let end = self.runner.run(&script, connect.boxed(), log.as_mut(), cancel).await;
        tracing::info!(request = %order.request, calls = end.calls, commits = end.commits,
            outcome = class(&end.outcome), "a script ended");
        outcome_of(end, &mut sink, order).await.with_preview(sink)
    }
}

/// A success whose preview is still to come.
enum Ended {
    Well(ExecutionReport),
    Other(Outcome),
}

impl Ended {
    fn with_preview(self, sink: PreviewSink) -> Outcome {
        match self {
            Self::Well(report) => Outcome::Succeeded { report, preview: sink.into_preview() },
            Self::Other(outcome) => outcome,
        }
    }
}

async fn outcome_of(end: ScriptEnd, sink: &mut PreviewSink, order: &ExecutionOrder) -> Ended {
    let (commits, stays) = (end.commits, stays(end.commits));
    let failed = |kind, message: String| {
        Ended::Other(failure(kind, message + &stays, ScriptError::default(), commits))
    };
    let (seconds, notices) = (order.limits.timeout.as_secs_f32(), notices(&end));
    match end.outcome {
        ScriptOutcome::Returned(value) => match keep(value, order.limits, sink).await {
            Ok(statement) => {
                Ended::Well(ExecutionReport { statements: vec![statement], notices, duration: end.duration })
            }
            Err(SinkError::LeaseLost | SinkError::Store(_)) => failed(
                FailureKind::Internal,
                "The script ended well, but its result could not be kept.".to_owned(),
            ),
        },
        ScriptOutcome::Threw(error) => {
            // What the server said is told, and not what the script made of it.
            let (kind, message) = match &error.database_error {
                Some(database_error) => (FailureKind::Database, &database_error.message),
                None => (FailureKind::Script, &error.message),
            };
            Ended::Other(failure(kind, sentence(message, &stays), error, commits))
        }
        ScriptOutcome::TimedOut | ScriptOutcome::Ended(ExecutionError::TimedOut) => failed(
            FailureKind::TimedOut,
            format!("Stopped after {seconds} seconds, the limit of the instance."),
        ),
        ScriptOutcome::Cancelled | ScriptOutcome::Ended(ExecutionError::Cancelled) if end.commits > 0 => {
            failed(FailureKind::Stopped, "Stopped, because somebody asked for it.".to_owned())
        }
        ScriptOutcome::Cancelled => Ended::Other(Outcome::Cancelled),
        ScriptOutcome::OutOfMemory { limit_bytes } => failed(
            FailureKind::OutOfMemory,
            format!("The script used more than {} MiB of memory, its limit.", limit_bytes / (1024 * 1024)),
        ),
        ScriptOutcome::Violation { what } => failed(
            FailureKind::PolicyViolation,
            format!("The script's process was ended, because it did what no script can do: {what}."),
        ),
        ScriptOutcome::Crashed { how } => {
            failed(FailureKind::Crashed, format!("The script's process ended by itself: {how}."))
        }
        ScriptOutcome::NotStarted { source } => {
            tracing::error!(request = %order.request, error = %error_chain(source.as_ref()), "no script process");
            failed(FailureKind::Internal, "No process for the script could be had; nothing ran.".to_owned())
        }
        ScriptOutcome::Ended(ExecutionError::Sink(SinkError::LeaseLost | SinkError::Store(_))) => failed(
            FailureKind::Internal,
            "Stopped, because what the script said and did could not be kept.".to_owned(),
        ),
        ScriptOutcome::Ended(error) => match (end.calls, Outcome::of(Err(error), vec![], order)) {
            // Nothing ran yet, so it is as for a query.
            (0, outcome) => Ended::Other(outcome),
            (_, Outcome::Failed(ended)) => {
                let message = format!(
                    "The script lost its session on the instance; whether its last statement still runs there is not \
                     known.{stays}"
                );
                let script = Some(ScriptPlace { commits, ..ScriptPlace::default() });
                Ended::Other(Outcome::Failed(Failure { message, script, ..ended }))
            }
            (_, outcome @ (Outcome::Succeeded { .. } | Outcome::Cancelled | Outcome::Unknown)) => {
                Ended::Other(outcome)
            }
        },
    }
}

fn failure(kind: FailureKind, message: String, error: ScriptError, commits: u64) -> Outcome {
    let ScriptError { position, stack, database_error, .. } = error;
    let script = Some(ScriptPlace { position, stack, commits });
    Outcome::Failed(Failure { kind, message, database_error, script })
}

/// What a failure says about the part of the script that took effect.
fn stays(commits: u64) -> String {
    match commits {
        0 => String::new(),
        1 => " One transaction had been committed before; it stays in effect.".to_owned(),
        n => format!(" {n} transactions had been committed before; they stay in effect."),
    }
}

/// What a script threw seldom ends as a sentence does.
fn sentence(thrown: &str, stays: &str) -> String {
    let stop = if stays.is_empty() || thrown.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{thrown}{stop}{stays}")
}

/// What a requester should know of a script that ended well.
fn notices(end: &ScriptEnd) -> Vec<Notice> {
    let dropped = end.console_dropped;
    let told = [
        (dropped > 0).then(|| format!("{dropped} more bytes of console output were not kept.")),
        end.undone.then(|| {
            "A transaction or a stream was still open when the script ended, and what it did was undone."
                .to_owned()
        }),
    ];
    let notice = |message| Notice { severity: "NOTICE".to_owned(), code: "portal".to_owned(), message };
    told.into_iter().flatten().map(notice).collect()
}

/// Writes a script's value as rows of one column: the elements of an array, or the value itself.
async fn keep(
    value: ReturnedValue,
    limits: Limits,
    sink: &mut PreviewSink,
) -> Result<StatementReport, SinkError> {
    let (name, values) = match value {
        ReturnedValue::Nothing => (None, vec![]),
        ReturnedValue::Single(value) => (Some("value"), vec![value]),
        ReturnedValue::Elements(values) => (Some("element"), values),
    };
    let returned = u64::try_from(values.len()).unwrap_or(u64::MAX);
    let mut rows = 0;
    let mut bytes_left = limits.max_bytes;
    let mut chunk = Chunk::default();
    for value in values.iter().take(usize::try_from(limits.max_rows).unwrap_or(usize::MAX)) {
        let length = u64::try_from(value.len() + "[]\n".len()).unwrap_or(u64::MAX);
        let Some(left) = bytes_left.checked_sub(length) else { break };
        bytes_left = left;
        rows += 1;
        chunk.add(value);
        if chunk.ndjson.len() >= CHUNK_BYTES {
            sink.write(chunk.take()).await?;
        }
    }
    if chunk.rows > 0 {
        sink.write(chunk.take()).await?;
    }
    let column = |name: &str| vec![Column { name: name.to_owned(), type_name: "json".to_owned() }];
    Ok(StatementReport {
        command: "RETURN".to_owned(),
        columns: name.map(column),
        rows,
        affected: None,
        truncated: rows < returned,
    })
}

#[derive(Default)]
struct Chunk {
    rows: u32,
    ndjson: BytesMut,
}

impl Chunk {
    fn add(&mut self, value: &Bytes) {
        self.rows += 1;
        for part in [b"[".as_slice(), value, b"]\n"] {
            self.ndjson.extend_from_slice(part);
        }
    }

    fn take(&mut self) -> ResultChunk {
        let Self { rows, ndjson } = std::mem::take(self);
        ResultChunk { statement: 0, rows, ndjson: ndjson.freeze() }
    }
}

/// A word for the log.
fn class(outcome: &ScriptOutcome) -> &'static str {
    match outcome {
        ScriptOutcome::Returned(_) => "returned",
        ScriptOutcome::Threw(_) => "threw",
        ScriptOutcome::TimedOut => "timed_out",
        ScriptOutcome::Cancelled => "cancelled",
        ScriptOutcome::OutOfMemory { .. } => "out_of_memory",
        ScriptOutcome::Violation { .. } => "violation",
        ScriptOutcome::Crashed { .. } => "crashed",
        ScriptOutcome::Ended(_) => "session_ended",
        ScriptOutcome::NotStarted { .. } => "not_started",
    }
}
