//! What a call sends to the server between the beginning of its transaction and the end of it.

use std::sync::atomic::{AtomicBool, Ordering};

use domain::review::Refusal;
use domain::script::CallAnswer;

use super::check::Checked;
use super::collected::{Collected, Size};
use crate::run::{Broken, Prepared, TextValue, Worker, counts};

/// A stream's answers are about this large, however many rows are asked for.
const PIECE_BYTES: usize = 1024 * 1024;

/// The rows with which a stream finds out how large they are.
const FIRST_ROWS: u32 = 100;

/// How steps came to their end.
pub(super) enum Stepped<T> {
    Done(T),
    /// Nothing but the preparation was sent.
    Refused(Refusal),
    /// The answer would be too large, and the statement was ended.
    TooLarge,
}

/// A statement on its way.
pub(super) struct Steps<'a> {
    pub(super) worker: &'a Worker,
    pub(super) checked: &'a Checked,
    /// The text that begins a transaction, where it has one of its own.
    pub(super) begin: Option<&'static str>,
    /// What it is called on the server.
    pub(super) name: &'a str,
    /// What was sent last is the statement's own text, so that places in it mean something.
    pub(super) own_text: AtomicBool,
}

impl Steps<'_> {
    /// Runs the statement once and reads all of its rows.
    pub(super) async fn run(&self, most: Size) -> Result<Stepped<CallAnswer>, Broken> {
        let (sql, name) = (self.checked.sql(), self.name);
        let prepared = match self.prepare().await? {
            Ok(prepared) => prepared,
            Err(refusal) => return Ok(Stepped::Refused(refusal)),
        };
        let mut collected = Collected::new(most);
        let fits = if self.checked.parameters.is_empty() {
            collected.read(self.worker, sql, &prepared).await?
        } else if self.checked.is_query() {
            self.declare().await?;
            let fits = fetch(self.worker, name, &prepared, &mut collected, None).await?.is_some();
            if fits {
                nothing(self.worker, &format!("CLOSE {name}")).await?;
            }
            fits
        } else {
            self.execute(&prepared, &mut collected).await?
        };
        if !fits {
            return Ok(Stepped::TooLarge);
        }
        let statement = &self.checked.statement;
        Ok(Stepped::Done(collected.into_answer(&statement.command, counts(statement))))
    }

    /// Runs a statement that writes. The driver's own prepared statement would answer in the binary format. The
    /// server keeps all rows of an EXECUTE before it sends the first one, so whatever a cursor can read is read by one.
    async fn execute(&self, prepared: &Prepared, collected: &mut Collected) -> Result<bool, Broken> {
        self.own_text.store(false, Ordering::Relaxed);
        let (sql, name) = (self.checked.sql(), self.name);
        nothing(self.worker, &format!("PREPARE {name} AS {sql}")).await?;
        let execute = format!("EXECUTE {name}({})", literals(&self.checked.parameters));
        let fits = collected.read(self.worker, &execute, prepared).await?;
        if fits {
            nothing(self.worker, &format!("DEALLOCATE {name}")).await?;
        }
        Ok(fits)
    }

    /// Opens a cursor for the statement's rows.
    pub(super) async fn open(&self) -> Result<Stepped<Prepared>, Broken> {
        let prepared = match self.prepare().await? {
            Ok(prepared) => prepared,
            Err(refusal) => return Ok(Stepped::Refused(refusal)),
        };
        self.declare().await?;
        Ok(Stepped::Done(prepared))
    }

    async fn declare(&self) -> Result<(), Broken> {
        self.own_text.store(false, Ordering::Relaxed);
        let declare =
            format!("DECLARE {} NO SCROLL CURSOR WITHOUT HOLD FOR {}", self.name, self.checked.sql());
        let values = self.checked.parameters.iter().cloned().map(TextValue).collect();
        self.worker.send_with(&declare, values).await
    }

    async fn prepare(&self) -> Result<Result<Prepared, Refusal>, Broken> {
        let prepared = self.worker.prepare(self.begin, self.checked.sql()).await?;
        Ok(match self.checked.objection(prepared.parameters) {
            Some(refusal) => Err(refusal),
            None => Ok(prepared),
        })
    }
}

/// Sends a statement that returns nothing.
pub(super) async fn nothing(worker: &Worker, sql: &str) -> Result<(), Broken> {
    match worker.send(sql).await?.next().await? {
        None => Ok(()),
        Some(_) => Err(Broken::Unclear("the server answered a statement with the rows of another one")),
    }
}

/// Reads rows of a cursor: so many of them, but not much more than a piece, or all that are left. Tells whether they
/// were the last ones; `None` means that they are too large.
pub(super) async fn fetch(
    worker: &Worker,
    name: &str,
    prepared: &Prepared,
    collected: &mut Collected,
    rows: Option<u32>,
) -> Result<Option<bool>, Broken> {
    loop {
        let had = collected.rows();
        let room = PIECE_BYTES - if rows.is_some() { collected.bytes() } else { 0 };
        let portion = next_rows(collected, room).min(rows.map_or(u32::MAX, |rows| rows.saturating_sub(had)));
        if !collected.read(worker, &format!("FETCH FORWARD {portion} FROM {name}"), prepared).await? {
            return Ok(None);
        }
        if collected.rows() - had < portion {
            return Ok(Some(true));
        }
        if rows.is_some_and(|rows| collected.rows() >= rows || collected.bytes() >= PIECE_BYTES) {
            return Ok(Some(false));
        }
    }
}

/// About as many rows as fit into this room. The server keeps them all before it sends the first one.
fn next_rows(collected: &Collected, room: usize) -> u32 {
    if collected.rows() == 0 {
        return FIRST_ROWS;
    }
    let each = (collected.bytes() / collected.rows() as usize).max(1);
    u32::try_from(room / each).unwrap_or(u32::MAX).max(1)
}

/// Values as constants of no type yet, in the syntax of `standard_conforming_strings`: nothing but a quote means
/// anything in them.
fn literals(values: &[Option<String>]) -> String {
    let literal = |value: &Option<String>| match value {
        Some(text) => format!("'{}'", text.replace('\'', "''")),
        None => "NULL".to_owned(),
    };
    values.iter().map(literal).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_quotes_are_doubled_in_constants() {
        let values = ["it's", r"\'; DROP TABLE x; --", "", "é\n$1"].map(|text| Some(text.to_owned()));
        assert_eq!(literals(&values), "'it''s', '\\''; DROP TABLE x; --', '', 'é\n$1'");
        assert_eq!(literals(&[None, Some("NULL".to_owned())]), "NULL, 'NULL'");
    }
}
