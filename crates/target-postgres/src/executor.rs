//! The executor: from an order to a session and back.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::execution::{ExecutionOrder, ExecutionReport};
use domain::ports::{ExecutionError, ResultSink, TargetExecutor};
use domain::target::Engine;
use pg_tls::Authorities;
use tokio_util::sync::CancellationToken;

use crate::connect::{ConnectSettings, Endpoint, Key, Session, TlsSettings, Warm, while_configuring};
use crate::reviewer::analyse_submission;
use crate::run::Run;

/// Settings of a [`PostgresExecutor`].
#[derive(Clone, Debug)]
pub struct PostgresExecutorConfig {
    /// Sessions kept ready for each target, database and login that was used lately.
    pub warm_sessions: usize,
    /// How long such a session may wait for its execution.
    pub max_idle: Duration,
    /// Longest time for a connection, its login included.
    pub connect_timeout: Duration,
    /// The longest message that is taken from a server, in bytes. A row is one message, and it is held in memory as a
    /// whole, a few times over while it is rendered and stored.
    pub max_message: usize,
    /// Who may sign the certificates of servers whose target asks for `verify-ca` or `verify-full`. Files are read at
    /// the first connection, and not again.
    pub authorities: Vec<Authorities>,
}

impl Default for PostgresExecutorConfig {
    fn default() -> Self {
        Self {
            warm_sessions: 1,
            max_idle: Duration::from_mins(1),
            connect_timeout: Duration::from_secs(5),
            max_message: 32 * 1024 * 1024,
            authorities: vec![Authorities::System],
        }
    }
}

/// Runs SQL on PostgreSQL targets. Dropping it closes the sessions that it keeps ready.
pub struct PostgresExecutor {
    config: PostgresExecutorConfig,
    settings: Arc<ConnectSettings>,
    warm: Warm,
}

impl fmt::Debug for PostgresExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresExecutor").field("config", &self.config).finish_non_exhaustive()
    }
}

impl PostgresExecutor {
    pub fn new(config: PostgresExecutorConfig) -> Self {
        let settings = Arc::new(ConnectSettings {
            tls: TlsSettings::new(config.authorities.clone()),
            timeout: config.connect_timeout,
            max_message: config.max_message,
        });
        let warm = Warm::new(config.warm_sessions, config.max_idle, settings.clone());
        Self { config, settings, warm }
    }

    /// Closes the sessions that wait, and keeps none from now on. Executions that run go on.
    pub fn shut_down(&self) {
        self.warm.close();
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.config.connect_timeout
    }

    /// A new session, of which nothing is kept.
    pub(crate) async fn open(&self, endpoint: &Endpoint) -> Result<Session, ExecutionError> {
        Session::open(endpoint, &self.settings).await
    }

    /// A session that is ready for this order: one that was kept, or a new one.
    pub(crate) async fn session(&self, order: &ExecutionOrder) -> Result<Session, ExecutionError> {
        let (key, endpoint) = (Key::of(order), Endpoint::of(order));
        if let Some(session) = self.warm.take(&key) {
            if let Some(objection) = session.role_objection(order.target.allow_privileged_role) {
                return Err(objection);
            }
            // The first message shows whether a session that waited is still alive.
            let configured =
                tokio::time::timeout(self.config.connect_timeout, session.configure(order)).await;
            if let Ok(Ok(())) = configured {
                self.warm.refill(key, endpoint);
                return Ok(session);
            }
        }
        let opened = self.open(&endpoint).await?;
        if let Some(objection) = opened.role_objection(order.target.allow_privileged_role) {
            return Err(objection);
        }
        opened.configure(order).await.map_err(|error| while_configuring(&error))?;
        self.warm.refill(key, endpoint);
        Ok(opened)
    }
}

impl Default for PostgresExecutor {
    fn default() -> Self {
        Self::new(PostgresExecutorConfig::default())
    }
}

#[async_trait]
impl TargetExecutor for PostgresExecutor {
    fn engine(&self) -> Engine {
        Engine::Postgresql
    }

    async fn execute(
        &self,
        order: &ExecutionOrder,
        sink: &mut (dyn ResultSink + 'static),
        cancel: CancellationToken,
    ) -> Result<ExecutionReport, ExecutionError> {
        // The text is looked at again: what was approved under older rules runs under those of today.
        let text = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(ExecutionError::Cancelled),
            text = analyse_submission(&order.submission, order.read_only) => text.map_err(ExecutionError::Refused)?,
        };
        let session = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(ExecutionError::Cancelled),
            session = self.session(order) => session?,
        };
        let run = Run::new(order, &text, session, cancel)
            .map_err(|source| ExecutionError::Unavailable { source: Box::new(source) })?;
        run.execute(sink).await
    }
}
