//! The state machine: what an event does to a request. Pure: no store, no clock.
//!
//! Whether a *person* may cause an event is decided in [`crate::policy`]; what must hold whoever asks
//! (nobody approves their own request, two approvals come from two people) is decided here as well.

use super::state::{
    Approval, Approver, CancelAsked, Completion, Decision, Resolution, ResultKept, Run, State, StateKind,
};
use super::{Request, RunOptions, Submission, TargetRef};
use crate::Timestamp;
use crate::digest::Digest;
use crate::execution::{ExecutionReport, Failure, FailureKind, Preview};
use crate::job::Audience;
use crate::review::Review;
use crate::target::Limits;
use crate::text::Remark;

/// Something that happens to a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// `digest` is what the approver saw; it may be absent only while the request was never edited.
    Approve {
        by: Approver,
        digest: Option<Digest>,
    },
    Reject {
        by: Approver,
        reason: Remark,
    },
    Withdraw,
    Expire,
    Edit(Box<Edit>),
    Start(Run),
    Refuse(Failure),
    Succeed {
        report: ExecutionReport,
        preview: Preview,
    },
    Fail(Failure),
    RequestCancel {
        by: Option<Approver>,
    },
    ConfirmCancelled,
    LoseContact,
    ResolveByProof {
        committed: bool,
        evidence: String,
    },
    ResolveByPerson {
        by: Approver,
        committed: bool,
        note: Remark,
    },
}

/// What a requester may change while a request is pending.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edit {
    pub target: TargetRef,
    pub submission: Submission,
    pub options: RunOptions,
    pub limits: Limits,
    pub comments: Option<Remark>,
    pub review: Review,
    pub approvals_needed: u16,
}

/// The event without its data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EventKind {
    Approve,
    Reject,
    Withdraw,
    Expire,
    Edit,
    Start,
    Refuse,
    Succeed,
    Fail,
    RequestCancel,
    ConfirmCancelled,
    LoseContact,
    ResolveByProof,
    ResolveByPerson,
}

impl EventKind {
    /// The word for the audit trail.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Withdraw => "withdraw",
            Self::Expire => "expire",
            Self::Edit => "edit",
            Self::Start => "start",
            Self::Refuse => "refuse",
            Self::Succeed => "succeed",
            Self::Fail => "fail",
            Self::RequestCancel => "request_cancel",
            Self::ConfirmCancelled => "confirm_cancelled",
            Self::LoseContact => "lose_contact",
            Self::ResolveByProof => "resolve_by_proof",
            Self::ResolveByPerson => "resolve_by_person",
        }
    }
}

impl std::fmt::Display for EventKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Event {
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::Approve { .. } => EventKind::Approve,
            Self::Reject { .. } => EventKind::Reject,
            Self::Withdraw => EventKind::Withdraw,
            Self::Expire => EventKind::Expire,
            Self::Edit(_) => EventKind::Edit,
            Self::Start(_) => EventKind::Start,
            Self::Refuse(_) => EventKind::Refuse,
            Self::Succeed { .. } => EventKind::Succeed,
            Self::Fail(_) => EventKind::Fail,
            Self::RequestCancel { .. } => EventKind::RequestCancel,
            Self::ConfirmCancelled => EventKind::ConfirmCancelled,
            Self::LoseContact => EventKind::LoseContact,
            Self::ResolveByProof { .. } => EventKind::ResolveByProof,
            Self::ResolveByPerson { .. } => EventKind::ResolveByPerson,
        }
    }
}

/// What the store has to do in the transaction that writes the new state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Queue the one execution.
    EnqueueExecution { not_before: Option<Timestamp> },
    /// Take the queued execution back.
    DropExecution,
    /// Tell the executing process to stop.
    SignalCancel,
    /// Queue a notification.
    Notify(NotificationKind),
}

/// What people are told about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NotificationKind {
    Submitted,
    Approved,
    Rejected,
    Withdrawn,
    Expired,
    Completed,
    Failed,
    Cancelled,
    Interrupted,
}

impl NotificationKind {
    pub const ALL: [Self; 9] = [
        Self::Submitted,
        Self::Approved,
        Self::Rejected,
        Self::Withdrawn,
        Self::Expired,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Interrupted,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == text)
    }

    /// Who is told, of this request: the channel of everything, because its message shows how the request stands; the
    /// requester of what others or the portal did.
    pub fn audiences(self, request: &Request) -> Vec<Audience> {
        let requester = match self {
            Self::Submitted | Self::Approved | Self::Withdrawn => false,
            Self::Rejected | Self::Expired | Self::Completed | Self::Failed | Self::Interrupted => true,
            Self::Cancelled => match &request.state {
                State::Cancelled { asked, .. } => {
                    !asked.by.as_ref().is_some_and(|by| request.is_requester(by.id))
                }
                _ => true,
            },
        };
        if requester { vec![Audience::Channel, Audience::Requester] } else { vec![Audience::Channel] }
    }
}

/// An event that cannot happen to the request as it is.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidTransition {
    #[error("{event} is not possible while the request is {from}")]
    WrongState { from: StateKind, event: EventKind },
    #[error("a requester cannot decide on their own request")]
    OwnRequest,
    #[error("this person has already approved the request")]
    AlreadyApproved,
    /// The reaper has not come by yet, but the request counts as expired.
    #[error("the request has waited for too long and has expired")]
    Overdue,
    #[error("the request has changed since the approver saw it")]
    DigestMismatch { current: Digest },
    #[error("an approval of this request has to name the digest that the approver saw")]
    DigestRequired,
}

impl Request {
    /// Applies an event. Consumes the request: the old state cannot be used any more.
    ///
    /// # Errors
    /// [`InvalidTransition`] says why the event cannot happen; the caller still has its copy in the store.
    pub fn apply(self, event: Event, now: Timestamp) -> Result<(Self, Vec<Effect>), InvalidTransition> {
        let wrong_state = InvalidTransition::WrongState { from: self.state.kind(), event: event.kind() };
        match event {
            Event::Approve { by, digest } => self.approve(by, digest, now, wrong_state),
            Event::Reject { by, reason } => self.reject(by, reason, now, wrong_state),
            Event::Withdraw => {
                self.leave(State::Withdrawn { at: now }, NotificationKind::Withdrawn, now, wrong_state)
            }
            Event::Expire => {
                self.leave(State::Expired { at: now }, NotificationKind::Expired, now, wrong_state)
            }
            Event::Edit(edit) => self.edit(*edit, now, wrong_state),
            Event::Start(run) => self.start(run, now, wrong_state),
            Event::Refuse(failure) => self.refuse(failure, now, wrong_state),
            Event::Succeed { report, preview } => {
                self.succeed(ResultKept::Stored { report, preview }, now, wrong_state)
            }
            Event::Fail(failure) => self.fail(failure, now, wrong_state),
            Event::RequestCancel { by } => self.request_cancel(by, now, wrong_state),
            Event::ConfirmCancelled => self.confirm_cancelled(now, wrong_state),
            Event::LoseContact => self.lose_contact(now, wrong_state),
            Event::ResolveByProof { committed, evidence } => {
                self.resolve(committed, Resolution::Proof { evidence, at: now }, now, wrong_state)
            }
            Event::ResolveByPerson { by, committed, note } => {
                if self.is_requester(by.id) && self.state.kind() == StateKind::Interrupted {
                    return Err(InvalidTransition::OwnRequest);
                }
                self.resolve(committed, Resolution::Person { by, note, at: now }, now, wrong_state)
            }
        }
    }

    fn into_state(mut self, state: State, now: Timestamp) -> Self {
        self.state = state;
        self.updated_at = now;
        self
    }

    fn approve(
        self,
        by: Approver,
        seen: Option<Digest>,
        now: Timestamp,
        wrong: InvalidTransition,
    ) -> Applied {
        let State::Pending { mut approvals, expires_at } = self.state.clone() else { return Err(wrong) };
        if self.is_requester(by.id) {
            return Err(InvalidTransition::OwnRequest);
        }
        if expires_at <= now {
            return Err(InvalidTransition::Overdue);
        }
        let current = self.digest();
        match seen {
            Some(seen) if seen != current => return Err(InvalidTransition::DigestMismatch { current }),
            None if self.edited => return Err(InvalidTransition::DigestRequired),
            Some(_) | None => {}
        }
        if approvals.iter().any(|a| a.by.id == by.id) {
            return Err(InvalidTransition::AlreadyApproved);
        }
        approvals.push(Approval { by, digest: current, at: now });
        if approvals.len() < usize::from(self.approvals_needed) {
            // The channel's message shows how many there are.
            let effects = vec![Effect::Notify(NotificationKind::Approved)];
            return Ok((self.into_state(State::Pending { approvals, expires_at }, now), effects));
        }
        let not_before = self.options.not_before;
        let expires_at = not_before.map_or(now, |t| t.max(now)) + self.approval_ttl;
        let state = State::Approved { approvals, approved_at: now, expires_at };
        let effects =
            vec![Effect::EnqueueExecution { not_before }, Effect::Notify(NotificationKind::Approved)];
        Ok((self.into_state(state, now), effects))
    }

    fn reject(self, by: Approver, reason: Remark, now: Timestamp, wrong: InvalidTransition) -> Applied {
        let State::Pending { .. } = self.state else { return Err(wrong) };
        if self.is_requester(by.id) {
            return Err(InvalidTransition::OwnRequest);
        }
        let state = State::Rejected { decision: Decision { by, reason, at: now } };
        Ok((self.into_state(state, now), vec![Effect::Notify(NotificationKind::Rejected)]))
    }

    /// Withdraw and expire: out of the queue, whether approved yet or not.
    fn leave(self, to: State, kind: NotificationKind, now: Timestamp, wrong: InvalidTransition) -> Applied {
        let mut effects = match &self.state {
            State::Pending { .. } => vec![],
            State::Approved { .. } => vec![Effect::DropExecution],
            State::Rejected { .. }
            | State::Withdrawn { .. }
            | State::Expired { .. }
            | State::Executing { .. }
            | State::Completed { .. }
            | State::Failed { .. }
            | State::Cancelled { .. }
            | State::Interrupted { .. } => return Err(wrong),
        };
        effects.push(Effect::Notify(kind));
        Ok((self.into_state(to, now), effects))
    }

    fn edit(mut self, edit: Edit, now: Timestamp, wrong: InvalidTransition) -> Applied {
        let State::Pending { expires_at, .. } = self.state else { return Err(wrong) };
        if expires_at <= now {
            return Err(InvalidTransition::Overdue);
        }
        self.target = edit.target;
        self.submission = edit.submission;
        self.options = edit.options;
        self.limits = edit.limits;
        self.comments = edit.comments;
        self.review = edit.review;
        self.approvals_needed = edit.approvals_needed;
        self.edited = true;
        let state = State::Pending { approvals: vec![], expires_at: now + self.approval_ttl };
        Ok((self.into_state(state, now), vec![Effect::Notify(NotificationKind::Submitted)]))
    }

    fn start(self, run: Run, now: Timestamp, wrong: InvalidTransition) -> Applied {
        let State::Approved { approvals, .. } = self.state.clone() else { return Err(wrong) };
        Ok((self.into_state(State::Executing { approvals, run, cancel: None }, now), vec![]))
    }

    fn refuse(self, failure: Failure, now: Timestamp, wrong: InvalidTransition) -> Applied {
        let State::Approved { approvals, .. } = self.state.clone() else { return Err(wrong) };
        let state = State::Failed {
            approvals,
            run: None,
            failure: Box::new(failure),
            finished_at: now,
            resolution: None,
        };
        Ok((self.into_state(state, now), vec![Effect::Notify(NotificationKind::Failed)]))
    }

    fn succeed(self, result: ResultKept, now: Timestamp, wrong: InvalidTransition) -> Applied {
        let State::Executing { approvals, run, .. } = self.state.clone() else { return Err(wrong) };
        let completion = Box::new(Completion { finished_at: now, result, resolution: None });
        let state = State::Completed { approvals, run, completion };
        Ok((self.into_state(state, now), vec![Effect::Notify(NotificationKind::Completed)]))
    }

    fn fail(self, failure: Failure, now: Timestamp, wrong: InvalidTransition) -> Applied {
        let State::Executing { approvals, run, .. } = self.state.clone() else { return Err(wrong) };
        let state = State::Failed {
            approvals,
            run: Some(run),
            failure: Box::new(failure),
            finished_at: now,
            resolution: None,
        };
        Ok((self.into_state(state, now), vec![Effect::Notify(NotificationKind::Failed)]))
    }

    /// Asking twice is asking once: the first to ask stays on record.
    fn request_cancel(self, by: Option<Approver>, now: Timestamp, wrong: InvalidTransition) -> Applied {
        let State::Executing { approvals, run, cancel } = self.state.clone() else { return Err(wrong) };
        let cancel = Some(cancel.unwrap_or(CancelAsked { by, at: now }));
        let state = State::Executing { approvals, run, cancel };
        Ok((self.into_state(state, now), vec![Effect::SignalCancel]))
    }

    /// Without anybody having asked there is nothing to confirm.
    fn confirm_cancelled(self, now: Timestamp, wrong: InvalidTransition) -> Applied {
        let State::Executing { approvals, run, cancel: Some(asked) } = self.state.clone() else {
            return Err(wrong);
        };
        let state = State::Cancelled { approvals, run, asked, finished_at: now };
        Ok((self.into_state(state, now), vec![Effect::Notify(NotificationKind::Cancelled)]))
    }

    fn lose_contact(self, now: Timestamp, wrong: InvalidTransition) -> Applied {
        let State::Executing { approvals, run, cancel } = self.state.clone() else { return Err(wrong) };
        let state = State::Interrupted { approvals, run, cancel, lost_at: now };
        Ok((self.into_state(state, now), vec![Effect::Notify(NotificationKind::Interrupted)]))
    }

    fn resolve(self, committed: bool, how: Resolution, now: Timestamp, wrong: InvalidTransition) -> Applied {
        let State::Interrupted { approvals, run, .. } = self.state.clone() else { return Err(wrong) };
        if committed {
            let completion = Completion { finished_at: now, result: ResultKept::Lost, resolution: Some(how) };
            let state = State::Completed { approvals, run, completion: Box::new(completion) };
            return Ok((self.into_state(state, now), vec![Effect::Notify(NotificationKind::Completed)]));
        }
        let failure = Failure {
            kind: FailureKind::Resolved,
            message: "The portal lost contact while this request ran; it was found that nothing took effect."
                .to_owned(),
            database_error: None,
            script: None,
        };
        let state = State::Failed {
            approvals,
            run: Some(run),
            failure: Box::new(failure),
            finished_at: now,
            resolution: Some(how),
        };
        Ok((self.into_state(state, now), vec![Effect::Notify(NotificationKind::Failed)]))
    }
}

type Applied = Result<(Request, Vec<Effect>), InvalidTransition>;
