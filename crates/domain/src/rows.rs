//! Rows on their way from a server to the sink: counted, limited, sent in chunks. The same for every engine.

use bytes::Bytes;

use crate::execution::ResultChunk;
use crate::ports::{ResultSink, SinkError};
use crate::target::Limits;

/// Chunks are about this large.
const CHUNK_BYTES: usize = 64 * 1024;

/// The rows of one execution, as far as its limits let them be kept.
pub struct RowKeeper<'a> {
    sink: &'a mut (dyn ResultSink + 'static),
    rows_left: u64,
    bytes_left: u64,
    statement: u32,
    kept: u64,
    truncated: bool,
    buffer: Vec<u8>,
    buffered: u32,
}

impl std::fmt::Debug for RowKeeper<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowKeeper").field("statement", &self.statement).finish_non_exhaustive()
    }
}

impl<'a> RowKeeper<'a> {
    pub fn new(sink: &'a mut (dyn ResultSink + 'static), limits: Limits) -> Self {
        Self {
            sink,
            rows_left: limits.max_rows,
            bytes_left: limits.max_bytes,
            statement: 0,
            kept: 0,
            truncated: false,
            buffer: Vec::new(),
            buffered: 0,
        }
    }

    /// The rows of this statement come next.
    pub fn begin(&mut self, statement: u32) {
        self.statement = statement;
        self.kept = 0;
        self.truncated = false;
    }

    /// Whether there may be room for a row of at least so many bytes. Without room that row is left out, and with it
    /// every later one: a shorter row may not slip in behind one that was too long.
    pub fn has_room(&mut self, at_least: u64) -> bool {
        if self.rows_left == 0 || at_least > self.bytes_left {
            self.rows_left = 0;
            self.truncated = true;
        }
        !self.truncated
    }

    /// Adds what `render` writes, a whole line, or leaves it out.
    pub async fn add<E: From<SinkError>>(
        &mut self,
        render: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.has_room(0) {
            return Ok(());
        }
        let start = self.buffer.len();
        render(&mut self.buffer)?;
        let length = u64::try_from(self.buffer.len() - start).unwrap_or(u64::MAX);
        if !self.has_room(length) {
            self.buffer.truncate(start);
            return Ok(());
        }
        self.bytes_left -= length;
        self.rows_left -= 1;
        self.kept += 1;
        self.buffered += 1;
        if self.buffer.len() >= CHUNK_BYTES { Ok(self.flush().await?) } else { Ok(()) }
    }

    /// Whether a row of the statement was left out, so that no later one is kept.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// How many rows of the statement were kept.
    pub fn kept(&self) -> u64 {
        self.kept
    }

    /// Sends what is left of the statement's rows.
    pub async fn flush(&mut self) -> Result<(), SinkError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let ndjson = Bytes::from(std::mem::take(&mut self.buffer));
        let chunk =
            ResultChunk { statement: self.statement, rows: std::mem::take(&mut self.buffered), ndjson };
        self.sink.write(chunk).await
    }
}
