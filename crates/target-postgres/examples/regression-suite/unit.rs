//! A unit of `psql`, the request that it becomes, and how requests end.

use domain::execution::ExecutionReport;
use domain::ports::ExecutionError;

use crate::state::{Bond, State};
use crate::text::words;
use crate::wire::{Message, Reply};

/// Ends a request on purpose, so that the portal rolls it back.
pub(crate) const UNDO: &str = "DO $undo$ BEGIN RAISE EXCEPTION USING ERRCODE = 'PTREG'; END $undo$";
pub(crate) const UNDONE: &str = "PTREG";

/// A message of `psql` and what the server answered.
pub(crate) struct Exchange {
    pub(crate) message: Message,
    /// `None` when the text is not UTF-8 or the message is no query.
    pub(crate) sql: Option<String>,
    pub(crate) copied: Vec<Message>,
    pub(crate) reply: Reply,
}

impl Exchange {
    pub(crate) fn text(&self) -> &str {
        self.sql.as_deref().unwrap_or_default()
    }

    pub(crate) fn succeeded(&self) -> bool {
        self.reply.error.is_none()
    }

    pub(crate) fn tag(&self) -> &str {
        self.reply.sets.last().map_or("", |set| set.tag.as_str())
    }
}

/// Which statements go to the portal, and how the request ends.
pub(crate) struct Request<'a> {
    pub(crate) inner: Vec<&'a Exchange>,
    pub(crate) bond: Bond,
    /// The transaction ends as a commit.
    pub(crate) commits: bool,
    /// The code with which the commit itself failed.
    pub(crate) commit_error: Option<String>,
}

pub(crate) fn failed(inner: &[&Exchange]) -> bool {
    inner.iter().any(|exchange| !exchange.succeeded())
}

/// How a request ends: the code of its error, and how many statements came to their end before.
pub(crate) struct Ending {
    pub(crate) what: String,
    pub(crate) reached: usize,
    pub(crate) message: String,
}

impl Ending {
    pub(crate) fn of(result: &Result<ExecutionReport, ExecutionError>, all: usize) -> Self {
        let (what, reached, message) = match result {
            Ok(report) => ("success".to_owned(), report.statements.len(), String::new()),
            Err(ExecutionError::Database(error)) => {
                let reached = error.statement.map_or(all, |at| at as usize);
                (error.code.clone(), reached, error.message.clone())
            }
            Err(other) => (other.to_string(), 0, format!("{other:?}")),
        };
        Self { what, reached, message }
    }
}

pub(crate) fn ending(request: &Request<'_>, undo: bool) -> Ending {
    let error = request.inner.iter().find_map(|e| e.reply.error.clone());
    let what = match error {
        Some(code) => code,
        None if undo => UNDONE.to_owned(),
        None => request.commit_error.clone().unwrap_or_else(|| "success".to_owned()),
    };
    Ending { what, reached: 0, message: String::new() }
}

/// The statements of a unit without the ones that begin and end its transaction.
pub(crate) fn unit_inner(unit: &[Exchange]) -> &[Exchange] {
    match unit {
        [_, inner @ .., _] => inner,
        _ => unit,
    }
}

/// What of a unit can be one request, or the reason why nothing can.
pub(crate) fn request<'a>(state: &State, unit: &'a [Exchange]) -> Result<Request<'a>, &'static str> {
    if unit.iter().any(|exchange| exchange.sql.is_none()) {
        return Err("no_plain_query");
    }
    let mut commits = true;
    let mut commit_error = None;
    if let [first, .., last] = unit {
        let plain = ["begin", "start", "transaction", "work"];
        if !words(first.text()).iter().all(|word| plain.contains(&word.as_str())) {
            return Err("transaction_options");
        }
        let end = words(last.text());
        if !end.iter().all(|word| {
            ["commit", "end", "rollback", "abort", "transaction", "work"].contains(&word.as_str())
        }) {
            return Err("transaction_end");
        }
        commits = matches!(end[0].as_str(), "commit" | "end");
        commit_error.clone_from(&last.reply.error);
        // Alone in a request it runs outside of a transaction, and succeeds.
        if unit.iter().any(|exchange| exchange.reply.error.as_deref() == Some("25001")) {
            return Err("runs_alone");
        }
    }
    let inner = unit_inner(unit);
    if inner.is_empty() {
        return Err("empty_transaction");
    }
    // What comes after an error in a transaction is not looked at by the server.
    let reached = inner.iter().position(|e| !e.succeeded()).map_or(inner.len(), |at| at + 1);
    let inner: Vec<&Exchange> = inner[..reached].iter().collect();
    let texts: Vec<&str> = inner.iter().map(|e| e.text()).collect();
    match state.bond(&texts) {
        Bond::Lost => Err("session_state"),
        bond => Ok(Request { inner, bond, commits, commit_error }),
    }
}
