//! Requests in any state, reached through the state machine.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use domain::Timestamp;
use domain::ids::{JobId, RequestId};
use domain::request::{
    Approver, Event, ExtendedJson, PodRef, Request, Requester, Run, RunOptions, State, StateKind, Submission,
    SubmissionKind, TargetRef,
};
use domain::review::{Effect, Finding, Position, Review};
use domain::target::{Limits, Target};
use domain::text::SubmissionText;
use domain::user::User;
use uuid::Uuid;

use super::samples::{sample_failure, sample_report};
use super::{approver, database, display_name, epoch, pod_id, remark, target, user, uuid_for};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A query of `ada` in the POD `payments` to the database `orders` of the target `orders-db`, submitted at
/// the [`epoch`], needing one approval. Each call gives a request with an id of its own.
pub fn request() -> RequestBuilder {
    let ada = user("ada").build();
    let orders = target("orders-db").build();
    let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
    RequestBuilder {
        request: Request {
            id: RequestId::from_uuid(Uuid::from_u128(
                0x7e57_0000_0000_4000_8000_0000_0000_0000 + u128::from(id),
            )),
            version: 0,
            requester: Requester { id: ada.id, email: ada.email, name: ada.name },
            pod: PodRef { id: pod_id("payments"), name: display_name("Team payments") },
            target: TargetRef::of(&orders, database()),
            submission: Submission {
                kind: SubmissionKind::Query,
                text: SubmissionText::parse("SELECT 1").expect("the text is valid"),
                filename: None,
                compiled: vec![],
            },
            options: RunOptions::default(),
            limits: orders.limits,
            comments: None,
            review: Review { effect: Effect::Read, statements: 1, findings: vec![] },
            approvals_needed: 1,
            approval_ttl: orders.approval_ttl,
            edited: false,
            created_at: epoch(),
            updated_at: epoch(),
            state: State::Pending { approvals: vec![], expires_at: epoch() },
        },
        approvers: vec![approver("grace"), approver("alan"), approver("edsger")],
    }
}

/// Each transition that a finisher makes happens one second after the one before.
#[derive(Clone, Debug)]
pub struct RequestBuilder {
    request: Request,
    approvers: Vec<Approver>,
}

impl RequestBuilder {
    pub fn id(mut self, id: RequestId) -> Self {
        self.request.id = id;
        self
    }

    pub fn requester(mut self, user: &User) -> Self {
        self.request.requester =
            Requester { id: user.id, email: user.email.clone(), name: user.name.clone() };
        self
    }

    pub fn pod(mut self, id: &str) -> Self {
        self.request.pod = PodRef { id: pod_id(id), name: display_name(&format!("Team {id}")) };
        self
    }

    /// Takes over the target's limits, needed approvals and time to live, too.
    pub fn target(mut self, target: &Target) -> Self {
        self.request.target = TargetRef::of(target, self.request.target.database.clone());
        self.request.limits = target.limits;
        self.request.approvals_needed = target.approvals_needed;
        self.request.approval_ttl = target.approval_ttl;
        self
    }

    pub fn database(mut self, name: &str) -> Self {
        self.request.target.database = super::database_name(name);
        self
    }

    pub fn text(mut self, text: &str) -> Self {
        self.request.submission.text = SubmissionText::parse(text).expect("a test's text is valid");
        self
    }

    /// Makes it an uploaded script.
    pub fn script(mut self, filename: &str, text: &str) -> Self {
        self.request.submission.kind = SubmissionKind::Script;
        self.request.submission.filename = Some(filename.to_owned());
        self.text(text)
    }

    pub fn compiled(mut self, commands: &[&str]) -> Self {
        self.request.submission.compiled = commands.iter().map(|&c| c.to_owned()).collect();
        self
    }

    pub fn not_before(mut self, moment: Timestamp) -> Self {
        self.request.options.not_before = Some(moment);
        self
    }

    pub fn extended_json(mut self, format: ExtendedJson) -> Self {
        self.request.options.extended_json = format;
        self
    }

    pub fn limits(mut self, limits: Limits) -> Self {
        self.request.limits = limits;
        self
    }

    pub fn comments(mut self, text: &str) -> Self {
        self.request.comments = Some(remark(text));
        self
    }

    pub fn review(mut self, review: Review) -> Self {
        self.request.review = review;
        self
    }

    /// A review with findings, one with and one without a place in the text.
    pub fn reviewed_with_findings(self) -> Self {
        let finding = |code: &str, message: &str, position| Finding {
            code: code.to_owned(),
            message: message.to_owned(),
            position,
        };
        self.review(Review {
            effect: Effect::Write,
            statements: 2,
            findings: vec![
                finding(
                    "no-where",
                    "Changes every row: “UPDATE” has no WHERE.",
                    Some(Position { line: 2, column: 7 }),
                ),
                finding("long", "This may take long.", None),
            ],
        })
    }

    pub fn approvals_needed(mut self, approvals: u16) -> Self {
        self.request.approvals_needed = approvals;
        self
    }

    pub fn approval_ttl(mut self, ttl: Duration) -> Self {
        self.request.approval_ttl = ttl;
        self
    }

    pub fn created_at(mut self, moment: Timestamp) -> Self {
        self.request.created_at = moment;
        self
    }

    /// Who approves, in this order, as far as approvals are needed. By default grace, alan and edsger.
    pub fn approvers(mut self, approvers: &[Approver]) -> Self {
        self.approvers = approvers.to_vec();
        self
    }

    /// As a service hands it to the store for the first time: pending, with version 0.
    pub fn unsaved(self) -> Request {
        let mut request = self.request;
        request.updated_at = request.created_at;
        let expires_at = request.created_at + request.approval_ttl;
        request.state = State::Pending { approvals: vec![], expires_at };
        request
    }

    pub fn pending(self) -> Request {
        Request { version: 1, ..self.unsaved() }
    }

    pub fn approved(self) -> Request {
        let approvers = self.approvers.clone();
        let mut request = self.pending();
        for by in approvers.into_iter().take(usize::from(request.approvals_needed)) {
            let digest = Some(request.digest());
            request = next(request, Event::Approve { by, digest });
        }
        assert_eq!(request.state.kind(), StateKind::Approved, "there are not enough approvers");
        request
    }

    pub fn rejected(self) -> Request {
        let by = self.approvers[0].clone();
        next(self.pending(), Event::Reject { by, reason: remark("Please add a WHERE clause.") })
    }

    pub fn executing(self) -> Request {
        let request = self.approved();
        let run = Run {
            job: JobId::from_uuid(uuid_for(&format!("job/{}", request.id))),
            worker: "host:1:1".to_owned(),
            started_at: request.updated_at + TimeDelta::seconds(1),
        };
        next(request, Event::Start(run))
    }

    /// Executing, and its approver asked for it to be cancelled.
    pub fn cancelling(self) -> Request {
        let by = Some(self.approvers[0].clone());
        next(self.executing(), Event::RequestCancel { by })
    }

    pub fn completed(self) -> Request {
        let (report, preview) = sample_report();
        next(self.executing(), Event::Succeed { report, preview })
    }

    pub fn failed(self) -> Request {
        next(self.executing(), Event::Fail(sample_failure()))
    }

    pub fn cancelled(self) -> Request {
        next(self.cancelling(), Event::ConfirmCancelled)
    }

    pub fn interrupted(self) -> Request {
        next(self.executing(), Event::LoseContact)
    }

    /// A request in any state, reached on the usual way.
    pub fn in_state(self, state: StateKind) -> Request {
        match state {
            StateKind::Pending => self.pending(),
            StateKind::Approved => self.approved(),
            StateKind::Rejected => self.rejected(),
            StateKind::Withdrawn => next(self.pending(), Event::Withdraw),
            StateKind::Expired => next(self.pending(), Event::Expire),
            StateKind::Executing => self.executing(),
            StateKind::Completed => self.completed(),
            StateKind::Failed => self.failed(),
            StateKind::Cancelled => self.cancelled(),
            StateKind::Interrupted => self.interrupted(),
        }
    }
}

fn next(request: Request, event: Event) -> Request {
    let now = request.updated_at + TimeDelta::seconds(1);
    let version = request.version + 1;
    let (request, _effects) = request.apply(event, now).expect("a builder's transition is possible");
    Request { version, ..request }
}
