//! PostgreSQL's part of a server's folder: the cluster, how it is made, and what its server says about itself.
//!
//! `cluster.new/` is one that is being made; `socket/` holds the server's Unix socket.

use std::fs;
use std::path::{Path, PathBuf};

use super::programs::Programs;
use crate::account::{self, Account};
use crate::error::DevStackError;
use crate::folder::{DataFolder, FolderLock, is_alive, make_private, random_name};

const IN_MAKING: &str = "cluster.new";
const SOCKET: &str = "socket";

/// A folder for a cluster, which may still have to be made.
#[derive(Debug)]
pub(crate) struct Cluster {
    folder: DataFolder,
}

impl Cluster {
    pub(crate) fn prepare(path: &Path) -> Result<Self, DevStackError> {
        DataFolder::prepare(path, &[IN_MAKING, SOCKET], Account::choose).map(|folder| Self { folder })
    }

    pub(crate) fn folder(&self) -> &DataFolder {
        &self.folder
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.cluster()
    }

    /// The superuser's password, which is made with the cluster.
    pub(crate) fn password(&self) -> Result<String, DevStackError> {
        self.folder.password(self.version().is_some())
    }

    /// The major version of the cluster, when there is one.
    pub(crate) fn version(&self) -> Option<String> {
        fs::read_to_string(self.path().join("PG_VERSION")).ok().map(|text| text.trim().to_owned())
    }

    /// Makes the cluster. It gets its name only when it is complete, so that an interrupted start leaves
    /// nothing that a later one could take for a cluster.
    pub(crate) fn init(
        &self,
        programs: &Programs,
        sync: bool,
        lock: &FolderLock,
    ) -> Result<(), DevStackError> {
        let unfinished = self.folder.path().join(IN_MAKING);
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(DevStackError::io("remove", &unfinished))?;
        }
        let program = programs.initdb();
        account::check_reachable(&program, self.folder.account())?;
        let mut command = account::command(&program, self.folder.account());
        command.arg("-D").arg(&unfinished).args(["-U", "postgres", "--auth=scram-sha-256"]);
        command.args(["--encoding=UTF8", "--locale=C"]).arg("--pwfile").arg(self.folder.password_file());
        if !sync {
            command.arg("--no-sync");
        }
        // An initdb that outlives its killed caller keeps the folder locked.
        let output =
            command.stdin(lock.share(&self.folder)?).output().map_err(DevStackError::io("run", &program))?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            let output = String::from_utf8_lossy(&said).trim().to_owned();
            return Err(DevStackError::InitdbFailed { folder: self.folder.path().to_owned(), output });
        }
        fs::rename(&unfinished, self.path()).map_err(DevStackError::io("rename", &unfinished))
    }

    /// Refuses when a server runs on the cluster, and clears away a pid file that another program's process
    /// id would make PostgreSQL believe in. PostgreSQL itself handles one whose process is gone.
    pub(crate) fn refuse_running_server(&self) -> Result<(), DevStackError> {
        let path = self.path().join("postmaster.pid");
        let Some(pid) = PidFile::read(&path).map(|found| found.pid) else { return Ok(()) };
        if !is_alive(pid) {
            return Ok(());
        }
        if serves(pid, &self.path()) {
            return Err(DevStackError::InUse { folder: self.folder.path().to_owned(), pid });
        }
        fs::remove_file(&path).map_err(DevStackError::io("remove", &path))
    }

    /// Whether the server with this process id says that it accepts connections.
    pub(crate) fn is_ready(&self, pid: i32) -> bool {
        PidFile::read(&self.path().join("postmaster.pid")).is_some_and(|file| file.pid == pid && file.ready)
    }

    /// A folder for the Unix socket, and whether it lies elsewhere and has to be removed at the end.
    pub(crate) fn socket_folder(&self) -> Result<(PathBuf, bool), DevStackError> {
        let inside = self.folder.path().join(SOCKET);
        // PostgreSQL's limit is 107 bytes for `<folder>/.s.PGSQL.<port>`, and it appends `.lock` elsewhere.
        let fits = inside.as_os_str().len() + "/.s.PGSQL.65535".len() <= 107;
        let path = if fits { inside } else { PathBuf::from(format!("/tmp/pg-{}", random_name(8)?)) };
        if !path.exists() {
            make_private(&path)?;
        }
        account::hand_over(&path, self.folder.account())?;
        Ok((path, !fits))
    }
}

/// Whether the process is a PostgreSQL server on this cluster. A server's working folder is its cluster, which
/// also finds one that was started by hand. Where that cannot be seen, its name has to do.
fn serves(pid: i32, cluster: &Path) -> bool {
    if Path::new("/proc/self/cwd").exists() {
        if let Ok(folder) = fs::read_link(format!("/proc/{pid}/cwd")) {
            return folder == cluster;
        }
        return fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|name| name.starts_with("postgres"));
    }
    let listed = std::process::Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()]).output();
    listed.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("postgres"))
}

/// The parts of `postmaster.pid` that matter here: line 1 is the process id, line 8 the server's state.
#[derive(Debug, PartialEq, Eq)]
struct PidFile {
    pid: i32,
    ready: bool,
}

impl PidFile {
    fn read(path: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(path).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim);
        // A process id below 2 would make `kill` mean something else, or name init.
        let pid = lines.next()?.parse().ok().filter(|pid| *pid > 1)?;
        Some(Self { pid, ready: lines.nth(6) == Some("ready") })
    }
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
