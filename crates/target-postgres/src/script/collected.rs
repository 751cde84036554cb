//! The rows of one answer, which is whole or is not given at all.

use bytes::Bytes;
use domain::execution::Column;
use domain::script::CallAnswer;
use tokio_postgres::SimpleQueryRow;

use crate::run::{Broken, Part, Prepared, Rendering, Worker, raw_length};

/// What one answer may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// An answer in the making.
pub(super) struct Collected {
    left: Size,
    rendering: Rendering,
    columns: Vec<Column>,
    rows: u32,
    ndjson: Vec<u8>,
    affected: Option<u64>,
}

impl Collected {
    pub(super) fn new(most: Size) -> Self {
        Self {
            left: most,
            rendering: Rendering::default(),
            columns: Vec::new(),
            rows: 0,
            ndjson: Vec::new(),
            affected: None,
        }
    }

    pub(super) fn rows(&self) -> u32 {
        self.rows
    }

    pub(super) fn bytes(&self) -> usize {
        self.ndjson.len()
    }

    /// Runs a statement that was prepared and adds its rows. `false` means that they are too many; the statement
    /// was ended for that, and its transaction cannot go on.
    pub(super) async fn read(
        &mut self,
        worker: &Worker,
        sql: &str,
        prepared: &Prepared,
    ) -> Result<bool, Broken> {
        let mut answer = worker.send(sql).await?;
        loop {
            let added = match answer.next().await? {
                None => {
                    let before = self.affected.unwrap_or(0);
                    self.affected = answer.affected().map(|counted| before + counted);
                    return Ok(true);
                }
                Some(Part::Columns(found)) => {
                    self.columns = self.rendering.columns(&found, &prepared.columns);
                    continue;
                }
                Some(Part::Row(row)) => self.add(&row),
            };
            if !matches!(added, Ok(true)) {
                drop(answer);
                worker.interrupt().await?;
                return added;
            }
        }
    }

    /// Whether the row fits.
    fn add(&mut self, row: &SimpleQueryRow) -> Result<bool, Broken> {
        // What does not fit as the server sent it is not rendered: that would need its memory once more.
        if self.left.rows == 0 || raw_length(row)? > self.left.bytes {
            return Ok(false);
        }
        let start = self.ndjson.len();
        self.rendering.row(&mut self.ndjson, row)?;
        let length = u64::try_from(self.ndjson.len() - start).unwrap_or(u64::MAX);
        let Some(bytes) = self.left.bytes.checked_sub(length) else { return Ok(false) };
        self.left = Size { rows: self.left.rows - 1, bytes };
        self.rows += 1;
        Ok(true)
    }

    /// What the server counted stands in the answer only where it means rows: those of all that was read.
    pub(super) fn into_answer(self, command: &str, counts: bool) -> CallAnswer {
        CallAnswer {
            command: command.to_owned(),
            columns: self.columns,
            affected: self.affected.filter(|_| counts),
            rows: self.rows,
            ndjson: Bytes::from(self.ndjson),
            done: true,
            ..CallAnswer::default()
        }
    }
}
