//! `Directory`: which target is looked at next without anybody asking for it.

use domain::Timestamp;
use domain::audit::EntityKind;
use domain::ports::DirectoryError;
use domain::target::{SyncAttempt, SyncOutcome, Target};

use super::scene::{Scene, entry_at, fifty_at_once, orders_db, renamed};
use super::stores::Stores;
use crate::builders::{at, target};

/// Which target is due, and is so again at `next`.
async fn claim(w: &Scene, now: Timestamp, next: Timestamp) -> Option<String> {
    let claimed = w.directory.claim_due_sync(now, next).await.expect("the store answers");
    claimed.map(|target| target.id.to_string())
}

/// Whether the one target is not due one second before a moment, and is due then. It is claimed by that.
async fn is_due_from(w: &Scene, moment: Timestamp) -> bool {
    let early = claim(w, moment - chrono::TimeDelta::seconds(1), at(9_999)).await;
    early.is_none() && claim(w, moment, at(9_999)).await.as_deref() == Some("orders-db")
}

async fn change(w: &Scene, before: &Target, after: &Target) {
    let audit = entry_at("instance.update", EntityKind::Instance, before.id.as_str(), at(1));
    w.directory.change_target(before, after, &audit).await.expect("nobody was faster");
}

async fn add(w: &Scene, target: &Target) {
    let audit = entry_at("instance.create", EntityKind::Instance, target.id.as_str(), at(1));
    w.directory.add_target(target, &[], &audit).await.expect("it is new");
}

/// A look by the connection of a revision that began at second 20.
async fn record(
    w: &Scene,
    connection_revision: i32,
    outcome: SyncOutcome,
    next_at: Option<Timestamp>,
) -> Result<(), DirectoryError> {
    let attempt = SyncAttempt { connection_revision, started_at: at(20), outcome, next_at };
    let audit = entry_at("instance.sync", EntityKind::Instance, "orders-db", at(21));
    w.directory.record_sync(&orders_db().id, &attempt, &audit).await.map(|_| ())
}

rules! { ($) __sync_claim_rules in sync_claims, stores: Stores => Scene::set_up;
    async fn a_target_that_was_never_looked_at_is_due_and_then_at_the_moment_that_was_given(w) {
        let claimed = w.directory.claim_due_sync(at(10), at(70)).await.expect("the store answers");
        assert_eq!(claimed, Some(orders_db()), "whole, with its PODs");
        assert!(is_due_from(&w, at(70)).await);
        assert!(is_due_from(&w, at(9_999)).await);
    }

    async fn of_many_at_once_exactly_one_gets_it(w) {
        for moment in [at(10), at(100)] {
            let answers = fifty_at_once(|_| {
                let directory = w.directory.clone();
                async move { directory.claim_due_sync(moment, moment + chrono::TimeDelta::seconds(90)).await }
            })
            .await;
            let claimed = answers.into_iter().filter_map(|claimed| claimed.expect("the store answers"));
            assert_eq!(claimed.count(), 1);
        }
    }

    async fn many_at_once_share_what_is_due(w) {
        for number in 0..30 {
            add(&w, &target(&format!("server-{number}")).build()).await;
        }
        let answers = fifty_at_once(|_| {
            let directory = w.directory.clone();
            async move { directory.claim_due_sync(at(10), at(100)).await }
        })
        .await;
        let claimed = answers.into_iter().filter_map(|claimed| claimed.expect("the store answers"));
        let mut claimed: Vec<_> = claimed.map(|target| target.id.to_string()).collect();
        // Somebody may have found nothing because somebody else held it at that moment.
        while let Some(id) = claim(&w, at(10), at(100)).await {
            claimed.push(id);
        }
        claimed.sort();
        claimed.dedup();
        assert_eq!(claimed.len(), 31);
        assert_eq!(claim(&w, at(99), at(100)).await, None, "each once");
    }

    async fn what_was_never_looked_at_comes_first_and_then_what_has_waited_longest(w) {
        claim(&w, at(10), at(50)).await;
        add(&w, &target("second").build()).await;
        assert_eq!(claim(&w, at(60), at(30)).await.as_deref(), Some("second"));
        assert_eq!(claim(&w, at(60), at(90)).await.as_deref(), Some("second"));
        assert_eq!(claim(&w, at(60), at(90)).await.as_deref(), Some("orders-db"));
        assert_eq!(claim(&w, at(60), at(90)).await, None);
    }

    async fn what_is_switched_off_or_has_no_credentials_is_not_looked_at(w) {
        add(&w, &target("off").inactive().build()).await;
        add(&w, &target("unbound").unbound().build()).await;
        add(&w, &Target { connection_revision: 2, ..target("moved").build() }).await;
        assert_eq!(claim(&w, at(10), at(100)).await.as_deref(), Some("orders-db"));
        assert_eq!(claim(&w, at(10), at(100)).await, None);
    }

    async fn binding_and_switching_on_make_a_target_due_at_once(w) {
        claim(&w, at(10), at(1_000)).await;
        let moved = Target { host: "elsewhere.internal".to_owned(), connection_revision: 2, ..orders_db() };
        change(&w, &orders_db(), &moved).await;
        assert_eq!(claim(&w, at(2_000), at(3_000)).await, None, "its credentials are not bound any more");
        let bound = Target { bound_revision: Some(2), ..moved.clone() };
        change(&w, &moved, &bound).await;
        assert!(claim(&w, at(11), at(1_000)).await.is_some());
        let off = Target { active: false, ..bound.clone() };
        change(&w, &bound, &off).await;
        assert_eq!(claim(&w, at(12), at(1_000)).await, None);
        change(&w, &off, &bound).await;
        assert!(claim(&w, at(12), at(1_000)).await.is_some());
    }

    async fn other_changes_leave_when_a_target_is_due(w) {
        claim(&w, at(10), at(100)).await;
        let after = Target { name: renamed(), read_only: true, ..orders_db() };
        change(&w, &orders_db(), &after).await;
        assert!(is_due_from(&w, at(100)).await);
    }

    async fn a_sync_that_is_noted_may_say_when_the_next_one_is_due(w) {
        claim(&w, at(10), at(100)).await;
        let found = || SyncOutcome::Succeeded(vec![]);
        record(&w, 1, found(), None).await.expect("it is noted");
        assert!(is_due_from(&w, at(100)).await, "it said nothing");
        record(&w, 1, found(), Some(at(300))).await.expect("it is noted");
        assert!(is_due_from(&w, at(300)).await);
        let failed = SyncOutcome::Failed("It is away.".to_owned());
        record(&w, 1, failed, Some(at(400))).await.expect("it is noted");
        assert!(is_due_from(&w, at(400)).await);
    }

    async fn a_sync_that_is_refused_leaves_when_the_next_one_is_due(w) {
        claim(&w, at(10), at(100)).await;
        let answer = record(&w, 2, SyncOutcome::Succeeded(vec![]), Some(at(300))).await;
        assert!(matches!(answer, Err(DirectoryError::Changed(_))), "{answer:?}");
        assert!(is_due_from(&w, at(100)).await);
    }
}
