//! `ReplayGuard`: a signed call is taken once.

use domain::auth::TokenHash;

use super::scene::Scene;
use super::stores::Stores;
use crate::builders::at;

async fn first_time(w: &Scene, signature: &str, second: i64) -> bool {
    let taken = w.replay_guard.first_time(&TokenHash::of(signature), at(second), at(second - 600)).await;
    taken.expect("the store answers")
}

rules! { ($) __replay_rules in replay_guard, stores: Stores => Scene::set_up;
    async fn a_call_is_taken_once(w) {
        assert!(first_time(&w, "a", 0).await);
        assert!(!first_time(&w, "a", 0).await);
        assert!(!first_time(&w, "a", 599).await);
        assert!(first_time(&w, "b", 1).await, "another call is another one");
        assert!(!first_time(&w, "b", 2).await);
    }

    async fn a_call_is_remembered_to_the_last_moment(w) {
        assert!(first_time(&w, "a", 0).await);
        assert!(first_time(&w, "b", 600).await);
        assert!(!first_time(&w, "a", 600).await, "at this moment it is not before the end");
    }

    async fn of_twenty_callers_at_once_one_takes_the_call(w) {
        for round in 0..5 {
            let callers: Vec<_> = (0..20)
                .map(|_| {
                    let guard = w.replay_guard.clone();
                    let signature = TokenHash::of(&format!("call {round}"));
                    tokio::spawn(async move { guard.first_time(&signature, at(round), at(round - 600)).await })
                })
                .collect();
            let mut taken = 0;
            for caller in callers {
                taken += usize::from(caller.await.expect("no panic").expect("the store answers"));
            }
            assert_eq!(taken, 1);
        }
    }

    async fn calls_at_once_do_not_disturb_each_other_while_old_ones_are_forgotten(w) {
        for number in 0..50 {
            assert!(first_time(&w, &format!("old {number}"), 0).await);
        }
        let callers: Vec<_> = (0..20)
            .map(|number| {
                let guard = w.replay_guard.clone();
                let signature = TokenHash::of(&format!("new {number}"));
                tokio::spawn(async move { guard.first_time(&signature, at(10_000), at(9_400)).await })
            })
            .collect();
        for caller in callers {
            assert!(caller.await.expect("no panic").expect("the store answers"));
        }
        assert!(!first_time(&w, "new 7", 10_001).await);
    }
}
