//! The one place where the driver's errors become the port's.

use diesel::result::{DatabaseErrorKind, Error};
use domain::ports::StoreError;

/// How PostgreSQL begins the messages of errors that pass by themselves. diesel keeps a message but no SQLSTATE, so
/// this reads the English texts; a server with another `lc_messages` has these reported as rejections.
const PASSING: [&str; 8] = [
    "terminating connection",          // 57P01, 57P02
    "the database system is",          // 57P03
    "sorry, too many clients already", // 53300
    "remaining connection slots",      // 53300
    "too many connections",            // 53300
    "canceling statement due to",      // 57014, 55P03: the statement's time ran out
    "deadlock detected",               // 40P01
    "cannot execute",                  // 25006: a standby after a failover
];

/// Turns an error of a statement into the port's.
pub(crate) fn store_error(error: Error) -> StoreError {
    if is_passing(&error) {
        StoreError::Unavailable { source: Box::new(error) }
    } else {
        StoreError::Rejected { source: Box::new(error) }
    }
}

/// The store could not be reached in the first place.
pub(crate) fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Unavailable { source: error.into() }
}

/// Something that this crate itself refuses to store or to do.
pub(crate) fn rejected(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Rejected { source: error.into() }
}

/// Whether the connection is gone, so that another one may do better.
pub(crate) fn is_broken(error: &Error) -> bool {
    match error {
        Error::DatabaseError(
            DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection,
            _,
        )
        | Error::BrokenTransactionManager => true,
        Error::DatabaseError(_, information) => information.message().starts_with("terminating connection"),
        _ => false,
    }
}

/// Whether a statement failed on this unique or foreign key constraint.
pub(crate) fn violates(error: &Error, constraint: &str) -> bool {
    matches!(
        error,
        Error::DatabaseError(
            DatabaseErrorKind::UniqueViolation | DatabaseErrorKind::ForeignKeyViolation,
            information,
        ) if information.constraint_name() == Some(constraint)
    )
}

fn is_passing(error: &Error) -> bool {
    if is_broken(error) {
        return true;
    }
    match error {
        Error::DatabaseError(
            DatabaseErrorKind::SerializationFailure | DatabaseErrorKind::ReadOnlyTransaction,
            _,
        ) => true,
        Error::DatabaseError(_, information) => {
            PASSING.iter().any(|beginning| information.message().starts_with(beginning))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: DatabaseErrorKind, message: &str) -> Error {
        Error::DatabaseError(kind, Box::new(message.to_owned()))
    }

    #[test]
    fn what_passes_by_itself_is_unavailable_and_the_rest_is_rejected() {
        let passing = [
            error(DatabaseErrorKind::UnableToSendCommand, "connection closed"),
            error(DatabaseErrorKind::Unknown, "terminating connection due to administrator command"),
            error(DatabaseErrorKind::Unknown, "canceling statement due to statement timeout"),
            error(DatabaseErrorKind::Unknown, "the database system is starting up"),
        ];
        for error in passing {
            assert!(matches!(store_error(error), StoreError::Unavailable { .. }));
        }
        let lasting = [
            error(DatabaseErrorKind::Unknown, "relation \"users\" does not exist"),
            error(DatabaseErrorKind::CheckViolation, "violates check constraint"),
            Error::NotFound,
        ];
        for error in lasting {
            assert!(matches!(store_error(error), StoreError::Rejected { .. }));
        }
    }
}
