//! An executor that plays what it was told.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use domain::execution::{Column, ExecutionOrder, ExecutionReport, ResultChunk, StatementReport};
use domain::ports::{ExecutionError, ResultSink, TargetExecutor};
use domain::target::{Engine, Limits};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::lock;

/// Rows in a chunk.
const CHUNK: usize = 1_000;

/// What one execution does: write, wait, return rows, and succeed or fail. Writes count only when it
/// succeeds.
#[derive(Debug, Default)]
pub struct Script {
    writes: u64,
    rows: Vec<String>,
    waits_for_release: bool,
    sleeps: Duration,
    error: Option<ExecutionError>,
}

impl Script {
    /// Returns rows, each a JSON array in text.
    pub fn rows<I: IntoIterator<Item = S>, S: Into<String>>(rows: I) -> Self {
        Self { rows: rows.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    pub fn fails(error: ExecutionError) -> Self {
        Self { error: Some(error), ..Self::default() }
    }

    /// Writes so many rows first.
    pub fn writes(mut self, rows: u64) -> Self {
        self.writes = rows;
        self
    }

    /// Waits until [`FakeExecutor::release`], a cancel, or the limit on time.
    pub fn waits_for_release(mut self) -> Self {
        self.waits_for_release = true;
        self
    }

    pub fn sleeps(mut self, duration: Duration) -> Self {
        self.sleeps = duration;
        self
    }

    /// Fails at the end, after the rows went out.
    pub fn then_fails(mut self, error: ExecutionError) -> Self {
        self.error = Some(error);
        self
    }
}

/// Plays one [`Script`] for each execution, in the order in which they were given, and the row `[1]` when
/// there is none. Obeys cancels and all limits but the one on locks.
#[derive(Debug)]
pub struct FakeExecutor {
    engine: Engine,
    scripts: Mutex<VecDeque<Script>>,
    orders: Mutex<Vec<ExecutionOrder>>,
    written: Mutex<u64>,
    started: Semaphore,
    released: Semaphore,
}

impl FakeExecutor {
    pub fn new(engine: Engine) -> Self {
        Self {
            engine,
            scripts: Mutex::default(),
            orders: Mutex::default(),
            written: Mutex::default(),
            started: Semaphore::new(0),
            released: Semaphore::new(0),
        }
    }

    pub fn plays(&self, script: Script) {
        lock(&self.scripts).push_back(script);
    }

    /// How often something was executed.
    pub fn executions(&self) -> usize {
        lock(&self.orders).len()
    }

    /// What was executed, oldest first.
    pub fn orders(&self) -> Vec<ExecutionOrder> {
        lock(&self.orders).clone()
    }

    /// The rows that successful executions have written.
    pub fn written_rows(&self) -> u64 {
        *lock(&self.written)
    }

    /// Lets one execution go on that waits, or will wait.
    pub fn release(&self) {
        self.released.add_permits(1);
    }

    /// Waits for an execution to begin; each is seen once.
    pub async fn started(&self) {
        self.started.acquire().await.expect("the semaphore is never closed").forget();
    }

    async fn wait(
        &self,
        script: &Script,
        limit: Duration,
        cancel: &CancellationToken,
    ) -> Result<(), ExecutionError> {
        let work = async {
            tokio::time::sleep(script.sleeps).await;
            if script.waits_for_release {
                self.released.acquire().await.expect("the semaphore is never closed").forget();
            }
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(ExecutionError::Cancelled),
            () = work => Ok(()),
            () = tokio::time::sleep(limit) => Err(ExecutionError::TimedOut),
        }
    }
}

impl Default for FakeExecutor {
    fn default() -> Self {
        Self::new(Engine::Postgresql)
    }
}

#[async_trait]
impl TargetExecutor for FakeExecutor {
    fn engine(&self) -> Engine {
        self.engine
    }

    async fn execute(
        &self,
        order: &ExecutionOrder,
        sink: &mut (dyn ResultSink + 'static),
        cancel: CancellationToken,
    ) -> Result<ExecutionReport, ExecutionError> {
        lock(&self.orders).push(order.clone());
        let script = lock(&self.scripts).pop_front().unwrap_or_else(|| Script::rows(["[1]"]));
        self.started.add_permits(1);
        self.wait(&script, order.limits.timeout, &cancel).await?;
        let kept = rows_within(&script.rows, &order.limits);
        for rows in script.rows[..kept].chunks(CHUNK) {
            sink.write(chunk_of(rows)).await.map_err(ExecutionError::Sink)?;
        }
        if let Some(error) = script.error {
            return Err(error);
        }
        *lock(&self.written) += script.writes;
        Ok(report(&script.rows, kept))
    }
}

/// How many of the rows fit into the limits.
fn rows_within(rows: &[String], limits: &Limits) -> usize {
    let mut bytes = 0;
    let fits = |row: &&String| {
        bytes += row.len() as u64 + 1;
        bytes <= limits.max_bytes
    };
    rows.iter().take(usize::try_from(limits.max_rows).unwrap_or(usize::MAX)).take_while(fits).count()
}

fn chunk_of(rows: &[String]) -> ResultChunk {
    let ndjson: String = rows.iter().flat_map(|row| [row, "\n"]).collect();
    let rows = u32::try_from(rows.len()).expect("a chunk is small");
    ResultChunk { statement: 0, rows, ndjson: ndjson.into() }
}

fn report(rows: &[String], kept: usize) -> ExecutionReport {
    let statement = StatementReport {
        command: "SELECT".to_owned(),
        columns: Some(vec![Column { name: "value".to_owned(), type_name: "int4".to_owned() }]),
        rows: kept as u64,
        affected: Some(rows.len() as u64),
        truncated: kept < rows.len(),
    };
    ExecutionReport { statements: vec![statement], notices: vec![], duration: Duration::from_millis(5) }
}
