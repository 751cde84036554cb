//! From what an executor reports to what happens to the request.

use crate::execution::{ExecutionOrder, ExecutionReport, Failure, FailureKind, Notice, Preview};
use crate::ports::{ExecutionError, SinkError};
use crate::request::{Event, Request, State};
use crate::services::error_chain;
use crate::target::Target;

/// How a run ended.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Outcome {
    Succeeded { report: ExecutionReport, preview: Preview },
    Failed(Failure),
    Cancelled,
    Unknown,
}

impl Outcome {
    pub(super) fn internal(message: &str) -> Self {
        Self::failed(FailureKind::Internal, message)
    }

    pub(super) fn credentials(target: &Target) -> Self {
        let message =
            format!("Credentials for the instance {} could not be fetched. Ask an admin to look.", target.id);
        Self::failed(FailureKind::Credentials, &message)
    }

    fn failed(kind: FailureKind, message: &str) -> Self {
        Self::Failed(Failure { kind, message: message.to_owned(), database_error: None, script: None })
    }

    pub(super) fn of(
        result: Result<ExecutionReport, ExecutionError>,
        preview: Preview,
        order: &ExecutionOrder,
    ) -> Self {
        let instance = &order.target.id;
        match result {
            Ok(report) => Self::Succeeded { report, preview },
            Err(ExecutionError::Refused(refusal)) => Self::failed(FailureKind::Refused, &refusal.message),
            Err(ExecutionError::Database(error)) => Self::Failed(Failure {
                kind: FailureKind::Database,
                message: error.message.clone(),
                database_error: Some(error),
                script: None,
            }),
            Err(ExecutionError::CredentialsRejected { .. }) => Self::failed(
                FailureKind::Credentials,
                &format!(
                    "The instance {instance} did not accept the portal's credentials. Ask an admin to look."
                ),
            ),
            Err(ExecutionError::RoleNotAllowed { reason }) => Self::failed(FailureKind::Refused, &reason),
            Err(ExecutionError::Unavailable { .. }) => Self::failed(
                FailureKind::TargetUnavailable,
                &format!(
                    "The instance {instance} could not be reached; nothing was executed. Try again later."
                ),
            ),
            Err(ExecutionError::TimedOut) => Self::failed(
                FailureKind::TimedOut,
                &format!(
                    "Stopped after {} seconds, the limit of the instance; nothing took effect.",
                    order.limits.timeout.as_secs_f32()
                ),
            ),
            Err(ExecutionError::Sink(SinkError::LeaseLost | SinkError::Store(_))) => Self::internal(
                "The result could not be kept, so everything was rolled back. Submit it again.",
            ),
            Err(ExecutionError::Cancelled) => Self::Cancelled,
            Err(ExecutionError::OutcomeUnknown { .. }) => Self::Unknown,
        }
    }

    /// The same outcome in few words, for a store that cannot keep it whole.
    pub(super) fn without_details(self) -> Self {
        match self {
            Self::Succeeded { report, .. } => {
                let notice = Notice {
                    severity: "WARNING".to_owned(),
                    code: "portal".to_owned(),
                    message:
                        "The execution took effect, but its result could not be described and was not kept."
                            .to_owned(),
                };
                let report =
                    ExecutionReport { statements: vec![], notices: vec![notice], duration: report.duration };
                Self::Succeeded { report, preview: vec![] }
            }
            // Of a script some may have taken effect; its log tells.
            Self::Failed(failure) if failure.script.is_some() => Self::failed(
                failure.kind,
                "The script failed; what was said about it could not be kept. What it did is in its log.",
            ),
            Self::Failed(failure) => Self::failed(
                failure.kind,
                "The execution failed and nothing took effect; what was said about it could not be kept.",
            ),
            Self::Cancelled => Self::Cancelled,
            Self::Unknown => Self::Unknown,
        }
    }

    /// The event for the request as it is now. A cancel that nobody asked for (the lease was in doubt) is a failure.
    pub(super) fn event_for(&self, request: &Request) -> Event {
        match self {
            Self::Succeeded { report, preview } => {
                Event::Succeed { report: report.clone(), preview: preview.clone() }
            }
            Self::Failed(failure) => Event::Fail(failure.clone()),
            Self::Cancelled if matches!(request.state, State::Executing { cancel: Some(_), .. }) => {
                Event::ConfirmCancelled
            }
            Self::Cancelled => Event::Fail(Failure {
                kind: FailureKind::Internal,
                message: "The portal stopped the execution; nothing took effect. Submit it again.".to_owned(),
                database_error: None,
                script: None,
            }),
            Self::Unknown => Event::LoseContact,
        }
    }
}

/// A word for the log: which kind of error, without what the target said about anybody's data.
pub(super) fn class(error: &ExecutionError) -> &'static str {
    match error {
        ExecutionError::Refused(_) => "refused",
        ExecutionError::Database(_) => "database",
        ExecutionError::CredentialsRejected { .. } => "credentials_rejected",
        ExecutionError::RoleNotAllowed { .. } => "role_not_allowed",
        ExecutionError::Unavailable { .. } => "unavailable",
        ExecutionError::TimedOut => "timed_out",
        ExecutionError::Cancelled => "cancelled",
        ExecutionError::Sink(_) => "sink",
        ExecutionError::OutcomeUnknown { .. } => "outcome_unknown",
    }
}

/// The cause, where it is about the portal's surroundings; a server's error text may quote data, so only its code.
pub(super) fn loggable_cause(error: &ExecutionError) -> String {
    match error {
        ExecutionError::Database(error) => error.code.clone(),
        ExecutionError::Refused(refusal) => refusal.code.clone(),
        ExecutionError::CredentialsRejected { .. }
        | ExecutionError::RoleNotAllowed { .. }
        | ExecutionError::Unavailable { .. }
        | ExecutionError::TimedOut
        | ExecutionError::Cancelled
        | ExecutionError::Sink(_)
        | ExecutionError::OutcomeUnknown { .. } => error_chain(error),
    }
}
