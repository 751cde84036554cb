//! The queue: claims, leases with fences, the reaper.

use async_trait::async_trait;
use domain::Timestamp;
use domain::ids::RequestId;
use domain::job::{Lease, NotificationJob, Reaped, WorkerId};
use domain::lifecycle::{self, StartFacts, Transition};
use domain::ports::{Change, ExecutionClaim, FinishError, JobQueue, LeaseStatus, StoreError};
use domain::request::{Request, Run, State, StateKind};

use super::world::{JobKind, JobRow, JobState, World};
use super::{InMemoryStore, rejected};

#[async_trait]
impl JobQueue for InMemoryStore {
    async fn claim_execution(
        &self,
        worker: &WorkerId,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Option<ExecutionClaim>, StoreError> {
        self.atomically(|world| {
            while let Some(index) = oldest_due(world, now, |job| job.kind == JobKind::Execution) {
                let request = world.request(world.jobs[index].request).cloned();
                let Some(request) = request.filter(|r| r.state.kind() == StateKind::Approved) else {
                    world.jobs[index].state = JobState::Dropped;
                    continue;
                };
                return start(world, index, request, worker, now, lease_until).map(Some);
            }
            Ok(None)
        })
    }

    async fn claim_notification(
        &self,
        worker: &WorkerId,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Option<NotificationJob>, StoreError> {
        self.atomically(|world| {
            let found = oldest_due(world, now, |job| job.audience.is_some() && is_next(world, job));
            let Some(job) = found.map(|index| &mut world.jobs[index]) else { return Ok(None) };
            let (JobKind::Notification(kind), Some(audience)) = (job.kind, job.audience) else {
                return Ok(None);
            };
            let lease = job.claim(worker, lease_until);
            Ok(Some(NotificationJob {
                lease,
                request: job.request,
                kind,
                audience,
                attempt: job.attempts,
                max_attempts: job.max_attempts(),
                queued_at: job.queued_at,
            }))
        })
    }

    async fn renew(
        &self,
        lease: &Lease,
        _now: Timestamp,
        until: Timestamp,
    ) -> Result<LeaseStatus, StoreError> {
        self.atomically(|world| {
            let Some(job) = world.jobs.iter_mut().find(|job| job.is_held_by(lease)) else {
                return Ok(LeaseStatus::Lost);
            };
            job.state = JobState::Running { lease_until: until };
            let request = job.request;
            let cancel_asked = world
                .request(request)
                .is_some_and(|r| matches!(r.state, State::Executing { cancel: Some(_), .. }));
            Ok(LeaseStatus::Held { cancel_asked })
        })
    }

    async fn finish_execution(&self, lease: &Lease, transition: &Transition) -> Result<Request, FinishError> {
        self.atomically(|world| {
            let id = transition.request.id;
            let job = world.jobs.iter().find(|job| job.is_held_by(lease)).ok_or(FinishError::LeaseLost)?;
            if job.request != id || job.kind != JobKind::Execution {
                return Err(rejected("the lease is on a job of something else").into());
            }
            let stored = world.request(id).ok_or_else(|| rejected("the job's request is gone"))?;
            if stored.version != transition.expected_version {
                return Err(FinishError::Conflict);
            }
            let request = world.write(transition.clone());
            end(world, lease, JobState::Done, None);
            Ok(request)
        })
    }

    async fn complete_notification(&self, lease: &Lease, _now: Timestamp) -> Result<(), StoreError> {
        self.atomically(|world| {
            end(world, lease, JobState::Done, None);
            Ok(())
        })
    }

    async fn fail_notification(
        &self,
        lease: &Lease,
        error: &str,
        retry_at: Option<Timestamp>,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        self.atomically(|world| {
            if world.holds(lease)
                && let Some(job) = world.job_mut(lease.job)
            {
                job.due_at = retry_at.unwrap_or(job.due_at);
                job.state = if retry_at.is_some() { JobState::Queued } else { JobState::Failed };
                job.error = Some(error.to_owned());
                if retry_at.is_none() {
                    world.fail_delivery(lease.job, error);
                }
            }
            Ok(())
        })
    }

    async fn postpone_notification(
        &self,
        lease: &Lease,
        until: Timestamp,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        self.atomically(|world| {
            if world.holds(lease)
                && let Some(job) = world.job_mut(lease.job)
            {
                job.due_at = until;
                job.state = JobState::Queued;
                job.attempts -= 1;
            }
            Ok(())
        })
    }

    async fn reap(&self, now: Timestamp) -> Result<Reaped, StoreError> {
        self.atomically(|world| {
            let requeued = reap_jobs(world, now);
            let interrupted = interrupt_orphans(world, now)?;
            let expired = expire_waiting(world, now)?;
            world.keys.retain(|_, kept| kept.expires_at > now);
            if requeued > 0 {
                world.news.push(Change::Jobs);
            }
            Ok(Reaped { interrupted, requeued, expired })
        })
    }
}

fn oldest_due(world: &World, now: Timestamp, wanted: impl Fn(&JobRow) -> bool) -> Option<usize> {
    let due = world.jobs.iter().enumerate().filter(|(_, job)| job.is_due(now) && wanted(job));
    due.min_by_key(|(index, job)| (job.due_at, *index)).map(|(index, _)| index)
}

/// Whether no other notification for the same audience of the same request comes first.
fn is_next(world: &World, job: &JobRow) -> bool {
    let same = |other: &&JobRow| other.request == job.request && other.audience == job.audience;
    let mut earlier = world.jobs.iter().take_while(|other| other.id != job.id).filter(same);
    let mut all = world.jobs.iter().filter(same);
    !earlier.any(|other| other.state == JobState::Queued)
        && !all.any(|other| matches!(other.state, JobState::Running { .. }))
}

fn start(
    world: &mut World,
    index: usize,
    request: Request,
    worker: &WorkerId,
    now: Timestamp,
    lease_until: Timestamp,
) -> Result<ExecutionClaim, StoreError> {
    let target = world.targets.get(&request.target.instance).cloned();
    let facts = StartFacts {
        target: target.clone(),
        database: world
            .databases
            .get(&request.target.instance)
            .and_then(|all| all.get(&request.target.database).cloned()),
        pod: world.pods.get(&request.pod.id).cloned(),
        requester_active: world.accounts.get(&request.requester.id).is_some_and(|a| a.user.active),
    };
    let run = Run { job: world.jobs[index].id, worker: worker.0.clone(), started_at: now };
    let transition = lifecycle::start_or_refuse(request, &facts, run, now).map_err(impossible)?;
    let request = Box::new(world.write(transition));
    let job = &mut world.jobs[index];
    let lease = job.claim(worker, lease_until);
    match target {
        Some(target) if request.state.kind() == StateKind::Executing => {
            Ok(ExecutionClaim::Started { lease, request, target: Box::new(target) })
        }
        _ => {
            job.state = JobState::Done;
            Ok(ExecutionClaim::Refused { request })
        }
    }
}

/// Ends a job when the lease still holds it.
fn end(world: &mut World, lease: &Lease, state: JobState, error: Option<String>) {
    if world.holds(lease)
        && let Some(job) = world.job_mut(lease.job)
    {
        job.state = state;
        job.error = error;
    }
}

/// Takes jobs whose lease ran out. Counts the notifications that wait in the queue again.
fn reap_jobs(world: &mut World, now: Timestamp) -> u64 {
    let mut requeued = 0;
    let mut failed = vec![];
    for job in &mut world.jobs {
        let JobState::Running { lease_until } = job.state else { continue };
        if lease_until >= now {
            continue;
        }
        job.error = Some("the lease ran out".to_owned());
        if job.attempts < job.max_attempts() {
            job.state = JobState::Queued;
            job.due_at = now;
            requeued += 1;
        } else {
            job.state = JobState::Failed;
            failed.push(job.id);
        }
    }
    for job in failed {
        world.fail_delivery(job, "the lease ran out at the last attempt");
    }
    requeued
}

/// Interrupts executing requests without a live job: those that were just reaped, too.
fn interrupt_orphans(world: &mut World, now: Timestamp) -> Result<Vec<RequestId>, StoreError> {
    let is_live = |request: &Request| {
        let mut jobs = world.jobs.iter().filter(|job| Some(job.id) == request.state.run().map(|run| run.job));
        jobs.any(|job| matches!(job.state, JobState::Running { .. }))
    };
    let executing = world.requests.iter().filter(|r| r.state.kind() == StateKind::Executing);
    let orphans: Vec<Request> = executing.filter(|r| !is_live(r)).cloned().collect();
    write_all(world, orphans, |request| lifecycle::lose_contact(request, now))
}

fn expire_waiting(world: &mut World, now: Timestamp) -> Result<Vec<RequestId>, StoreError> {
    let over = world.requests.iter().filter(|r| lifecycle::expires_at(r).is_some_and(|end| end <= now));
    let over: Vec<Request> = over.cloned().collect();
    write_all(world, over, |request| lifecycle::expire(request, now))
}

fn write_all(
    world: &mut World,
    requests: Vec<Request>,
    apply: impl Fn(Request) -> Result<Transition, domain::request::InvalidTransition>,
) -> Result<Vec<RequestId>, StoreError> {
    let transitions: Result<Vec<_>, _> = requests.into_iter().map(apply).collect();
    let written = transitions.map_err(impossible)?.into_iter().map(|t| world.write(t).id);
    Ok(written.collect())
}

/// The state was looked at under the same lock.
fn impossible(error: domain::request::InvalidTransition) -> StoreError {
    rejected(error.to_string())
}
