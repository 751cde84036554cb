//! The cast of the contract, and what rules do again and again.
//!
//! PODs `payments` and `orders`; ada and bob submit for payments, eve for orders; grace and alan manage
//! payments; the target `orders-db` with the database `orders` admits payments.

use std::ops::Deref;

use domain::Timestamp;
use domain::audit::{AuditEntry, Entity, EntityKind};
use domain::ids::{RequestId, UserId};
use domain::job::{Audience, Lease, NotificationJob, WorkerId};
use domain::lifecycle::{self, Transition};
use domain::ports::ExecutionClaim;
use domain::request::{Approver, Effect, Event, NotificationKind, Request, StateKind};
use domain::target::Target;
use domain::user::{Origin, User, roles};

use super::stores::Stores;
use crate::builders::{
    RequestBuilder, approver, at, database, display_name, pod, remark, sample_failure, sample_report, target,
    user,
};

/// A world with people and a target in it.
pub(crate) struct Scene {
    stores: Stores,
}

/// An execution under way.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) lease: Lease,
    pub(crate) request: Request,
    pub(crate) target: Target,
}

impl Deref for Scene {
    type Target = Stores;

    fn deref(&self) -> &Stores {
        &self.stores
    }
}

impl Scene {
    pub(crate) async fn set_up(stores: Stores) -> Self {
        let scene = Self { stores };
        for id in ["payments", "orders"] {
            let pod = pod(id).build();
            scene
                .directory
                .add_pod(&pod, &entry("pod.create", EntityKind::Pod, id))
                .await
                .expect("a new POD");
        }
        let cast = [
            user("ada"),
            user("bob"),
            user("eve").pod("orders"),
            user("grace").role(roles::MANAGER),
            user("alan").role(roles::MANAGER),
        ];
        for person in cast {
            let new = person.new_user();
            let audit = entry("user.create", EntityKind::User, &new.id.to_string());
            scene.users.create(&new, &audit).await.expect("a new account");
        }
        let target = orders_db();
        let audit = entry("instance.create", EntityKind::Instance, target.id.as_str());
        scene.directory.add_target(&target, &[database()], &audit).await.expect("a new target");
        scene
    }

    pub(crate) async fn submit(&self, request: RequestBuilder) -> Request {
        let request = request.unsaved();
        self.insert(&request).await;
        self.request(request.id).await
    }

    pub(crate) async fn insert(&self, request: &Request) {
        let audit = lifecycle::submission_audit(request, Origin::default());
        let effects = [Effect::Notify(NotificationKind::Submitted)];
        let earlier = self.requests.insert(request, &audit, &effects, None).await.expect("a new request");
        assert_eq!(earlier, None, "there was no key");
    }

    pub(crate) async fn user(&self, id: UserId) -> User {
        self.users.find(id).await.expect("the store answers").expect("the account exists")
    }

    pub(crate) async fn request(&self, id: RequestId) -> Request {
        self.requests.find(id).await.expect("the store answers").expect("the request is stored")
    }

    pub(crate) async fn commit(&self, request: &Request, event: Event, now: Timestamp) -> Request {
        let transition = applied(request, event, now);
        self.requests.commit(&transition).await.expect("nobody was faster")
    }

    /// Approves with as many approvers as the request needs, at second 1.
    pub(crate) async fn approve(&self, request: Request) -> Request {
        let mut request = request;
        for by in [approver("grace"), approver("alan")] {
            if request.state.kind() == StateKind::Pending {
                request = self.commit(&request, approval(&request, by), at(1)).await;
            }
        }
        assert_eq!(request.state.kind(), StateKind::Approved);
        request
    }

    pub(crate) async fn approved(&self, request: RequestBuilder) -> Request {
        let request = self.submit(request).await;
        self.approve(request).await
    }

    /// Claims an execution, with a lease of a minute.
    pub(crate) async fn claim(&self, now: Timestamp) -> Option<ExecutionClaim> {
        let until = now + chrono::TimeDelta::minutes(1);
        self.jobs.claim_execution(&worker(), now, until).await.expect("the store answers")
    }

    /// An execution that was claimed at second 10, with a lease until second 70.
    pub(crate) async fn started(&self, request: RequestBuilder) -> Started {
        let id = self.approved(request).await.id;
        match self.claim(at(10)).await {
            Some(ExecutionClaim::Started { lease, request, target }) if request.id == id => {
                Started { lease, request: *request, target: *target }
            }
            other => panic!("the execution should have started, but: {other:?}"),
        }
    }

    /// Claims a notification, with a lease of a minute.
    pub(crate) async fn claim_notification(&self, now: Timestamp) -> Option<NotificationJob> {
        let until = now + chrono::TimeDelta::minutes(1);
        self.jobs.claim_notification(&worker(), now, until).await.expect("the store answers")
    }

    /// The kinds of all notifications of a request for its channel that can be claimed now, oldest first: it is told of
    /// everything. All claimed ones end, those for others too.
    pub(crate) async fn drain_notifications(
        &self,
        request: RequestId,
        now: Timestamp,
    ) -> Vec<NotificationKind> {
        let mut kinds = vec![];
        while let Some(job) = self.claim_notification(now).await {
            self.jobs.complete_notification(&job.lease, now).await.expect("the store answers");
            if job.request == request && job.audience == Audience::Channel {
                kinds.push(job.kind);
            }
        }
        kinds
    }

    /// The actions on the trail of one entity, oldest first.
    pub(crate) async fn trail(&self, kind: EntityKind, id: impl ToString) -> Vec<String> {
        let id = id.to_string();
        let rows = self.probe.audit_rows().await.into_iter();
        rows.filter(|row| row.entity_kind == kind.as_str() && row.entity_id == id)
            .map(|row| row.action)
            .collect()
    }

    pub(crate) async fn finish(&self, lease: &Lease, request: &Request, event: Event) -> Request {
        let transition = applied(request, event, at(20));
        self.jobs.finish_execution(lease, &transition).await.expect("the lease holds")
    }

    /// Brings a new request into a state through the ports. Returns it as the last
    /// port call should have left it.
    pub(crate) async fn reach(&self, state: StateKind, request: RequestBuilder) -> Request {
        match state {
            StateKind::Pending => {
                let request = request.unsaved();
                self.insert(&request).await;
                Request { version: 1, ..request }
            }
            StateKind::Approved => self.approved(request).await,
            StateKind::Rejected => {
                let request = self.submit(request).await;
                let by = approver("grace");
                self.commit(&request, Event::Reject { by, reason: remark("Not on a Friday: “no”.") }, at(2))
                    .await
            }
            StateKind::Withdrawn => {
                let request = self.submit(request).await;
                self.commit(&request, Event::Withdraw, at(2)).await
            }
            StateKind::Expired => {
                let request = self.submit(request).await;
                let end = lifecycle::expires_at(&request).expect("it waits") + chrono::TimeDelta::seconds(1);
                self.jobs.reap(end).await.expect("the store answers");
                stored(&lifecycle::expire(request, end).expect("it waits"))
            }
            StateKind::Executing => self.started(request).await.request,
            StateKind::Completed => {
                let Started { lease, request, .. } = self.started(request).await;
                let (report, preview) = sample_report();
                self.finish(&lease, &request, Event::Succeed { report, preview }).await
            }
            StateKind::Failed => {
                let Started { lease, request, .. } = self.started(request).await;
                self.finish(&lease, &request, Event::Fail(sample_failure())).await
            }
            StateKind::Cancelled => {
                let Started { lease, request, .. } = self.started(request).await;
                let by = Some(approver("alan"));
                let request = self.commit(&request, Event::RequestCancel { by }, at(15)).await;
                self.finish(&lease, &request, Event::ConfirmCancelled).await
            }
            StateKind::Interrupted => {
                let request = self.started(request).await.request;
                self.jobs.reap(at(100)).await.expect("the store answers");
                stored(&lifecycle::lose_contact(request, at(100)).expect("it ran"))
            }
        }
    }
}

pub(crate) fn worker() -> WorkerId {
    WorkerId("host:1:1".to_owned())
}

/// An approval of what the request holds now.
pub(crate) fn approval(request: &Request, by: Approver) -> Event {
    Event::Approve { by, digest: Some(request.digest()) }
}

/// The transition for an event, as a service prepares it.
pub(crate) fn applied(request: &Request, event: Event, now: Timestamp) -> Transition {
    lifecycle::transition(request.clone(), event, None, Origin::default(), now)
        .expect("the event is possible")
}

/// What a store holds after it has written a transition.
pub(crate) fn stored(transition: &Transition) -> Request {
    Request { version: transition.expected_version + 1, ..transition.request.clone() }
}

/// An entry of nobody, at second 0.
pub(crate) fn entry(action: &str, kind: EntityKind, id: &str) -> AuditEntry {
    entry_at(action, kind, id, at(0))
}

pub(crate) fn entry_at(action: &str, kind: EntityKind, id: &str, now: Timestamp) -> AuditEntry {
    AuditEntry {
        user: None,
        action: action.to_owned(),
        entity: Entity::new(kind, id),
        old_values: None,
        new_values: Some(serde_json::json!({ "note": "é" })),
        origin: Origin { ip: Some("192.0.2.7".to_owned()), ..Origin::default() },
        at: now,
    }
}

/// Makes fifty calls at once, and gives their answers.
pub(crate) async fn fifty_at_once<F>(call: impl Fn(usize) -> F) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let tasks: Vec<_> = (0..50).map(|number| tokio::spawn(call(number))).collect();
    let mut answers = Vec::with_capacity(tasks.len());
    for task in tasks {
        answers.push(task.await.expect("no panic"));
    }
    answers
}

/// The id of a member of the cast.
pub(crate) fn id_of(name: &str) -> UserId {
    user(name).build().id
}

/// The one target, as it was stored.
pub(crate) fn orders_db() -> Target {
    target("orders-db").build()
}

/// A display name, for rules that change one.
pub(crate) fn renamed() -> domain::text::DisplayName {
    display_name("Somebody Else")
}
