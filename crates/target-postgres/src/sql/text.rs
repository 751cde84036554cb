//! A whole text: all of its statements, or the reason why it may not run.

use std::thread;

use domain::review::{Effect, Finding, Position, Refusal};
use tokio::sync::oneshot;

use super::classify::classify;
use super::findings::Place;
use super::split::{Piece, split};
use super::{Class, Statement};

/// The parser recurses. With these limits its deepest recursion fits into the stack several times.
const STACK_BYTES: usize = 256 * 1024 * 1024;
const MAX_NESTING: usize = 256;
const MAX_DEPTH: usize = 8_000;

/// An analysed text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Text {
    pub(crate) statements: Vec<Statement>,
}

impl Text {
    /// Whether its one statement has to run outside of a transaction.
    pub(crate) fn runs_alone(&self) -> bool {
        self.statements.iter().any(|s| s.class == Class::Alone)
    }

    pub(crate) fn effect(&self, read_only: bool) -> Effect {
        self.statements.iter().map(|s| s.class.effect(read_only)).max().unwrap_or(Effect::Read)
    }

    pub(crate) fn findings(&self) -> Vec<Finding> {
        self.statements.iter().flat_map(|s| s.findings.iter().cloned()).collect()
    }
}

/// Analyses a text on a thread of its own, which has stack enough for the parser and may panic alone.
pub(crate) async fn analyse(text: String, read_only: bool) -> Result<Text, Refusal> {
    let (sender, receiver) = oneshot::channel();
    let worker = thread::Builder::new().name("sql-review".to_owned()).stack_size(STACK_BYTES);
    let spawned = worker.spawn(move || {
        // A receiver that is gone means that nobody waits for the answer any more.
        let _ = sender.send(analyse_here(&text, read_only));
    });
    match spawned {
        Ok(_detached) => receiver.await.unwrap_or_else(|_panicked| Err(too_complicated(None))),
        Err(_) => Err(Refusal {
            code: "review_unavailable".to_owned(),
            message: "The portal is too busy to look at the text now: try again.".to_owned(),
            position: None,
        }),
    }
}

fn analyse_here(text: &str, read_only: bool) -> Result<Text, Refusal> {
    let pieces = split(text);
    let statements = pieces.iter().map(|piece| statement(text, piece)).collect::<Result<Vec<_>, _>>()?;
    if statements.is_empty() {
        return Err(Refusal {
            code: "no_statement".to_owned(),
            message: "The text holds no statement, only blanks and comments.".to_owned(),
            position: None,
        });
    }
    let alone = statements.iter().find(|s| s.class == Class::Alone);
    if let (Some(alone), true) = (alone, statements.len() > 1) {
        let at = Position::of_byte(text, alone.range.start);
        return Err(Refusal {
            code: "must_run_alone".to_owned(),
            message: format!(
                "This {} cannot run in a transaction and must be the only statement of its request.",
                alone.command
            ),
            position: Some(at),
        });
    }
    let write = if read_only { statements.iter().find(|s| s.class.needs_writable()) } else { None };
    if let Some(write) = write {
        return Err(Refusal {
            code: "read_only".to_owned(),
            message: format!("This request is read-only, and {} writes.", write.command),
            position: Some(Position::of_byte(text, write.range.start)),
        });
    }
    Ok(Text { statements })
}

fn statement(text: &str, piece: &Piece) -> Result<Statement, Refusal> {
    let place = Place { whole: text, start: piece.range.start };
    if piece.nesting > MAX_NESTING || piece.depth > MAX_DEPTH {
        return Err(too_complicated(Some(place.position(0))));
    }
    let mut statement = classify(place, &text[piece.range.clone()])?;
    if statement.class == Class::Alone {
        let message = format!(
            "{} cannot run in a transaction: what it did by then stays when it fails or is cancelled.",
            statement.command
        );
        statement.findings.push(place.finding("runs_alone", message, 0));
    }
    Ok(statement)
}

fn too_complicated(position: Option<Position>) -> Refusal {
    Refusal {
        code: "too_complicated".to_owned(),
        message: "The text is too complicated: it nests too deeply or has too long expressions.".to_owned(),
        position,
    }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
