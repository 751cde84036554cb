//! What a script is told when a call is refused or its session has ended.

use domain::script::CallError;

use crate::rules::refusal;

fn refused(code: &str, message: impl Into<String>) -> CallError {
    CallError::Refused(refusal(code, message))
}

pub(super) fn no_transaction() -> CallError {
    refused("no_transaction", "No transaction is open: begin one with session.startTransaction().")
}

pub(super) fn no_transactions() -> CallError {
    let message = "The server has no transactions, because it is no member of a replica set.";
    refused("no_transactions", message)
}

pub(super) fn transaction_open() -> CallError {
    let message = "A transaction is open: use the databases of its session (session.getDatabase), or the option session.";
    refused("transaction_open", message)
}

pub(super) fn transaction_failed() -> CallError {
    refused(
        "transaction_failed",
        "An earlier command of the transaction failed: nothing of it can take effect.",
    )
}

pub(super) fn not_in_transaction(command: &str) -> CallError {
    refused("not_in_transaction", format!("{command} cannot be part of a transaction."))
}

pub(super) fn not_a_cursor(command: &str) -> CallError {
    refused("not_a_cursor", format!("{command} has no documents that could be read piece by piece."))
}

pub(super) fn too_many_cursors(most: usize) -> CallError {
    refused(
        "too_many_cursors",
        format!("A script has at most {most} cursors open: read or close some first."),
    )
}

pub(super) fn no_stream(number: u32) -> CallError {
    let message = format!(
        "There is no cursor {number}: it was read to its end, closed, or ended with its transaction."
    );
    refused("no_stream", message)
}

pub(super) fn answer_too_large() -> CallError {
    let message =
        "The answer is too large: add a limit, or read it document by document with for (const d of ...).";
    refused("answer_too_large", message)
}
