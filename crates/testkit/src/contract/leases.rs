//! `JobQueue`: leases, fences, the end of an execution, and what the reaper makes of lost ones.

use domain::audit::EntityKind;
use domain::job::Lease;
use domain::ports::{FinishError, LeaseStatus, SinkError};
use domain::request::{Event, NotificationKind, State, StateKind};
use futures_util::TryStreamExt;

use super::results::chunk;
use super::scene::{Scene, Started, applied};
use super::stores::Stores;
use crate::builders::{approver, at, request, sample_failure, sample_report};

fn succeed() -> Event {
    let (report, preview) = sample_report();
    Event::Succeed { report, preview }
}

async fn status(w: &Scene, lease: &Lease, until: i64) -> LeaseStatus {
    w.jobs.renew(lease, at(20), at(until)).await.expect("the store answers")
}

rules! { ($) __lease_rules in leases, stores: Stores => Scene::set_up;
    async fn a_lease_that_is_renewed_holds_for_longer(w) {
        let Started { lease, .. } = w.started(request()).await;
        assert_eq!(status(&w, &lease, 200).await, LeaseStatus::Held { cancel_asked: false });
        assert!(w.jobs.reap(at(150)).await.expect("the store answers").is_empty());
        assert_eq!(status(&w, &lease, 200).await, LeaseStatus::Held { cancel_asked: false });
    }

    async fn a_lease_of_another_fence_is_lost(w) {
        let Started { lease, .. } = w.started(request()).await;
        for fence in [lease.fence - 1, lease.fence + 1] {
            let other = Lease { fence, ..lease.clone() };
            assert_eq!(status(&w, &other, 200).await, LeaseStatus::Lost);
        }
        assert_eq!(
            w.jobs.reap(at(100)).await.expect("the store answers").interrupted.len(),
            1,
            "not extended"
        );
    }

    async fn a_lease_on_a_job_that_is_over_is_lost(w) {
        let Started { lease, request, .. } = w.started(request()).await;
        w.finish(&lease, &request, succeed()).await;
        assert_eq!(status(&w, &lease, 200).await, LeaseStatus::Lost);
    }

    async fn whoever_renews_sees_that_a_cancel_was_asked_for(w) {
        let Started { lease, request, .. } = w.started(request()).await;
        w.commit(&request, Event::RequestCancel { by: Some(approver("grace")) }, at(15)).await;
        assert_eq!(status(&w, &lease, 200).await, LeaseStatus::Held { cancel_asked: true });
    }

    async fn a_cancel_of_one_request_is_not_seen_by_another(w) {
        let Started { request: first, .. } = w.started(request()).await;
        let Started { lease, .. } = w.started(request()).await;
        w.commit(&first, Event::RequestCancel { by: None }, at(15)).await;
        assert_eq!(status(&w, &lease, 200).await, LeaseStatus::Held { cancel_asked: false });
    }

    async fn the_end_is_stored_with_its_audit_row_and_notification_and_ends_the_job(w) {
        let Started { lease, request, .. } = w.started(request()).await;
        w.drain_notifications(request.id, at(15)).await;
        let completed = w.finish(&lease, &request, succeed()).await;
        assert_eq!(completed.version, request.version + 1);
        assert_eq!(w.request(request.id).await, completed);
        let trail = w.trail(EntityKind::Request, request.id).await;
        assert_eq!(trail.last().map(String::as_str), Some("request.succeed"));
        assert_eq!(w.drain_notifications(request.id, at(21)).await, [NotificationKind::Completed]);
        assert!(
            w.jobs.reap(at(1_000)).await.expect("the store answers").is_empty(),
            "nothing is left to reap"
        );
        assert_eq!(w.request(request.id).await, completed);
    }

    async fn an_execution_cannot_end_twice(w) {
        let Started { lease, request, .. } = w.started(request()).await;
        let completed = w.finish(&lease, &request, succeed()).await;
        let again = applied(&request, Event::Fail(sample_failure()), at(21));
        let error = w.jobs.finish_execution(&lease, &again).await.expect_err("it is over");
        assert!(matches!(error, FinishError::LeaseLost), "{error:?}");
        assert_eq!(w.request(request.id).await, completed);
    }

    async fn an_end_under_a_lost_lease_changes_nothing(w) {
        let Started { lease, request, .. } = w.started(request()).await;
        let other = Lease { fence: lease.fence + 1, ..lease.clone() };
        let error = w.jobs.finish_execution(&other, &applied(&request, succeed(), at(20))).await;
        assert!(matches!(error, Err(FinishError::LeaseLost)), "{error:?}");
        assert_eq!(w.request(request.id).await, request);
        let trail = w.trail(EntityKind::Request, request.id).await;
        assert_eq!(trail.last().map(String::as_str), Some("request.start"));
        assert_eq!(status(&w, &lease, 200).await, LeaseStatus::Held { cancel_asked: false });
    }

    async fn an_end_that_missed_a_cancel_conflicts_and_goes_through_once_it_was_read_again(w) {
        let Started { lease, request, .. } = w.started(request()).await;
        let asked = w.commit(&request, Event::RequestCancel { by: Some(approver("grace")) }, at(15)).await;
        let error = w.jobs.finish_execution(&lease, &applied(&request, succeed(), at(20))).await;
        assert!(matches!(error, Err(FinishError::Conflict)), "{error:?}");
        assert_eq!(w.request(request.id).await, asked);
        assert!(matches!(status(&w, &lease, 200).await, LeaseStatus::Held { .. }), "the job is not over");
        let completed = w.finish(&lease, &asked, succeed()).await;
        assert_eq!(completed.state.kind(), StateKind::Completed);
    }

    async fn a_run_that_did_not_complete_leaves_no_chunks(w) {
        let cancelled = |w: Scene, started: Started| async move {
            let asked = w.commit(&started.request, Event::RequestCancel { by: None }, at(15)).await;
            w.finish(&started.lease, &asked, Event::ConfirmCancelled).await;
            w
        };
        let first = w.started(request()).await;
        let second = w.started(request()).await;
        let ids = [first.request.id, second.request.id];
        for started in [&first, &second] {
            let mut sink = w.results.sink(started.request.id, &started.lease);
            sink.write(chunk(0, 1, "[1]\n")).await.expect("the lease holds");
        }
        w.finish(&first.lease, &first.request, Event::Fail(sample_failure())).await;
        let w = cancelled(w, second).await;
        for id in ids {
            let chunks: Vec<_> = w.results.read(id).try_collect().await.expect("the store answers");
            assert_eq!(chunks, []);
        }
    }

    async fn a_lease_that_holds_is_not_reaped(w) {
        let Started { request, .. } = w.started(request()).await;
        let reaped = w.jobs.reap(at(69)).await.expect("the store answers");
        assert!(reaped.is_empty(), "{reaped:?}");
        assert_eq!(w.request(request.id).await, request);
    }

    async fn a_lost_execution_is_interrupted_and_never_queued_again(w) {
        let Started { request, .. } = w.started(request()).await;
        w.drain_notifications(request.id, at(15)).await;
        let reaped = w.jobs.reap(at(71)).await.expect("the store answers");
        assert_eq!((reaped.interrupted, reaped.requeued, reaped.expired), (vec![request.id], 0, vec![]));
        let interrupted = w.request(request.id).await;
        assert!(matches!(interrupted.state, State::Interrupted { lost_at, .. } if lost_at == at(71)));
        let trail = w.trail(EntityKind::Request, request.id).await;
        assert_eq!(trail.last().map(String::as_str), Some("request.lose_contact"));
        assert_eq!(w.drain_notifications(request.id, at(72)).await, [NotificationKind::Interrupted]);
        assert_eq!(w.claim(at(1_000)).await, None, "nothing runs twice");
        let again = w.jobs.reap(at(1_000)).await.expect("the store answers");
        assert!(again.is_empty(), "it is reaped once: {again:?}");
    }

    async fn whoever_lost_an_execution_to_the_reaper_can_do_nothing_any_more(w) {
        let Started { lease, request, .. } = w.started(request()).await;
        let mut sink = w.results.sink(request.id, &lease);
        w.jobs.reap(at(71)).await.expect("the store answers");
        let interrupted = w.request(request.id).await;
        assert_eq!(status(&w, &lease, 200).await, LeaseStatus::Lost);
        let error = sink.write(chunk(0, 1, "[1]\n")).await;
        assert!(matches!(error, Err(SinkError::LeaseLost)), "{error:?}");
        for based_on in
            [&request, &domain::request::Request { version: interrupted.version, ..request.clone() }]
        {
            let error = w.jobs.finish_execution(&lease, &applied(based_on, succeed(), at(72))).await;
            assert!(matches!(error, Err(FinishError::LeaseLost)), "{error:?}");
        }
        assert_eq!(w.request(request.id).await, interrupted);
    }

    async fn an_executing_request_without_a_job_is_interrupted(w) {
        let Started { request, .. } = w.started(request()).await;
        w.probe.lose_execution_job(request.id).await;
        let reaped = w.jobs.reap(at(20)).await.expect("the store answers");
        assert_eq!(reaped.interrupted, [request.id]);
        assert_eq!(w.request(request.id).await.state.kind(), StateKind::Interrupted);
    }

    async fn several_reapers_at_once_interrupt_a_request_once(w) {
        let Started { request, .. } = w.started(request()).await;
        let reapers: Vec<_> = (0..6)
            .map(|_| {
                let jobs = w.jobs.clone();
                tokio::spawn(async move { jobs.reap(at(71)).await })
            })
            .collect();
        let mut interrupted = vec![];
        for reaper in reapers {
            interrupted.extend(reaper.await.expect("no panic").expect("the store answers").interrupted);
        }
        assert_eq!(interrupted, [request.id]);
        let trail = w.trail(EntityKind::Request, request.id).await;
        assert_eq!(trail.iter().filter(|action| *action == "request.lose_contact").count(), 1);
    }

    async fn an_end_and_a_reaper_at_once_leave_one_of_the_two(w) {
        let Started { lease, request, .. } = w.started(request()).await;
        let (jobs, transition) = (w.jobs.clone(), applied(&request, succeed(), at(71)));
        let end = tokio::spawn(async move { jobs.finish_execution(&lease, &transition).await });
        let jobs = w.jobs.clone();
        let reaper = tokio::spawn(async move { jobs.reap(at(71)).await });
        let end = end.await.expect("no panic");
        let reaped = reaper.await.expect("no panic").expect("the store answers");
        let state = w.request(request.id).await.state.kind();
        if end.is_ok() {
            assert_eq!((state, reaped.interrupted), (StateKind::Completed, vec![]));
        } else {
            assert_eq!((state, reaped.interrupted), (StateKind::Interrupted, vec![request.id]));
        }
    }
}
