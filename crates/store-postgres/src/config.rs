//! How to reach the portal database.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

/// Settings of the connection to the portal database.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// `postgres://user:password@host:port/database`. Without TLS for now: `sslmode=require` is refused at
    /// the first connection instead of being ignored.
    pub url: SecretString,
    /// Most connections that one process opens for queries; the change feed has one more.
    pub max_connections: usize,
    /// Longest wait for a connection, opening one included.
    pub acquire_timeout: Duration,
    /// Longest time for opening one connection.
    pub connect_timeout: Duration,
    /// Longest time for one statement.
    pub statement_timeout: Duration,
    /// What the server's activity view shows.
    pub application_name: String,
}

/// The settings cannot be used. The message holds no part of the URL.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidStoreConfig(pub(crate) String);

impl StoreConfig {
    pub fn new(url: SecretString) -> Self {
        Self {
            url,
            max_connections: 10,
            acquire_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(3),
            statement_timeout: Duration::from_secs(10),
            application_name: "query-portal".to_owned(),
        }
    }

    /// The driver's settings for one connection.
    pub(crate) fn driver(&self) -> Result<tokio_postgres::Config, InvalidStoreConfig> {
        let mut config = parse(&self.url)?;
        let given = config.get_options().unwrap_or_default().to_owned();
        // A transaction that nobody goes on with must not hold its locks for long: its client may be gone.
        let options = format!(
            "{given} -c statement_timeout={} -c idle_in_transaction_session_timeout=30000",
            self.statement_timeout.as_millis()
        );
        config
            .options(options.trim_start())
            .application_name(&self.application_name)
            .connect_timeout(self.connect_timeout)
            .keepalives_idle(Duration::from_secs(30))
            // The server's timeout does not help when its answers are lost on the way.
            .tcp_user_timeout(self.statement_timeout + Duration::from_secs(5));
        Ok(config)
    }
}

/// Reads a URL. The driver's own message does not repeat values.
pub(crate) fn parse(url: &SecretString) -> Result<tokio_postgres::Config, InvalidStoreConfig> {
    url.expose_secret().parse().map_err(|error: tokio_postgres::Error| {
        InvalidStoreConfig(format!("the URL of the portal database: {error}"))
    })
}
