//! What can go wrong while a server starts, each with what a person can do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a server could not be started or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevStackError {
    /// No folder with `initdb` and `postgres` was found.
    #[error(
        "PostgreSQL's server programs (initdb, postgres) were not found: install them \
         (`apt-get install -y postgresql` on Debian and Ubuntu, `brew install postgresql` on macOS), \
         or set PG_BIN to the folder that holds them"
    )]
    ProgramsMissing,
    /// `PG_BIN` is set and names a folder without the programs.
    #[error("PG_BIN is {}, which does not hold initdb and postgres: correct it or unset it", .0.display())]
    PgBinWrong(PathBuf),
    /// No `mongod` was found.
    #[error(
        "MongoDB's server program (mongod) was not found: on Linux with x86-64, `./x test` and `./x demo` fetch one; \
         elsewhere install MongoDB and set MONGOD_BIN to the path of its mongod"
    )]
    MongodMissing,
    /// `MONGOD_BIN` is set and names no program.
    #[error("MONGOD_BIN is {}, which is no program: correct it or unset it", .0.display())]
    MongodBinWrong(PathBuf),
    /// A folder on the way cannot be entered by the user that the server runs as.
    #[error(
        "{} cannot be reached by user `{user}`, under which the server runs because root started it: \
         {} does not let that user pass; choose a folder that every user can reach, such as one under /var/tmp",
        .path.display(), .blocked_by.display()
    )]
    NotReachable {
        /// What the server needs to reach.
        path: PathBuf,
        /// The folder above it that does not let the user pass.
        blocked_by: PathBuf,
        /// The user that the server runs as.
        user: String,
    },
    /// The caller is root, and the system has neither a `postgres` nor a `nobody` user.
    #[error(
        "PostgreSQL refuses to run as root, and this system has neither a user `postgres` nor `nobody`: \
         create the user `postgres`, or start as an ordinary user"
    )]
    NoAccount,
    /// The data folder holds files that dev-stack did not put there.
    #[error(
        "{} is not empty and holds no such server's data made here (it holds `{found}`): choose an empty folder or a new one",
        .folder.display()
    )]
    FolderNotOurs {
        /// The data folder.
        folder: PathBuf,
        /// The first name in it that is not known.
        found: String,
    },
    /// Somebody else's server uses the data folder.
    #[error(
        "another instance uses {} (process {pid}): stop it, or choose another folder", .folder.display()
    )]
    InUse {
        /// The data folder.
        folder: PathBuf,
        /// The process that holds it; 0 when it is not known.
        pid: i32,
    },
    /// The wanted port is taken.
    #[error(
        "port {port} on 127.0.0.1 is already in use: stop what listens there, or choose another port \
         (`ss -ltnp` shows who holds it)"
    )]
    PortBusy {
        /// The wanted port.
        port: u16,
    },
    /// The data folder's replica set knows itself by another port.
    #[error(
        "the MongoDB server in {} was made for port {kept}, and cannot serve {wanted}: start it with port {kept}, \
         or choose another folder",
        .folder.display()
    )]
    OtherPort {
        /// The data folder.
        folder: PathBuf,
        /// The port that it was made for.
        kept: u16,
        /// The port that was asked for.
        wanted: u16,
    },
    /// MongoDB did not carry out a command of its first start.
    #[error("a new MongoDB server could not be set up (`{command}`)")]
    MongoCommand {
        /// The command's name.
        command: &'static str,
        /// What went wrong.
        source: io::Error,
    },
    /// The cluster was made by another major version of PostgreSQL.
    #[error(
        "{} was made by PostgreSQL {cluster}, but the installed programs are version {programs}: \
         install version {cluster}, name its programs in PG_BIN, or choose another folder",
        .folder.display()
    )]
    VersionMismatch {
        /// The data folder.
        folder: PathBuf,
        /// The cluster's major version.
        cluster: String,
        /// The major version of the programs found.
        programs: String,
    },
    /// The cluster is there, the file with its superuser's password is not.
    #[error(
        "{} is missing, so nobody can log in to the cluster beside it: put the file back, \
         or choose another folder", .0.display()
    )]
    PasswordMissing(PathBuf),
    /// `initdb` failed.
    #[error("initdb could not make a cluster in {}: {output}", .folder.display())]
    InitdbFailed {
        /// The data folder.
        folder: PathBuf,
        /// What initdb said.
        output: String,
    },
    /// The server ended or did not get ready in time.
    #[error("{server} did not get ready: {reason}; the end of its log:\n{log}")]
    NotReady {
        /// The product's name.
        server: &'static str,
        /// What was seen.
        reason: &'static str,
        /// The last lines of the server's log.
        log: String,
    },
    /// A call of the operating system failed.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file, folder or program concerned.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl DevStackError {
    /// Adds what was tried, and on what, to an error of the operating system.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// The error and its causes in one line, for a person.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}
