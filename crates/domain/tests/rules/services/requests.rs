//! Reading requests, deciding on them, waiting for them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::ids::RequestId;
use domain::page::PageRequest;
use domain::policy::Denied;
use domain::ports::{RequestFilter, RequestStore};
use domain::request::{Event, InvalidTransition, ResultKept, State, StateKind};
use domain::services::{RequestError, Requests};
use domain::user::{Actor, Channel, Origin, roles};
use futures_util::TryStreamExt;
use testkit::builders::{actor, pod_id, remark, request, user, uuid_for};
use testkit::memory::{JobKind, JobState};
use tokio::time::Instant;

use super::{OvertakenStore, World};

pub(super) fn service(world: &World) -> Requests {
    Requests {
        requests: world.store.request_store(),
        directory: world.store.directory(),
        results: world.store.result_store(),
        logs: world.store.script_logs(world.clock.clone()),
        changes: world.store.change_feed(),
        clock: world.clock.clone(),
        require_digest: false,
    }
}

pub(super) fn ada() -> Actor {
    actor("ada").build()
}

pub(super) fn grace() -> Actor {
    actor("grace").role(roles::MANAGER).build()
}

pub(super) fn outsider() -> Actor {
    actor("mallory").role(roles::MANAGER).pod("orders").build()
}

pub(super) fn admin() -> Actor {
    actor("root").role(roles::ADMIN).no_pod().build()
}

fn origin() -> Origin {
    Origin { channel: Channel::Slack, ..Origin::default() }
}

pub(super) fn denied<T: std::fmt::Debug>(answer: Result<T, RequestError>) -> Denied {
    match answer {
        Err(RequestError::Denied(denied)) => denied,
        other => panic!("not denied: {other:?}"),
    }
}

fn invalid<T: std::fmt::Debug>(answer: Result<T, RequestError>) -> InvalidTransition {
    match answer {
        Err(RequestError::Invalid(invalid)) => invalid,
        other => panic!("not invalid: {other:?}"),
    }
}

pub(super) fn nowhere() -> RequestId {
    RequestId::from_uuid(uuid_for("no such request"))
}

#[tokio::test]
async fn a_request_is_shown_to_who_may_see_it() {
    let world = World::new();
    let pending = world.pending(request()).await;
    for actor in [ada(), grace(), admin()] {
        assert_eq!(service(&world).get(&actor, pending.id).await.expect("it may be seen"), pending);
    }
    for actor in [actor("bob").build(), outsider()] {
        assert_eq!(denied(service(&world).get(&actor, pending.id).await), Denied::NotVisible);
    }
    let error = service(&world).get(&admin(), nowhere()).await.expect_err("there is none");
    assert!(matches!(error, RequestError::NotFound), "{error:?}");
}

#[tokio::test]
async fn an_approval_queues_the_execution_in_the_name_of_the_approver() {
    let world = World::new();
    let pending = world.pending(request()).await;
    let approved = service(&world).approve(&grace(), pending.id, None, origin()).await.expect("grace may");
    assert_eq!((approved.state.kind(), approved.version), (StateKind::Approved, 2));
    assert_eq!(approved, world.request(pending.id).await);
    let queued = world.store.jobs().into_iter().find(|job| job.kind == JobKind::Execution);
    assert_eq!(queued.expect("it is queued").state, JobState::Queued);
    let entries = world.store.audit_entries();
    let entry = entries.last().expect("the approval is on the trail");
    assert_eq!((entry.action.as_str(), entry.user), ("request.approve", Some(grace().user)));
    assert_eq!(entry.origin, origin());
}

#[tokio::test]
async fn an_approval_by_the_wrong_person_changes_nothing() {
    let world = World::new();
    let pending = world.pending(request()).await;
    let service = service(&world);
    let approve = |actor: Actor| {
        let service = &service;
        async move { denied(service.approve(&actor, pending.id, None, origin()).await) }
    };
    assert_eq!(approve(ada()).await, Denied::OwnRequest);
    assert_eq!(approve(actor("ada").role(roles::MANAGER).build()).await, Denied::OwnRequest);
    assert_eq!(approve(actor("ada").role(roles::ADMIN).build()).await, Denied::OwnRequest);
    assert_eq!(approve(actor("bob").build()).await, Denied::NotVisible);
    assert_eq!(approve(outsider()).await, Denied::NotVisible);
    assert_eq!(world.request(pending.id).await, pending);
    assert_eq!(world.trail(pending.id), ["request.submit"]);
}

#[tokio::test]
async fn one_person_does_not_give_both_of_two_approvals() {
    let world = World::new();
    let pending = world.pending(request().approvals_needed(2)).await;
    let service = service(&world);
    let once = service.approve(&grace(), pending.id, None, origin()).await.expect("grace may");
    assert_eq!(once.state.kind(), StateKind::Pending);
    let again = service.approve(&grace(), pending.id, None, origin()).await;
    assert_eq!(invalid(again), InvalidTransition::AlreadyApproved);
    let twice = service.approve(&admin(), pending.id, None, origin()).await.expect("an admin may");
    assert_eq!(twice.state.kind(), StateKind::Approved);
}

#[tokio::test]
async fn an_approval_of_what_is_not_there_any_more_is_told_what_is() {
    let world = World::new();
    let pending = world.pending(request()).await;
    let other = request().text("SELECT 2").pending().digest();
    let answer = service(&world).approve(&grace(), pending.id, Some(other), origin()).await;
    assert_eq!(invalid(answer), InvalidTransition::DigestMismatch { current: pending.digest() });
}

#[tokio::test]
async fn a_digest_can_be_required_of_every_approval() {
    let world = World::new();
    let pending = world.pending(request()).await;
    let strict = Requests { require_digest: true, ..service(&world) };
    let without = strict.approve(&grace(), pending.id, None, origin()).await;
    assert_eq!(invalid(without), InvalidTransition::DigestRequired);
    let digest = Some(pending.digest());
    let with = strict.approve(&grace(), pending.id, digest, origin()).await.expect("the digest is right");
    assert_eq!(with.state.kind(), StateKind::Approved);
}

#[tokio::test]
async fn a_decision_that_came_second_is_told_so() {
    let world = World::new();
    let pending = world.pending(request()).await;
    let overtaken = OvertakenStore {
        inner: world.store.clone(),
        clock: world.clock.clone(),
        events: Mutex::new([Event::Withdraw].into()),
    };
    let service = Requests { requests: Arc::new(overtaken), ..service(&world) };
    let error = service.approve(&grace(), pending.id, None, origin()).await.expect_err("ada was faster");
    assert!(matches!(error, RequestError::Conflict { current: StateKind::Withdrawn }), "{error:?}");
    assert_eq!(world.kind(pending.id).await, StateKind::Withdrawn);
    assert_eq!(world.trail(pending.id), ["request.submit", "request.withdraw"]);
}

#[tokio::test]
async fn a_manager_of_the_pod_and_an_admin_may_reject_with_a_reason() {
    let world = World::new();
    for decider in [grace(), admin()] {
        let pending = world.pending(request()).await;
        let reason = remark("No WHERE.");
        let rejected = service(&world).reject(&decider, pending.id, reason.clone(), origin()).await;
        let State::Rejected { decision } = rejected.expect("they may").state else { panic!("not rejected") };
        assert_eq!((decision.by.id, decision.reason), (decider.user, reason));
    }
    let pending = world.pending(request()).await;
    for (actor, expected) in [(ada(), Denied::OwnRequest), (outsider(), Denied::NotVisible)] {
        let answer = service(&world).reject(&actor, pending.id, remark("No."), origin()).await;
        assert_eq!(denied(answer), expected);
    }
}

#[tokio::test]
async fn only_the_requester_withdraws() {
    let world = World::new();
    let pending = world.pending(request()).await;
    for (actor, expected) in
        [(grace(), Denied::NotRequester), (admin(), Denied::NotRequester), (outsider(), Denied::NotVisible)]
    {
        assert_eq!(denied(service(&world).withdraw(&actor, pending.id, origin()).await), expected);
    }
    let withdrawn = service(&world).withdraw(&ada(), pending.id, origin()).await.expect("ada may");
    assert_eq!(withdrawn.state.kind(), StateKind::Withdrawn);
    let again = service(&world).withdraw(&ada(), pending.id, origin()).await;
    assert!(matches!(invalid(again), InvalidTransition::WrongState { from: StateKind::Withdrawn, .. }));
}

#[tokio::test]
async fn withdrawing_an_approved_request_takes_its_execution_out_of_the_queue() {
    let world = World::new();
    let approved = world.approved(request()).await;
    service(&world).withdraw(&ada(), approved.id, origin()).await.expect("ada may");
    let job = world.store.jobs().into_iter().find(|job| job.kind == JobKind::Execution);
    assert_eq!(job.expect("it was queued").state, JobState::Dropped);
}

#[tokio::test]
async fn what_does_not_exist_cannot_be_decided_on() {
    let world = World::new();
    let service = service(&world);
    let answers = [
        service.approve(&admin(), nowhere(), None, origin()).await,
        service.reject(&admin(), nowhere(), remark("No."), origin()).await,
        service.withdraw(&admin(), nowhere(), origin()).await,
        service.wait(&admin(), nowhere(), Duration::ZERO, false).await,
    ];
    for answer in answers {
        assert!(matches!(answer, Err(RequestError::NotFound)), "{answer:?}");
    }
}

async fn ids(world: &World, actor: &Actor) -> Vec<RequestId> {
    let page = service(world).pending(actor, &PageRequest::default()).await.expect("the store answers");
    page.items.iter().map(|request| request.id).collect()
}

#[tokio::test]
async fn the_list_of_pending_requests_is_what_waits_for_the_person() {
    let world = World::new();
    let by_ada = world.pending(request()).await;
    let by_grace = world.pending(request().requester(&user("grace").build())).await;
    let in_orders = world.pending(request().requester(&user("eve").build()).pod("orders")).await;
    world.approved(request()).await;
    assert_eq!(
        ids(&world, &grace()).await,
        [by_ada.id],
        "not her own, not another POD's, not the approved one"
    );
    assert_eq!(ids(&world, &outsider()).await, [in_orders.id]);
    assert_eq!(ids(&world, &admin()).await, [in_orders.id, by_grace.id, by_ada.id], "newest first");
    assert_eq!(ids(&world, &ada()).await, [], "a developer decides on nothing");
    let leads_both = actor("alan").role(roles::MANAGER).leads("orders").build();
    assert_eq!(ids(&world, &leads_both).await, [in_orders.id, by_grace.id, by_ada.id]);
}

#[tokio::test]
async fn lists_show_ones_own_and_those_of_the_pods_that_one_manages() {
    let world = World::new();
    let by_ada = world.pending(request()).await;
    let by_eve = world.pending(request().requester(&user("eve").pod("orders").build()).pod("orders")).await;
    let lists = |actor: Actor, filter: RequestFilter| {
        let service = service(&world);
        async move {
            let page =
                service.list(&actor, &filter, &PageRequest::default()).await.expect("the store answers");
            page.items.into_iter().map(|request| request.id).collect::<Vec<_>>()
        }
    };
    assert_eq!(lists(ada(), RequestFilter::default()).await, [by_ada.id]);
    assert_eq!(lists(actor("bob").build(), RequestFilter::default()).await, []);
    assert_eq!(lists(grace(), RequestFilter::default()).await, [by_ada.id]);
    assert_eq!(lists(outsider(), RequestFilter::default()).await, [by_eve.id]);
    assert_eq!(lists(admin(), RequestFilter::default()).await, [by_eve.id, by_ada.id]);
    let foreign = RequestFilter { pod: Some(pod_id("orders")), ..RequestFilter::default() };
    assert_eq!(lists(grace(), foreign).await, [], "a filter widens nothing");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_request_that_is_over_returns_at_once() {
    let world = World::new();
    for kind in StateKind::ALL.into_iter().filter(|kind| kind.is_settled()) {
        let stored = request().in_state(kind);
        world.store.put_request(&stored);
        let begin = Instant::now();
        let answer = service(&world).wait(&ada(), stored.id, Duration::from_mins(1), false).await;
        assert_eq!(answer.expect("it may be seen").state.kind(), kind);
        assert_eq!(begin.elapsed(), Duration::ZERO, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_at_its_deadline_with_the_request_as_it_is() {
    let world = World::new();
    for kind in [StateKind::Approved, StateKind::Executing] {
        let stored = request().in_state(kind);
        world.store.put_request(&stored);
        let begin = Instant::now();
        let answer = service(&world).wait(&ada(), stored.id, Duration::from_secs(5), false).await;
        assert_eq!(answer.expect("it may be seen"), stored);
        let (at_least, at_most) = (Duration::from_secs(5), Duration::from_millis(5_010));
        assert!((at_least..at_most).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_pending_request_is_waited_for_only_when_asked() {
    let world = World::new();
    let pending = world.pending(request()).await;
    let begin = Instant::now();
    let wait = |while_pending| {
        let service = service(&world);
        async move { service.wait(&ada(), pending.id, Duration::from_secs(3), while_pending).await }
    };
    wait(false).await.expect("it may be seen");
    assert_eq!(begin.elapsed(), Duration::ZERO);
    let answer = wait(true).await.expect("it may be seen");
    assert_eq!(answer.state.kind(), StateKind::Pending);
    assert!(begin.elapsed() >= Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn news_wakes_who_waits() {
    let world = World::new();
    let pending = world.pending(request()).await;
    let (service, id) = (service(&world), pending.id);
    let waiting = tokio::spawn(async move { service.wait(&ada(), id, Duration::from_mins(1), true).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.pending(request()).await;
    assert!(!waiting.is_finished(), "news of another request is no news");
    let begin = Instant::now();
    world.commit(pending, Event::Withdraw).await;
    let answer = waiting.await.expect("no panic").expect("it may be seen");
    assert_eq!(answer.state.kind(), StateKind::Withdrawn);
    assert_eq!(begin.elapsed(), Duration::ZERO, "nobody had to poll");
}

#[tokio::test(start_paused = true)]
async fn a_change_whose_news_was_lost_is_seen_all_the_same() {
    let world = World::new();
    let executing = request().executing();
    world.store.put_request(&executing);
    let (service, id) = (service(&world), executing.id);
    let waiting = tokio::spawn(async move { service.wait(&ada(), id, Duration::from_mins(1), false).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begin = Instant::now();
    world.store.put_request(&request().id(id).completed());
    let answer = waiting.await.expect("no panic").expect("it may be seen");
    assert_eq!(answer.state.kind(), StateKind::Completed);
    assert!(begin.elapsed() <= Duration::from_secs(2), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_may_not_see_a_request_does_not_wait_for_it() {
    let world = World::new();
    let approved = world.approved(request()).await;
    let begin = Instant::now();
    let answer = service(&world).wait(&outsider(), approved.id, Duration::from_mins(1), true).await;
    assert_eq!(denied(answer), Denied::NotVisible);
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn only_a_completed_request_has_a_result_and_the_others_say_why_not() {
    let world = World::new();
    let mut lines = vec![];
    for kind in StateKind::ALL {
        let stored = request().in_state(kind);
        world.store.put_request(&stored);
        let answer = match service(&world).result(&ada(), stored.id).await {
            Ok(_) => "(a result)".to_owned(),
            Err(RequestError::NoResult { reason }) => reason.to_owned(),
            Err(other) => panic!("{kind}: {other:?}"),
        };
        lines.push(format!("{kind}: {answer}"));
    }
    let proof = Event::ResolveByProof { committed: true, evidence: "xid 7".to_owned() };
    let (lost, _) =
        request().interrupted().apply(proof, testkit::builders::at(99)).expect("it is interrupted");
    let State::Completed { completion, .. } = &lost.state else { panic!("it took effect") };
    assert_eq!(completion.result, ResultKept::Lost);
    world.store.put_request(&lost);
    let Err(error) = service(&world).result(&ada(), lost.id).await else { panic!("the result is lost") };
    lines.push(format!("completed, result lost: {error}"));
    insta::assert_snapshot!(lines.join("\n"), @r"
    pending: The request has not been executed yet. Add ?wait=SECONDS to the request's own address to wait for it.
    approved: The request has not been executed yet. Add ?wait=SECONDS to the request's own address to wait for it.
    rejected: The request was never executed, so there is no result.
    withdrawn: The request was never executed, so there is no result.
    expired: The request was never executed, so there is no result.
    executing: The request has not been executed yet. Add ?wait=SECONDS to the request's own address to wait for it.
    completed: (a result)
    failed: The execution did not succeed, so there is no result.
    cancelled: The execution did not succeed, so there is no result.
    interrupted: The portal lost contact while the request ran, so there is no result.
    completed, result lost: The changes took effect, but the result was lost with the process that held it.
    ");
}

#[tokio::test]
async fn a_result_is_for_who_may_see_the_request() {
    let world = World::new();
    let completed = request().completed();
    world.store.put_request(&completed);
    for actor in [ada(), grace(), admin()] {
        let (_, reader) = service(&world).result(&actor, completed.id).await.expect("it may be seen");
        assert!(reader.try_collect::<Vec<_>>().await.expect("the store answers").is_empty());
    }
    let Err(error) = service(&world).result(&outsider(), completed.id).await else {
        panic!("it is not theirs")
    };
    assert!(matches!(error, RequestError::Denied(Denied::NotVisible)), "{error:?}");
}

#[tokio::test]
async fn a_decision_fails_while_the_store_is_away() {
    let world = World::new();
    let pending = world.pending(request()).await;
    world.store.set_unavailable(true);
    let error = service(&world).approve(&grace(), pending.id, None, origin()).await.expect_err("it is away");
    assert!(matches!(error, RequestError::Store(_)), "{error:?}");
    let store: Arc<dyn RequestStore> = world.store.request_store();
    world.store.set_unavailable(false);
    assert_eq!(store.find(pending.id).await.expect("it is back"), Some(pending));
}
