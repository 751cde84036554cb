//! The queue of background work: executions. Notifications and the reaper have files of their own.

use std::sync::Arc;

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use domain::Timestamp;
use domain::ids::JobId;
use domain::job::{Lease, NotificationJob, Reaped, WorkerId};
use domain::lifecycle::{self, Transition};
use domain::ports::{ExecutionClaim, FinishError, IdGenerator, JobQueue, LeaseStatus, StoreError};
use domain::request::{Request, Run, StateKind};
use uuid::Uuid;

use crate::error::{rejected, store_error};
use crate::job_rows::{JobEnd, delete_result, end, facts, held, hold, lock_due};
use crate::pool::{PgStore, Transaction};
use crate::schema::{jobs, query_requests};
use crate::transitions::{EXECUTE, Written, lock_request, write};
use crate::{notifications, reaper};

/// Jobs in PostgreSQL.
#[derive(Clone)]
pub struct PgJobQueue {
    pub(crate) store: PgStore,
    pub(crate) ids: Arc<dyn IdGenerator>,
}

impl std::fmt::Debug for PgJobQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PgJobQueue").finish_non_exhaustive()
    }
}

/// What became of the job that a claim looked at.
enum Claimed {
    NothingDue,
    /// Its request cannot run any more: look for another job.
    Dropped,
    Claim(ExecutionClaim),
}

impl PgJobQueue {
    /// `ids` names the jobs that transitions queue.
    pub fn new(store: PgStore, ids: Arc<dyn IdGenerator>) -> Self {
        Self { store, ids }
    }

    async fn claim_one(
        &self,
        worker: &WorkerId,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Claimed, StoreError> {
        let mut transaction = self.store.begin().await?;
        let Some(job) = lock_due(&mut transaction, now).await? else {
            transaction.rollback().await?;
            return Ok(Claimed::NothingDue);
        };
        let request = match lock_request(&mut transaction, job.request).await {
            Err(error @ StoreError::Corrupt { .. }) => {
                // Otherwise this job would stand before all others for ever.
                end(&mut transaction, job.id, &JobEnd::Failed("the request cannot be read"), now).await?;
                transaction.commit().await?;
                return Err(error);
            }
            request => request?,
        };
        if request.state.kind() != StateKind::Approved {
            end(&mut transaction, job.id, &JobEnd::Dropped, now).await?;
            transaction.commit().await?;
            return Ok(Claimed::Dropped);
        }
        let facts = facts(&mut transaction, &request).await?;
        let run = Run { job: JobId::from_uuid(job.id), worker: worker.0.clone(), started_at: now };
        let transition = lifecycle::start_or_refuse(request, &facts, run, now).map_err(rejected)?;
        let target = match (transition.request.state.kind(), facts.target) {
            (StateKind::Executing, Some(target)) => target,
            (outcome, _) => {
                let over = if outcome == StateKind::Expired {
                    JobEnd::Dropped
                } else {
                    JobEnd::Failed("it was refused")
                };
                end(&mut transaction, job.id, &over, now).await?;
                let written = self.write_and_commit(transaction, &transition).await?;
                return Ok(Claimed::Claim(ExecutionClaim::Refused { request: Box::new(written.request) }));
            }
        };
        let lease = Lease { job: JobId::from_uuid(job.id), fence: job.fence + 1, worker: worker.clone() };
        hold(&mut transaction, &lease, job.attempts + 1, now, lease_until).await?;
        let written = self.write_and_commit(transaction, &transition).await?;
        let (request, target) = (Box::new(written.request), Box::new(target));
        Ok(Claimed::Claim(ExecutionClaim::Started { lease, request, target }))
    }

    /// Ends a transaction that has locked the request with a transition of it.
    pub(crate) async fn write_and_commit(
        &self,
        mut transaction: Transaction,
        transition: &Transition,
    ) -> Result<Written, StoreError> {
        let written = write(&mut transaction, transition, &*self.ids)
            .await?
            .ok_or_else(|| rejected("a request changed while it was locked"))?;
        transaction.commit_and_announce(&written.changes).await?;
        Ok(written)
    }
}

#[async_trait]
impl JobQueue for PgJobQueue {
    async fn claim_execution(
        &self,
        worker: &WorkerId,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Option<ExecutionClaim>, StoreError> {
        loop {
            match self.claim_one(worker, now, lease_until).await? {
                Claimed::NothingDue => return Ok(None),
                Claimed::Dropped => {}
                Claimed::Claim(claim) => return Ok(Some(claim)),
            }
        }
    }

    async fn claim_notification(
        &self,
        worker: &WorkerId,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Option<NotificationJob>, StoreError> {
        notifications::claim(&self.store, worker, now, lease_until).await
    }

    async fn renew(
        &self,
        lease: &Lease,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<LeaseStatus, StoreError> {
        let mut transaction = self.store.begin().await?;
        let request: Option<i64> = diesel::update(held(lease))
            .set((jobs::lease_until.eq(until), jobs::updated_at.eq(now)))
            .returning(jobs::request_id)
            .get_result(&mut *transaction)
            .await
            .optional()
            .map_err(store_error)?;
        let Some(request) = request else {
            transaction.rollback().await?;
            return Ok(LeaseStatus::Lost);
        };
        let cancel_asked: bool = query_requests::table
            .find(request)
            .select(query_requests::cancel_asked_at.is_not_null())
            .get_result(&mut *transaction)
            .await
            .map_err(store_error)?;
        transaction.commit().await?;
        Ok(LeaseStatus::Held { cancel_asked })
    }

    async fn finish_execution(&self, lease: &Lease, transition: &Transition) -> Result<Request, FinishError> {
        let kind = transition.request.state.kind();
        let outcome = match kind {
            StateKind::Completed | StateKind::Cancelled => JobEnd::Completed,
            StateKind::Failed => JobEnd::Failed("the execution failed"),
            StateKind::Interrupted => JobEnd::Failed("the outcome is not known"),
            StateKind::Pending
            | StateKind::Approved
            | StateKind::Rejected
            | StateKind::Withdrawn
            | StateKind::Expired
            | StateKind::Executing => {
                return Err(rejected(format!("{kind} is not the end of an execution")).into());
            }
        };
        let mut transaction = self.store.begin().await?;
        let locked: Option<(i64, Uuid)> = held(lease)
            .inner_join(query_requests::table)
            .filter(jobs::kind.eq(EXECUTE))
            .select((jobs::request_id, query_requests::uuid))
            .for_update()
            .get_result(&mut *transaction)
            .await
            .optional()
            .map_err(store_error)?;
        // A lease for another request's job is no lease on this one.
        let Some((row, _)) = locked.filter(|(_, id)| *id == transition.request.id.as_uuid()) else {
            transaction.rollback().await?;
            return Err(FinishError::LeaseLost);
        };
        let now = transition.request.updated_at;
        let Some(written) = write(&mut transaction, transition, &*self.ids).await? else {
            transaction.rollback().await?;
            return Err(FinishError::Conflict);
        };
        if kind != StateKind::Completed {
            delete_result(&mut transaction, row).await?;
        }
        end(&mut transaction, lease.job.as_uuid(), &outcome, now).await?;
        transaction.commit_and_announce(&written.changes).await?;
        Ok(written.request)
    }

    async fn complete_notification(&self, lease: &Lease, now: Timestamp) -> Result<(), StoreError> {
        notifications::complete(&self.store, lease, now).await
    }

    async fn fail_notification(
        &self,
        lease: &Lease,
        error: &str,
        retry_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        notifications::fail(&self.store, lease, error, retry_at, now).await
    }

    async fn postpone_notification(
        &self,
        lease: &Lease,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        notifications::postpone(&self.store, lease, until, now).await
    }

    async fn reap(&self, now: Timestamp) -> Result<Reaped, StoreError> {
        reaper::reap(self, now).await
    }
}
