//! What an execution is given, what it reports, and how it can end badly.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};

use crate::ids::RequestId;
use crate::request::{ExtendedJson, Submission};
use crate::review::Position;
use crate::target::{Limits, Target};
use crate::text::DatabaseName;

/// How many rows of a result are kept beside the request for a quick look.
pub const PREVIEW_ROWS: usize = 100;

/// Everything that an executor needs for one run.
#[derive(Clone, Debug)]
pub struct ExecutionOrder {
    pub request: RequestId,
    pub target: Target,
    pub database: DatabaseName,
    pub credentials: Credentials,
    pub submission: Submission,
    pub limits: Limits,
    /// True when the target or the request is read-only.
    pub read_only: bool,
    pub extended_json: ExtendedJson,
}

/// A login to a target. Never printed, never serialised.
#[derive(Clone)]
pub struct Credentials {
    pub username: String,
    pub password: SecretString,
    /// The servers that they are for, where what is kept says so: hosts in lower case, each with its port.
    pub hosts: Option<BTreeSet<String>>,
}

impl Credentials {
    /// A login for whatever server it is bound to.
    pub fn new(username: impl Into<String>, password: SecretString) -> Self {
        Self { username: username.into(), password, hosts: None }
    }

    /// Whether both are the same login.
    pub fn is_same_login(&self, other: &Self) -> bool {
        self.username == other.username && self.password.expose_secret() == other.password.expose_secret()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// A column of a result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    pub name: String,
    /// The server's name of the type, for example `timestamptz` or `_int4`.
    pub type_name: String,
}

/// A part of a result: rows of one statement as NDJSON, each line one JSON array of the row's values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResultChunk {
    /// Counts from 0 in the order of execution.
    pub statement: u32,
    pub rows: u32,
    /// Whole lines only, each ending in `\n`.
    pub ndjson: Bytes,
}

/// What became of one statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatementReport {
    /// The command, for example `SELECT`, `INSERT` or `CREATE TABLE`.
    pub command: String,
    /// Present when the statement returns rows, even when there are none.
    pub columns: Option<Vec<Column>>,
    /// Rows kept in the result.
    pub rows: u64,
    /// What the server counted: rows selected, inserted, updated, deleted.
    pub affected: Option<u64>,
    /// Rows were left out because of a limit.
    pub truncated: bool,
}

/// A message that the server sent along the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    pub severity: String,
    pub code: String,
    pub message: String,
}

/// What a successful execution reports.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExecutionReport {
    pub statements: Vec<StatementReport>,
    pub notices: Vec<Notice>,
    /// From the first statement sent to the commit confirmed.
    pub duration: Duration,
}

impl ExecutionReport {
    pub fn truncated(&self) -> bool {
        self.statements.iter().any(|s| s.truncated)
    }
}

/// The first rows of a result, each with the number of its statement; a row is a JSON array in text.
pub type Preview = Vec<PreviewRow>;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PreviewRow {
    pub statement: u32,
    pub json: String,
}

/// An error that the target's server reported.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DatabaseError {
    /// SQLSTATE, or MongoDB's `codeName`.
    pub code: String,
    /// MongoDB's number of the error.
    pub number: Option<i32>,
    pub severity: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// Counts from 0.
    pub statement: Option<u32>,
    /// In the submitter's text.
    pub position: Option<Position>,
}

/// Why a request failed, as its requester reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    pub kind: FailureKind,
    /// A plain sentence that says what happened. It never holds a credential.
    pub message: String,
    /// What the server said, where it said something.
    pub database_error: Option<DatabaseError>,
    /// Present when a script failed.
    pub script: Option<ScriptPlace>,
}

/// Where in a script an error came up; empty where that cannot be told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ScriptPlace {
    /// In the submitter's text.
    pub position: Option<Position>,
    /// The calls that led there, a line each.
    pub stack: String,
    /// Transactions that had been committed before and stay in effect, mere reads not counted.
    pub commits: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FailureKind {
    /// What was approved is not what would run now, or may not run any more.
    Refused,
    /// The credentials could not be had, or the target did not accept them.
    Credentials,
    /// The target could not be reached.
    TargetUnavailable,
    /// The server reported an error; nothing of the request took effect, unless the message says so.
    Database,
    /// The limit on time ran out; nothing of the request took effect.
    TimedOut,
    /// The portal itself failed; nothing of the request took effect.
    Internal,
    /// A script threw something that it did not catch.
    Script,
    /// A script used more memory than it may.
    OutOfMemory,
    /// A script's process did what no script can do, and was ended.
    PolicyViolation,
    /// A script's process ended by itself.
    Crashed,
    /// A script was cancelled when some of what it did had taken effect already.
    Stopped,
    /// A person looked into an interrupted request and said that it failed.
    Resolved,
}

impl FailureKind {
    pub const ALL: [Self; 12] = [
        Self::Refused,
        Self::Credentials,
        Self::TargetUnavailable,
        Self::Database,
        Self::TimedOut,
        Self::Internal,
        Self::Script,
        Self::OutOfMemory,
        Self::PolicyViolation,
        Self::Crashed,
        Self::Stopped,
        Self::Resolved,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Credentials => "credentials",
            Self::TargetUnavailable => "target_unavailable",
            Self::Database => "database",
            Self::TimedOut => "timed_out",
            Self::Internal => "internal",
            Self::Script => "script",
            Self::OutOfMemory => "out_of_memory",
            Self::PolicyViolation => "policy_violation",
            Self::Crashed => "crashed",
            Self::Stopped => "stopped",
            Self::Resolved => "resolved",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == text)
    }
}
