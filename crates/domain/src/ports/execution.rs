//! Running things on targets, and looking at them beforehand.

use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{ResultSink, ScriptCheckError, SinkError};
use crate::execution::{Credentials, DatabaseError, ExecutionOrder, ExecutionReport};
use crate::request::Submission;
use crate::review::{Refusal, Review, Scope};
use crate::target::{Engine, Target};
use crate::text::{DatabaseName, SubmissionText};

/// How an execution ended when it did not succeed. All but [`ExecutionError::OutcomeUnknown`] say that
/// nothing of the request took effect.
#[derive(Debug, thiserror::Error)]
pub enum ExecutionError {
    /// A statement that may not run here.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The server reported an error. Of what no transaction can hold something may stay; then the message says so.
    #[error("{}", .0.message)]
    Database(DatabaseError),
    /// The target did not accept the login, and nothing was sent to it.
    #[error("the target did not accept the credentials")]
    CredentialsRejected { source: Box<dyn std::error::Error + Send + Sync> },
    /// The target's role may do more than the target's entry allows.
    #[error("{reason}")]
    RoleNotAllowed { reason: String },
    /// The target could not be reached, or the connection broke before anything could take effect.
    #[error("the target is not available")]
    Unavailable { source: Box<dyn std::error::Error + Send + Sync> },
    /// The limit on time ran out, and the rollback is certain.
    #[error("the execution took too long")]
    TimedOut,
    /// Cancelled as asked, and the rollback is certain.
    #[error("the execution was cancelled")]
    Cancelled,
    /// The result could not be kept, and the rollback is certain.
    #[error("the result could not be kept")]
    Sink(#[source] SinkError),
    /// It may have taken effect or not: the connection broke at a moment when only the server knows.
    #[error("contact with the target was lost and the outcome is not known")]
    OutcomeUnknown { source: Box<dyn std::error::Error + Send + Sync> },
}

/// Runs submissions on targets of one engine.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait TargetExecutor: Send + Sync {
    fn engine(&self) -> Engine;

    /// Runs an order once. All statements MUST take effect together or not at all, where the engine can do
    /// that. MUST NOT outlive the limit on time by more than what the server needs to roll back, and MUST
    /// report [`ExecutionError::Cancelled`] only once the rollback is certain: a commit that won is a success.
    /// MUST leave nothing behind for the next execution. Errors and reports MUST NOT hold a credential.
    async fn execute(
        &self,
        order: &ExecutionOrder,
        sink: &mut (dyn ResultSink + 'static),
        cancel: CancellationToken,
    ) -> Result<ExecutionReport, ExecutionError>;
}

/// What a look at a target shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inspection {
    /// In the server's own words, for example `15.18`.
    pub server_version: String,
    /// From a small question to its answer, on a connection that was open.
    pub latency: Duration,
    pub role: RoleReport,
    /// The databases that the portal's role may connect to, sorted.
    pub databases: Vec<DatabaseName>,
}

/// What the portal is on a target, in the server's words.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct RoleReport {
    pub name: String,
    /// Rights of the role itself that reach beyond single tables or collections, for example `superuser`, `createrole`
    /// or `dbAdmin@shop`, sorted.
    pub privileges: Vec<String>,
    /// Roles that it is a member of, sorted.
    pub member_of: Vec<String>,
    /// Whether it may change data in the database by which the portal looked; `None` where that could not be told.
    pub may_write: Option<bool>,
}

/// Looks at a target without running anything of anybody's.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait TargetInspector: Send + Sync {
    fn engine(&self) -> Engine;

    /// Connects as an execution would, by `database`, and asks the server what it is and has. MUST change nothing,
    /// MUST report a role that the target does not allow, and MUST give up after a connection's usual time.
    async fn inspect(
        &self,
        target: &Target,
        database: &DatabaseName,
        credentials: &Credentials,
    ) -> Result<Inspection, ExecutionError>;
}

/// Looks at a submission without touching the target.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait SubmissionReviewer: Send + Sync {
    fn engine(&self) -> Engine;

    /// Turns a query's text into the commands that are stored, shown to whoever decides, and executed as stored; none for
    /// an engine that runs the text itself. What comes of a text is asked once for each submission or edit: it need not
    /// be the same the next time. MUST survive any text.
    async fn compile<'a>(
        &self,
        text: &SubmissionText,
        database: Option<&'a DatabaseName>,
    ) -> Result<Vec<String>, ScriptCheckError>;

    /// MUST survive any text, and MUST say the same of the same submission. Where nothing may change it MUST refuse what
    /// it sees to change anything, so that nobody approves what cannot run.
    async fn review(&self, submission: &Submission, scope: &Scope) -> Result<Review, Refusal>;
}
