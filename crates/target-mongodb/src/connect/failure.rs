//! Why a target could not be used, without what nobody may read.

use std::error::Error;

use domain::ending::{Lost, lost};
use domain::ports::ExecutionError;
use mongodb::error::ErrorKind;

/// The causes of an error, in one line. The driver's errors hold addresses and no logins.
pub(crate) fn chain(error: &mongodb::error::Error) -> String {
    let mut text = first_line(&error.kind.to_string());
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = first_line(&error.to_string());
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(500).collect()
}

/// An error of the way to the server, the login included.
pub(crate) fn not_connected(error: &mongodb::error::Error) -> ExecutionError {
    let rejected = match error.kind.as_ref() {
        ErrorKind::Authentication { .. } => true,
        // AuthenticationFailed, and Unauthorized where nobody is logged in.
        ErrorKind::Command(command) => matches!(command.code, 18 | 13),
        _ => false,
    };
    if rejected { refused(&chain(error)) } else { lost(chain(error)) }
}

/// The login was not accepted, and nothing was sent.
pub(crate) fn refused(why: &str) -> ExecutionError {
    ExecutionError::CredentialsRejected { source: Box::new(Lost(why.to_owned())) }
}
