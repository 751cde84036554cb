//! Requests and their transitions.

use async_trait::async_trait;
use domain::Timestamp;
use domain::audit::AuditEntry;
use domain::idempotency::{Idempotency, KEPT_FOR};
use domain::ids::{RequestId, UserId};
use domain::lifecycle::Transition;
use domain::page::{Page, PageRequest};
use domain::policy::Visibility;
use domain::ports::{Change, Earlier, RequestFilter, RequestStore, StoreError, TransitionError};
use domain::request::{Effect, Request, RequestSummary};

use super::world::KeyRow;
use super::{InMemoryStore, rejected};

#[async_trait]
impl RequestStore for InMemoryStore {
    async fn insert<'a>(
        &self,
        request: &Request,
        audit: &AuditEntry,
        effects: &[Effect],
        idempotency: Option<&'a Idempotency>,
    ) -> Result<Option<Earlier>, StoreError> {
        self.atomically(|world| {
            let (user, now) = (request.requester.id, request.created_at);
            if let Some(earlier) = idempotency.and_then(|key| world.earlier(user, key, now)) {
                return Ok(Some(earlier));
            }
            if world.request(request.id).is_some() {
                return Err(rejected(format!("request {} exists already", request.id)));
            }
            if let Some(Idempotency { key, fingerprint }) = idempotency {
                let row =
                    KeyRow { fingerprint: *fingerprint, request: request.id, expires_at: now + KEPT_FOR };
                world.keys.insert((user, key.clone()), row);
            }
            world.requests.push(Request { version: 1, ..request.clone() });
            world.carry_out(effects, request, audit.at);
            world.audit.push(audit.clone());
            world.news.push(Change::Request(request.id));
            Ok(None)
        })
    }

    async fn find_by_key(
        &self,
        requester: UserId,
        idempotency: &Idempotency,
        now: Timestamp,
    ) -> Result<Option<Earlier>, StoreError> {
        self.atomically(|world| Ok(world.earlier(requester, idempotency, now)))
    }

    async fn find(&self, id: RequestId) -> Result<Option<Request>, StoreError> {
        self.atomically(|world| Ok(world.request(id).cloned()))
    }

    async fn list(
        &self,
        visibility: &Visibility,
        filter: &RequestFilter,
        page: &PageRequest,
    ) -> Result<Page<RequestSummary>, StoreError> {
        self.atomically(|world| {
            let limit = usize::try_from(page.limit).expect("a page's size fits");
            let mut found: Vec<(i64, &Request)> = (1..)
                .zip(&world.requests)
                .filter(|(position, _)| page.after.is_none_or(|after| *position < after))
                .filter(|(_, request)| shows(visibility, request) && admits(filter, request))
                .collect();
            found.reverse();
            let more = found.len() > limit;
            found.truncate(limit);
            let next = found.last().filter(|_| more).map(|(position, _)| *position);
            Ok(Page {
                items: found.into_iter().map(|(_, request)| RequestSummary::from(request)).collect(),
                next,
            })
        })
    }

    async fn commit(&self, transition: &Transition) -> Result<Request, TransitionError> {
        self.atomically(|world| {
            let stored = world.request(transition.request.id).ok_or(TransitionError::NotFound)?;
            if stored.version != transition.expected_version {
                return Err(TransitionError::Conflict { current: stored.state.kind() });
            }
            Ok(world.write(transition.clone()))
        })
    }
}

fn shows(visibility: &Visibility, request: &Request) -> bool {
    match visibility {
        Visibility::All => true,
        Visibility::OwnAndPods { user, pods } => {
            request.is_requester(*user) || pods.contains(&request.pod.id)
        }
    }
}

fn admits(filter: &RequestFilter, request: &Request) -> bool {
    let RequestFilter {
        states,
        instance,
        pod,
        requester,
        not_requester,
        engine,
        created_from,
        created_before,
    } = filter;
    (states.is_empty() || states.contains(&request.state.kind()))
        && instance.as_ref().is_none_or(|id| *id == request.target.instance)
        && pod.as_ref().is_none_or(|id| *id == request.pod.id)
        && requester.is_none_or(|id| request.is_requester(id))
        && not_requester.is_none_or(|id| !request.is_requester(id))
        && engine.is_none_or(|engine| engine == request.target.engine)
        && created_from.is_none_or(|from| request.created_at >= from)
        && created_before.is_none_or(|before| request.created_at < before)
}
