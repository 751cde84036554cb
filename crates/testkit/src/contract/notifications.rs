//! `JobQueue`: notifications, their retries, and their end.

use std::collections::HashSet;

use domain::job::NOTIFICATION_ATTEMPTS;
use domain::ports::LeaseStatus;
use domain::request::NotificationKind;

use super::scene::{Scene, worker};
use super::stores::Stores;
use crate::builders::{at, request};

rules! { ($) __notification_rules in notifications, stores: Stores => Scene::set_up;
    async fn a_claimed_notification_says_what_it_is_about_and_counts_its_first_attempt(w) {
        let pending = w.submit(request()).await;
        let job = w.claim_notification(at(1)).await.expect("a notification is due");
        assert_eq!((job.request, job.kind), (pending.id, NotificationKind::Submitted));
        assert_eq!((job.attempt, job.max_attempts), (1, NOTIFICATION_ATTEMPTS));
        assert_eq!(job.lease.worker, worker());
        assert_eq!(w.claim_notification(at(1)).await, None, "it is claimed once");
        assert_eq!(w.request(pending.id).await, pending, "the request is as it was");
    }

    async fn of_many_claims_at_once_exactly_one_gets_a_notification(w) {
        w.submit(request()).await;
        let claims: Vec<_> = (0..20)
            .map(|_| {
                let jobs = w.jobs.clone();
                tokio::spawn(async move { jobs.claim_notification(&worker(), at(1), at(61)).await })
            })
            .collect();
        let mut claimed = 0;
        for claim in claims {
            claimed += usize::from(claim.await.expect("no panic").expect("the store answers").is_some());
        }
        assert_eq!(claimed, 1);
    }

    async fn the_oldest_notification_is_claimed_first(w) {
        let pending = w.submit(request()).await;
        w.approve(pending.clone()).await;
        let kinds = w.drain_notifications(pending.id, at(2)).await;
        assert_eq!(kinds, [NotificationKind::Submitted, NotificationKind::Approved]);
    }

    async fn a_notification_that_went_out_is_over(w) {
        w.submit(request()).await;
        let job = w.claim_notification(at(1)).await.expect("a notification is due");
        w.jobs.complete_notification(&job.lease, at(2)).await.expect("the store answers");
        assert_eq!(w.jobs.renew(&job.lease, at(3), at(60)).await.expect("it answers"), LeaseStatus::Lost);
        let reaped = w.jobs.reap(at(500)).await.expect("the store answers");
        assert!(reaped.is_empty(), "{reaped:?}");
        assert_eq!(w.claim_notification(at(500)).await, None);
    }

    async fn a_notification_that_failed_waits_until_it_is_tried_again(w) {
        w.submit(request()).await;
        let first = w.claim_notification(at(1)).await.expect("a notification is due");
        w.jobs.fail_notification(&first.lease, "503", Some(at(30)), at(2)).await.expect("the store answers");
        assert_eq!(w.claim_notification(at(29)).await, None);
        let second = w.claim_notification(at(31)).await.expect("it is due again");
        assert_eq!((second.lease.job, second.attempt), (first.lease.job, 2));
        assert!(second.lease.fence > first.lease.fence, "the fence rises with every claim");
    }

    async fn a_notification_that_is_given_up_is_over(w) {
        w.submit(request()).await;
        let job = w.claim_notification(at(1)).await.expect("a notification is due");
        w.jobs
            .fail_notification(&job.lease, "no such channel", None, at(2))
            .await
            .expect("the store answers");
        assert_eq!(w.claim_notification(at(100_000)).await, None);
        assert_eq!(w.jobs.renew(&job.lease, at(3), at(60)).await.expect("it answers"), LeaseStatus::Lost);
    }

    async fn a_notification_whose_lease_ran_out_goes_back_to_the_queue(w) {
        w.submit(request()).await;
        let lost = w.claim_notification(at(1)).await.expect("a notification is due");
        let reaped = w.jobs.reap(at(62)).await.expect("the store answers");
        assert_eq!((reaped.requeued, reaped.interrupted), (1, vec![]));
        let next = w.claim_notification(at(63)).await.expect("it is queued again");
        assert_eq!((next.lease.job, next.attempt), (lost.lease.job, 2));
    }

    async fn whoever_lost_a_notification_cannot_end_it(w) {
        w.submit(request()).await;
        let lost = w.claim_notification(at(1)).await.expect("a notification is due");
        w.jobs.reap(at(62)).await.expect("the store answers");
        w.jobs.complete_notification(&lost.lease, at(62)).await.expect("a lost lease is ignored");
        let next = w.claim_notification(at(63)).await.expect("it is still queued");
        assert_eq!(w.jobs.renew(&lost.lease, at(64), at(90)).await.expect("it answers"), LeaseStatus::Lost);
        w.jobs.complete_notification(&lost.lease, at(64)).await.expect("a lost lease is ignored");
        let held = w.jobs.renew(&next.lease, at(65), at(90)).await.expect("it answers");
        assert_eq!(held, LeaseStatus::Held { cancel_asked: false });
    }

    async fn a_notification_that_is_lost_on_its_last_attempt_is_given_up(w) {
        w.submit(request()).await;
        let mut job = w.claim_notification(at(1)).await.expect("a notification is due");
        let mut fences = HashSet::from([job.lease.fence]);
        for attempt in 2..=job.max_attempts {
            w.jobs.fail_notification(&job.lease, "503", Some(at(1)), at(1)).await.expect("the store answers");
            job = w.claim_notification(at(2)).await.expect("it is tried again");
            assert_eq!(job.attempt, attempt);
            fences.insert(job.lease.fence);
        }
        assert_eq!(fences.len(), job.max_attempts as usize, "every claim has its own fence");
        let reaped = w.jobs.reap(at(100)).await.expect("the store answers");
        assert_eq!(reaped.requeued, 0);
        assert_eq!(w.claim_notification(at(100_000)).await, None);
    }
}
