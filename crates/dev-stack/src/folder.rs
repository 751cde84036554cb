//! A server's folder: who owns it, who uses it now, and what every server keeps in it.
//!
//! `cluster/` is the server's own data folder; beside it lie `superuser-password`, `lock` and `log`, and what one
//! kind of server needs, which this module must not know.

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

const CLUSTER: &str = "cluster";
const PASSWORD: &str = "superuser-password";
const LOCK: &str = "lock";
const LOG: &str = "log";

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
    /// Makes the folder, or checks the one that exists, and gives it to the user that the server runs as, which
    /// `choose` picks for the data folder in it. `own` are the names that this kind of server adds.
    pub(crate) fn prepare(
        path: &Path,
        own: &[&str],
        choose: impl FnOnce(&Path) -> Result<Option<Account>, DevStackError>,
    ) -> Result<Self, DevStackError> {
        let path = absolute(path).map_err(DevStackError::io("resolve", path))?;
        let account = choose(&path.join(CLUSTER))?;
        fs::create_dir_all(&path).map_err(DevStackError::io("make the folder", &path))?;
        let path = fs::canonicalize(&path).map_err(DevStackError::io("resolve", &path))?;
        // Before owner and mode change: a folder with somebody's own files in it is left as it is.
        refuse_foreign_files(&path, own)?;
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

    pub(crate) fn password_file(&self) -> PathBuf {
        self.path.join(PASSWORD)
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

    /// The superuser's password: the stored one, or a new one when the cluster is still to be made.
    pub(crate) fn password(&self, cluster_exists: bool) -> Result<String, DevStackError> {
        let path = self.password_file();
        match fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(DevStackError::Io { action: "read", path, source });
            }
            _ if cluster_exists => return Err(DevStackError::PasswordMissing(path)),
            _ => {}
        }
        let password = random_name(16)?;
        self.write(PASSWORD, &password)?;
        Ok(password)
    }

    /// Writes a file that only the server's user can read, in place of one that may be there; gives its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, DevStackError> {
        let path = self.path.join(name);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(DevStackError::io("write", &path))?;
        writeln!(file, "{text}").map_err(DevStackError::io("write", &path))?;
        account::hand_over(&path, self.account())?;
        Ok(path)
    }

    /// The last lines of the server's log.
    pub(crate) fn log_tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// What the server has written since it was started.
    pub(crate) fn log_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log()).unwrap_or_default()).into_owned()
    }
}

/// A new folder among the temporary ones. It is removed with this value: that is for a start that fails before its
/// guardian could.
#[derive(Debug)]
pub(crate) struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    pub(crate) fn make() -> Result<Self, DevStackError> {
        let path = std::env::temp_dir().join(format!("query-portal-test-{}", random_name(8)?));
        make_private(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Leaves the folder to the guardian.
    pub(crate) fn keep(mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // The guardian may have removed it already, and the failure that led here matters more.
            let _ = fs::remove_dir_all(&self.0);
        }
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

fn refuse_foreign_files(folder: &Path, own: &[&str]) -> Result<(), DevStackError> {
    for entry in fs::read_dir(folder).map_err(DevStackError::io("list", folder))? {
        let name = entry.map_err(DevStackError::io("list", folder))?.file_name();
        if ![CLUSTER, PASSWORD, LOCK, LOG].iter().chain(own).any(|known| name == *known) {
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
pub(crate) fn is_alive(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
