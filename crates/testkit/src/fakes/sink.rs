//! A sink that keeps everything in memory.

use async_trait::async_trait;
use domain::execution::ResultChunk;
use domain::ports::{ResultSink, SinkError};

/// Keeps chunks, or refuses them all.
#[derive(Debug, Default)]
pub struct CollectingSink {
    chunks: Vec<ResultChunk>,
    refuses: bool,
}

impl CollectingSink {
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers every chunk with [`SinkError::LeaseLost`].
    pub fn refusing() -> Self {
        Self { refuses: true, ..Self::default() }
    }

    pub fn chunks(&self) -> &[ResultChunk] {
        &self.chunks
    }

    /// The rows of all chunks, one JSON text each.
    ///
    /// # Panics
    /// When a chunk is not UTF-8.
    pub fn lines(&self) -> Vec<String> {
        let texts =
            self.chunks.iter().map(|chunk| std::str::from_utf8(&chunk.ndjson).expect("JSON is UTF-8"));
        texts.flat_map(str::lines).map(str::to_owned).collect()
    }
}

#[async_trait]
impl ResultSink for CollectingSink {
    async fn write(&mut self, chunk: ResultChunk) -> Result<(), SinkError> {
        if self.refuses {
            return Err(SinkError::LeaseLost);
        }
        self.chunks.push(chunk);
        Ok(())
    }
}
