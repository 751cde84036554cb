//! The execution worker: claims approved requests, runs each once, writes how it ended.
//!
//! A request is executing in the store before anything is sent to a target, and no failure here puts it
//! back into the queue: what cannot be finished becomes `interrupted` through the reaper.

mod lease;
mod outcome;
mod preview;
mod script;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::lease::LeaseKeeper;
use self::outcome::Outcome;
use self::preview::PreviewSink;
use self::script::Door;
pub use self::script::Scripts;
use super::{Keyring, error_chain, wait_for_jobs};
use crate::execution::{Credentials, ExecutionOrder};
use crate::ids::RequestId;
use crate::job::{Lease, WorkerId};
use crate::lifecycle::transition;
use crate::ports::{
    ChangeFeed, Clock, ExecutionClaim, ExecutionError, FinishError, JobQueue, RequestStore, ResultStore,
    ScriptTarget, StoreError, TargetExecutor,
};
use crate::request::{Event, Request, StateKind, SubmissionKind};
use crate::target::{Engine, Target};
use crate::user::Origin;

/// How the worker works.
#[derive(Clone, Copy, Debug)]
pub struct ExecutionSettings {
    /// Executions at the same time in this process.
    pub concurrency: usize,
    /// How long a process may be silent before its executions count as lost.
    pub lease: Duration,
    /// How often a lease is renewed; well below `lease`.
    pub renew_every: Duration,
    /// How often to look for work when there is no news.
    pub poll: Duration,
    /// How long a stopping process waits for its executions before it cancels them.
    pub drain: Duration,
}

impl Default for ExecutionSettings {
    fn default() -> Self {
        Self {
            concurrency: 8,
            lease: Duration::from_secs(30),
            renew_every: Duration::from_secs(5),
            poll: Duration::from_secs(2),
            drain: Duration::from_secs(30),
        }
    }
}

/// See the module.
pub struct ExecutionWorker {
    pub queue: Arc<dyn JobQueue>,
    pub requests: Arc<dyn RequestStore>,
    pub results: Arc<dyn ResultStore>,
    pub executors: HashMap<Engine, Arc<dyn TargetExecutor>>,
    /// Absent on a portal that runs no scripts.
    pub scripts: Option<Scripts>,
    pub credentials: Keyring,
    pub changes: Arc<dyn ChangeFeed>,
    pub clock: Arc<dyn Clock>,
    pub worker: WorkerId,
    pub settings: ExecutionSettings,
}

impl std::fmt::Debug for ExecutionWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecutionWorker")
            .field("worker", &self.worker)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl ExecutionWorker {
    /// Claims and runs until told to stop; then waits for what runs, and cancels what takes too long.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let running = TaskTracker::new();
        let drain = CancellationToken::new();
        let permits = Arc::new(Semaphore::new(self.settings.concurrency.max(1)));
        let mut news = self.changes.subscribe();
        while !stop.is_cancelled() {
            let permit = tokio::select! {
                () = stop.cancelled() => break,
                permit = Arc::clone(&permits).acquire_owned() => permit.expect("the semaphore is never closed"),
            };
            match self.claim().await {
                Ok(Some(claim)) => {
                    let (worker, stop, drain) = (Arc::clone(&self), stop.clone(), drain.clone());
                    running.spawn(async move {
                        worker.handle(claim, drain.clone()).await;
                        worker.go_on(&stop, &drain).await;
                        drop(permit);
                    });
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(error = %error_chain(&error), "executions wait for the portal database");
                }
            }
            drop(permit);
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(self.settings.poll) => {}
                () = wait_for_jobs(&mut news) => {}
            }
        }
        running.close();
        if tokio::time::timeout(self.settings.drain, running.wait()).await.is_err() {
            tracing::warn!(executions = running.len(), "cancelling executions that outlast the draining");
            drain.cancel();
            running.wait().await;
        }
    }

    /// Claims and runs what else is due. Who has ended one execution takes the next without being given it, so that
    /// a long queue is claimed by all at once and not by one after the other.
    async fn go_on(&self, stop: &CancellationToken, drain: &CancellationToken) {
        while !stop.is_cancelled() {
            // An error is met again, and told, by who waits for news.
            let Ok(Some(claim)) = self.claim().await else { return };
            self.handle(claim, drain.clone()).await;
        }
    }

    /// Claims and runs one execution, if one is due, to its end. True when there was one.
    pub async fn run_one(&self) -> Result<bool, StoreError> {
        let Some(claim) = self.claim().await? else { return Ok(false) };
        self.handle(claim, CancellationToken::new()).await;
        Ok(true)
    }

    async fn claim(&self) -> Result<Option<ExecutionClaim>, StoreError> {
        let now = self.clock.now();
        self.queue.claim_execution(&self.worker, now, now + self.settings.lease).await
    }

    async fn handle(&self, claim: ExecutionClaim, drain: CancellationToken) {
        match claim {
            ExecutionClaim::Refused { request } => {
                tracing::info!(request = %request.id, "refused to execute: what was approved is not what would run");
            }
            ExecutionClaim::Started { lease, request, target } => {
                self.execute(lease, *request, *target, drain).await;
            }
        }
    }

    async fn execute(&self, lease: Lease, request: Request, target: Target, drain: CancellationToken) {
        let id = request.id;
        let keeper = LeaseKeeper {
            queue: Arc::clone(&self.queue),
            requests: Arc::clone(&self.requests),
            changes: Arc::clone(&self.changes),
            clock: Arc::clone(&self.clock),
            lease: lease.clone(),
            request: id,
            settings: self.settings,
            cancel: CancellationToken::new(),
        };
        let cancel = keeper.cancel.clone();
        // The lease is kept until the end is written: however long the store is away, nobody else may
        // take the request for lost while this process still knows its outcome.
        let draining = drain.clone();
        let keep = keeper.keep(drain);
        let work = async {
            let outcome = self.run_order(&lease, request, target, cancel).await;
            self.finish(&lease, id, outcome, &draining).await;
        };
        tokio::select! {
            () = work => {}
            () = keep => log_given_up(id),
        }
    }

    async fn run_order(
        &self,
        lease: &Lease,
        request: Request,
        target: Target,
        cancel: CancellationToken,
    ) -> Outcome {
        let id = request.id;
        // Without a way to run it, no credential is fetched.
        let way = match self.way(request.submission.kind, target.engine) {
            Ok(way) => way,
            Err(message) => return Outcome::internal(message),
        };
        let credentials = match self.credentials.fetch(&target).await {
            Ok(credentials) => credentials,
            Err(error) => {
                tracing::error!(request = %id, instance = %target.id, error = %error_chain(&error),
                    "credentials could not be fetched");
                return Outcome::credentials(&target);
            }
        };
        let mut order = ExecutionOrder {
            request: id,
            database: request.target.database.clone(),
            credentials,
            submission: request.submission,
            extended_json: request.options.extended_json,
            limits: request.limits,
            read_only: request.target.read_only || target.read_only,
            target,
        };
        let mut sink = PreviewSink::new(self.results.sink(id, lease));
        tracing::info!(request = %id, instance = %order.target.id, "executing");
        let executor = match way {
            Way::Query(executor) => executor,
            Way::Script(scripts, target) => {
                let door = Door { target: Arc::clone(target), credentials: self.credentials.clone() };
                return scripts.run(door, &order, lease, sink, cancel).await;
            }
        };
        let mut result = executor.execute(&order, &mut sink, cancel.clone()).await;
        // The login may have been replaced since it was fetched. Nothing was sent when it is refused.
        if matches!(result, Err(ExecutionError::CredentialsRejected { .. }))
            && !sink.has_rows()
            && let Some(credentials) = renewed(&self.credentials, &order).await
        {
            order.credentials = credentials;
            result = executor.execute(&order, &mut sink, cancel).await;
        }
        if let Err(error) = &result {
            tracing::info!(request = %id, instance = %order.target.id, error = outcome::class(error),
                cause = %outcome::loggable_cause(error), "the execution did not succeed");
        }
        Outcome::of(result, sink.into_preview(), &order)
    }

    fn way(&self, kind: SubmissionKind, engine: Engine) -> Result<Way<'_>, &'static str> {
        match kind {
            SubmissionKind::Query => {
                let executor = self.executors.get(&engine).map(Way::Query);
                executor.ok_or("This portal has no executor for the instance's kind of database.")
            }
            SubmissionKind::Script => {
                let scripts = self.scripts.as_ref().ok_or("This portal runs no scripts.")?;
                let target = scripts.targets.get(&engine).map(|target| Way::Script(scripts, target));
                target.ok_or("This portal cannot run scripts on the instance's kind of database.")
            }
        }
    }

    /// Writes the end. The store may be away for a while: the outcome is known only here, so this tries on
    /// until the lease is lost for certain, or, in a process that has to stop, for one lease more.
    async fn finish(&self, lease: &Lease, id: RequestId, outcome: Outcome, drain: &CancellationToken) {
        let begun = tokio::time::Instant::now();
        let mut outcome = outcome;
        let mut shortened = false;
        let mut pause = Duration::from_millis(100);
        loop {
            match self.try_finish(lease, id, &outcome).await {
                Ok(Some(state)) => {
                    tracing::info!(request = %id, %state, "executed");
                    return;
                }
                Ok(None) => {
                    tracing::error!(request = %id, "the lease was lost before the outcome could be written");
                    return;
                }
                // What the store refuses once it refuses for ever: the outcome is written without its details,
                // because whether it took effect must not be lost with them.
                Err(StoreError::Rejected { .. } | StoreError::Corrupt { .. }) if !shortened => {
                    tracing::error!(request = %id, "the store refused the outcome; it is written without details");
                    outcome = outcome.without_details();
                    shortened = true;
                    continue;
                }
                Err(error @ (StoreError::Rejected { .. } | StoreError::Corrupt { .. })) => {
                    tracing::error!(request = %id, error = %error_chain(&error), "the outcome cannot be written");
                    return;
                }
                Err(error @ StoreError::Unavailable { .. }) => {
                    tracing::warn!(request = %id, error = %error_chain(&error), "the outcome is not written yet");
                }
            }
            if drain.is_cancelled() && begun.elapsed() > self.settings.lease {
                tracing::error!(request = %id, "stopping without having written the outcome");
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// `None` when the request is not this worker's any more.
    async fn try_finish(
        &self,
        lease: &Lease,
        id: RequestId,
        outcome: &Outcome,
    ) -> Result<Option<StateKind>, StoreError> {
        loop {
            let Some(request) = self.requests.find(id).await? else { return Ok(None) };
            if request.state.kind() != StateKind::Executing {
                return Ok(None);
            }
            let event: Event = outcome.event_for(&request);
            let change = match transition(request, event, None, Origin::system(), self.clock.now()) {
                Ok(change) => change,
                Err(error) => {
                    tracing::error!(request = %id, error = %error, "an outcome does not fit the request");
                    return Ok(None);
                }
            };
            match self.queue.finish_execution(lease, &change).await {
                Ok(request) => return Ok(Some(request.state.kind())),
                Err(FinishError::LeaseLost) => return Ok(None),
                // Somebody asked to cancel meanwhile: the outcome is applied to the request as it is now.
                Err(FinishError::Conflict) => {}
                Err(FinishError::Store(error)) => return Err(error),
            }
        }
    }
}

/// Another login than the refused one, if there is one by now.
async fn renewed(keyring: &Keyring, order: &ExecutionOrder) -> Option<Credentials> {
    match keyring.fetch_anew(&order.target, &order.credentials).await {
        Ok(renewed) => renewed,
        Err(error) => {
            tracing::error!(request = %order.request, instance = %order.target.id, error = %error_chain(&error),
                "credentials could not be fetched again");
            None
        }
    }
}

/// By what a submission runs.
enum Way<'a> {
    Query(&'a Arc<dyn TargetExecutor>),
    Script(&'a Scripts, &'a Arc<dyn ScriptTarget>),
}

/// The keeper returns only when the lease is lost and the work has not stopped by its cancel token in time.
fn log_given_up(request: RequestId) {
    tracing::error!(%request, "gave an execution up, because its lease was lost and it did not stop");
}
