//! The store of requests.

use async_trait::async_trait;

use super::StoreError;
use crate::Timestamp;
use crate::audit::AuditEntry;
use crate::idempotency::Idempotency;
use crate::ids::{InstanceId, PodId, RequestId, UserId};
use crate::lifecycle::Transition;
use crate::page::{Page, PageRequest};
use crate::policy::Visibility;
use crate::request::{Effect, Request, RequestSummary, StateKind};
use crate::target::Engine;

/// What a list is narrowed to; `None` does not narrow.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RequestFilter {
    /// Any of these; empty does not narrow.
    pub states: Vec<StateKind>,
    pub instance: Option<InstanceId>,
    pub pod: Option<PodId>,
    pub requester: Option<UserId>,
    pub not_requester: Option<UserId>,
    pub engine: Option<Engine>,
    pub created_from: Option<Timestamp>,
    /// Exclusive.
    pub created_before: Option<Timestamp>,
}

/// Why a transition was not stored.
#[derive(Debug, thiserror::Error)]
pub enum TransitionError {
    #[error("the request does not exist")]
    NotFound,
    /// Somebody was faster.
    #[error("the request has changed meanwhile; it is {current} now")]
    Conflict { current: StateKind },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an idempotency key of somebody stands for already.
#[derive(Clone, PartialEq, Debug)]
pub enum Earlier {
    /// The same was asked for, and this came of it, as it is now.
    Same(Box<Request>),
    /// Something else was asked for.
    Other,
}

/// Requests and their transitions.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait RequestStore: Send + Sync {
    /// Stores a new request with version 1. MUST write the request, the audit entry, the jobs of the effects and the
    /// key in one transaction, and MUST announce the change after the commit.
    ///
    /// Of all calls with one key of one requester within [`crate::idempotency::KEPT_FOR`], counted from
    /// `created_at`, exactly one MUST be stored, whether they come at once or one after the other; the others MUST
    /// change nothing and return what the key stands for. `None`: the request is stored.
    async fn insert<'a>(
        &self,
        request: &Request,
        audit: &AuditEntry,
        effects: &[Effect],
        idempotency: Option<&'a Idempotency>,
    ) -> Result<Option<Earlier>, StoreError>;

    /// What a key of somebody stands for at this moment; `None` when it is free. MUST NOT show keys of others.
    async fn find_by_key(
        &self,
        requester: UserId,
        idempotency: &Idempotency,
        now: Timestamp,
    ) -> Result<Option<Earlier>, StoreError>;

    async fn find(&self, id: RequestId) -> Result<Option<Request>, StoreError>;

    /// MUST show nothing outside of `visibility`, and MUST NOT read whole texts. Newest first. `Page::next` is absent at the end of the list.
    async fn list(
        &self,
        visibility: &Visibility,
        filter: &RequestFilter,
        page: &PageRequest,
    ) -> Result<Page<RequestSummary>, StoreError>;

    /// Stores a transition that is based on `expected_version`, as compare-and-swap: when the stored version
    /// differs it MUST change nothing and report a conflict. The state, the audit entry and the jobs of the
    /// effects MUST be written in one transaction; approvals that the new state does not count any more MUST
    /// NOT be counted again. Returns the stored request with its new version. Announces the change after the commit.
    ///
    /// Transitions of an executing request go through [`super::JobQueue::finish_execution`] instead, but for
    /// the request to cancel.
    async fn commit(&self, transition: &Transition) -> Result<Request, TransitionError>;
}
