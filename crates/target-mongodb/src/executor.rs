//! The executor: from an order to a session and back.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use domain::execution::{ExecutionOrder, ExecutionReport};
use domain::ports::{ExecutionError, ResultSink, TargetExecutor};
use domain::review::Scope;
use domain::target::Engine;
use tokio_util::sync::CancellationToken;

use crate::connect::{Clients, Link};
use crate::reviewer::check;
use crate::rules::refusal;
use crate::run::{Run, Worker};

/// Settings of a [`MongoExecutor`].
#[derive(Clone, Debug)]
pub struct MongoExecutorConfig {
    /// Longest time for a connection, its login included.
    pub connect_timeout: Duration,
    /// How long the connections of a target that nobody uses are kept.
    pub max_idle: Duration,
    /// A file with certificates of authorities, in PEM, for targets whose certificate is checked; Mozilla's list when
    /// absent.
    pub authorities: Option<PathBuf>,
}

impl Default for MongoExecutorConfig {
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(5), max_idle: Duration::from_mins(10), authorities: None }
    }
}

/// Runs commands on MongoDB targets. Dropping it closes its connections.
pub struct MongoExecutor {
    pub(crate) clients: Clients,
}

impl fmt::Debug for MongoExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoExecutor").field("config", self.clients.config()).finish_non_exhaustive()
    }
}

impl MongoExecutor {
    pub fn new(config: MongoExecutorConfig) -> Self {
        Self { clients: Clients::new(config) }
    }

    /// A worker for this order, unless it is stopped before there is one.
    pub(crate) async fn worker(
        &self,
        order: &ExecutionOrder,
        stop: CancellationToken,
    ) -> Result<Worker, ExecutionError> {
        let begin = async {
            let link: Link = self.clients.link(&order.target, &order.credentials).await?;
            Worker::start(order, link, stop.clone()).await
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(ExecutionError::Cancelled),
            worker = begin => worker,
        }
    }
}

impl Default for MongoExecutor {
    fn default() -> Self {
        Self::new(MongoExecutorConfig::default())
    }
}

/// What an order may do.
pub(crate) fn scope(order: &ExecutionOrder) -> Scope {
    Scope { database: Some(order.database.clone()), read_only: order.read_only, admits: order.target.admits }
}

#[async_trait]
impl TargetExecutor for MongoExecutor {
    fn engine(&self) -> Engine {
        Engine::Mongodb
    }

    async fn execute(
        &self,
        order: &ExecutionOrder,
        sink: &mut (dyn ResultSink + 'static),
        cancel: CancellationToken,
    ) -> Result<ExecutionReport, ExecutionError> {
        if order.submission.compiled.is_empty() {
            let message = "No commands are stored with this request. Submit it again.";
            return Err(ExecutionError::Refused(refusal("not_compiled", message)));
        }
        // The commands are looked at again: what was approved under older rules runs under those of today.
        let checked = check(&order.submission, &scope(order)).await.map_err(ExecutionError::Refused)?;
        let worker = self.worker(order, cancel).await?;
        Run { order, checked: &checked, worker }.execute(sink).await
    }
}
