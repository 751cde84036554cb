//! Running things on targets, and looking at them beforehand.

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{ResultSink, SinkError};
use crate::execution::{DatabaseError, ExecutionOrder, ExecutionReport};
use crate::request::Submission;
use crate::review::{Refusal, Review};
use crate::target::Engine;

/// How an execution ended when it did not succeed. All but [`ExecutionError::OutcomeUnknown`] say that
/// nothing of the request took effect.
#[derive(Debug, thiserror::Error)]
pub enum ExecutionError {
    /// A statement that may not run here.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The server reported an error.
    #[error("{}", .0.message)]
    Database(DatabaseError),
    /// The target did not accept the login.
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

/// Looks at a submission without touching the target.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait SubmissionReviewer: Send + Sync {
    fn engine(&self) -> Engine;

    /// MUST survive any text, and MUST say the same of the same text. With `read_only` it MUST refuse what it
    /// sees to change anything, so that nobody approves what cannot run.
    async fn review(&self, submission: &Submission, read_only: bool) -> Result<Review, Refusal>;
}
