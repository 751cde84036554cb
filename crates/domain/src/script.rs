//! Scripts: what one asks of its database, what it leaves behind in its log, and how it can end.

use std::time::Duration;

use bytes::Bytes;

use crate::Timestamp;
use crate::execution::{Column, DatabaseError};
use crate::ids::RequestId;
use crate::ports::ExecutionError;
use crate::request::SubmissionKind;
use crate::review::{Effect, Finding, Position, Review};
use crate::target::{Engine, Limits, Target};
use crate::text::{DatabaseName, SubmissionText};

/// Bytes of console text that are kept of one script. What comes after them is counted and not kept.
pub const CONSOLE_BYTES: usize = 1024 * 1024;

/// Bytes that are kept of the text of each statement in the log.
pub const LOGGED_STATEMENT_BYTES: usize = 4 * 1024;

/// Bytes of statements that are kept in the log of one script altogether.
pub const LOGGED_STATEMENTS_BYTES: usize = 4 * 1024 * 1024;

/// What a script is given to run with.
#[derive(Clone, Debug)]
pub struct ScriptOrder {
    pub request: RequestId,
    /// Which `db` the script finds.
    pub engine: Engine,
    pub database: DatabaseName,
    pub text: SubmissionText,
    pub limits: Limits,
    /// True when nothing that the script does is kept.
    pub read_only: bool,
}

/// One statement that a script wants to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScriptStatement {
    /// SQL, or a command of MongoDB in Extended JSON.
    pub text: String,
    /// Values for `$1`, `$2` and so on, as the server reads them; `None` is NULL. MongoDB has none.
    pub parameters: Vec<Option<String>>,
    /// Asked of the handle of an open transaction, and not of `db`.
    pub in_transaction: bool,
}

/// What a script asks of its database. One call at a time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DatabaseCall {
    /// Runs a statement: in a transaction of its own, or in the one that the script has opened.
    Query(ScriptStatement),
    Begin,
    Commit,
    Rollback,
    /// Starts to read the rows of a statement piece by piece.
    Open(ScriptStatement),
    /// The next rows of what was opened under this number.
    Fetch {
        stream: u32,
        rows: u32,
    },
    Close {
        stream: u32,
    },
}

/// The answer to a [`DatabaseCall`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CallAnswer {
    /// What the server did, for example `SELECT` or `INSERT`.
    pub command: String,
    /// Empty for what returns no rows.
    pub columns: Vec<Column>,
    /// What the server counted.
    pub affected: Option<u64>,
    /// Rows in `ndjson`.
    pub rows: u32,
    /// Each line one JSON array of the row's values, as in a [`crate::execution::ResultChunk`].
    pub ndjson: Bytes,
    /// The number of what was opened.
    pub stream: Option<u32>,
    /// No rows come after these.
    pub done: bool,
    /// With this call something was committed on the target that is not a mere read: it stays whatever becomes of the
    /// script.
    pub committed: bool,
}

/// Why a call was not answered.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It may not run, or not now; nothing was sent to the server. The script goes on.
    #[error("{}", .0.message)]
    Refused(crate::review::Refusal),
    /// The server reported an error, and what the call's own transaction did is undone. The script goes on.
    #[error("{}", .0.message)]
    Database(DatabaseError),
    /// The same of a call that the server runs outside of transactions: a part of what it did may stay. The script goes
    /// on.
    #[error("{}", .0.message)]
    Partly(DatabaseError),
    /// The session is over, and so is the script.
    #[error("the session ended")]
    Ended(#[source] ExecutionError),
}

/// A script's value, as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReturnedValue {
    /// `undefined`.
    Nothing,
    /// JSON on one line.
    Single(Bytes),
    /// The elements of an array, each JSON on one line.
    Elements(Vec<Bytes>),
}

/// What a script threw and nobody caught.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ScriptError {
    /// For example `TypeError: x is not a function`.
    pub message: String,
    /// In the submitter's text.
    pub position: Option<Position>,
    /// The calls that led there, a line each, in the submitter's numbering. Empty when there is nothing to tell.
    pub stack: String,
    /// What the server said, when the error came from a database call.
    pub database_error: Option<DatabaseError>,
}

/// How a script ended.
#[derive(Debug)]
pub enum ScriptOutcome {
    Returned(ReturnedValue),
    Threw(ScriptError),
    /// The limit on time ran out; nothing runs on the target any more.
    TimedOut,
    /// Cancelled as asked; nothing runs on the target any more.
    Cancelled,
    OutOfMemory {
        limit_bytes: u64,
    },
    /// The script process did what no script can do, and was ended for it.
    Violation {
        what: String,
    },
    /// The script process ended by itself.
    Crashed {
        how: String,
    },
    /// The session on the target, or what keeps the log, ended the script.
    Ended(ExecutionError),
    /// No script process could be had; nothing ran.
    NotStarted {
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A script's end, with what it had done until then.
#[derive(Debug)]
pub struct ScriptEnd {
    pub outcome: ScriptOutcome,
    /// Database calls that were made.
    pub calls: u64,
    /// Transactions that were committed and were no mere reads; they stay whatever the outcome is.
    pub commits: u64,
    /// A transaction was open when the script ended, and was undone.
    pub undone: bool,
    /// Bytes of console text that were not kept.
    pub console_dropped: u64,
    pub duration: Duration,
}

impl ScriptEnd {
    /// The end of a script of which nothing ran.
    pub fn not_begun(outcome: ScriptOutcome, duration: Duration) -> Self {
        Self { outcome, calls: 0, commits: 0, undone: false, console_dropped: 0, duration }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ConsoleLevel {
    Debug,
    Log,
    Info,
    Warn,
    Error,
}

impl ConsoleLevel {
    pub const ALL: [Self; 5] = [Self::Debug, Self::Log, Self::Info, Self::Warn, Self::Error];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Log => "log",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|l| l.as_str() == text)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CallKind {
    Query,
    Stream,
    Begin,
    Commit,
    Rollback,
}

impl CallKind {
    pub const ALL: [Self; 5] = [Self::Query, Self::Stream, Self::Begin, Self::Commit, Self::Rollback];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Stream => "stream",
            Self::Begin => "begin",
            Self::Commit => "commit",
            Self::Rollback => "rollback",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == text)
    }
}

/// What became of one database call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallRecord {
    /// Counts from 1 in the order in which they were made.
    pub number: u64,
    pub kind: CallKind,
    /// The statement, of a long one beginning and end ([`LOGGED_STATEMENT_BYTES`]); never its parameters.
    pub statement: Option<String>,
    /// What the server counted.
    pub affected: Option<u64>,
    /// SQLSTATE, or the code of a refusal, of a call that failed.
    pub error: Option<String>,
    pub duration: Duration,
}

/// What a script said or did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogEntry {
    Console { level: ConsoleLevel, text: String },
    Call(CallRecord),
}

/// A line of a stored log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogLine {
    /// Counts from 1 without gaps.
    pub number: u64,
    pub at: Timestamp,
    pub entry: LogEntry,
}

impl LogEntry {
    /// Bytes of what a script can make long in it: its texts.
    pub fn text_bytes(&self) -> usize {
        match self {
            Self::Console { text, .. } => text.len(),
            Self::Call(call) => [&call.statement, &call.error].into_iter().flatten().map(String::len).sum(),
        }
    }
}

/// How much of a log is read at once. A line may be long, so lines alone would limit nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogLimit {
    pub lines: u32,
    /// Of their texts, see [`LogEntry::text_bytes`]. A first line that is longer is given all the same, by itself.
    pub bytes: usize,
}

impl LogLimit {
    pub const NONE: Self = Self { lines: u32::MAX, bytes: usize::MAX };

    /// How many of the lines with texts of these sizes are given, counted from the first.
    pub fn fitting(self, sizes: impl IntoIterator<Item = usize>) -> usize {
        let wanted = usize::try_from(self.lines).unwrap_or(usize::MAX);
        let totals = sizes.into_iter().scan(0_usize, |total, size| {
            *total = total.saturating_add(size);
            Some(*total)
        });
        totals.take(wanted).enumerate().take_while(|(i, total)| *i == 0 || *total <= self.bytes).count()
    }
}

/// A part of a stored log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogPart {
    pub lines: Vec<LogLine>,
    /// Whether more lines are there already.
    pub more: bool,
}

/// How much a stored log has of each kind of line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogCounts {
    pub console: u64,
    pub calls: u64,
}

/// What is told of a script before anybody decides on it. What it will do is known to nobody before it runs.
pub fn review(target: &Target) -> Review {
    let own = match target.engine {
        Engine::Postgresql => "each call outside of db.transaction",
        Engine::Mongodb => "each call outside of a transaction",
    };
    let message = format!(
        "A script decides while it runs which statements it executes. Read it: the rules for statements hold for each \
         of them, and {own} takes effect by itself."
    );
    Review {
        effect: if target.read_only { Effect::Read } else { Effect::Write },
        statements: 1,
        findings: vec![Finding { code: SubmissionKind::Script.as_str().to_owned(), message, position: None }],
    }
}
