//! The portal's own worker on the portal's own queue, with an executor that does nothing: what the queue costs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::Timestamp;
use domain::execution::{Credentials, ExecutionOrder, ExecutionReport};
use domain::job::WorkerId;
use domain::ports::{
    ChangeFeed, Clock, CredentialError, CredentialSource, ExecutionError, IdGenerator, ResultSink,
    TargetExecutor,
};
use domain::services::{ExecutionSettings, ExecutionWorker};
use domain::target::{CredentialRef, CredentialSourceKind, Engine};
use secrecy::SecretString;
use store_postgres::{PgChangeFeed, PgJobQueue, PgRequestStore, PgResultStore, PgStore, StoreConfig};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::world::World;

/// A worker that runs until it is stopped.
pub(crate) struct NoopWorker {
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl NoopWorker {
    pub(crate) fn start(world: &World<'_>, concurrency: usize) -> anyhow::Result<Self> {
        let mut config = StoreConfig::new(SecretString::from(world.server_url()?));
        // The portal's default.
        config.max_connections = 20;
        let store = PgStore::connect(&config)?;
        let ids: Arc<dyn IdGenerator> = Arc::new(Ids);
        let worker = ExecutionWorker {
            queue: Arc::new(PgJobQueue::new(store.clone(), Arc::clone(&ids))),
            requests: Arc::new(PgRequestStore::new(store.clone(), ids)),
            results: Arc::new(PgResultStore::new(store)),
            scripts: None,
            executors: HashMap::from([(Engine::Postgresql, Arc::new(Nothing) as Arc<dyn TargetExecutor>)]),
            credentials: [Arc::new(Nothing) as Arc<dyn CredentialSource>].into_iter().collect(),
            changes: Arc::new(PgChangeFeed::start(&config)?) as Arc<dyn ChangeFeed>,
            clock: Arc::new(Now),
            worker: WorkerId("bench".to_owned()),
            settings: ExecutionSettings {
                concurrency,
                poll: Duration::from_millis(500),
                ..ExecutionSettings::default()
            },
        };
        let stop = CancellationToken::new();
        let running = tokio::spawn(Arc::new(worker).run(stop.clone()));
        Ok(Self { stop, running })
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        Ok(self.running.await?)
    }
}

struct Nothing;

#[async_trait]
impl TargetExecutor for Nothing {
    fn engine(&self) -> Engine {
        Engine::Postgresql
    }

    async fn execute(
        &self,
        _: &ExecutionOrder,
        _: &mut (dyn ResultSink + 'static),
        _: CancellationToken,
    ) -> Result<ExecutionReport, ExecutionError> {
        Ok(ExecutionReport::default())
    }
}

#[async_trait]
impl CredentialSource for Nothing {
    fn kind(&self) -> CredentialSourceKind {
        CredentialSourceKind::Env
    }

    async fn fetch(&self, _: &CredentialRef) -> Result<Credentials, CredentialError> {
        Ok(Credentials::new("", SecretString::default()))
    }
}

struct Now;

impl Clock for Now {
    #[expect(clippy::disallowed_methods, reason = "this is the bench's adapter behind the Clock port")]
    fn now(&self) -> Timestamp {
        let now = Utc::now();
        DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }
}

struct Ids;

impl IdGenerator for Ids {
    #[expect(clippy::disallowed_methods, reason = "this is the bench's adapter behind the IdGenerator port")]
    fn new_id(&self) -> Uuid {
        Uuid::new_v4()
    }
}
