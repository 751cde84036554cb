//! How executions end when it is an adapter that says why, in words of its own. The same for every engine.

use crate::ports::ExecutionError;

/// A cause that is no error of a library.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Lost(pub String);

/// The target could not be reached, or went away.
pub fn lost(how: impl Into<String>) -> ExecutionError {
    ExecutionError::Unavailable { source: Box::new(Lost(how.into())) }
}

/// Only the server knows what became of it.
pub fn unknown(how: impl Into<String>) -> ExecutionError {
    ExecutionError::OutcomeUnknown { source: Box::new(Lost(how.into())) }
}

/// The same end once more, for whoever asks again.
pub fn again(ended: &ExecutionError) -> ExecutionError {
    use ExecutionError::{
        Cancelled, CredentialsRejected, Database, OutcomeUnknown, Refused, RoleNotAllowed, Sink, TimedOut,
        Unavailable,
    };
    match ended {
        Refused(refusal) => Refused(refusal.clone()),
        Database(error) => Database(error.clone()),
        CredentialsRejected { source } => CredentialsRejected { source: Box::new(Lost(source.to_string())) },
        RoleNotAllowed { reason } => RoleNotAllowed { reason: reason.clone() },
        Unavailable { source } => lost(source.to_string()),
        Sink(error) => lost(error.to_string()),
        TimedOut => TimedOut,
        Cancelled => Cancelled,
        OutcomeUnknown { source } => unknown(source.to_string()),
    }
}
