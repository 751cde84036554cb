//! A private PostgreSQL server.

use std::fmt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::programs::Programs;
use crate::account;
use crate::durability::Durability;
use crate::error::DevStackError;
use crate::guardian::{Guardian, Removals, StopSignals};
use crate::net;
use crate::url;

const READY_LIMIT: Duration = Duration::from_secs(30);
const SUPERUSER: &str = "postgres";

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// The folder that holds everything of the server. It is made when missing, and a cluster in it is used again.
    pub data_dir: PathBuf,
    /// The port on 127.0.0.1; `None` takes a free one.
    pub port: Option<u16>,
    /// What a crash may cost.
    pub durability: Durability,
    /// Further settings by name, as in `postgresql.conf`. They cannot change where the server listens.
    pub settings: Vec<(String, String)>,
}

impl PostgresOptions {
    /// A safe server on a free port.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: data_dir.into(), port: None, durability: Durability::Safe, settings: Vec::new() }
    }
}

/// A running server, which ends with its owner: on [`PostgresServer::stop`], on drop, and also when the owning
/// process ends in any other way.
pub struct PostgresServer {
    // The guardian comes first: it is dropped, and the server with it, before the folder is let go.
    guardian: Guardian,
    cluster: Cluster,
    password: String,
    port: u16,
    pid: i32,
}

impl PostgresServer {
    /// Starts the server and returns when it accepts connections, which takes 30 seconds at most.
    ///
    /// The superuser is `postgres`; its password is made on the first start and kept in the data folder. When the
    /// caller is root, the server runs as the user `postgres`, else `nobody`.
    pub fn start(options: PostgresOptions) -> Result<Self, DevStackError> {
        // A free port can be taken before the server listens on it.
        net::retry_when_port_is_taken(options.port.is_none(), || start_with(&options, false))
    }

    /// A URL for the superuser and this database, with the password in it.
    pub fn url(&self, database: &str) -> String {
        url::build(SUPERUSER, &self.password, self.port, database)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the server's main process.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The folder that holds everything of the server, as an absolute path.
    pub fn data_dir(&self) -> &Path {
        self.cluster.folder().path()
    }

    /// Whether the server is still there; it may have been killed by somebody else.
    pub fn is_running(&self) -> bool {
        !self.guardian.server_is_gone()
    }

    /// Disconnects everybody, stops the server and waits until it is gone.
    pub fn stop(mut self) -> Result<(), DevStackError> {
        self.guardian.finish().map_err(DevStackError::io("stop the server of", self.cluster.folder().path()))
    }
}

impl fmt::Debug for PostgresServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PostgresServer")
            .field("data_dir", &self.cluster.folder().path())
            .field("port", &self.port)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

/// Another program of the PostgreSQL that a new server runs, such as `pgbench`. Whether it is there is for the
/// caller to see.
pub fn postgres_program(name: &str) -> Result<PathBuf, DevStackError> {
    Ok(Programs::find(None)?.named(name))
}

/// Disconnect everybody, write everything, end: PostgreSQL's fast shutdown.
const FAST: StopSignals = StopSignals { first: "INT", last: "QUIT" };
/// End at once; the data is thrown away.
const IMMEDIATE: StopSignals = StopSignals { first: "QUIT", last: "QUIT" };

/// Starts a server; with `remove_at_end` its guardian removes the data folder after it.
pub(crate) fn start_with(
    options: &PostgresOptions,
    remove_at_end: bool,
) -> Result<PostgresServer, DevStackError> {
    let cluster = Cluster::prepare(&options.data_dir)?;
    let folder = cluster.folder();
    let lock = folder.lock()?;
    cluster.refuse_running_server()?;
    if let Some(port) = options.port.filter(|port| net::is_busy(*port)) {
        return Err(DevStackError::PortBusy { port });
    }
    let programs = fitting_programs(&cluster)?;
    let (socket_folder, elsewhere) = cluster.socket_folder()?;
    let removals = Removals {
        socket_folder: elsewhere.then(|| socket_folder.clone()),
        data_folder: remove_at_end.then(|| folder.path().to_owned()),
    };
    let port = match options.port {
        Some(port) => port,
        None => net::free_port().map_err(DevStackError::io("find a free port on", Path::new("127.0.0.1")))?,
    };
    let stop = if remove_at_end { IMMEDIATE } else { FAST };
    let command = server_command(&programs, &cluster, &socket_folder, port, options);
    // From here on the guardian cleans up, whatever happens to this process.
    let mut guardian = Guardian::start(folder, &lock, stop, &removals, command)?;
    let password = cluster.password()?;
    if cluster.version().is_none() {
        cluster.init(&programs, options.durability == Durability::Safe, &lock)?;
    }
    let pid = guardian.launch()?;
    wait_until_ready(&cluster, &guardian, pid)?;
    // The guardian's copy keeps the folder locked until the server has stopped.
    drop(lock);
    Ok(PostgresServer { guardian, cluster, password, port, pid })
}

fn fitting_programs(cluster: &Cluster) -> Result<Programs, DevStackError> {
    let version = cluster.version();
    let programs = Programs::find(version.as_deref())?;
    let folder = cluster.folder();
    account::check_reachable(&programs.postgres(), folder.account())?;
    match version {
        Some(version) if version != programs.version => Err(DevStackError::VersionMismatch {
            folder: folder.path().to_owned(),
            cluster: version,
            programs: programs.version,
        }),
        _ => Ok(programs),
    }
}

/// The server's command line. Of two settings with one name the last counts.
fn server_command(
    programs: &Programs,
    cluster: &Cluster,
    socket_folder: &Path,
    port: u16,
    options: &PostgresOptions,
) -> Vec<std::ffi::OsString> {
    let mut settings: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: String| settings.push((name.to_owned(), value));
    if options.durability == Durability::TestOnly {
        for name in ["fsync", "synchronous_commit", "full_page_writes"] {
            set(name, "off".to_owned());
        }
        set("max_connections", "200".to_owned());
        // So that a test can show that nobody gets to prepare a transaction.
        set("max_prepared_transactions", "10".to_owned());
    }
    for (name, value) in &options.settings {
        set(name, value.clone());
    }
    set("listen_addresses", "127.0.0.1".to_owned());
    set("port", port.to_string());
    set("logging_collector", "off".to_owned());
    set("log_destination", "stderr".to_owned());
    let mut command = vec![programs.postgres().into(), "-D".into(), cluster.path().into(), "-k".into()];
    command.push(socket_folder.into());
    for (name, value) in settings {
        command.push("-c".into());
        command.push(format!("{name}={value}").into());
    }
    command
}

fn wait_until_ready(cluster: &Cluster, guardian: &Guardian, pid: i32) -> Result<(), DevStackError> {
    let start = Instant::now();
    loop {
        if cluster.is_ready(pid) {
            return Ok(());
        }
        let reason = if guardian.server_is_gone() {
            "it ended at once"
        } else if start.elapsed() > READY_LIMIT {
            "it did not accept connections within 30 seconds"
        } else {
            sleep(Duration::from_millis(20));
            continue;
        };
        let log = cluster.folder().log_tail();
        return Err(DevStackError::NotReady { server: "PostgreSQL", reason, log });
    }
}
