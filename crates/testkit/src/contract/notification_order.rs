//! `JobQueue`: who is told, in which order, and when it is whose turn.

use std::collections::HashMap;

use domain::ids::RequestId;
use domain::job::{Audience, NOTIFICATION_ATTEMPTS, NotificationJob};
use domain::ports::LeaseStatus;
use domain::request::{Event, NotificationKind, Request};

use super::scene::{Scene, worker};
use super::stores::Stores;
use crate::builders::{approver, at, remark, request};

/// Claims a notification that has to be there.
async fn next(w: &Scene, second: i64) -> NotificationJob {
    w.claim_notification(at(second)).await.unwrap_or_else(|| panic!("something is due at second {second}"))
}

async fn complete(w: &Scene, job: &NotificationJob) {
    w.jobs.complete_notification(&job.lease, at(2)).await.expect("the store answers");
}

/// A request whose submission and rejection wait to be told: to the channel both, to the requester the latter.
async fn rejected(w: &Scene) -> Request {
    let pending = w.submit(request()).await;
    let event = Event::Reject { by: approver("grace"), reason: remark("No") };
    w.commit(&pending, event, at(1)).await
}

fn what(job: &NotificationJob) -> (RequestId, Audience, NotificationKind) {
    (job.request, job.audience, job.kind)
}

rules! { ($) __notification_order_rules in notification_order, stores: Stores => Scene::set_up;
    async fn each_audience_is_told_by_a_notification_of_its_own(w) {
        let request = rejected(&w).await;
        let mut told = vec![];
        while let Some(job) = w.claim_notification(at(2)).await {
            assert_eq!(job.queued_at, if job.kind == NotificationKind::Submitted { at(0) } else { at(1) });
            told.push((job.audience, job.kind));
            complete(&w, &job).await;
        }
        told.sort_by_key(|(audience, _)| *audience);
        let channel = |kind| (Audience::Channel, kind);
        assert_eq!(
            told,
            [
                channel(NotificationKind::Submitted),
                channel(NotificationKind::Rejected),
                (Audience::Requester, NotificationKind::Rejected)
            ]
        );
        assert_eq!(w.request(request.id).await, request);
    }

    async fn while_one_is_told_the_next_for_the_same_audience_waits(w) {
        let request = w.submit(request()).await;
        w.approve(request.clone()).await;
        let first = next(&w, 2).await;
        assert_eq!(what(&first), (request.id, Audience::Channel, NotificationKind::Submitted));
        assert_eq!(w.claim_notification(at(2)).await, None, "the other one has to wait");
        complete(&w, &first).await;
        assert_eq!(next(&w, 2).await.kind, NotificationKind::Approved);
    }

    async fn one_that_failed_is_told_before_those_that_were_queued_later(w) {
        let request = w.submit(request()).await;
        w.approve(request).await;
        let first = next(&w, 2).await;
        w.jobs.fail_notification(&first.lease, "503", Some(at(30)), at(3)).await.expect("the store answers");
        assert_eq!(w.claim_notification(at(29)).await, None, "the later one does not overtake it");
        let again = next(&w, 30).await;
        assert_eq!((again.kind, again.attempt), (NotificationKind::Submitted, 2));
        complete(&w, &again).await;
        assert_eq!(next(&w, 30).await.kind, NotificationKind::Approved);
    }

    async fn one_whose_teller_was_lost_is_told_before_those_that_were_queued_later(w) {
        let request = w.submit(request()).await;
        w.approve(request).await;
        next(&w, 2).await;
        w.jobs.reap(at(63)).await.expect("the store answers");
        let again = next(&w, 64).await;
        assert_eq!((again.kind, again.attempt), (NotificationKind::Submitted, 2));
        assert_eq!(w.claim_notification(at(64)).await, None);
    }

    async fn one_that_was_queued_while_another_waits_is_told_after_it(w) {
        let pending = w.submit(request()).await;
        let first = next(&w, 1).await;
        w.jobs.fail_notification(&first.lease, "503", Some(at(30)), at(1)).await.expect("the store answers");
        w.approve(pending).await;
        assert_eq!(w.claim_notification(at(20)).await, None);
        let again = next(&w, 31).await;
        assert_eq!(again.kind, NotificationKind::Submitted);
        complete(&w, &again).await;
        assert_eq!(next(&w, 31).await.kind, NotificationKind::Approved);
    }

    async fn one_that_was_given_up_holds_nothing_up(w) {
        let request = w.submit(request()).await;
        w.approve(request).await;
        let first = next(&w, 2).await;
        w.jobs.fail_notification(&first.lease, "gone", None, at(3)).await.expect("the store answers");
        assert_eq!(next(&w, 4).await.kind, NotificationKind::Approved);
    }

    async fn two_requests_do_not_wait_for_each_other(w) {
        let (one, other) = (w.submit(request()).await, w.submit(request()).await);
        let first = next(&w, 2).await;
        let second = next(&w, 2).await;
        let mut told = [first.request, second.request];
        let mut expected = [one.id, other.id];
        told.sort();
        expected.sort();
        assert_eq!(told, expected);
    }

    async fn the_channel_and_the_requester_do_not_wait_for_each_other(w) {
        rejected(&w).await;
        let first = next(&w, 2).await;
        let second = next(&w, 2).await;
        let told = [&first, &second].map(|job| (job.audience, job.kind));
        assert!(told.contains(&(Audience::Channel, NotificationKind::Submitted)), "{told:?}");
        assert!(told.contains(&(Audience::Requester, NotificationKind::Rejected)), "{told:?}");
        assert_eq!(w.claim_notification(at(2)).await, None, "the channel's second one waits for its first");
    }

    async fn of_many_claims_at_once_none_breaks_the_order(w) {
        for _ in 0..3 {
            rejected(&w).await;
        }
        let mut told: HashMap<(RequestId, Audience), Vec<NotificationKind>> = HashMap::new();
        loop {
            let claims: Vec<_> = (0..20)
                .map(|_| {
                    let jobs = w.jobs.clone();
                    tokio::spawn(async move { jobs.claim_notification(&worker(), at(2), at(62)).await })
                })
                .collect();
            let mut claimed = vec![];
            for claim in claims {
                claimed.extend(claim.await.expect("no panic").expect("the store answers"));
            }
            if claimed.is_empty() {
                break;
            }
            let mut running = HashMap::new();
            for job in &claimed {
                let others = running.insert((job.request, job.audience), job.kind);
                assert_eq!(others, None, "two at once for one audience");
                told.entry((job.request, job.audience)).or_default().push(job.kind);
                complete(&w, job).await;
            }
        }
        assert_eq!(told.len(), 6);
        for ((_, audience), kinds) in told {
            match audience {
                Audience::Channel => assert_eq!(kinds, [NotificationKind::Submitted, NotificationKind::Rejected]),
                Audience::Requester => assert_eq!(kinds, [NotificationKind::Rejected]),
            }
        }
    }

    async fn a_notification_that_is_postponed_waits_and_no_attempt_is_counted(w) {
        w.submit(request()).await;
        let mut job = next(&w, 1).await;
        for round in 0..4 {
            let until = 10 * (round + 1);
            w.jobs.postpone_notification(&job.lease, at(until), at(1)).await.expect("the store answers");
            assert_eq!(w.jobs.renew(&job.lease, at(2), at(60)).await.expect("it answers"), LeaseStatus::Lost);
            assert_eq!(w.claim_notification(at(until - 1)).await, None);
            let again = next(&w, until).await;
            assert_eq!((again.lease.job, again.attempt), (job.lease.job, 1));
            assert!(again.lease.fence > job.lease.fence, "the fence rises with every claim");
            job = again;
        }
        assert_eq!(job.max_attempts, NOTIFICATION_ATTEMPTS);
    }

    async fn a_postponed_notification_is_told_before_those_that_were_queued_later(w) {
        let request = w.submit(request()).await;
        w.approve(request).await;
        let first = next(&w, 2).await;
        w.jobs.postpone_notification(&first.lease, at(30), at(3)).await.expect("the store answers");
        assert_eq!(w.claim_notification(at(29)).await, None);
        assert_eq!(next(&w, 30).await.kind, NotificationKind::Submitted);
    }

    async fn whoever_lost_a_notification_cannot_postpone_it(w) {
        w.submit(request()).await;
        let lost = next(&w, 1).await;
        w.jobs.reap(at(62)).await.expect("the store answers");
        w.jobs.postpone_notification(&lost.lease, at(900), at(62)).await.expect("a lost lease is ignored");
        let again = next(&w, 63).await;
        assert_eq!((again.lease.job, again.attempt), (lost.lease.job, 2));
        w.jobs.postpone_notification(&lost.lease, at(900), at(64)).await.expect("a lost lease is ignored");
        let held = w.jobs.renew(&again.lease, at(65), at(90)).await.expect("it answers");
        assert_eq!(held, LeaseStatus::Held { cancel_asked: false });
    }
}
