//! A request as lists show it: without what may be large. A text may have 2 MiB, and a page 200 requests.

use super::{PodRef, Request, Requester, StateKind, SubmissionKind};
use crate::Timestamp;
use crate::ids::{InstanceId, RequestId};
use crate::review;
use crate::target::Engine;
use crate::text::{DatabaseName, DisplayName, Remark};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestSummary {
    pub id: RequestId,
    pub requester: Requester,
    pub pod: PodRef,
    pub instance: InstanceId,
    pub instance_name: DisplayName,
    pub engine: Engine,
    pub database: DatabaseName,
    pub read_only: bool,
    pub kind: SubmissionKind,
    pub filename: Option<String>,
    /// The first [`RequestSummary::TEXT_CHARS`] characters.
    pub text_start: String,
    pub comments: Option<Remark>,
    pub effect: review::Effect,
    pub approvals_needed: u16,
    pub state: StateKind,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl RequestSummary {
    /// How much of the text a list shows, in characters.
    pub const TEXT_CHARS: usize = 200;
}

impl From<&Request> for RequestSummary {
    fn from(request: &Request) -> Self {
        Self {
            id: request.id,
            requester: request.requester.clone(),
            pod: request.pod.clone(),
            instance: request.target.instance.clone(),
            instance_name: request.target.name.clone(),
            engine: request.target.engine,
            database: request.target.database.clone(),
            read_only: request.target.read_only,
            kind: request.submission.kind,
            filename: request.submission.filename.clone(),
            text_start: request.submission.text.as_str().chars().take(Self::TEXT_CHARS).collect(),
            comments: request.comments.clone(),
            effect: request.review.effect,
            approvals_needed: request.approvals_needed,
            state: request.state.kind(),
            created_at: request.created_at,
            updated_at: request.updated_at,
        }
    }
}
