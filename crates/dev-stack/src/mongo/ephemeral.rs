//! Servers for tests, thrown away afterwards.

use std::env;
use std::fmt;
use std::path::Path;
use std::sync::OnceLock;

use super::replica_set::ROOT;
use super::server::{MongoOptions, MongoServer, MongoTls, start_with};
use crate::durability::Durability;
use crate::error::DevStackError;
use crate::folder::TemporaryFolder;
use crate::net;
use crate::url;

/// The environment variable with the root user's URL of the server that a test run shares.
pub const TEST_MONGO_URL: &str = "TEST_MONGO_URL";

/// A server in a new temporary folder, which is removed with the server.
#[derive(Debug)]
pub struct EphemeralMongo(MongoServer);

impl EphemeralMongo {
    /// Starts a [`Durability::TestOnly`] server in the folder for temporary files (`TMPDIR`, else `/tmp`).
    pub fn start() -> Result<Self, DevStackError> {
        Self::start_with(&[], None)
    }

    /// The same with server parameters by name, and with TLS.
    pub fn start_with(parameters: &[(&str, &str)], tls: Option<&MongoTls>) -> Result<Self, DevStackError> {
        net::retry_when_port_is_taken(true, || Self::attempt(parameters, tls))
    }

    fn attempt(parameters: &[(&str, &str)], tls: Option<&MongoTls>) -> Result<Self, DevStackError> {
        let folder = TemporaryFolder::make()?;
        let options = MongoOptions {
            durability: Durability::TestOnly,
            parameters: parameters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            tls: tls.cloned(),
            ..MongoOptions::new(folder.path())
        };
        let server = start_with(&options, true)?;
        folder.keep();
        Ok(Self(server))
    }

    /// A URL for the root user, as [`MongoServer::url`].
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// The root user's name.
    pub fn user(&self) -> &str {
        self.0.user()
    }

    /// The root user's password.
    pub fn password(&self) -> &str {
        self.0.password()
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.0.port()
    }

    /// The server's process id.
    pub fn pid(&self) -> i32 {
        self.0.pid()
    }

    /// The folder that will be removed.
    pub fn data_dir(&self) -> &Path {
        self.0.data_dir()
    }

    /// Whether the server is still there.
    pub fn is_running(&self) -> bool {
        self.0.is_running()
    }

    /// Stops the server and removes its folder.
    pub fn stop(self) -> Result<(), DevStackError> {
        self.0.stop()
    }
}

/// The server that the tests of this process use. Each test takes a database name of its own on it.
pub struct TestMongo {
    url: String,
    port: u16,
    password: String,
    _server: Option<EphemeralMongo>,
}

impl TestMongo {
    fn new(url: String, server: Option<EphemeralMongo>) -> Option<Self> {
        let (password, port) = url::password_and_port(&url)?;
        Some(Self { password: password.to_owned(), port, url, _server: server })
    }

    /// A URL for the root user, as [`MongoServer::url`].
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The root user's name.
    pub fn user(&self) -> &str {
        ROOT
    }

    /// The root user's password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Debug for TestMongo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TestMongo").field("port", &self.port).finish_non_exhaustive()
    }
}

/// The MongoDB server of this test run: the one in [`TEST_MONGO_URL`] (see the program `with-servers`), else one for
/// this process, which ends with the process.
///
/// # Panics
/// When no server can be started, with a sentence that says what to do: a test without its server fails.
pub fn test_mongo() -> &'static TestMongo {
    static SERVER: OnceLock<TestMongo> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = match env::var(TEST_MONGO_URL) {
            Ok(url) if !url.is_empty() => TestMongo::new(url, None),
            _ => match EphemeralMongo::start() {
                Ok(server) => TestMongo::new(server.url(), Some(server)),
                Err(error) => panic!("this test needs MongoDB: {}", error.chain()),
            },
        };
        let expected = "mongodb://root:PASSWORD@127.0.0.1:PORT/...";
        server.unwrap_or_else(|| panic!("{TEST_MONGO_URL} does not look like {expected}"))
    })
}
