//! Keeps the first rows of a result while it streams by.

use async_trait::async_trait;

use crate::execution::{PREVIEW_ROWS, Preview, PreviewRow, ResultChunk};
use crate::ports::{ResultSink, SinkError};

/// The preview is stored in the request's own row, so it stays small whatever the rows are.
const PREVIEW_BYTES: usize = 256 * 1024;

pub(super) struct PreviewSink {
    inner: Box<dyn ResultSink>,
    preview: Preview,
    bytes: usize,
    full: bool,
}

impl PreviewSink {
    pub(super) fn new(inner: Box<dyn ResultSink>) -> Self {
        Self { inner, preview: vec![], bytes: 0, full: false }
    }

    pub(super) fn has_rows(&self) -> bool {
        self.bytes > 0
    }

    pub(super) fn into_preview(self) -> Preview {
        self.preview
    }

    fn look_at(&mut self, chunk: &ResultChunk) {
        for line in chunk.ndjson.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            self.bytes += line.len();
            if self.full || self.preview.len() == PREVIEW_ROWS || self.bytes > PREVIEW_BYTES {
                self.full = true;
                return;
            }
            let json = String::from_utf8_lossy(line).into_owned();
            self.preview.push(PreviewRow { statement: chunk.statement, json });
        }
    }
}

#[async_trait]
impl ResultSink for PreviewSink {
    async fn write(&mut self, chunk: ResultChunk) -> Result<(), SinkError> {
        if !self.full {
            self.look_at(&chunk);
        }
        self.inner.write(chunk).await
    }
}
