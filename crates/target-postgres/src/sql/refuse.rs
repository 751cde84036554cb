//! What can never run, told from the first words of a statement.
//!
//! This is the first of two guards, and it does not depend on the parser: a text that the parser misreads
//! still meets it, because PostgreSQL itself tells these statements apart by the same words.

use super::settings;
use super::words::Word;

/// Why a statement may not run: a stable code and a sentence.
pub(crate) type Reason = (&'static str, String);

pub(crate) const TRANSACTION_CONTROL: &str = "transaction_control";

/// The reason against a statement that begins with these words, if there is one.
pub(crate) fn reason(leading: &[Word]) -> Option<Reason> {
    let Some(Word::Plain(first)) = leading.first() else { return None };
    let second = leading.get(1);
    let second_is = |keyword: &str| second.is_some_and(|word| word.is(keyword));
    match first.as_str() {
        "begin" | "start" | "commit" | "end" | "abort" | "rollback" | "savepoint" | "release" => {
            Some(transaction_control(first))
        }
        "prepare" if second_is("transaction") => Some(transaction_control("prepare transaction")),
        "prepare" | "execute" | "deallocate" => Some((
            "prepared_statement",
            format!(
                "{} is not allowed: write the statement itself instead of preparing it.",
                first.to_uppercase()
            ),
        )),
        "copy" => Some((
            "copy_unsupported",
            "COPY is not supported: use SELECT to read and INSERT to write rows. Files and programs of the \
             server are never reachable."
                .to_owned(),
        )),
        "alter" if second_is("system") => Some((
            "alter_system",
            "ALTER SYSTEM is not allowed: it changes the configuration of the whole server.".to_owned(),
        )),
        "listen" | "unlisten" => Some((
            "listen_unsupported",
            format!("{} is not allowed: the session ends with the request.", first.to_uppercase()),
        )),
        "load" => Some((
            "load_refused",
            "LOAD is not allowed: it loads a library into the server's process.".to_owned(),
        )),
        "checkpoint" => Some((
            "checkpoint_refused",
            "CHECKPOINT is not allowed: it concerns the whole server.".to_owned(),
        )),
        "discard" => Some((
            "discard_refused",
            "DISCARD is not allowed and not needed: every request has a session of its own.".to_owned(),
        )),
        "set" => settings::refuse_set(&leading[1..]),
        "reset" => settings::refuse_reset(&leading[1..]),
        _ => None,
    }
}

/// All statements of a request share one transaction, which only the portal begins and ends.
pub(crate) fn transaction_control(what: &str) -> Reason {
    (
        TRANSACTION_CONTROL,
        format!(
            "{} is not allowed: all statements of a request run in one transaction, which the portal begins \
             and commits.",
            what.to_uppercase()
        ),
    )
}
