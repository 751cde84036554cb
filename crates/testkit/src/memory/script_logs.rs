//! The logs of scripts, written under a lease.

use std::sync::Arc;

use async_trait::async_trait;
use domain::Timestamp;
use domain::ids::RequestId;
use domain::job::Lease;
use domain::ports::{Change, Clock, ScriptLog, ScriptLogs, SinkError, StoreError};
use domain::script::{LogCounts, LogEntry, LogLimit, LogLine, LogPart};

use super::InMemoryStore;
use super::world::World;

pub(super) struct InMemoryLogs {
    store: InMemoryStore,
    clock: Arc<dyn Clock>,
}

impl InMemoryLogs {
    pub(super) fn new(store: InMemoryStore, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }
}

#[async_trait]
impl ScriptLogs for InMemoryLogs {
    fn writer(&self, request: RequestId, lease: &Lease) -> Box<dyn ScriptLog> {
        Box::new(InMemoryLog {
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            request,
            lease: lease.clone(),
        })
    }

    async fn read(&self, request: RequestId, after: u64, limit: LogLimit) -> Result<LogPart, StoreError> {
        self.store.atomically(|world| {
            let log = world.logs.get(&request).map(Vec::as_slice).unwrap_or_default();
            let behind = &log[log.partition_point(|line| line.number <= after)..];
            let (fitting, rest) =
                behind.split_at(limit.fitting(behind.iter().map(|line| line.entry.text_bytes())));
            Ok(LogPart { lines: fitting.to_vec(), more: !rest.is_empty() })
        })
    }

    async fn count(&self, request: RequestId) -> Result<LogCounts, StoreError> {
        self.store.atomically(|world| {
            let log = world.logs.get(&request).map(Vec::as_slice).unwrap_or_default();
            let calls = log.iter().filter(|line| matches!(line.entry, LogEntry::Call(_))).count() as u64;
            Ok(LogCounts { console: log.len() as u64 - calls, calls })
        })
    }
}

struct InMemoryLog {
    store: InMemoryStore,
    clock: Arc<dyn Clock>,
    request: RequestId,
    lease: Lease,
}

#[async_trait]
impl ScriptLog for InMemoryLog {
    async fn write(&mut self, entries: Vec<LogEntry>) -> Result<(), SinkError> {
        if entries.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        self.store.atomically(|world| {
            let held =
                world.jobs.iter().any(|job| job.request == self.request && job.is_held_by(&self.lease));
            if !held {
                return Err(SinkError::LeaseLost);
            }
            world.append(self.request, entries, now);
            Ok(())
        })
    }
}

impl World {
    pub(super) fn append(&mut self, request: RequestId, entries: Vec<LogEntry>, at: Timestamp) {
        let log = self.logs.entry(request).or_default();
        for entry in entries {
            log.push(LogLine { number: log.len() as u64 + 1, at, entry: storable(entry) });
        }
        self.news.push(Change::Log(request));
    }
}

fn storable(entry: LogEntry) -> LogEntry {
    let shown = |text: String| text.replace('\0', "\u{2400}");
    match entry {
        LogEntry::Console { level, text } => LogEntry::Console { level, text: shown(text) },
        LogEntry::Call(mut call) => {
            call.statement = call.statement.map(shown);
            call.error = call.error.map(shown);
            LogEntry::Call(call)
        }
    }
}
