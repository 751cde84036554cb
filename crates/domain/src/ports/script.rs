//! Scripts: the process that runs one, the session that it calls, the log that it leaves.

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{ExecutionError, SinkError, StoreError};
use crate::execution::ExecutionOrder;
use crate::ids::RequestId;
use crate::job::Lease;
use crate::review::Refusal;
use crate::script::{
    CallAnswer, CallError, DatabaseCall, LogCounts, LogEntry, LogLimit, LogPart, ScriptEnd, ScriptOrder,
};
use crate::target::Engine;
use crate::text::{DatabaseName, SubmissionText};

/// Why a script, or a text that has to be evaluated, was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ScriptCheckError {
    /// The text can never run.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// No process could be had to look at it.
    #[error("scripts cannot be checked now")]
    Unavailable { source: Box<dyn std::error::Error + Send + Sync> },
}

/// A session, and what stops it.
pub struct ScriptConnection {
    pub session: Box<dyn ScriptSession>,
    /// The token that the session was opened with.
    pub stop: CancellationToken,
}

impl std::fmt::Debug for ScriptConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScriptConnection(..)")
    }
}

/// Opens the session when it is awaited, and not before.
pub type ScriptConnect = BoxFuture<'static, Result<ScriptConnection, ExecutionError>>;

/// Runs scripts, each where it can do nothing but ask.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ScriptRunner: Send + Sync {
    /// Reads a script without running any of it. MUST survive any text and say the same of the same text.
    async fn check(&self, text: &SubmissionText) -> Result<(), ScriptCheckError>;

    /// Runs a script once. MUST end, with nothing of it left running, within a second of the limit on time or of a
    /// cancel, and the time that the session needs to stop. MUST make one call at a time, MUST make none once it has
    /// decided to end, and MUST write every call that it made and every line that it kept to the log before it returns. Once a call has committed
    /// something, nothing else of the script MUST happen before that call is in the log. MUST open the session only when
    /// it can begin.
    async fn run(
        &self,
        order: &ScriptOrder,
        connect: ScriptConnect,
        log: &mut (dyn ScriptLog + 'static),
        cancel: CancellationToken,
    ) -> ScriptEnd;
}

/// Evaluates what a person would type into MongoDB's shell.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ShellEvaluator: Send + Sync {
    /// Evaluates a text once, where nothing can be reached and every command is only written down, and gives the commands
    /// that it came to, in order, each as canonical Extended JSON on one line. MUST survive any text. A command for
    /// another database than this one names it as its last field, `$db`. Without a database `db` has no name.
    async fn evaluate<'a>(
        &self,
        text: &SubmissionText,
        database: Option<&'a DatabaseName>,
    ) -> Result<Vec<String>, ScriptCheckError>;
}

/// Gives a script its session.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ScriptTarget: Send + Sync {
    fn engine(&self) -> Engine;

    /// Opens the one session of a script, under the rules of [`super::TargetExecutor`]. Once `stop` is cancelled or
    /// the order's limit on time is over, a call in flight MUST be stopped and MUST be answered only when it is certain
    /// what became of it, and every further call MUST be refused with [`CallError::Ended`].
    async fn open(
        &self,
        order: &ExecutionOrder,
        stop: CancellationToken,
    ) -> Result<Box<dyn ScriptSession>, ExecutionError>;
}

/// A script's one session on its target.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ScriptSession: Send {
    /// Each [`DatabaseCall::Query`] outside of a transaction MUST take effect wholly or not at all, and the same MUST
    /// hold for what happens between begin and commit. A statement MUST pass every rule that a submitted text passes.
    async fn call(&mut self, call: DatabaseCall) -> Result<CallAnswer, CallError>;

    /// Undoes what is open and ends the session. `Ok` means that it is certain that nothing runs there any more. Else
    /// MUST say [`ExecutionError::OutcomeUnknown`] when a call may have committed something without having answered
    /// that, and [`ExecutionError::Unavailable`] when all that is left open is whether something still runs there.
    async fn close(self: Box<Self>) -> Result<(), ExecutionError>;
}

/// Takes what a script says and does, as it happens.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ScriptLog: Send {
    /// Entries come in order. MUST refuse with [`SinkError::LeaseLost`] once the lease is lost. A NUL in a text, which no
    /// store of texts takes, is kept as U+2400. No entries are nothing to write.
    async fn write(&mut self, entries: Vec<LogEntry>) -> Result<(), SinkError>;
}

/// Keeps the logs of scripts. They stay whatever becomes of the request.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ScriptLogs: Send + Sync {
    /// A log for a claimed execution. What it writes is announced as [`super::Change::Log`].
    fn writer(&self, request: RequestId, lease: &Lease) -> Box<dyn ScriptLog>;

    /// The lines after number `after`, in order, no more than `limit`; empty when there are none. MUST give a first line
    /// that is longer than the limit's bytes, so that a reader gets on, and MUST NOT hold more than what it gives.
    async fn read(&self, request: RequestId, after: u64, limit: LogLimit) -> Result<LogPart, StoreError>;

    /// How many lines there are by now.
    async fn count(&self, request: RequestId) -> Result<LogCounts, StoreError>;
}
