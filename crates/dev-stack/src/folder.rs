//! A server's data folder: who owns it, who uses it now, and the cluster and password inside.
//!
//! `cluster/` is PostgreSQL's own folder; beside it lie `superuser-password`, `lock`, `log` and `socket/`.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf, absolute};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::account::{self, Account};
use crate::error::DevStackError;
use crate::programs::Programs;

const CLUSTER: &str = "cluster";
const CLUSTER_IN_MAKING: &str = "cluster.new";
const PASSWORD: &str = "superuser-password";
const LOCK: &str = "lock";
const LOG: &str = "log";
const SOCKET: &str = "socket";

/// How long a new owner waits for the guardian of an owner that was killed to finish its work.
const TAKE_OVER_LIMIT: Duration = Duration::from_secs(30);

/// A prepared data folder.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    account: Option<Account>,
}

/// The right to use a data folder. It is an advisory lock on an open file, which the guardian inherits: it
/// therefore lasts until the guardian is done, even when the owner was killed.
#[derive(Debug)]
pub(crate) struct FolderLock(File);

impl FolderLock {
    /// A handle that keeps the lock for as long as a child process has it open.
    pub(crate) fn share(&self, folder: &DataFolder) -> Result<Stdio, DevStackError> {
        self.0.try_clone().map(Stdio::from).map_err(DevStackError::io("share the lock of", &folder.path))
    }
}

impl DataFolder {
    /// Makes the folder, or checks the one that exists, and gives it to the user that the server runs as.
    pub(crate) fn prepare(path: &Path) -> Result<Self, DevStackError> {
        let path = absolute(path).map_err(DevStackError::io("resolve", path))?;
        let account = Account::choose(&path.join(CLUSTER))?;
        fs::create_dir_all(&path).map_err(DevStackError::io("make the folder", &path))?;
        let path = fs::canonicalize(&path).map_err(DevStackError::io("resolve", &path))?;
        // Before owner and mode change: a folder with somebody's own files in it is left as it is.
        refuse_foreign_files(&path)?;
        account::hand_over(&path, account.as_ref())?;
        fs::set_permissions(&path, Permissions::from_mode(0o700))
            .map_err(DevStackError::io("set the permissions of", &path))?;
        account::check_reachable(&path.join(CLUSTER), account.as_ref())?;
        Ok(Self { path, account })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    pub(crate) fn cluster(&self) -> PathBuf {
        self.path.join(CLUSTER)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// Takes the folder for this process, or says who has it.
    pub(crate) fn lock(&self) -> Result<FolderLock, DevStackError> {
        let path = self.path.join(LOCK);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(DevStackError::io("open", &path))?;
        account::hand_over(&path, self.account())?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(source)) => {
                    return Err(DevStackError::Io { action: "lock", path, source });
                }
                Err(TryLockError::WouldBlock) => {
                    let holder = read_holder(&mut file);
                    // The holder of a moment ago may not have written its id yet, hence the short grace.
                    let waited = start.elapsed();
                    let alive = holder.map_or(waited > Duration::from_secs(1), is_alive);
                    if alive || waited > TAKE_OVER_LIMIT {
                        let pid = holder.unwrap_or(0);
                        return Err(DevStackError::InUse { folder: self.path.clone(), pid });
                    }
                    sleep(Duration::from_millis(50));
                }
            }
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(DevStackError::io("write", &path))?;
        Ok(FolderLock(file))
    }

    /// The major version of the cluster, when there is one.
    pub(crate) fn cluster_version(&self) -> Option<String> {
        fs::read_to_string(self.cluster().join("PG_VERSION")).ok().map(|text| text.trim().to_owned())
    }

    /// The superuser's password: the stored one, or a new one for a cluster that is still to be made.
    pub(crate) fn password(&self) -> Result<String, DevStackError> {
        let path = self.path.join(PASSWORD);
        match fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(DevStackError::Io { action: "read", path, source });
            }
            _ if self.cluster_version().is_some() => return Err(DevStackError::PasswordMissing(path)),
            _ => {}
        }
        let password = random_name(16)?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(DevStackError::io("write", &path))?;
        writeln!(file, "{password}").map_err(DevStackError::io("write", &path))?;
        account::hand_over(&path, self.account())?;
        Ok(password)
    }

    /// Makes the cluster. It gets its name only when it is complete, so that an interrupted start leaves
    /// nothing that a later one could take for a cluster.
    pub(crate) fn init(
        &self,
        programs: &Programs,
        sync: bool,
        lock: &FolderLock,
    ) -> Result<(), DevStackError> {
        let unfinished = self.path.join(CLUSTER_IN_MAKING);
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(DevStackError::io("remove", &unfinished))?;
        }
        let program = programs.initdb();
        account::check_reachable(&program, self.account())?;
        let mut command = account::command(&program, self.account());
        command.arg("-D").arg(&unfinished).args(["-U", "postgres", "--auth=scram-sha-256"]);
        command.args(["--encoding=UTF8", "--locale=C"]).arg("--pwfile").arg(self.path.join(PASSWORD));
        if !sync {
            command.arg("--no-sync");
        }
        // An initdb that outlives its killed caller keeps the folder locked.
        let output = command.stdin(lock.share(self)?).output().map_err(DevStackError::io("run", &program))?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            let output = String::from_utf8_lossy(&said).trim().to_owned();
            return Err(DevStackError::InitdbFailed { folder: self.path.clone(), output });
        }
        fs::rename(&unfinished, self.cluster()).map_err(DevStackError::io("rename", &unfinished))
    }

    /// Refuses when a server runs on the cluster, and clears away a pid file that another program's process
    /// id would make PostgreSQL believe in. PostgreSQL itself handles one whose process is gone.
    pub(crate) fn refuse_running_server(&self) -> Result<(), DevStackError> {
        let path = self.cluster().join("postmaster.pid");
        let Some(pid) = PidFile::read(&path).map(|found| found.pid) else { return Ok(()) };
        if !is_alive(pid) {
            return Ok(());
        }
        if serves(pid, &self.cluster()) {
            return Err(DevStackError::InUse { folder: self.path.clone(), pid });
        }
        fs::remove_file(&path).map_err(DevStackError::io("remove", &path))
    }

    /// Whether the server with this process id says that it accepts connections.
    pub(crate) fn is_ready(&self, pid: i32) -> bool {
        PidFile::read(&self.cluster().join("postmaster.pid"))
            .is_some_and(|file| file.pid == pid && file.ready)
    }

    /// A folder for the Unix socket, and whether it lies elsewhere and has to be removed at the end.
    pub(crate) fn socket_folder(&self) -> Result<(PathBuf, bool), DevStackError> {
        let inside = self.path.join(SOCKET);
        // PostgreSQL's limit is 107 bytes for `<folder>/.s.PGSQL.<port>`, and it appends `.lock` elsewhere.
        let fits = inside.as_os_str().len() + "/.s.PGSQL.65535".len() <= 107;
        let path = if fits { inside } else { PathBuf::from(format!("/tmp/pg-{}", random_name(8)?)) };
        if !path.exists() {
            make_private(&path)?;
        }
        account::hand_over(&path, self.account())?;
        Ok((path, !fits))
    }

    /// The last lines of the server's log.
    pub(crate) fn log_tail(&self) -> String {
        let bytes = fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// Makes a folder that only its owner can look into, failing when it exists.
pub(crate) fn make_private(path: &Path) -> Result<(), DevStackError> {
    DirBuilder::new().mode(0o700).create(path).map_err(DevStackError::io("make the folder", path))
}

/// Hexadecimal digits from the system's random source.
pub(crate) fn random_name(bytes: usize) -> Result<String, DevStackError> {
    let source = Path::new("/dev/urandom");
    let mut buffer = vec![0; bytes];
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut buffer))
        .map_err(DevStackError::io("read", source))?;
    Ok(buffer.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(hex_digit).collect())
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16).expect("a nibble is a hexadecimal digit")
}

fn refuse_foreign_files(folder: &Path) -> Result<(), DevStackError> {
    for entry in fs::read_dir(folder).map_err(DevStackError::io("list", folder))? {
        let name = entry.map_err(DevStackError::io("list", folder))?.file_name();
        if ![CLUSTER, CLUSTER_IN_MAKING, PASSWORD, LOCK, LOG, SOCKET].iter().any(|known| name == *known) {
            let found = name.to_string_lossy().into_owned();
            return Err(DevStackError::FolderNotOurs { folder: folder.to_owned(), found });
        }
    }
    Ok(())
}

fn read_holder(file: &mut File) -> Option<i32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    text.lines().next()?.parse().ok()
}

/// Whether the process exists, whoever owns it.
fn is_alive(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
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
#[path = "folder_tests.rs"]
mod tests;
