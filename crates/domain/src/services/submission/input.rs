//! What is asked for when something is submitted or changed, and why it may be refused.

use crate::Timestamp;
use crate::ids::{InstanceId, PodId};
use crate::policy::Denied;
use crate::ports::{ScriptCheckError, StoreError};
use crate::request::{ExtendedJson, Request, RunOptions, Submission, SubmissionKind};
use crate::review::{Refusal, Review};
use crate::services::requests::RequestError;
use crate::text::{DatabaseName, Remark, SubmissionText};

/// What somebody wants to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Submit {
    pub instance: InstanceId,
    pub database: DatabaseName,
    /// The submitter's own POD when absent.
    pub pod: Option<PodId>,
    pub kind: SubmissionKind,
    pub text: SubmissionText,
    pub filename: Option<String>,
    pub comments: Option<Remark>,
    pub options: RunOptions,
}

/// One field of the input that cannot be accepted, by its public name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldError {
    pub field: &'static str,
    pub message: String,
}

impl FieldError {
    pub fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self { field, message: message.into() }
    }
}

/// Why a submission was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("the submission does not fit what is there")]
    Fields(Vec<FieldError>),
    #[error("the text may not run")]
    Refused(#[source] Refusal),
    /// The idempotency key stands for something else.
    #[error("the idempotency key was used for another submission")]
    KeyReused,
    /// As many scripts of the person are being looked at as one person may have looked at.
    #[error("other scripts of the person are still being checked")]
    TooManyChecks,
    /// No process could be had to look at a script, or at a text that has to be evaluated.
    #[error("scripts cannot be checked now")]
    ScriptsUnavailable { source: Box<dyn std::error::Error + Send + Sync> },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ScriptCheckError> for SubmitError {
    fn from(error: ScriptCheckError) -> Self {
        match error {
            ScriptCheckError::Refused(refusal) => Self::Refused(refusal),
            ScriptCheckError::Unavailable { source } => Self::ScriptsUnavailable { source },
        }
    }
}

/// What a look at a submission gave: what would run, and what there is to say about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Looked {
    pub submission: Submission,
    pub review: Review,
}

/// A submission that is stored.
#[derive(Clone, PartialEq, Debug)]
pub struct Submitted {
    pub request: Request,
    /// An earlier call with the same idempotency key stored it; this is the request as it is now.
    pub replayed: bool,
}

/// What a requester changes of a pending request; `None` leaves it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    pub database: Option<DatabaseName>,
    pub text: Option<SubmissionText>,
    /// `Some(None)` removes the comments.
    pub comments: Option<Option<Remark>>,
    /// `Some(None)` removes the earliest time.
    pub not_before: Option<Option<Timestamp>>,
    pub extended_json: Option<ExtendedJson>,
}

/// Why a request was not changed or submitted again.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

impl From<StoreError> for ChangeError {
    fn from(error: StoreError) -> Self {
        Self::Request(error.into())
    }
}

impl From<Denied> for ChangeError {
    fn from(denied: Denied) -> Self {
        Self::Request(denied.into())
    }
}
