//! Rows on their way from the server to the sink.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::execution::Column;
use domain::ports::ResultSink;
use domain::rows::RowKeeper;
use domain::target::Limits;
use tokio_postgres::{SimpleColumn, SimpleQueryRow};

use super::describe::Described;
use super::errors::Broken;
use super::rendering::{Rendering, raw_length};

/// The rows of one execution. What its limits leave out is read and forgotten, so that the statement ends as it
/// would without limits.
pub(super) struct Rows<'a> {
    keeper: RowKeeper<'a>,
    stopping: Arc<AtomicBool>,
    rendering: Rendering,
}

impl<'a> Rows<'a> {
    pub(super) fn new(
        sink: &'a mut (dyn ResultSink + 'static),
        limits: Limits,
        stopping: Arc<AtomicBool>,
    ) -> Self {
        Self { keeper: RowKeeper::new(sink, limits), stopping, rendering: Rendering::default() }
    }

    pub(super) fn begin(&mut self, statement: u32) {
        self.keeper.begin(statement);
        self.rendering = Rendering::default();
    }

    pub(super) fn columns(&mut self, found: &[SimpleColumn], prepared: &[Described]) -> Vec<Column> {
        self.rendering.columns(found, prepared)
    }

    pub(super) async fn add(&mut self, row: &SimpleQueryRow) -> Result<(), Broken> {
        // What does not fit as the server sent it is not rendered: that would need its memory once more.
        if self.stopping.load(Ordering::Relaxed) || !self.keeper.has_room(raw_length(row)?) {
            return Ok(());
        }
        let rendering = &self.rendering;
        self.keeper.add(|out| rendering.row(out, row)).await
    }

    /// Sends what is left of the statement's rows. Returns how many were kept, and whether some were not.
    pub(super) async fn end(&mut self) -> Result<(u64, bool), Broken> {
        if !self.stopping.load(Ordering::Relaxed) {
            self.keeper.flush().await?;
        }
        Ok((self.keeper.kept(), self.keeper.is_truncated()))
    }
}
