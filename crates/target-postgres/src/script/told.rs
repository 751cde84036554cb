//! What a script is told when a call is refused or its session has ended.

use domain::script::CallError;

use super::check::refusal;

fn refused(code: &str, message: impl Into<String>) -> CallError {
    CallError::Refused(refusal(code, message))
}

pub(super) fn no_transaction() -> CallError {
    refused("no_transaction", "No transaction is open: begin one with db.transaction.")
}

pub(super) fn transaction_open() -> CallError {
    let message = "A transaction is open: use tx.query and tx.stream inside of db.transaction. Calls of db do not wait \
                   for it and are refused.";
    refused("transaction_open", message)
}

pub(super) fn transaction_failed() -> CallError {
    let message = "An earlier statement of the transaction failed: nothing of it can take effect.";
    refused("transaction_failed", message)
}

pub(super) fn not_a_query() -> CallError {
    let message = "Only SELECT, VALUES and WITH without a writing part can be read piece by piece: use query for this \
                   statement.";
    refused("not_a_query", message)
}

pub(super) fn stream_open() -> CallError {
    let message =
        "A stream is open: read it to its end first, or use db.transaction with tx.stream and tx.query.";
    refused("stream_open", message)
}

pub(super) fn no_stream(number: u32) -> CallError {
    let message = format!(
        "There is no stream {number}: it was read to its end, closed, or ended with its transaction."
    );
    refused("no_stream", message)
}

pub(super) fn answer_too_large() -> CallError {
    let message = "The answer is too large, and nothing of the statement took effect: add a LIMIT, or read it with \
                   db.stream.";
    refused("answer_too_large", message)
}
