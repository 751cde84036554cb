//! A private MongoDB server: a replica set of one member, because only those have transactions.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::home::Home;
use super::program;
use super::replica_set::{self, NAME, ROOT};
use crate::durability::Durability;
use crate::error::DevStackError;
use crate::guardian::{Guardian, Removals, StopSignals};
use crate::net;

const READY_LIMIT: Duration = Duration::from_secs(30);

/// Write everything, end: MongoDB's clean shutdown.
const CLEAN: StopSignals = StopSignals { first: "TERM", last: "KILL" };
/// End at once; the data is thrown away.
const AT_ONCE: StopSignals = StopSignals { first: "KILL", last: "KILL" };

// MongoDB promises that these numbers in its log stay the same.
/// The server has its port; another one with that port would have ended instead.
const LISTENS: &str = r#""id":23016"#;
/// The member has become the primary and takes writes.
const IS_PRIMARY: &str = r#""id":21331"#;

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct MongoOptions {
    /// The folder that holds everything of the server. It is made when missing, and a replica set in it is used
    /// again.
    pub data_dir: PathBuf,
    /// The port on 127.0.0.1. `None` takes the one that the folder has, or a free one for a new folder. A replica
    /// set knows itself by its port, so a folder cannot get another one.
    pub port: Option<u16>,
    /// What a crash may cost.
    pub durability: Durability,
    /// Server parameters by name, as in `--setParameter`.
    pub parameters: Vec<(String, String)>,
    /// With it, the server refuses connections without TLS.
    pub tls: Option<MongoTls>,
}

impl MongoOptions {
    /// A safe server, on a free port unless the folder has one.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            port: None,
            durability: Durability::Safe,
            parameters: Vec::new(),
            tls: None,
        }
    }
}

/// What a server needs for TLS.
#[derive(Clone)]
pub struct MongoTls {
    /// The server's certificate and its private key, in PEM, one after the other.
    pub certificate_and_key: String,
    /// The authority that must have signed the certificates of clients, in PEM; `None` asks them for none.
    pub client_authority: Option<String>,
}

impl fmt::Debug for MongoTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MongoTls").finish_non_exhaustive()
    }
}

/// A running server, which ends with its owner: on [`MongoServer::stop`], on drop, and also when the owning
/// process ends in any other way.
pub struct MongoServer {
    // The guardian comes first: it is dropped, and the server with it, before the folder is let go.
    guardian: Guardian,
    home: Home,
    password: String,
    port: u16,
    pid: i32,
    tls: bool,
}

impl MongoServer {
    /// Starts the server and returns when it takes writes, which takes 30 seconds at most (a minute for a first
    /// start with TLS).
    ///
    /// The only user is `root` of the database `admin`, with the role `root`; its password is made on the first
    /// start and kept in the data folder. When the caller is root, the server runs as the user `postgres`, else
    /// `nobody`, where these can reach the program.
    pub fn start(options: MongoOptions) -> Result<Self, DevStackError> {
        // A free port can be taken before the server listens on it.
        net::retry_when_port_is_taken(options.port.is_none(), || start_with(&options, false))
    }

    /// A URL for the root user, with the password in it, of a client that connects to this server and looks for no
    /// other members. With TLS, the client has to be told the authority.
    pub fn url(&self) -> String {
        let tls = if self.tls { "&tls=true" } else { "" };
        format!(
            "mongodb://{ROOT}:{}@127.0.0.1:{}/?replicaSet={NAME}&directConnection=true&authSource=admin{tls}",
            self.password, self.port
        )
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

    /// The server's process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The folder that holds everything of the server, as an absolute path.
    pub fn data_dir(&self) -> &Path {
        self.home.folder().path()
    }

    /// Whether the server is still there; it may have been killed by somebody else.
    pub fn is_running(&self) -> bool {
        !self.guardian.server_is_gone()
    }

    /// Stops the server and waits until it is gone.
    pub fn stop(mut self) -> Result<(), DevStackError> {
        self.guardian.finish().map_err(DevStackError::io("stop the server of", self.home.folder().path()))
    }
}

impl fmt::Debug for MongoServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MongoServer")
            .field("data_dir", &self.data_dir())
            .field("port", &self.port)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

/// Starts a server; with `remove_at_end` its guardian removes the data folder after it.
pub(crate) fn start_with(options: &MongoOptions, remove_at_end: bool) -> Result<MongoServer, DevStackError> {
    let program = program::find()?;
    let home = Home::prepare(&options.data_dir, &program)?;
    let folder = home.folder();
    let lock = folder.lock()?;
    let port = home.port(options.port)?;
    if net::is_busy(port) {
        return Err(DevStackError::PortBusy { port });
    }
    let plain = server_command(&program, &home, port, options)?;
    let command = [plain.clone(), tls_arguments(&home, options.tls.as_ref())?].concat();
    let removals =
        Removals { data_folder: remove_at_end.then(|| folder.path().to_owned()), ..Removals::default() };
    let stop = if remove_at_end { AT_ONCE } else { CLEAN };
    // From here on the guardian cleans up, whatever happens to this process.
    let mut guardian = Guardian::start(folder, &lock, stop, &removals, command)?;
    let password = home.password()?;
    let initiate = || replica_set::initiate(port, &password, options.durability);
    let is_new = !home.is_complete();
    if is_new {
        home.begin(port)?;
    }
    if is_new && options.tls.is_some() {
        // What makes a replica set speaks no TLS, so that happens in a first run without it.
        let mut first = Guardian::start(folder, &lock, CLEAN, &Removals::default(), plain)?;
        first.launch()?;
        wait_for_log(&home, &first, &[LISTENS])?;
        initiate()?;
        first.finish().map_err(DevStackError::io("stop the server of", folder.path()))?;
        home.complete()?;
    }
    let pid = guardian.launch()?;
    if home.is_complete() {
        wait_for_log(&home, &guardian, &[LISTENS, IS_PRIMARY])?;
    } else {
        wait_for_log(&home, &guardian, &[LISTENS])?;
        initiate()?;
        home.complete()?;
    }
    // The guardian's copy keeps the folder locked until the server has stopped.
    drop(lock);
    Ok(MongoServer { guardian, home, password, port, pid, tls: options.tls.is_some() })
}

/// The command line of a small server on the loopback address that knows only those who log in.
fn server_command(
    program: &Path,
    home: &Home,
    port: u16,
    options: &MongoOptions,
) -> Result<Vec<OsString>, DevStackError> {
    let mut command: Vec<OsString> = vec![program.into(), "--dbpath".into(), home.folder().cluster().into()];
    command.extend(["--keyFile".into(), home.write_key()?.into(), "--port".into(), port.to_string().into()]);
    command.extend(["--replSet", NAME].map(Into::into));
    command.extend(["--auth", "--bind_ip", "127.0.0.1", "--nounixsocket", "--quiet"].map(Into::into));
    command.extend(["--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64"].map(Into::into));
    command.extend(["--networkMessageCompressors", "snappy,zstd"].map(Into::into));
    // Of two parameters with one name the last counts; MongoDB itself refuses them.
    let mut parameters = BTreeMap::new();
    if options.durability == Durability::TestOnly {
        parameters.extend([
            ("enableTestCommands", "1"),
            ("ttlMonitorEnabled", "false"),
            ("diagnosticDataCollectionEnabled", "false"),
        ]);
    }
    parameters.extend(options.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    for (name, value) in parameters {
        command.extend(["--setParameter".into(), format!("{name}={value}").into()]);
    }
    Ok(command)
}

fn tls_arguments(home: &Home, tls: Option<&MongoTls>) -> Result<Vec<OsString>, DevStackError> {
    let Some(tls) = tls else { return Ok(Vec::new()) };
    let (certificate, clients) = home.write_tls(tls)?;
    let mut arguments: Vec<OsString> =
        ["--tlsMode", "requireTLS", "--tlsCertificateKeyFile"].map(Into::into).into();
    arguments.push(certificate.into());
    if let Some(clients) = clients {
        arguments.extend(["--tlsCAFile".into(), clients.into()]);
    }
    Ok(arguments)
}

/// Waits until the log holds all of these.
fn wait_for_log(home: &Home, guardian: &Guardian, signs: &[&str]) -> Result<(), DevStackError> {
    let start = Instant::now();
    loop {
        // Looked at before the log, which is complete when the server is gone.
        let gone = guardian.server_is_gone();
        let log = home.folder().log_text();
        let reason = if gone && log.is_empty() {
            "it ended before it wrote anything; MongoDB needs a processor with AVX"
        } else if gone {
            "it ended at once"
        } else if signs.iter().all(|sign| log.contains(sign)) {
            return Ok(());
        } else if start.elapsed() > READY_LIMIT {
            "it did not take writes within 30 seconds"
        } else {
            sleep(Duration::from_millis(20));
            continue;
        };
        return Err(DevStackError::NotReady { server: "MongoDB", reason, log: home.folder().log_tail() });
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
