//! What went wrong while commands ran, as the requester reads it.

use bson::{Bson, Document};
use domain::execution::DatabaseError;
use domain::ports::SinkError;
use mongodb::error::{Error, ErrorKind};

use crate::connect::chain;
use crate::ejson::WriteError;
use crate::numbers::int;

/// Write errors that are told one by one.
const MOST_ITEMS: usize = 20;

/// Why a command did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the driver or the server reported an error")]
    Driver(#[from] Error),
    /// The server took the command and reported errors of its parts.
    #[error("the server reported write errors")]
    Write(Box<DatabaseError>),
    #[error("the result could not be kept")]
    Sink(#[from] SinkError),
    #[error("a document cannot be shown")]
    Unshown(#[from] WriteError),
    #[error("the server sent what is no BSON")]
    Damaged(#[from] bson::error::Error),
}

/// What an error means for whoever waits.
#[derive(Debug)]
pub(crate) enum Cause {
    /// The server said so.
    Server(DatabaseError),
    /// The connection or the server went away, and what became of the command is not known.
    Gone(DatabaseError),
    /// No connection could be had for the command, because the server does not accept the login any more: nothing of it
    /// was sent.
    NotSent(DatabaseError),
    Sink(SinkError),
    /// It was answered, but with what cannot be read or shown.
    Unread(DatabaseError),
}

impl Broken {
    /// Sorts an error. Whether anything took effect is for the caller to know.
    pub(crate) fn cause(self) -> Cause {
        match self {
            Self::Write(error) => Cause::Server(*error),
            Self::Sink(error) => Cause::Sink(error),
            Self::Unshown(error) => {
                Cause::Unread(own("Unreadable", format!("A document cannot be shown: {error}.")))
            }
            Self::Damaged(_) => {
                Cause::Unread(own("Unreadable", "The server sent what is no BSON.".to_owned()))
            }
            Self::Driver(error) => of_driver(&error),
        }
    }
}

/// The number of the server's error, if it is one.
pub(crate) fn number(broken: &Broken) -> Option<i32> {
    match broken {
        Broken::Driver(error) => match error.kind.as_ref() {
            ErrorKind::Command(command) => Some(command.code),
            _ => None,
        },
        Broken::Write(error) => error.number,
        Broken::Sink(_) | Broken::Unshown(_) | Broken::Damaged(_) => None,
    }
}

pub(crate) const MAX_TIME_EXPIRED: i32 = 50;
/// The collection is of a kind that no transaction can write to: capped, or of time series.
pub(crate) const NOT_IN_TRANSACTION: i32 = 263;

/// Whether a command found no connection, because the server does not accept the login.
pub(crate) fn is_refused_login(error: &Error) -> bool {
    matches!(error.kind.as_ref(), ErrorKind::Authentication { .. })
}

fn of_driver(error: &Error) -> Cause {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => {
            let name = if command.code_name.is_empty() { name_of(command.code) } else { &command.code_name };
            let told = DatabaseError {
                code: name.to_owned(),
                number: Some(command.code),
                severity: "ERROR".to_owned(),
                message: readable(command.code, &command.message),
                hint: hint(command.code).map(str::to_owned),
                ..DatabaseError::default()
            };
            if is_gone(command.code) { Cause::Gone(told) } else { Cause::Server(told) }
        }
        ErrorKind::InvalidResponse { .. } | ErrorKind::Bson(_) | ErrorKind::BsonDeserialization(_) => {
            Cause::Unread(own(
                "InvalidResponse",
                format!("The server's answer cannot be read: {}.", chain(error)),
            ))
        }
        ErrorKind::Authentication { .. } => {
            let message = "The server did not accept the portal's login for a connection that the command needed, so the \
                           command was not sent.";
            let hint = "The login may have been replaced while this ran. Submit it again.".to_owned();
            let refused = own("AuthenticationFailed", message.to_owned());
            Cause::NotSent(DatabaseError { hint: Some(hint), ..refused })
        }
        ErrorKind::InvalidArgument { .. }
        | ErrorKind::Transaction { .. }
        | ErrorKind::BsonSerialization(_) => {
            Cause::Server(own("InvalidCommand", format!("The command cannot be sent: {}.", chain(error))))
        }
        _ => {
            let hint = "The server or the network went away in the middle. Submit it again; when it happens every time, the command may be \
                        more than the server can hold: make it smaller.".to_owned();
            let lost = own(
                "ConnectionLost",
                "The connection to the server was lost while the command ran.".to_owned(),
            );
            Cause::Gone(DatabaseError { hint: Some(hint), ..lost })
        }
    }
}

/// An error that this crate reports in the server's place.
pub(crate) fn own(code: &str, message: String) -> DatabaseError {
    DatabaseError { code: code.to_owned(), severity: "ERROR".to_owned(), message, ..DatabaseError::default() }
}

/// The server is about to go, is no primary any more, or has lost the shard behind it.
fn is_gone(code: i32) -> bool {
    matches!(code, 6 | 7 | 89 | 91 | 189 | 262 | 9001 | 10107 | 11600 | 11602 | 13435 | 13436)
}

/// Some messages of the server repeat the whole command, with what the portal and the driver added to it.
fn readable(code: i32, message: &str) -> String {
    if code == 13
        && let Some((before, command)) = message.split_once(" to execute command { ")
    {
        let name: String = command.chars().take_while(char::is_ascii_alphanumeric).collect();
        return format!("{before} to execute {name}");
    }
    message.to_owned()
}

fn hint(code: i32) -> Option<&'static str> {
    Some(match code {
        13 => "The portal's user on this instance has no right to do this. Ask an admin.",
        26 => "Look at the collection's name: it is case-sensitive.",
        43 => "The server closed the cursor before everything was read. Submit it again, or read less.",
        MAX_TIME_EXPIRED => "It took longer than its maxTimeMS.",
        112 => "Another write changed the same documents at the same time. Submit it again.",
        251 => {
            "The server ended the transaction, perhaps because it took too long. Submit it again, or in smaller parts."
        }
        code if is_gone(code) => {
            "The primary of the replica set changed, or the server is shutting down. Submit it again."
        }
        _ => return None,
    })
}

/// The names of the numbers that a write error has; it comes with the number alone.
fn name_of(code: i32) -> &'static str {
    match code {
        2 => "BadValue",
        9 => "FailedToParse",
        14 => "TypeMismatch",
        28 => "PathNotViable",
        40 => "ConflictingUpdateOperators",
        52 => "DollarPrefixedFieldName",
        54 => "NotSingleValueField",
        66 => "ImmutableField",
        112 => "WriteConflict",
        121 => "DocumentValidationFailure",
        10334 => "BSONObjectTooLarge",
        11000 => "DuplicateKey",
        11601 => "Interrupted",
        _ => "WriteError",
    }
}

/// The write errors of a reply, if it has some.
pub(crate) fn write_errors(reply: &Document) -> Option<DatabaseError> {
    let items: Vec<&Document> =
        reply.get_array("writeErrors").ok()?.iter().filter_map(Bson::as_document).collect();
    let first = items.first()?;
    let code = int(first.get("code")).and_then(|code| i32::try_from(code).ok()).unwrap_or_default();
    let told = |item: &&Document| {
        let index = int(item.get("index")).unwrap_or_default();
        format!(
            "{} (code {}): {}",
            index + 1,
            int(item.get("code")).unwrap_or_default(),
            text(item, "errmsg")
        )
    };
    let mut detail: Vec<String> = items.iter().take(MOST_ITEMS).map(told).collect();
    if items.len() > MOST_ITEMS {
        detail.push(format!("and {} more", items.len() - MOST_ITEMS));
    }
    Some(DatabaseError {
        code: name_of(code).to_owned(),
        number: Some(code),
        severity: "ERROR".to_owned(),
        message: text(first, "errmsg"),
        // A single one that failed at once is told by its message.
        detail: (items.len() > 1 || int(first.get("index")).unwrap_or_default() > 0)
            .then(|| format!("By number of the document or operation: {}.", detail.join("; "))),
        hint: hint(code).map(str::to_owned),
        ..DatabaseError::default()
    })
}

/// What a reply says about how many members have the write.
pub(crate) fn write_concern_error(reply: &Document) -> Option<String> {
    let error = reply.get_document("writeConcernError").ok()?;
    Some(format!(
        "The write took effect, but not as many members of the replica set have confirmed it as they should: {} (code {}).",
        text(error, "errmsg"),
        int(error.get("code")).unwrap_or_default()
    ))
}

pub(crate) fn text(document: &Document, name: &str) -> String {
    document.get_str(name).unwrap_or_default().to_owned()
}
