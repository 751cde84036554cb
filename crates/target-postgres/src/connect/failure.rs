//! Why there is no connection, in words that hold no credential: the server's own messages name the user.

use std::error::Error;
use std::io;
use std::time::Duration;

use domain::execution::DatabaseError;
use domain::ports::ExecutionError;
use domain::services::error_chain;
use tokio_postgres::error::SqlState;

use super::guard::AskedForPassword;

const MAX_TEXT_BYTES: usize = 8 * 1024;

/// What a caller finds as the source of an [`ExecutionError`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the server refused the login (SQLSTATE {0})")]
    Login(String),
    #[error("the server refused the connection (SQLSTATE {0})")]
    Refused(String),
    #[error("there was no connection within {0:?}")]
    TimedOut(Duration),
    #[error("the connection failed: {0}")]
    Network(String),
    #[error(transparent)]
    AskedForPassword(AskedForPassword),
    #[error("the TLS settings cannot be used: {0}")]
    Tls(String),
    #[error("the server's version {0} is too old: PostgreSQL 14 or newer is needed")]
    TooOld(i32),
    #[error("the server's answer was not understood")]
    Unexpected,
}

impl From<Failure> for ExecutionError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Login(_) => Self::CredentialsRejected { source: Box::new(failure) },
            Failure::Refused(_)
            | Failure::TimedOut(_)
            | Failure::Network(_)
            | Failure::AskedForPassword(_)
            | Failure::Tls(_)
            | Failure::TooOld(_)
            | Failure::Unexpected => Self::Unavailable { source: Box::new(failure) },
        }
    }
}

/// Turns an error that came up while connecting into what the requester may know.
pub(crate) fn while_connecting(error: &tokio_postgres::Error) -> ExecutionError {
    let Some(db) = error.as_db_error() else {
        return asked_for_password(error)
            .map_or_else(|| Failure::Network(error_chain(error)), Failure::AskedForPassword)
            .into();
    };
    let code = db.code();
    if code.code().starts_with("28") {
        return Failure::Login(code.code().to_owned()).into();
    }
    // These two speak of the database, whose name the requester chose.
    if *code == SqlState::INVALID_CATALOG_NAME || *code == SqlState::INSUFFICIENT_PRIVILEGE {
        return ExecutionError::Database(DatabaseError {
            code: code.code().to_owned(),
            severity: db.severity().to_owned(),
            message: cut(db.message()),
            ..DatabaseError::default()
        });
    }
    Failure::Refused(code.code().to_owned()).into()
}

/// What the guard ended the connection for, if that is what happened.
fn asked_for_password(error: &tokio_postgres::Error) -> Option<AskedForPassword> {
    let cause = error.source()?.downcast_ref::<io::Error>()?;
    cause.get_ref()?.downcast_ref().copied()
}

/// A text of the server, short enough to be kept: whoever raises an error decides how long it is.
pub(crate) fn cut(text: &str) -> String {
    if text.len() <= MAX_TEXT_BYTES {
        return text.to_owned();
    }
    format!("{}… (cut)", &text[..text.floor_char_boundary(MAX_TEXT_BYTES)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut(&format!("x{}", "é".repeat(5_000))), format!("x{}… (cut)", "é".repeat(4_095)));
        assert_eq!(cut(&"x".repeat(8_192)), "x".repeat(8_192));
    }
}
