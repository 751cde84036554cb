//! The use cases, over the in-memory store and the other fakes of `testkit`.

mod accounts;
mod authentication;
mod connections;
mod execution;
mod execution_queue;
mod execution_stopping;
mod housekeeping;
mod idempotency;
mod keyring;
mod mongodb_submission;
mod mongodb_targets;
mod notifications;
mod references;
mod renewed_logins;
mod requests;
mod script_execution;
mod script_logs;
mod script_results;
mod script_submission;
mod sessions;
mod slack;
mod slack_identity;
mod slack_people;
mod slack_refusals;
mod submission;
mod sync_worker;
mod target_values;
mod targets;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::Timestamp;
use domain::audit::AuditEntry;
use domain::idempotency::Idempotency;
use domain::ids::{RequestId, UserId};
use domain::lifecycle::{Transition, submission_audit, transition};
use domain::page::{Page, PageRequest};
use domain::policy::Visibility;
use domain::ports::{Clock, Earlier, RequestFilter, RequestStore, StoreError, TransitionError};
use domain::request::{Effect, Event, NotificationKind, Request, State, StateKind};
use domain::user::Origin;
use testkit::InMemoryStore;
use testkit::builders::{RequestBuilder, approver, database, pod, target, target_database, user};
use testkit::fakes::FakeClock;

/// A store with the PODs `payments` and `orders`, a target of each with a database, and ada's account.
pub(crate) struct World {
    pub(crate) store: InMemoryStore,
    pub(crate) clock: Arc<FakeClock>,
}

impl World {
    pub(crate) fn new() -> Self {
        let store = InMemoryStore::new();
        for id in ["payments", "orders"] {
            store.put_pod(&pod(id).build());
        }
        for (id, pod) in [("orders-db", "payments"), ("ledger-db", "orders")] {
            let target = target(id).pods(&[pod]).build();
            store.put_target(&target);
            store.put_database(&target.id, &target_database(database().as_str()));
        }
        store.put_user(&user("ada").build(), testkit::builders::TEST_PASSWORD);
        Self { store, clock: Arc::new(FakeClock::new()) }
    }

    /// Stores a new request as its submission does.
    pub(crate) async fn pending(&self, request: RequestBuilder) -> Request {
        let request = request.unsaved();
        let audit = submission_audit(&request, Origin::default());
        let effects = [Effect::Notify(NotificationKind::Submitted)];
        self.store.request_store().insert(&request, &audit, &effects, None).await.expect("a new request");
        self.request(request.id).await
    }

    /// Stores a new request and approves it, which queues its execution.
    pub(crate) async fn approved(&self, request: RequestBuilder) -> Request {
        let mut request = self.pending(request).await;
        for name in ["grace", "alan"] {
            if request.state.kind() == StateKind::Pending {
                let digest = Some(request.digest());
                request = self.commit(request, Event::Approve { by: approver(name), digest }).await;
            }
        }
        assert_eq!(request.state.kind(), StateKind::Approved);
        request
    }

    pub(crate) async fn commit(&self, request: Request, event: Event) -> Request {
        let change = transition(request, event, None, Origin::default(), self.clock.now())
            .expect("the event is possible");
        self.store.request_store().commit(&change).await.expect("nobody was faster")
    }

    /// Asks a running request to stop, as ada.
    pub(crate) async fn ask_to_cancel(&self, id: RequestId) {
        let request = self.request(id).await;
        self.commit(request, Event::RequestCancel { by: Some(approver("ada")) }).await;
    }

    pub(crate) async fn request(&self, id: RequestId) -> Request {
        let found = self.store.request_store().find(id).await.expect("the store answers");
        found.expect("the request is stored")
    }

    pub(crate) async fn state(&self, id: RequestId) -> State {
        self.request(id).await.state
    }

    pub(crate) async fn kind(&self, id: RequestId) -> StateKind {
        self.request(id).await.state.kind()
    }

    /// The actions on the trail of one request, oldest first.
    pub(crate) fn trail(&self, id: RequestId) -> Vec<String> {
        let entries = self.store.audit_entries();
        let about = entries.into_iter().filter(|entry| entry.entity.id == id.to_string());
        about.map(|entry| entry.action).collect()
    }
}

/// A request store in which others are faster: right after each of the next reads an event happens to the request, so
/// that who has read it holds an old version.
pub(crate) struct OvertakenStore {
    pub(crate) inner: InMemoryStore,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) events: Mutex<VecDeque<Event>>,
}

#[async_trait]
impl RequestStore for OvertakenStore {
    async fn insert<'a>(
        &self,
        request: &Request,
        audit: &AuditEntry,
        effects: &[Effect],
        idempotency: Option<&'a Idempotency>,
    ) -> Result<Option<Earlier>, StoreError> {
        RequestStore::insert(&self.inner, request, audit, effects, idempotency).await
    }

    async fn find_by_key(
        &self,
        requester: UserId,
        idempotency: &Idempotency,
        now: Timestamp,
    ) -> Result<Option<Earlier>, StoreError> {
        RequestStore::find_by_key(&self.inner, requester, idempotency, now).await
    }

    async fn find(&self, id: RequestId) -> Result<Option<Request>, StoreError> {
        let found = RequestStore::find(&self.inner, id).await?;
        let event = self.events.lock().expect("no test panics with this lock").pop_front();
        if let (Some(request), Some(event)) = (&found, event) {
            let change = transition(request.clone(), event, None, Origin::default(), self.clock.now())
                .expect("the event is possible");
            RequestStore::commit(&self.inner, &change).await.expect("nobody is faster than this");
        }
        Ok(found)
    }

    async fn list(
        &self,
        visibility: &Visibility,
        filter: &RequestFilter,
        page: &PageRequest,
    ) -> Result<Page<domain::request::RequestSummary>, StoreError> {
        RequestStore::list(&self.inner, visibility, filter, page).await
    }

    async fn commit(&self, transition: &Transition) -> Result<Request, TransitionError> {
        RequestStore::commit(&self.inner, transition).await
    }
}
