//! What a SQL text holds: its statements, what each of them may do, and whether it may run at all.
//!
//! This module never talks to a server and never looks at a target's settings beyond "read-only".

mod accounts;
mod classify;
mod explain;
mod findings;
mod kinds;
mod lex;
mod refuse;
mod settings;
mod split;
mod tag;
mod text;
mod warn;
mod words;

use std::ops::Range;

use domain::review::{Effect, Finding};

pub(crate) use refuse::TRANSACTION_CONTROL;
pub(crate) use text::{Text, analyse};
pub(crate) use words::first_keyword;

/// What a statement may do, and how it has to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    Read,
    Write,
    /// `DO` and `CALL`: code that may do anything. On a read-only target the server's own read-only
    /// transaction holds it.
    Code,
    Administrative,
    Session,
    Cursor,
    /// Cannot run inside a transaction, and must therefore be alone in its request.
    Alone,
}

impl Class {
    /// Whether a read-only target refuses it before it is sent.
    pub(crate) const fn needs_writable(self) -> bool {
        matches!(self, Self::Write | Self::Administrative | Self::Alone)
    }

    pub(crate) const fn effect(self, read_only: bool) -> Effect {
        match self {
            Self::Read | Self::Session | Self::Cursor => Effect::Read,
            Self::Code if read_only => Effect::Read,
            Self::Write | Self::Code => Effect::Write,
            Self::Administrative | Self::Alone => Effect::Administrative,
        }
    }
}

/// One statement of a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Statement {
    /// Its bytes in the whole text, without the blanks, comments and semicolon around it.
    pub(crate) range: Range<usize>,
    pub(crate) class: Class,
    /// For reports, for example `CREATE TABLE`.
    pub(crate) command: String,
    /// What an approver should know about it, until the findings of the whole text are put together.
    pub(crate) findings: Vec<Finding>,
}
