//! The states of a request, each with the data that exists only then.

use crate::Timestamp;
use crate::digest::Digest;
use crate::execution::{ExecutionReport, Failure, Preview};
use crate::ids::{JobId, UserId};
use crate::text::{Email, Remark};

/// Where a request stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// Waits for (more) approvals.
    Pending {
        approvals: Vec<Approval>,
        expires_at: Timestamp,
    },
    /// Has all approvals and waits for its execution.
    Approved {
        approvals: Vec<Approval>,
        approved_at: Timestamp,
        expires_at: Timestamp,
    },
    Rejected {
        decision: Decision,
    },
    Withdrawn {
        at: Timestamp,
    },
    Expired {
        at: Timestamp,
    },
    /// Runs on some portal process.
    Executing {
        approvals: Vec<Approval>,
        run: Run,
        cancel: Option<CancelAsked>,
    },
    Completed {
        approvals: Vec<Approval>,
        run: Run,
        completion: Box<Completion>,
    },
    /// `run` is absent when the request was refused before anything started.
    Failed {
        approvals: Vec<Approval>,
        run: Option<Run>,
        failure: Box<Failure>,
        finished_at: Timestamp,
        resolution: Option<Resolution>,
    },
    Cancelled {
        approvals: Vec<Approval>,
        run: Run,
        asked: CancelAsked,
        finished_at: Timestamp,
    },
    /// The executing process was lost; whether anything took effect is not known.
    Interrupted {
        approvals: Vec<Approval>,
        run: Run,
        cancel: Option<CancelAsked>,
        lost_at: Timestamp,
    },
}

/// The state without its data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum StateKind {
    Pending,
    Approved,
    Rejected,
    Withdrawn,
    Expired,
    Executing,
    Completed,
    Failed,
    Cancelled,
    Interrupted,
}

impl StateKind {
    pub const ALL: [Self; 10] = [
        Self::Pending,
        Self::Approved,
        Self::Rejected,
        Self::Withdrawn,
        Self::Expired,
        Self::Executing,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Interrupted,
    ];

    /// The public value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
            Self::Executing => "executing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }

    /// Nothing happens to the request any more by itself: it is over, or waits for a person.
    pub const fn is_settled(self) -> bool {
        match self {
            Self::Approved | Self::Executing => false,
            Self::Pending
            | Self::Rejected
            | Self::Withdrawn
            | Self::Expired
            | Self::Completed
            | Self::Failed
            | Self::Cancelled
            | Self::Interrupted => true,
        }
    }
}

impl StateKind {
    /// Nothing can happen to the request any more.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::Approved | Self::Executing | Self::Interrupted => false,
            Self::Rejected
            | Self::Withdrawn
            | Self::Expired
            | Self::Completed
            | Self::Failed
            | Self::Cancelled => true,
        }
    }
}

impl std::fmt::Display for StateKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl State {
    pub const fn kind(&self) -> StateKind {
        match self {
            Self::Pending { .. } => StateKind::Pending,
            Self::Approved { .. } => StateKind::Approved,
            Self::Rejected { .. } => StateKind::Rejected,
            Self::Withdrawn { .. } => StateKind::Withdrawn,
            Self::Expired { .. } => StateKind::Expired,
            Self::Executing { .. } => StateKind::Executing,
            Self::Completed { .. } => StateKind::Completed,
            Self::Failed { .. } => StateKind::Failed,
            Self::Cancelled { .. } => StateKind::Cancelled,
            Self::Interrupted { .. } => StateKind::Interrupted,
        }
    }

    /// The approvals that count; a state that never had any has none.
    pub fn approvals(&self) -> &[Approval] {
        match self {
            Self::Pending { approvals, .. }
            | Self::Approved { approvals, .. }
            | Self::Executing { approvals, .. }
            | Self::Completed { approvals, .. }
            | Self::Failed { approvals, .. }
            | Self::Cancelled { approvals, .. }
            | Self::Interrupted { approvals, .. } => approvals,
            Self::Rejected { .. } | Self::Withdrawn { .. } | Self::Expired { .. } => &[],
        }
    }

    pub fn run(&self) -> Option<&Run> {
        match self {
            Self::Executing { run, .. }
            | Self::Completed { run, .. }
            | Self::Cancelled { run, .. }
            | Self::Interrupted { run, .. } => Some(run),
            Self::Failed { run, .. } => run.as_ref(),
            Self::Pending { .. }
            | Self::Approved { .. }
            | Self::Rejected { .. }
            | Self::Withdrawn { .. }
            | Self::Expired { .. } => None,
        }
    }
}

/// A person who decides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Approver {
    pub id: UserId,
    pub email: Email,
}

/// One person's approval of exactly what the digest stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Approval {
    pub by: Approver,
    pub digest: Digest,
    pub at: Timestamp,
}

/// A rejection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    pub by: Approver,
    pub reason: Remark,
    pub at: Timestamp,
}

/// The one execution of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    pub job: JobId,
    pub worker: String,
    pub started_at: Timestamp,
}

/// Somebody asked for the execution to stop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CancelAsked {
    /// `None` is a draining server.
    pub by: Option<Approver>,
    pub at: Timestamp,
}

/// A successful end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Completion {
    pub finished_at: Timestamp,
    pub result: ResultKept,
    pub resolution: Option<Resolution>,
}

/// What is left of the result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ResultKept {
    Stored {
        report: ExecutionReport,
        preview: Preview,
    },
    /// The changes took effect, but the process that held the result was lost.
    Lost,
}

/// How an interrupted request came to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resolution {
    /// The target itself knew.
    Proof { evidence: String, at: Timestamp },
    /// A person looked and said so.
    Person { by: Approver, note: Remark, at: Timestamp },
}
