//! The queue of background work.

use async_trait::async_trait;

use super::StoreError;
use crate::Timestamp;
use crate::job::{Lease, NotificationJob, Reaped, WorkerId};
use crate::lifecycle::Transition;
use crate::request::Request;
use crate::target::Target;

/// What a worker gets when it asks for an execution.
#[derive(Clone, PartialEq, Debug)]
pub enum ExecutionClaim {
    /// The request is executing now, in the name of this lease.
    Started { lease: Lease, request: Box<Request>, target: Box<Target> },
    /// The request was refused or had expired ([`crate::lifecycle::start_or_refuse`]); there is nothing to run.
    Refused { request: Box<Request> },
}

/// What a worker learns when it renews.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeaseStatus {
    Held {
        cancel_asked: bool,
    },
    /// The job is somebody else's, or over. Whoever held it MUST stop.
    Lost,
}

/// Why the end of an execution was not stored.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    #[error("the lease on the job was lost")]
    LeaseLost,
    /// Somebody changed the request (asked to cancel): read it again and apply the outcome to that.
    #[error("the request has changed meanwhile")]
    Conflict,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Jobs, claimed by one worker at a time.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait JobQueue: Send + Sync {
    /// Takes the oldest execution that is due. In one transaction it MUST claim the job (which no other claim
    /// may get), decide by [`crate::lifecycle::start_or_refuse`] on the target, database and POD as they are
    /// stored, and write the request's transition with its audit entry. A job whose request is not `approved`
    /// any more is dropped. `None`: nothing is due.
    async fn claim_execution(
        &self,
        worker: &WorkerId,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Option<ExecutionClaim>, StoreError>;

    /// Takes the oldest notification that is due, counting the attempt. MUST NOT take one while another for the same
    /// audience of the same request is running, or waits and was queued before it: what is told stays in order.
    async fn claim_notification(
        &self,
        worker: &WorkerId,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Option<NotificationJob>, StoreError>;

    /// Extends a lease. MUST report [`LeaseStatus::Lost`] when the fence differs or the job is over.
    async fn renew(&self, lease: &Lease, now: Timestamp, until: Timestamp)
    -> Result<LeaseStatus, StoreError>;

    /// Writes the end of an execution and ends its job, in one transaction and only while the lease's fence is
    /// the job's. When the new state is not `completed`, chunks of the result MUST be gone with the commit.
    async fn finish_execution(&self, lease: &Lease, transition: &Transition) -> Result<Request, FinishError>;

    /// Ends a notification well. A lost lease is ignored.
    async fn complete_notification(&self, lease: &Lease, now: Timestamp) -> Result<(), StoreError>;

    /// Puts a notification back until `retry_at`, or ends it as failed when that is `None`. `error` is for operators.
    /// A lost lease is ignored. What is on record of its delivery ([`super::Deliveries`]) MUST fail with the job.
    async fn fail_notification(
        &self,
        lease: &Lease,
        error: &str,
        retry_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Puts a notification back until `until` as if it had not been taken: the attempt is not counted. A lost lease is
    /// ignored.
    async fn postpone_notification(
        &self,
        lease: &Lease,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Takes jobs whose lease ran out before `now`: an execution MUST become `interrupted` and MUST NOT be
    /// queued again, and what it wrote of a result MUST be gone; a notification goes back to the queue, or fails after its last attempt. An executing request
    /// without a live job becomes `interrupted` too. Requests whose time to wait is over MUST expire, and their
    /// queued execution with them. Idempotency keys whose time is over MUST be forgotten. Several reapers may run at once.
    async fn reap(&self, now: Timestamp) -> Result<Reaped, StoreError>;
}
