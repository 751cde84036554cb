//! The messages. What a payload holds is told with each.

use serde::{Deserialize, Serialize};

/// From the portal to a script process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ToWorker {
    /// The first message. Payload: the start-up snapshot.
    Prepare(Prepare),
    /// Instead of [`ToWorker::Prepare`]: make the start-up snapshot, answer with it, and end.
    MakeSnapshot { version: u32 },
    /// Read a script without running it. Payload: its text.
    Check,
    /// Evaluate what a person would type into MongoDB's shell, without a database. Payload: its text.
    Compile(Compile),
    /// Run a script. Payload: its text.
    Run(Run),
    /// The answer to a call. Payload: the rows, a JSON array of arrays.
    Answer(Answer),
    /// A call failed.
    Failed { call: u64, failure: CallFailure },
}

/// From a script process to the portal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FromWorker {
    /// Warm, locked down, and waiting.
    Ready(Ready),
    /// Payload: the start-up snapshot.
    Snapshot { version: u32 },
    /// What came of [`ToWorker::Check`].
    Checked(Checked),
    /// What came of [`ToWorker::Compile`]. Payload: the commands as canonical Extended JSON, a line each.
    Compiled(Compiled),
    /// A line of the console. Payload: its text.
    Console { level: ConsoleLevel },
    /// Bytes of console text that were not sent because the script had said so much already.
    ConsoleDropped { bytes: u64 },
    /// A database call; the next one comes after its answer. Payload: the statement, empty for calls without one.
    Call { number: u64, call: Call },
    /// The script's value. Payload: JSON on one line, or a line for each element.
    Returned { shape: Shape },
    /// The script threw something and did not catch it.
    Threw(Threw),
    /// The script used up its heap.
    OutOfMemory,
}

/// How a process gets ready.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prepare {
    pub version: u32,
    /// Most bytes of JavaScript's heap.
    pub heap_bytes: u64,
    /// Most bytes of memory that the process may have altogether.
    pub memory_bytes: u64,
    /// Seconds of processor time after which the kernel ends the process, whatever the portal does.
    pub cpu_seconds: u64,
    pub set_up: SetUp,
}

/// Which layers of isolation to put on. All of them, except in tests that look at one alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetUp {
    pub namespaces: bool,
    pub landlock: bool,
    pub limits: bool,
    pub seccomp: bool,
}

impl SetUp {
    pub const FULL: Self = Self { namespaces: true, landlock: true, limits: true, seccomp: true };
}

/// A process says that it is ready.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    pub version: u32,
    /// The version of V8.
    pub engine: String,
    pub layers: Vec<Layer>,
}

/// A layer of isolation, and whether this host gave it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    pub name: String,
    pub state: LayerState,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LayerState {
    On,
    /// Not asked for.
    Off,
    /// The host does not give it; why, for operators.
    Missing(String),
}

/// Which `db` a script finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Engine {
    Postgresql,
    Mongodb,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compile {
    /// The database that `db` is; a command for another one says so.
    pub database: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compiled {
    /// Instead of commands.
    pub error: Option<CompileError>,
}

/// Why a text came to no commands. Lines and columns count from 1; columns count characters.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompileError {
    /// Stable, for programs.
    pub code: String,
    pub message: String,
    pub line: Option<u32>,
    pub column: Option<u32>,
}

/// What holds for one run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    pub engine: Engine,
    /// The database that `db` is.
    pub database: String,
    /// Most database calls.
    pub max_calls: u64,
    /// Most bytes of console text.
    pub console_bytes: u64,
}

/// A database call. A statement is SQL, or a command of MongoDB as canonical Extended JSON, which takes no parameters and
/// names a database other than the script's own in its last field, `$db`. MongoDB's rows have one value, the document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Call {
    Query {
        parameters: Vec<Option<String>>,
        in_transaction: bool,
    },
    Begin,
    Commit,
    Rollback,
    /// Opens a stream of rows.
    Open {
        parameters: Vec<Option<String>>,
        in_transaction: bool,
    },
    Fetch {
        stream: u32,
        rows: u32,
    },
    Close {
        stream: u32,
    },
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    pub call: u64,
    pub command: String,
    pub fields: Vec<Field>,
    pub affected: Option<u64>,
    pub rows: u32,
    pub stream: Option<u32>,
    pub done: bool,
}

/// A column.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    pub name: String,
    #[serde(rename = "type")]
    pub type_name: String,
}

/// Why a call failed, as the script may know it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CallFailure {
    /// The server's error.
    Database(Denied),
    /// A rule of the portal.
    Refused(Denied),
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denied {
    /// SQLSTATE, MongoDB's `codeName`, or the code of a refusal.
    pub code: String,
    /// MongoDB's number of the error.
    pub number: Option<i32>,
    pub message: String,
    pub severity: Option<String>,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checked {
    pub error: Option<SyntaxError>,
}

/// Lines and columns count from 1; columns count characters.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyntaxError {
    pub message: String,
    pub line: u32,
    pub column: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ConsoleLevel {
    Debug,
    Log,
    Info,
    Warn,
    Error,
}

/// What the payload of a value holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Shape {
    /// `undefined`.
    Nothing,
    Single,
    /// An array's elements, a line each.
    Elements,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threw {
    pub message: String,
    /// From 1, in the submitter's text; absent where it cannot be told.
    pub line: Option<u32>,
    /// From 1, in characters.
    pub column: Option<u32>,
    /// A line for each call in the submitter's text.
    pub stack: String,
    /// The number of the database call that failed, when the error came from one.
    pub call: Option<u64>,
}
