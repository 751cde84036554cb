//! Cursors of a script, read piece by piece.

use bytes::Bytes;
use domain::review::Effect;
use domain::script::{CallAnswer, CallError, ScriptStatement};
use mongodb::raw_batch_cursor::{RawBatch, SessionRawBatchCursor};

use super::told::{no_stream, not_a_cursor, too_many_cursors, transaction_open};
use super::{Collected, MongoScript, Transaction, documents, named, of_fault};
use crate::rules::Answer;
use crate::run::Lost;

/// The most documents of a cursor that are given at a time.
const MAX_FETCH: u32 = 10_000;

/// Cursors that one script may have open. Each may hold a batch of 16 MiB.
const MOST_CURSORS: usize = 10;

/// A cursor, with what has come and was not given yet.
pub(super) struct Cursor {
    cursor: SessionRawBatchCursor,
    batch: Option<RawBatch>,
    /// How many documents of the batch were given.
    given: usize,
    pub(super) in_transaction: bool,
}

impl MongoScript {
    pub(super) async fn open_cursor(&mut self, statement: ScriptStatement) -> Result<CallAnswer, CallError> {
        let command = self.command(&statement).await?;
        if command.spec.answer != Answer::Cursor || command.effect != Effect::Read {
            return Err(not_a_cursor(command.spec.name));
        }
        if self.cursors.len() >= MOST_CURSORS {
            return Err(too_many_cursors(MOST_CURSORS));
        }
        let opened = self.worker.open(&command).await;
        let opened = self.worker.judge(opened, Lost::Nothing).map_err(of_fault);
        let cursor = match opened {
            Ok(cursor) => cursor,
            Err(error @ CallError::Database(_)) if statement.in_transaction => {
                self.fail().await;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        self.names += 1;
        let cursor = Cursor { cursor, batch: None, given: 0, in_transaction: statement.in_transaction };
        self.cursors.insert(self.names, cursor);
        Ok(CallAnswer { stream: Some(self.names), ..named(&command) })
    }

    pub(super) async fn fetch(&mut self, stream: u32, rows: u32) -> Result<CallAnswer, CallError> {
        let mut open = self.cursors.remove(&stream).ok_or_else(|| no_stream(stream))?;
        if !open.in_transaction && self.transaction != Transaction::None {
            // The server would end the transaction over it.
            self.cursors.insert(stream, open);
            return Err(transaction_open());
        }
        let fetched = self.piece(&mut open, rows.clamp(1, MAX_FETCH)).await;
        match fetched {
            Ok(answer) => {
                if !answer.done {
                    self.cursors.insert(stream, open);
                }
                Ok(answer)
            }
            Err(error @ CallError::Database(_)) if open.in_transaction => {
                self.fail().await;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// The next documents, as many as are wanted and fit.
    async fn piece(&mut self, open: &mut Cursor, most: u32) -> Result<CallAnswer, CallError> {
        let mut collected = Collected::default();
        let answer = |collected: Collected, done| CallAnswer {
            rows: collected.rows,
            ndjson: Bytes::from(collected.ndjson),
            done,
            ..CallAnswer::default()
        };
        loop {
            if let Some(batch) = &open.batch {
                let added = documents(batch).and_then(|all| {
                    for document in all.iter().skip(open.given) {
                        if collected.rows == most || collected.ndjson.len() as u64 >= self.most_bytes {
                            return Ok(false);
                        }
                        collected.add(document)?;
                        open.given += 1;
                    }
                    Ok(true)
                });
                if !self.judge(added, Lost::Nothing)? {
                    return Ok(answer(collected, false));
                }
            }
            let next = self.worker.next(&mut open.cursor).await;
            open.batch = self.worker.judge(next, Lost::Nothing).map_err(of_fault)?;
            open.given = 0;
            if open.batch.is_none() {
                return Ok(answer(collected, true));
            }
        }
    }
}
