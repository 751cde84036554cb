//! What went wrong while statements ran, as the requester reads it.

use domain::ending::{lost, unknown};
use domain::execution::DatabaseError;
use domain::ports::{ExecutionError, SinkError};
use domain::review::Position;
use domain::services::error_chain;
use tokio_postgres::error::{DbError, ErrorPosition};

use crate::connect::{Session, TooLong, cut};
use crate::sql::Statement;

/// Why a statement did not come to its end.
#[derive(Debug)]
pub(crate) enum Broken {
    Server(tokio_postgres::Error),
    Sink(SinkError),
    /// A value that is no UTF-8: the submitter has changed `client_encoding`.
    NotUtf8,
    /// More columns than a report can hold.
    TooManyColumns,
    /// The statement did not run as the one that was reviewed, so it may have taken effect already.
    Unclear(&'static str),
    /// The statement was not sent: the execution stops, or the thread that asks for columns is gone.
    Stopped,
}

impl From<SinkError> for Broken {
    fn from(error: SinkError) -> Self {
        Self::Sink(error)
    }
}

impl From<tokio_postgres::Error> for Broken {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

/// How far the work had come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// At the statement of this number of a request whose statements stand or fall together.
    Statement(u32),
    /// At a call of a script.
    Call,
}

impl Progress {
    fn statement(self) -> Option<u32> {
        match self {
            Self::Statement(index) => Some(index),
            Self::Call => None,
        }
    }

    fn whole(self) -> &'static str {
        match self {
            Self::Statement(_) => "the request",
            Self::Call => "the call or of its transaction",
        }
    }
}

/// Where in a text an error came up.
#[derive(Clone, Copy)]
pub(crate) struct Spot<'a> {
    pub(crate) text: &'a str,
    pub(crate) statement: &'a Statement,
    pub(crate) progress: Progress,
}

impl Spot<'_> {
    /// The server counts characters from the beginning of the statement that it was sent.
    fn position(self, error: &DbError) -> Option<Position> {
        let Some(ErrorPosition::Original(character)) = error.position() else { return None };
        let skipped = usize::try_from(character.saturating_sub(1)).unwrap_or(usize::MAX);
        let sent = &self.text[self.statement.range.clone()];
        let offset = sent.char_indices().nth(skipped).map_or(sent.len(), |(at, _)| at);
        Some(Position::of_byte(self.text, self.statement.range.start + offset))
    }
}

/// The server's error in the requester's terms.
pub(super) fn of_server(error: &DbError, spot: Option<Spot<'_>>) -> DatabaseError {
    DatabaseError {
        number: None,
        code: error.code().code().to_owned(),
        severity: error.severity().to_owned(),
        message: cut(error.message()),
        detail: error.detail().map(cut),
        hint: error.hint().map(cut),
        statement: spot.and_then(|s| s.progress.statement()),
        position: spot.and_then(|s| s.position(error)),
    }
}

/// A break on a session inside of a transaction, before its commit was sent: what the driver says of it, or what the
/// guard over the connection has ended it for.
pub(super) fn of_break_on(session: &Session, error: &tokio_postgres::Error, at: Progress) -> ExecutionError {
    match session.too_long() {
        Some(what) => too_long(what, at),
        None => of_break(error_chain(error), at),
    }
}

/// How contact was lost, outside of a transaction or during a commit.
pub(super) fn unknown_on(session: &Session, error: &tokio_postgres::Error) -> ExecutionError {
    match session.too_long() {
        Some(what) => unknown(beginning(what)),
        None => unknown(error_chain(error)),
    }
}

/// The server was sending something that is too long, and the connection was closed before any of it was read.
fn too_long(what: TooLong, at: Progress) -> ExecutionError {
    let hint = if what.is_row {
        "Leave out large values, shorten them, for example with left(value, 1000), or spread them over several rows."
    } else {
        "Raise shorter messages."
    };
    ExecutionError::Database(DatabaseError {
        // program_limit_exceeded
        code: "54000".to_owned(),
        severity: "ERROR".to_owned(),
        message: format!("{}; nothing of {} took effect", beginning(what), at.whole()),
        hint: Some(hint.to_owned()),
        statement: at.statement(),
        ..DatabaseError::default()
    })
}

fn beginning(what: TooLong) -> String {
    let thing = if what.is_row { "a row of the result" } else { "a message of the server" };
    format!("{thing} is longer than {} MiB, the portal's limit", what.limit / (1024 * 1024))
}

/// A break before anything could take effect. For the first statement the target was not there to begin with.
pub(super) fn of_break(how: String, at: Progress) -> ExecutionError {
    if matches!(at, Progress::Statement(0) | Progress::Call) {
        return lost(how);
    }
    ExecutionError::Database(DatabaseError {
        // connection_failure
        code: "08006".to_owned(),
        severity: "FATAL".to_owned(),
        message: "the connection to the target broke; nothing of the request took effect".to_owned(),
        statement: at.statement(),
        ..DatabaseError::default()
    })
}

pub(super) fn not_utf8(at: Progress) -> DatabaseError {
    DatabaseError {
        // character_not_in_repertoire
        code: "22021".to_owned(),
        severity: "ERROR".to_owned(),
        message: "a value is not in UTF-8: the statement must not change client_encoding".to_owned(),
        statement: at.statement(),
        ..DatabaseError::default()
    }
}

pub(super) fn too_many_columns(most: usize, at: Progress) -> DatabaseError {
    DatabaseError {
        // too_many_columns
        code: "54011".to_owned(),
        severity: "ERROR".to_owned(),
        message: format!("the results of a request have no more than {most} columns altogether"),
        statement: at.statement(),
        ..DatabaseError::default()
    }
}

/// The server ends the session after such an error, and it may have committed before.
pub(super) fn ends_session(error: &DbError) -> bool {
    use tokio_postgres::error::Severity::{Fatal, Panic};
    matches!(error.parsed_severity(), Some(Fatal | Panic))
}
