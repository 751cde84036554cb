//! What the portal and a script process say to each other, over one stream of bytes.
//!
//! A message is a frame: the length of its header and that of its payload (each four bytes, big-endian), then the
//! header (JSON) and the payload (bytes whose meaning the header tells). Both lengths have limits that are checked
//! before anything is read or kept. The portal speaks first ([`Prepare`]), the process answers with [`Ready`], and each
//! side goes away when the other's [`VERSION`] is not its own.
//!
//! This crate must not know what runs a script, nor what a database is beyond the words below.

mod frame;
mod message;

pub use frame::{FrameError, HEAD_BYTES, Head, MAX_HEADER_BYTES, encode, parse_header, read_frame};
pub use message::{
    Answer, Call, CallFailure, Checked, Compile, CompileError, Compiled, ConsoleLevel, Denied, Engine, Field,
    FromWorker, Layer, LayerState, Prepare, Ready, Run, SetUp, Shape, SyntaxError, Threw, ToWorker,
};

/// The version of the messages. Both sides come from one build, so there is no other to get along with.
pub const VERSION: u32 = 2;

/// Most bytes of a payload that goes to a script process: a start-up snapshot, a script, the rows of an answer.
pub const MAX_TO_WORKER: usize = 64 * 1024 * 1024;

/// Most bytes of a payload that comes from a script process: a value, a statement, a line of the console.
pub const MAX_FROM_WORKER: usize = 32 * 1024 * 1024;

/// Most bytes of JSON that a script may return. The process says so itself before the portal has to.
pub const MAX_RESULT: usize = 16 * 1024 * 1024;

/// Most bytes of a statement.
pub const MAX_STATEMENT: usize = 8 * 1024 * 1024;

/// Most commands that one text may come to.
pub const MAX_COMMANDS: usize = 1_000;

/// Most bytes of one line of the console; the process cuts longer ones.
pub const MAX_LINE: usize = 64 * 1024;

/// Bytes that a line of the console counts at least: short ones cost who keeps them more than their text.
pub const LEAST_LINE: usize = 64;

/// Most parameters of a statement, as in PostgreSQL's own protocol.
pub const MAX_PARAMETERS: usize = 65_535;

/// Most rows that are fetched at once.
pub const MAX_FETCH: u32 = 10_000;
