//! Servers for tests, thrown away afterwards.

use std::env;
use std::fmt;
use std::path::Path;
use std::sync::OnceLock;

use super::server::{PostgresOptions, PostgresServer, start_with};
use crate::durability::Durability;
use crate::error::DevStackError;
use crate::folder::TemporaryFolder;
use crate::net;
use crate::url;

/// The environment variable with the superuser URL of the server that a test run shares.
pub const TEST_POSTGRES_URL: &str = "TEST_POSTGRES_URL";

/// A server in a new temporary folder, which is removed with the server.
#[derive(Debug)]
pub struct EphemeralPostgres(PostgresServer);

impl EphemeralPostgres {
    /// Starts a [`Durability::TestOnly`] server in the folder for temporary files (`TMPDIR`, else `/tmp`).
    pub fn start() -> Result<Self, DevStackError> {
        Self::start_as(Durability::TestOnly, &[])
    }

    /// The same with another durability and further settings by name, for measurements.
    pub fn start_as(durability: Durability, settings: &[(&str, &str)]) -> Result<Self, DevStackError> {
        net::retry_when_port_is_taken(true, || Self::attempt(durability, settings))
    }

    fn attempt(durability: Durability, settings: &[(&str, &str)]) -> Result<Self, DevStackError> {
        let folder = TemporaryFolder::make()?;
        let settings =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let options = PostgresOptions { durability, settings, ..PostgresOptions::new(folder.path()) };
        let server = start_with(&options, true)?;
        folder.keep();
        Ok(Self(server))
    }

    /// A URL for the superuser and this database, with the password in it.
    pub fn url(&self, database: &str) -> String {
        self.0.url(database)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.0.port()
    }

    /// The process id of the server's main process.
    pub fn pid(&self) -> i32 {
        self.0.pid()
    }

    /// The folder that will be removed.
    pub fn data_dir(&self) -> &Path {
        self.0.data_dir()
    }

    /// Stops the server and removes its folder.
    pub fn stop(self) -> Result<(), DevStackError> {
        self.0.stop()
    }
}

/// The server that the tests of this process use. Each test makes databases of its own on it.
pub struct TestPostgres {
    base: String,
    _server: Option<EphemeralPostgres>,
}

impl TestPostgres {
    /// A URL for the superuser and this database.
    pub fn url(&self, database: &str) -> String {
        url::with_database(&self.base, database)
    }
}

impl fmt::Debug for TestPostgres {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TestPostgres").finish_non_exhaustive()
    }
}

/// The PostgreSQL server of this test run: the one in [`TEST_POSTGRES_URL`] (see the program `with-servers`), else
/// one for this process, which ends with the process.
///
/// # Panics
/// When no server can be started, with a sentence that says what to do: a test without its server fails.
pub fn test_postgres() -> &'static TestPostgres {
    static SERVER: OnceLock<TestPostgres> = OnceLock::new();
    SERVER.get_or_init(|| match env::var(TEST_POSTGRES_URL) {
        Ok(base) if !base.is_empty() => TestPostgres { base, _server: None },
        _ => match EphemeralPostgres::start() {
            Ok(server) => TestPostgres { base: server.url("postgres"), _server: Some(server) },
            Err(error) => panic!("this test needs PostgreSQL: {}", error.chain()),
        },
    })
}
