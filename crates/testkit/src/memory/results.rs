//! Results, written under a lease.

use async_trait::async_trait;
use domain::execution::ResultChunk;
use domain::ids::RequestId;
use domain::job::Lease;
use domain::ports::{ResultReader, ResultSink, ResultStore, SinkError, StoreError};
use futures_util::{StreamExt, stream};

use super::InMemoryStore;

impl ResultStore for InMemoryStore {
    fn sink(&self, request: RequestId, lease: &Lease) -> Box<dyn ResultSink> {
        Box::new(InMemorySink { store: self.clone(), request, lease: lease.clone() })
    }

    fn read(&self, request: RequestId) -> ResultReader {
        let found: Result<Vec<ResultChunk>, StoreError> =
            self.atomically(|world| Ok(world.chunks.get(&request).cloned().unwrap_or_default()));
        match found {
            Ok(chunks) => stream::iter(chunks.into_iter().map(Ok)).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }
}

struct InMemorySink {
    store: InMemoryStore,
    request: RequestId,
    lease: Lease,
}

#[async_trait]
impl ResultSink for InMemorySink {
    async fn write(&mut self, chunk: ResultChunk) -> Result<(), SinkError> {
        self.store.atomically(|world| {
            let held =
                world.jobs.iter().any(|job| job.request == self.request && job.is_held_by(&self.lease));
            if !held {
                return Err(SinkError::LeaseLost);
            }
            world.chunks.entry(self.request).or_default().push(chunk);
            Ok(())
        })
    }
}
