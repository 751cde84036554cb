//! `JobQueue::claim_execution`: nothing runs without a valid approval, and nothing runs twice.

use std::collections::HashSet;

use domain::audit::EntityKind;
use domain::execution::FailureKind;
use domain::ids::RequestId;
use domain::ports::ExecutionClaim;
use domain::request::{NotificationKind, State, StateKind};
use domain::target::Target;

use super::scene::{Scene, Started, entry, orders_db, worker};
use super::stores::Stores;
use crate::builders::{at, database, pod_id, request};

/// The request behind a claim of either kind.
fn id(claim: &ExecutionClaim) -> RequestId {
    match claim {
        ExecutionClaim::Started { request, .. } | ExecutionClaim::Refused { request } => request.id,
    }
}

/// Claims what was approved before the world changed: it has to be refused, for good.
async fn is_refused(w: &Scene, approved: RequestId) {
    w.drain_notifications(approved, at(5)).await;
    let Some(ExecutionClaim::Refused { request }) = w.claim(at(10)).await else {
        panic!("the execution should have been refused");
    };
    assert_eq!(request.id, approved);
    assert_eq!(*request, w.request(approved).await);
    let State::Failed { run: None, failure, .. } = &request.state else {
        panic!("a refused request has failed without a run, not: {:?}", request.state);
    };
    assert_eq!(failure.kind, FailureKind::Refused);
    let trail = w.trail(EntityKind::Request, approved).await;
    assert_eq!(trail, ["request.submit", "request.approve", "request.refuse"]);
    assert_eq!(w.drain_notifications(approved, at(11)).await, [NotificationKind::Failed]);
    assert_eq!(w.claim(at(100)).await, None, "it is not tried again");
    assert!(w.jobs.reap(at(100)).await.expect("the store answers").is_empty());
}

/// As an admin does it.
async fn changes_target(w: &Scene, after: Target) {
    let audit = entry("instance.update", EntityKind::Instance, "orders-db");
    w.directory.change_target(&orders_db(), &after, &audit).await.expect("nobody was faster");
}

async fn is_refused_after(w: &Scene, change: impl FnOnce(&mut Target)) {
    let approved = w.approved(request()).await;
    let mut target = orders_db();
    change(&mut target);
    w.probe.change_target(&target).await;
    is_refused(w, approved.id).await;
}

rules! { ($) __claim_rules in claims, stores: Stores => Scene::set_up;
    async fn a_claim_of_an_empty_queue_gives_nothing(w) {
        assert_eq!(w.claim(at(10)).await, None);
    }

    async fn a_claim_starts_an_approved_request_and_audits_it(w) {
        let approved = w.approved(request()).await;
        let Some(ExecutionClaim::Started { lease, request, target }) = w.claim(at(10)).await else {
            panic!("the execution should have started");
        };
        assert_eq!(lease.worker, worker());
        assert_eq!(request.version, approved.version + 1);
        assert_eq!(request.state.approvals(), approved.state.approvals());
        let run = request.state.run().expect("it runs");
        assert_eq!((run.job, run.worker.as_str(), run.started_at), (lease.job, "host:1:1", at(10)));
        assert_eq!(*request, w.request(approved.id).await);
        assert_eq!(*target, orders_db());
        let trail = w.trail(EntityKind::Request, approved.id).await;
        assert_eq!(trail, ["request.submit", "request.approve", "request.start"]);
    }

    async fn a_claim_never_gets_a_pending_request(w) {
        w.submit(request()).await;
        assert_eq!(w.claim(at(10)).await, None);
    }

    async fn an_execution_is_claimed_once(w) {
        w.started(request()).await;
        assert_eq!(w.claim(at(11)).await, None);
        assert_eq!(w.claim(at(1_000)).await, None, "not even when its lease has run out");
    }

    async fn of_twenty_claims_at_once_exactly_one_gets_the_execution(w) {
        let approved = w.approved(request()).await;
        let claims: Vec<_> = (0..20)
            .map(|_| {
                let jobs = w.jobs.clone();
                tokio::spawn(async move { jobs.claim_execution(&worker(), at(10), at(70)).await })
            })
            .collect();
        let mut started = 0;
        for claim in claims {
            match claim.await.expect("no panic").expect("the store answers") {
                Some(ExecutionClaim::Started { request, .. }) if request.id == approved.id => started += 1,
                None => {}
                Some(other) => panic!("nothing else can be claimed: {other:?}"),
            }
        }
        assert_eq!(started, 1);
        let trail = w.trail(EntityKind::Request, approved.id).await;
        assert_eq!(trail, ["request.submit", "request.approve", "request.start"]);
    }

    async fn claims_at_once_get_different_executions_and_all_of_them(w) {
        let mut expected = HashSet::new();
        for _ in 0..8 {
            expected.insert(w.approved(request()).await.id);
        }
        let claims: Vec<_> = (0..12)
            .map(|_| {
                let jobs = w.jobs.clone();
                tokio::spawn(async move { jobs.claim_execution(&worker(), at(10), at(70)).await })
            })
            .collect();
        let mut claimed = vec![];
        for claim in claims {
            claimed.extend(claim.await.expect("no panic").expect("the store answers").as_ref().map(id));
        }
        while let Some(claim) = w.claim(at(11)).await {
            claimed.push(id(&claim));
        }
        assert_eq!(claimed.len(), expected.len(), "none twice");
        assert_eq!(claimed.into_iter().collect::<HashSet<_>>(), expected);
    }

    async fn the_oldest_execution_is_claimed_first(w) {
        let first = w.submit(request()).await;
        let second = w.submit(request()).await;
        let approve = |r| super::scene::approval(r, crate::builders::approver("grace"));
        w.commit(&second, approve(&second), at(1)).await;
        w.commit(&first, approve(&first), at(2)).await;
        assert_eq!(w.claim(at(10)).await.as_ref().map(id), Some(second.id));
        assert_eq!(w.claim(at(10)).await.as_ref().map(id), Some(first.id));
    }

    async fn an_execution_does_not_start_before_its_time(w) {
        let approved = w.approved(request().not_before(at(500))).await;
        assert_eq!(w.claim(at(499)).await, None);
        assert_eq!(w.claim(at(501)).await.as_ref().map(id), Some(approved.id));
    }

    async fn a_job_of_a_request_that_is_not_approved_any_more_is_dropped(w) {
        let gone = w.approved(request()).await;
        // A withdrawal whose effects were lost: the job is still in the queue.
        let mut transition = super::scene::applied(&gone, domain::request::Event::Withdraw, at(2));
        transition.effects.clear();
        w.requests.commit(&transition).await.expect("nobody was faster");
        assert_eq!(w.claim(at(10)).await, None);
        assert_eq!(w.request(gone.id).await.state.kind(), StateKind::Withdrawn);
        assert!(w.jobs.reap(at(100)).await.expect("the store answers").is_empty());
    }

    async fn a_dropped_job_does_not_hold_up_the_ones_behind_it(w) {
        let gone = w.approved(request()).await;
        let next = w.submit(request()).await;
        let approval = super::scene::approval(&next, crate::builders::approver("grace"));
        w.commit(&next, approval, at(2)).await;
        let mut transition = super::scene::applied(&gone, domain::request::Event::Withdraw, at(3));
        transition.effects.clear();
        w.requests.commit(&transition).await.expect("nobody was faster");
        assert_eq!(w.claim(at(10)).await.as_ref().map(id), Some(next.id), "nothing due is left behind");
        assert_eq!(w.claim(at(10)).await, None);
    }

    async fn an_inactive_target_is_refused(w) {
        let approved = w.approved(request()).await;
        changes_target(&w, Target { active: false, ..orders_db() }).await;
        is_refused(&w, approved.id).await;
    }

    async fn an_inactive_database_is_refused(w) {
        let approved = w.approved(request()).await;
        w.probe.set_database_active(&orders_db().id, &database(), false).await;
        is_refused(&w, approved.id).await;
    }

    async fn an_inactive_pod_is_refused(w) {
        let approved = w.approved(request()).await;
        w.probe.set_pod_active(&pod_id("payments"), false).await;
        is_refused(&w, approved.id).await;
    }

    async fn a_pod_without_access_any_more_is_refused(w) {
        let approved = w.approved(request()).await;
        changes_target(&w, Target { pods: vec![pod_id("orders")], ..orders_db() }).await;
        is_refused(&w, approved.id).await;
    }

    async fn a_target_with_another_connection_than_approved_is_refused(w) {
        is_refused_after(&w, |target| {
            "elsewhere.internal".clone_into(&mut target.host);
            target.connection_revision = 2;
            target.bound_revision = Some(2);
        })
        .await;
    }

    async fn a_target_with_another_search_path_than_approved_is_refused(w) {
        is_refused_after(&w, |target| target.search_path = Some("archive".to_owned())).await;
    }

    async fn a_target_that_became_read_only_is_refused(w) {
        is_refused_after(&w, |target| target.read_only = true).await;
    }

    async fn a_target_without_bound_credentials_is_refused(w) {
        is_refused_after(&w, |target| target.bound_revision = None).await;
    }

    async fn a_change_of_the_target_that_does_not_touch_what_runs_refuses_nothing(w) {
        let approved = w.approved(request()).await;
        let mut target = orders_db();
        target.description = Some("The orders of the web shop".to_owned());
        w.probe.change_target(&target).await;
        let claim = w.claim(at(10)).await;
        let Some(ExecutionClaim::Started { request, target: claimed, .. }) = claim else {
            panic!("the execution should have started: {claim:?}");
        };
        assert_eq!((request.id, *claimed), (approved.id, target));
    }

    async fn a_claim_gives_the_target_that_is_stored(w) {
        let Started { target, .. } = w.started(request()).await;
        let stored = w.directory.find_target(&target.id).await.expect("the store answers");
        assert_eq!(stored, Some(target));
    }
}
