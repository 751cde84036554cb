//! A whole text: all of its statements, or the reason why it may not run.

use std::num::NonZero;
use std::sync::{Arc, LazyLock};
use std::thread;

use domain::review::{Effect, Finding, Position, Positions, Refusal, capped};
use tokio::sync::{Semaphore, oneshot};

use super::classify::classify;
use super::findings::Place;
use super::lex::open_comment;
use super::split::{Piece, split};
use super::warn::of_words;
use super::{Class, Statement};

/// The parser recurses. With these limits its deepest recursion fits into the stack several times.
const STACK_BYTES: usize = 256 * 1024 * 1024;
const MAX_NESTING: usize = 256;
const MAX_DEPTH: usize = 8_000;

/// More than these are a program's work and not for an approver to read.
const MAX_STATEMENTS: usize = 1_000;

/// Analyses at a time, those of reviews and of executions together: each keeps a core busy and has a big stack.
static AT_A_TIME: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(thread::available_parallelism().map_or(1, NonZero::get))));

/// An analysed text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Text {
    pub(crate) statements: Vec<Statement>,
    findings: Vec<Finding>,
}

impl Text {
    /// Whether its one statement has to run outside of a transaction.
    pub(crate) fn runs_alone(&self) -> bool {
        self.statements.iter().any(|s| s.class == Class::Alone)
    }

    pub(crate) fn effect(&self, read_only: bool) -> Effect {
        self.statements.iter().map(|s| s.class.effect(read_only)).max().unwrap_or(Effect::Read)
    }

    /// What an approver should know about the whole.
    pub(crate) fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

/// Analyses a text on a thread of its own, which has stack enough for the parser and may panic alone.
pub(crate) async fn analyse(text: String, read_only: bool) -> Result<Text, Refusal> {
    analyse_in_turn(AT_A_TIME.clone(), text, read_only).await
}

async fn analyse_in_turn(turns: Arc<Semaphore>, text: String, read_only: bool) -> Result<Text, Refusal> {
    let Ok(turn) = turns.acquire_owned().await else { return Err(too_busy()) };
    let (sender, receiver) = oneshot::channel();
    let worker = thread::Builder::new().name("sql-review".to_owned()).stack_size(STACK_BYTES);
    let spawned = worker.spawn(move || {
        // The thread keeps its turn to its end, also when nobody waits for the answer any more.
        let _turn = turn;
        let _ = sender.send(analyse_here(&text, read_only));
    });
    match spawned {
        Ok(_detached) => receiver.await.unwrap_or_else(|_panicked| Err(too_complicated(None))),
        Err(_) => Err(too_busy()),
    }
}

fn too_busy() -> Refusal {
    Refusal {
        code: "review_unavailable".to_owned(),
        message: "The portal is too busy to look at the text now: try again.".to_owned(),
        position: None,
    }
}

fn analyse_here(text: &str, read_only: bool) -> Result<Text, Refusal> {
    let positions = Positions::new(text);
    let pieces = split(text, MAX_STATEMENTS + 1);
    if let Some(beyond) = pieces.get(MAX_STATEMENTS) {
        return Err(Refusal {
            code: "too_many_statements".to_owned(),
            message: format!(
                "The text holds more than {MAX_STATEMENTS} statements: put them into several requests."
            ),
            position: Some(positions.of_byte(beyond.range.start)),
        });
    }
    if let Some(start) = open_comment(text) {
        return Err(Refusal {
            code: "open_comment".to_owned(),
            message: "This comment has no end and hides the rest of the text: close it with */.".to_owned(),
            position: Some(positions.of_byte(start)),
        });
    }
    let looked_at = pieces.iter().map(|piece| statement(&positions, text, piece));
    let mut statements = looked_at.collect::<Result<Vec<_>, _>>()?;
    if statements.is_empty() {
        return Err(Refusal {
            code: "no_statement".to_owned(),
            message: "The text holds no statement, only blanks and comments.".to_owned(),
            position: None,
        });
    }
    let alone = statements.iter().find(|s| s.class == Class::Alone);
    if let (Some(alone), true) = (alone, statements.len() > 1) {
        let at = positions.of_byte(alone.range.start);
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
            position: Some(positions.of_byte(write.range.start)),
        });
    }
    let findings = statements.iter_mut().flat_map(|s| std::mem::take(&mut s.findings)).collect();
    Ok(Text { statements, findings: capped(findings) })
}

fn statement(positions: &Positions<'_>, text: &str, piece: &Piece) -> Result<Statement, Refusal> {
    let place = Place { whole: positions, start: piece.range.start };
    if piece.nesting > MAX_NESTING || piece.depth > MAX_DEPTH {
        return Err(too_complicated(Some(place.position(0))));
    }
    let text = &text[piece.range.clone()];
    let mut statement = classify(place, text)?;
    statement.findings.extend(of_words(place, text));
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
