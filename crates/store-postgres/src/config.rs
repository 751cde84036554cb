//! How to reach the portal database.

use std::time::Duration;

use secrecy::SecretString;

use crate::tls::Connector;

/// Settings of the connection to the portal database.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=FILE`. Both parameters are
    /// libpq's. `sslmode` is `disable`, `require`, `verify-ca` or `verify-full`, and without it `verify-full`, on
    /// the loopback address `disable`. Without `sslrootcert` the system's authorities are trusted.
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

    /// Reads the URL, and the file that it names. The error names no part of a login.
    pub fn check(&self) -> Result<(), InvalidStoreConfig> {
        Connector::of(&self.url).map(drop)
    }

    /// What opens the connections.
    pub(crate) fn connector(&self) -> Result<Connector, InvalidStoreConfig> {
        let mut connector = Connector::of(&self.url)?;
        let config = &mut connector.config;
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
        Ok(connector)
    }
}
