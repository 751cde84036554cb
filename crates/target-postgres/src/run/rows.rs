//! Rows on their way from the server to the sink: counted, limited, sent in chunks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use domain::execution::{Column, ResultChunk};
use domain::ports::ResultSink;
use domain::target::Limits;
use tokio_postgres::{SimpleColumn, SimpleQueryRow};

use super::describe::Described;
use super::errors::Broken;
use super::rendering::{Rendering, raw_length};

/// Chunks are about this large.
const CHUNK_BYTES: usize = 64 * 1024;

/// The rows of one execution. What its limits leave out is read and forgotten, so that the statement ends as it
/// would without limits.
pub(super) struct Rows<'a> {
    sink: &'a mut (dyn ResultSink + 'static),
    stopping: Arc<AtomicBool>,
    rows_left: u64,
    bytes_left: u64,
    statement: u32,
    rendering: Rendering,
    kept: u64,
    truncated: bool,
    buffer: Vec<u8>,
    buffered: u32,
}

impl<'a> Rows<'a> {
    pub(super) fn new(
        sink: &'a mut (dyn ResultSink + 'static),
        limits: Limits,
        stopping: Arc<AtomicBool>,
    ) -> Self {
        Self {
            sink,
            stopping,
            rows_left: limits.max_rows,
            bytes_left: limits.max_bytes,
            statement: 0,
            rendering: Rendering::default(),
            kept: 0,
            truncated: false,
            buffer: Vec::new(),
            buffered: 0,
        }
    }

    pub(super) fn begin(&mut self, statement: u32) {
        self.statement = statement;
        self.rendering = Rendering::default();
        self.kept = 0;
        self.truncated = false;
    }

    pub(super) fn columns(&mut self, found: &[SimpleColumn], prepared: &[Described]) -> Vec<Column> {
        self.rendering.columns(found, prepared)
    }

    pub(super) async fn add(&mut self, row: &SimpleQueryRow) -> Result<(), Broken> {
        if self.stopping.load(Ordering::Relaxed) {
            return Ok(());
        }
        if self.rows_left == 0 {
            self.truncated = true;
            return Ok(());
        }
        // What does not fit as the server sent it is not rendered: that would need its memory once more.
        if raw_length(row)? > self.bytes_left {
            self.leave_out();
            return Ok(());
        }
        let start = self.buffer.len();
        self.rendering.row(&mut self.buffer, row)?;
        let length = u64::try_from(self.buffer.len() - start).unwrap_or(u64::MAX);
        if length > self.bytes_left {
            self.buffer.truncate(start);
            self.leave_out();
            return Ok(());
        }
        self.bytes_left -= length;
        self.rows_left -= 1;
        self.kept += 1;
        self.buffered += 1;
        if self.buffer.len() >= CHUNK_BYTES { self.flush().await } else { Ok(()) }
    }

    /// A shorter row may not slip in behind the one that was too long.
    fn leave_out(&mut self) {
        self.rows_left = 0;
        self.truncated = true;
    }

    /// Sends what is left of the statement's rows. Returns how many were kept, and whether some were not.
    pub(super) async fn end(&mut self) -> Result<(u64, bool), Broken> {
        if !self.stopping.load(Ordering::Relaxed) {
            self.flush().await?;
        }
        Ok((self.kept, self.truncated))
    }

    async fn flush(&mut self) -> Result<(), Broken> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let ndjson = Bytes::from(std::mem::take(&mut self.buffer));
        let chunk =
            ResultChunk { statement: self.statement, rows: std::mem::take(&mut self.buffered), ndjson };
        self.sink.write(chunk).await.map_err(Broken::Sink)
    }
}
