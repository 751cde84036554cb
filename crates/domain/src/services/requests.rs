//! Reading requests and deciding on them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout_at};

use crate::digest::Digest;
use crate::ids::RequestId;
use crate::lifecycle::{Transition, transition};
use crate::page::{Page, PageRequest};
use crate::policy::{self, Denied, RequestAction};
use crate::ports::{
    Change, ChangeFeed, Clock, Directory, RequestFilter, RequestStore, ResultReader, ResultStore, ScriptLogs,
    StoreError, TransitionError,
};
use crate::request::{
    Approver, Event, InvalidTransition, Request, RequestSummary, ResultKept, State, StateKind,
};
use crate::text::Remark;
use crate::user::{Actor, Channel, Origin, Permission};

/// How often a waiting caller looks by itself, in case news was lost.
const SLOW_POLL: Duration = Duration::from_secs(2);

/// Why something could not be done with a request.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("there is no such request")]
    NotFound,
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Invalid(#[from] InvalidTransition),
    #[error("the request has changed meanwhile; it is {current} now")]
    Conflict { current: StateKind },
    /// It is a request, but no script.
    #[error("the request is no script")]
    NoScript,
    /// There is no result to read, and why.
    #[error("{reason}")]
    NoResult { reason: &'static str },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<TransitionError> for RequestError {
    fn from(error: TransitionError) -> Self {
        match error {
            TransitionError::NotFound => Self::NotFound,
            TransitionError::Conflict { current } => Self::Conflict { current },
            TransitionError::Store(error) => Self::Store(error),
        }
    }
}

/// See the module.
#[derive(Clone)]
pub struct Requests {
    pub requests: Arc<dyn RequestStore>,
    pub directory: Arc<dyn Directory>,
    pub results: Arc<dyn ResultStore>,
    pub logs: Arc<dyn ScriptLogs>,
    pub changes: Arc<dyn ChangeFeed>,
    pub clock: Arc<dyn Clock>,
    /// Refuses approvals that do not name the digest which the approver saw, even of requests never edited.
    pub require_digest: bool,
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Requests").finish_non_exhaustive()
    }
}

impl Requests {
    pub async fn get(&self, actor: &Actor, id: RequestId) -> Result<Request, RequestError> {
        let request = self.requests.find(id).await?.ok_or(RequestError::NotFound)?;
        policy::on_request(actor, RequestAction::See, &request)?;
        Ok(request)
    }

    /// The requests that the person may see, newest first.
    pub async fn list(
        &self,
        actor: &Actor,
        filter: &RequestFilter,
        page: &PageRequest,
    ) -> Result<Page<RequestSummary>, RequestError> {
        Ok(self.requests.list(&policy::visibility(actor), filter, page).await?)
    }

    /// The requests that wait for this person's decision: pending, not their own. Empty for who decides on nothing.
    pub async fn pending(
        &self,
        actor: &Actor,
        page: &PageRequest,
    ) -> Result<Page<RequestSummary>, RequestError> {
        let decides = actor.may(Permission::DecideAllRequests) || actor.may(Permission::DecidePodRequests);
        if !decides {
            return Ok(Page { items: vec![], next: None });
        }
        let filter = RequestFilter {
            states: vec![StateKind::Pending],
            not_requester: Some(actor.user),
            ..RequestFilter::default()
        };
        self.list(actor, &filter, page).await
    }

    /// Approves; `seen` is the digest of what the approver looked at.
    pub async fn approve(
        &self,
        actor: &Actor,
        id: RequestId,
        seen: Option<Digest>,
        origin: Origin,
    ) -> Result<Request, RequestError> {
        if self.require_digest && seen.is_none() {
            return Err(RequestError::Invalid(InvalidTransition::DigestRequired));
        }
        let event = Event::Approve { by: approver(actor), digest: seen };
        self.change(actor, id, RequestAction::Approve, event, origin).await
    }

    pub async fn reject(
        &self,
        actor: &Actor,
        id: RequestId,
        reason: Remark,
        origin: Origin,
    ) -> Result<Request, RequestError> {
        let change = self.rejection(actor, id, reason, origin).await?;
        Ok(self.requests.commit(&change).await?)
    }

    /// What a rejection would change, by the rules of this moment.
    pub(super) async fn rejection(
        &self,
        actor: &Actor,
        id: RequestId,
        reason: Remark,
        origin: Origin,
    ) -> Result<Transition, RequestError> {
        let event = Event::Reject { by: approver(actor), reason };
        self.prepare(actor, id, RequestAction::Reject, event, origin).await
    }

    pub async fn withdraw(
        &self,
        actor: &Actor,
        id: RequestId,
        origin: Origin,
    ) -> Result<Request, RequestError> {
        self.change(actor, id, RequestAction::Withdraw, Event::Withdraw, origin).await
    }

    /// Asks for a running execution to stop. It is cancelled once the rollback is certain; a commit that was
    /// faster completes it.
    pub async fn cancel(
        &self,
        actor: &Actor,
        id: RequestId,
        origin: Origin,
    ) -> Result<Request, RequestError> {
        let event = Event::RequestCancel { by: Some(approver(actor)) };
        self.change(actor, id, RequestAction::Cancel, event, origin).await
    }

    /// Says of an interrupted request whether it took effect, after somebody has looked.
    pub async fn resolve(
        &self,
        actor: &Actor,
        id: RequestId,
        committed: bool,
        note: Remark,
        origin: Origin,
    ) -> Result<Request, RequestError> {
        let event = Event::ResolveByPerson { by: approver(actor), committed, note };
        self.change(actor, id, RequestAction::Resolve, event, origin).await
    }

    /// Waits until the request is over, or needs a person, or `wait` has passed; then answers with what it is.
    /// With `while_pending` a pending request is waited for as well.
    pub async fn wait(
        &self,
        actor: &Actor,
        id: RequestId,
        wait: Duration,
        while_pending: bool,
    ) -> Result<Request, RequestError> {
        let over = |request: &Request| {
            let kind = request.state.kind();
            kind.is_settled() && !(while_pending && kind == StateKind::Pending)
        };
        let deadline = Instant::now() + wait;
        // Subscribing comes before reading: a change between the two is then seen as news.
        let mut news = self.changes.subscribe();
        loop {
            let request = self.get(actor, id).await?;
            if over(&request) || Instant::now() >= deadline {
                return Ok(request);
            }
            wait_for_news(&mut news, Change::Request(id), None, deadline).await;
        }
    }

    /// The result of a completed request.
    pub async fn result(
        &self,
        actor: &Actor,
        id: RequestId,
    ) -> Result<(Request, ResultReader), RequestError> {
        let request = self.get(actor, id).await?;
        let reason = match &request.state {
            State::Completed { completion, .. } => match completion.result {
                ResultKept::Stored { .. } => {
                    let reader = self.results.read(id);
                    return Ok((request, reader));
                }
                ResultKept::Lost => {
                    "The changes took effect, but the result was lost with the process that held it."
                }
            },
            State::Pending { .. } | State::Approved { .. } | State::Executing { .. } => {
                "The request has not been executed yet. Add ?wait=SECONDS to the request's own address to wait for it."
            }
            State::Rejected { .. } | State::Withdrawn { .. } | State::Expired { .. } => {
                "The request was never executed, so there is no result."
            }
            State::Failed { run: None, .. } => {
                "The request was refused before anything was executed, so there is no result."
            }
            State::Failed { .. } | State::Cancelled { .. } => {
                "The execution did not succeed, so there is no result."
            }
            State::Interrupted { .. } => {
                "The portal lost contact while the request ran, so there is no result."
            }
        };
        Err(RequestError::NoResult { reason })
    }

    async fn change(
        &self,
        actor: &Actor,
        id: RequestId,
        action: RequestAction,
        event: Event,
        origin: Origin,
    ) -> Result<Request, RequestError> {
        let change = self.prepare(actor, id, action, event, origin).await?;
        Ok(self.requests.commit(&change).await?)
    }

    async fn prepare(
        &self,
        actor: &Actor,
        id: RequestId,
        action: RequestAction,
        event: Event,
        origin: Origin,
    ) -> Result<Transition, RequestError> {
        let request = self.requests.find(id).await?.ok_or(RequestError::NotFound)?;
        policy::on_request(actor, action, &request)?;
        if origin.channel == Channel::Slack {
            let target = self.directory.find_target(&request.target.instance).await?;
            policy::decide_in_slack(target.as_ref())?;
        }
        Ok(transition(request, event, Some(actor.user), origin, self.clock.now())?)
    }
}

fn approver(actor: &Actor) -> Approver {
    Approver { id: actor.user, email: actor.email.clone() }
}

/// Returns on one of two pieces of news, when news was lost, when it is time to look anyway, or at the moment given.
pub(super) async fn wait_for_news(
    news: &mut Receiver<Change>,
    one: Change,
    other: Option<Change>,
    deadline: Instant,
) {
    let until = deadline.min(Instant::now() + SLOW_POLL);
    loop {
        match timeout_at(until, news.recv()).await {
            Ok(Ok(change)) if change == one || Some(&change) == other.as_ref() => return,
            Ok(Ok(Change::Request(_) | Change::Jobs | Change::Cancel(_) | Change::Log(_))) => {}
            Ok(Err(RecvError::Lagged(_))) | Err(_) => return,
            Ok(Err(RecvError::Closed)) => return tokio::time::sleep_until(until).await,
        }
    }
}
