//! Where results go and come from.

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::StoreError;
use crate::execution::ResultChunk;
use crate::ids::RequestId;
use crate::job::Lease;

/// Why a part of a result was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The execution is not ours any more: stop.
    #[error("the lease on the execution was lost")]
    LeaseLost,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes a result piece by piece, so that its size does not matter to memory.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ResultSink: Send {
    /// Chunks come in order. MUST refuse with [`SinkError::LeaseLost`] once the lease is lost.
    async fn write(&mut self, chunk: ResultChunk) -> Result<(), SinkError>;
}

/// The chunks of a stored result, in order.
pub type ResultReader = BoxStream<'static, Result<ResultChunk, StoreError>>;

/// Keeps results.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ResultStore: Send + Sync {
    /// A sink for the result of a claimed execution.
    fn sink(&self, request: RequestId, lease: &Lease) -> Box<dyn ResultSink>;

    /// Reads a result back; empty when there is none. MUST hold no more than a few chunks in memory.
    fn read(&self, request: RequestId) -> ResultReader;
}
