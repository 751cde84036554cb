//! A request: what somebody wants to run, where, and how far it has come.

mod machine;
mod state;
mod summary;

pub use machine::{Edit, Effect, Event, EventKind, InvalidTransition, NotificationKind};
pub use state::{
    Approval, Approver, CancelAsked, Completion, Decision, Resolution, ResultKept, Run, State, StateKind,
};

use crate::Timestamp;
pub use summary::RequestSummary;

use crate::digest::{Digest, DigestInput};
use crate::ids::{InstanceId, PodId, RequestId, UserId};
use crate::review::Review;
use crate::target::{Engine, Limits, Target};
use crate::text::{DatabaseName, DisplayName, Email, Remark, SubmissionText};

/// Counts the stored changes of a request; a change that was based on an older version is refused.
pub type Version = i64;

/// A request in full.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    pub id: RequestId,
    /// The version that was read; a new request has 0 until it is stored as version 1.
    pub version: Version,
    pub requester: Requester,
    pub pod: PodRef,
    pub target: TargetRef,
    pub submission: Submission,
    pub options: RunOptions,
    pub limits: Limits,
    pub comments: Option<Remark>,
    pub review: Review,
    /// At least 1.
    pub approvals_needed: u16,
    /// How long the request may wait, first for approval and then for its execution.
    pub approval_ttl: std::time::Duration,
    /// Whether the requester has changed it since it was submitted.
    pub edited: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub state: State,
}

/// Who submitted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Requester {
    pub id: UserId,
    pub email: Email,
    pub name: DisplayName,
}

/// The POD that decides, with its name at the time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodRef {
    pub id: PodId,
    pub name: DisplayName,
}

/// The target as it was when the request was submitted or edited. What is in here is what the
/// approver saw; the execution compares it with the target as it is then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetRef {
    pub instance: InstanceId,
    pub name: DisplayName,
    pub engine: Engine,
    pub connection_revision: i32,
    pub database: DatabaseName,
    pub read_only: bool,
    pub search_path: Option<String>,
}

impl TargetRef {
    pub fn of(target: &Target, database: DatabaseName) -> Self {
        Self {
            instance: target.id.clone(),
            name: target.name.clone(),
            engine: target.engine,
            connection_revision: target.connection_revision,
            database,
            read_only: target.read_only,
            search_path: target.search_path.clone(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SubmissionKind {
    Query,
    Script,
}

impl SubmissionKind {
    pub const ALL: [Self; 2] = [Self::Query, Self::Script];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Script => "script",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == text)
    }
}

/// What is to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Submission {
    pub kind: SubmissionKind,
    pub text: SubmissionText,
    /// Of an uploaded script; shown, never used as a path.
    pub filename: Option<String>,
    /// Commands that the text was compiled to (MongoDB); executed as stored. Empty for SQL.
    pub compiled: Vec<String>,
}

/// Choices of the requester that change what runs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RunOptions {
    /// Not to be started before this moment.
    pub not_before: Option<Timestamp>,
    /// How documents of MongoDB are written in the result.
    pub extended_json: ExtendedJson,
}

/// The two formats of MongoDB's Extended JSON (v2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum ExtendedJson {
    /// Easy to read: numbers and most dates look as in plain JSON.
    #[default]
    Relaxed,
    /// Keeps every type.
    Canonical,
}

impl ExtendedJson {
    pub const ALL: [Self; 2] = [Self::Relaxed, Self::Canonical];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Relaxed => "relaxed",
            Self::Canonical => "canonical",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.as_str() == text)
    }
}

impl Request {
    /// What an approval of this request binds to. It covers everything that decides what runs and where.
    pub fn digest(&self) -> Digest {
        self.digest_against(&self.target)
    }

    /// The same with the target as it is now: equal to [`Request::digest`] only while nothing has changed there.
    pub fn digest_against(&self, target: &TargetRef) -> Digest {
        DigestInput { target, submission: &self.submission, options: &self.options, limits: &self.limits }
            .digest()
    }

    pub fn is_requester(&self, user: UserId) -> bool {
        self.requester.id == user
    }
}
