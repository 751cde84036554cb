//! `JobQueue::reap`: requests that waited for too long.

use std::time::Duration;

use domain::audit::EntityKind;
use domain::ports::ExecutionClaim;
use domain::request::{NotificationKind, State, StateKind};

use super::scene::Scene;
use super::stores::Stores;
use crate::builders::{at, request};

rules! { ($) __expiry_rules in expiry, stores: Stores => Scene::set_up;
    async fn a_request_that_nobody_decided_on_expires(w) {
        let pending = w.submit(request().approval_ttl(Duration::from_mins(1))).await;
        w.drain_notifications(pending.id, at(1)).await;
        let reaped = w.jobs.reap(at(61)).await.expect("the store answers");
        assert_eq!(reaped.expired, [pending.id]);
        let expired = w.request(pending.id).await;
        assert_eq!((expired.version, &expired.state), (2, &State::Expired { at: at(61) }));
        assert_eq!(w.trail(EntityKind::Request, pending.id).await, ["request.submit", "request.expire"]);
        assert_eq!(w.drain_notifications(pending.id, at(62)).await, [NotificationKind::Expired]);
        let again = w.jobs.reap(at(62)).await.expect("the store answers");
        assert!(again.is_empty(), "{again:?}");
    }

    async fn a_request_whose_time_is_not_over_stays(w) {
        let pending = w.submit(request().approval_ttl(Duration::from_mins(1))).await;
        let reaped = w.jobs.reap(at(59)).await.expect("the store answers");
        assert!(reaped.is_empty(), "{reaped:?}");
        assert_eq!(w.request(pending.id).await, pending);
    }

    async fn an_approval_that_was_never_executed_expires_with_its_job(w) {
        let approved = w.approved(request().approval_ttl(Duration::from_mins(1))).await;
        let reaped = w.jobs.reap(at(62)).await.expect("the store answers");
        assert_eq!(reaped.expired, [approved.id]);
        assert_eq!(w.request(approved.id).await.state.kind(), StateKind::Expired);
        assert_eq!(w.claim(at(63)).await, None);
    }

    async fn an_approval_whose_time_is_over_starts_nothing_before_any_reaper_came(w) {
        let approved = w.approved(request().approval_ttl(Duration::from_mins(1))).await;
        let claimed = w.claim(at(63)).await;
        assert!(!matches!(claimed, Some(ExecutionClaim::Started { .. })), "{claimed:?}");
        assert_eq!(w.request(approved.id).await.state.kind(), StateKind::Expired);
        assert_eq!(w.claim(at(64)).await, None);
    }

    async fn a_request_that_runs_or_is_over_does_not_expire(w) {
        for state in [StateKind::Executing, StateKind::Completed, StateKind::Failed, StateKind::Rejected] {
            let before = w.reach(state, request().approval_ttl(Duration::from_secs(30))).await;
            let reaped = w.jobs.reap(at(60)).await.expect("the store answers");
            assert!(reaped.is_empty(), "{state}: {reaped:?}");
            assert_eq!(w.request(before.id).await, before);
        }
    }

    async fn several_reapers_at_once_expire_a_request_once(w) {
        let pending = w.submit(request().approval_ttl(Duration::from_mins(1))).await;
        let reapers: Vec<_> = (0..6)
            .map(|_| {
                let jobs = w.jobs.clone();
                tokio::spawn(async move { jobs.reap(at(61)).await })
            })
            .collect();
        let mut expired = vec![];
        for reaper in reapers {
            expired.extend(reaper.await.expect("no panic").expect("the store answers").expired);
        }
        assert_eq!(expired, [pending.id]);
        assert_eq!(w.request(pending.id).await.version, 2);
    }
}
