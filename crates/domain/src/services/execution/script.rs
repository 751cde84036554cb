//! Runs a script: its session, its process, its log, and from its end to what happens to the request.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio_util::sync::CancellationToken;

use super::outcome::Outcome;
use super::preview::PreviewSink;
use crate::execution::{
    Column, ExecutionOrder, ExecutionReport, Failure, FailureKind, Notice, ResultChunk, ScriptPlace,
    StatementReport,
};
use crate::job::Lease;
use crate::ports::{
    ExecutionError, ResultSink, ScriptConnection, ScriptLogs, ScriptRunner, ScriptTarget, SinkError,
};
use crate::script::{ReturnedValue, ScriptEnd, ScriptError, ScriptOrder, ScriptOutcome};
use crate::services::error_chain;
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

impl Scripts {
    pub(super) async fn run(
        &self,
        target: &dyn ScriptTarget,
        order: &ExecutionOrder,
        lease: &Lease,
        mut sink: PreviewSink,
        cancel: CancellationToken,
    ) -> Outcome {
        let stop = cancel.child_token();
        let session = match target.open(order, stop.clone()).await {
            Ok(session) => session,
            // Nothing ran yet, so it is as for a query.
            Err(error) => return Outcome::of(Err(error), vec![], order),
        };
        let script = ScriptOrder {
            request: order.request,
            text: order.submission.text.clone(),
            limits: order.limits,
            read_only: order.read_only,
        };
        let mut log = self.logs.writer(order.request, lease);
        let connection = ScriptConnection { session, stop };
        let end = self.runner.run(&script, connection, log.as_mut(), cancel).await;
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
    let stays = stays(end.commits);
    let failed =
        |kind, message: String| Ended::Other(failure(kind, message + &stays, ScriptError::default()));
    let seconds = order.limits.timeout.as_secs_f32();
    match end.outcome {
        ScriptOutcome::Returned(value) => match keep(value, order.limits, sink).await {
            Ok(statement) => Ended::Well(ExecutionReport {
                statements: vec![statement],
                notices: console_notice(end.console_dropped),
                duration: end.duration,
            }),
            Err(SinkError::LeaseLost | SinkError::Store(_)) => failed(
                FailureKind::Internal,
                "The script ended well, but its result could not be kept.".to_owned(),
            ),
        },
        ScriptOutcome::Threw(error) => {
            let kind =
                if error.database_error.is_some() { FailureKind::Database } else { FailureKind::Script };
            Ended::Other(failure(kind, sentence(&error.message, &stays), error))
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
        ScriptOutcome::Ended(error) => match (end.commits, Outcome::of(Err(error), vec![], order)) {
            (0, outcome) => Ended::Other(outcome),
            (_, Outcome::Failed(ended)) => {
                let message = format!("The script lost its session on the instance.{stays}");
                Ended::Other(Outcome::Failed(Failure {
                    message,
                    script: Some(ScriptPlace::default()),
                    ..ended
                }))
            }
            (_, outcome @ (Outcome::Succeeded { .. } | Outcome::Cancelled | Outcome::Unknown)) => {
                Ended::Other(outcome)
            }
        },
    }
}

fn failure(kind: FailureKind, message: String, error: ScriptError) -> Outcome {
    let ScriptError { position, stack, database_error, .. } = error;
    Outcome::Failed(Failure { kind, message, database_error, script: Some(ScriptPlace { position, stack }) })
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

fn console_notice(dropped: u64) -> Vec<Notice> {
    if dropped == 0 {
        return vec![];
    }
    vec![Notice {
        severity: "NOTICE".to_owned(),
        code: "portal".to_owned(),
        message: format!("{dropped} more bytes of console output were not kept."),
    }]
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
