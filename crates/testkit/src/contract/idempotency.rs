//! `RequestStore`: idempotency keys, and `JobQueue::reap` for those whose time is over.

use std::collections::HashSet;

use chrono::TimeDelta;
use domain::Timestamp;
use domain::audit::EntityKind;
use domain::digest::Digest;
use domain::idempotency::{Idempotency, IdempotencyKey};
use domain::ports::{Earlier, RequestStore, StoreError};
use domain::request::{Effect, Event, NotificationKind, Request, State};
use domain::user::Origin;

use super::scene::{Scene, id_of};
use super::stores::Stores;
use crate::builders::{at, request, user};

/// The moment from which on a key that was sent at second 0 is free again.
fn over() -> Timestamp {
    at(24 * 60 * 60)
}

fn just_before_it_is_over() -> Timestamp {
    over() - TimeDelta::microseconds(1)
}

/// A key for a content of which there are as many as numbers.
fn once(key: &str, content: u8) -> Idempotency {
    let fingerprint = Digest::parse(&format!("{content:064x}")).expect("it is a digest");
    Idempotency { key: IdempotencyKey::parse(key).expect("it is a key"), fingerprint }
}

async fn insert(
    requests: &dyn RequestStore,
    request: &Request,
    key: &Idempotency,
) -> Result<Option<Earlier>, StoreError> {
    let audit = domain::lifecycle::submission_audit(request, Origin::default());
    requests.insert(request, &audit, &[Effect::Notify(NotificationKind::Submitted)], Some(key)).await
}

impl Scene {
    /// Sends a submission with a key and gives what the key stands for already.
    async fn send(&self, request: &Request, key: &Idempotency) -> Option<Earlier> {
        insert(&*self.requests, request, key).await.expect("the store answers")
    }

    async fn earlier(&self, person: &str, key: &Idempotency, now: Timestamp) -> Option<Earlier> {
        self.requests.find_by_key(id_of(person), key, now).await.expect("the store answers")
    }

    async fn submissions(&self) -> usize {
        self.probe.audit_rows().await.iter().filter(|row| row.action == "request.submit").count()
    }
}

rules! { ($) __idempotency_rules in idempotency, stores: Stores => Scene::set_up;
    async fn the_same_key_with_the_same_content_gives_the_first_request_and_changes_nothing(w) {
        let (first, again, key) = (request().unsaved(), request().unsaved(), once("key", 1));
        assert_eq!(w.earlier("ada", &key, at(0)).await, None);
        assert_eq!(w.send(&first, &key).await, None);
        let stored = Earlier::Same(Box::new(w.request(first.id).await));
        assert_eq!(w.send(&again, &key).await.as_ref(), Some(&stored));
        assert_eq!(w.earlier("ada", &key, at(1)).await.as_ref(), Some(&stored));
        assert_eq!(w.requests.find(again.id).await.expect("the store answers"), None);
        assert_eq!(w.submissions().await, 1);
        assert_eq!(w.drain_notifications(first.id, at(1)).await, [NotificationKind::Submitted]);
        assert_eq!(w.claim_notification(at(1)).await, None);
    }

    async fn a_key_gives_its_request_as_it_is_now(w) {
        let (first, key) = (request().unsaved(), once("key", 1));
        w.send(&first, &key).await;
        let pending = w.request(first.id).await;
        let withdrawn = w.commit(&pending, Event::Withdraw, at(5)).await;
        assert_eq!(withdrawn.state, State::Withdrawn { at: at(5) });
        let expected = Some(Earlier::Same(Box::new(withdrawn)));
        assert_eq!(w.earlier("ada", &key, at(6)).await, expected);
        assert_eq!(w.send(&request().unsaved(), &key).await, expected);
    }

    async fn the_same_key_with_another_content_is_told_apart_and_changes_nothing(w) {
        let (first, other) = (request().unsaved(), request().text("DROP TABLE orders").unsaved());
        w.send(&first, &once("key", 1)).await;
        assert_eq!(w.earlier("ada", &once("key", 2), at(1)).await, Some(Earlier::Other));
        assert_eq!(w.send(&other, &once("key", 2)).await, Some(Earlier::Other));
        assert_eq!(w.requests.find(other.id).await.expect("the store answers"), None);
        assert_eq!(w.submissions().await, 1);
        assert!(matches!(w.earlier("ada", &once("key", 1), at(1)).await, Some(Earlier::Same(_))));
    }

    async fn other_keys_and_keys_of_other_people_are_free(w) {
        let key = once("key", 1);
        w.send(&request().unsaved(), &key).await;
        for other in ["Key", "key ", "ke", "key2", "\"key\""] {
            assert_eq!(w.send(&request().unsaved(), &once(other, 1)).await, None, "{other}");
        }
        assert_eq!(w.earlier("bob", &key, at(1)).await, None);
        let bobs = request().requester(&user("bob").build()).unsaved();
        assert_eq!(w.send(&bobs, &key).await, None);
        let stored = Earlier::Same(Box::new(w.request(bobs.id).await));
        assert_eq!(w.earlier("bob", &key, at(1)).await, Some(stored));
        assert_eq!(w.submissions().await, 7);
    }

    async fn a_longest_key_of_any_printable_characters_is_kept_as_it_is(w) {
        let all: String = (b' '..=b'~').map(char::from).collect();
        let longest = all.repeat(3)[..IdempotencyKey::MAX_LENGTH].to_owned();
        for key in [all, longest, " ".to_owned()] {
            assert_eq!(w.send(&request().unsaved(), &once(&key, 1)).await, None);
            assert!(matches!(w.earlier("ada", &once(&key, 1), at(0)).await, Some(Earlier::Same(_))));
        }
    }

    async fn a_key_is_free_again_when_its_time_is_over_whether_a_reaper_came_or_not(w) {
        for reaped in [false, true] {
            let key = once(&format!("key {reaped}"), 1);
            let first = request().unsaved();
            w.send(&first, &key).await;
            let late = just_before_it_is_over();
            assert!(matches!(w.earlier("ada", &key, late).await, Some(Earlier::Same(_))));
            let too_early = request().created_at(late).unsaved();
            assert!(matches!(w.send(&too_early, &key).await, Some(Earlier::Same(_))));
            if reaped {
                w.jobs.reap(over()).await.expect("the store answers");
            }
            assert_eq!(w.earlier("ada", &key, over()).await, None);
            let second = request().created_at(over()).unsaved();
            // Another content is none of the old one's business either.
            assert_eq!(w.send(&second, &once(key.key.as_str(), 2)).await, None);
            let earlier = w.earlier("ada", &once(key.key.as_str(), 2), over() + TimeDelta::hours(23)).await;
            assert_eq!(earlier, Some(Earlier::Same(Box::new(w.request(second.id).await))));
            assert_eq!(w.earlier("ada", &key, over()).await, Some(Earlier::Other));
        }
    }

    async fn a_reaper_forgets_keys_whose_time_is_over_and_no_others(w) {
        for second in 0..3 {
            let new = request().created_at(at(second)).unsaved();
            w.send(&new, &once(&format!("key {second}"), 1)).await;
        }
        for (now, left) in [(just_before_it_is_over(), 3), (over(), 2), (over(), 2), (over() + TimeDelta::hours(1), 0)] {
            w.jobs.reap(now).await.expect("the store answers");
            assert_eq!(w.probe.idempotency_keys().await, left);
        }
    }

    async fn a_submission_that_is_not_stored_leaves_its_key_free(w) {
        let (taken, key) = (w.submit(request()).await, once("key", 1));
        let clash = request().id(taken.id).unsaved();
        insert(&*w.requests, &clash, &key).await.expect_err("the id is taken");
        assert_eq!(w.earlier("ada", &key, at(0)).await, None);
        assert_eq!(w.probe.idempotency_keys().await, 0);
        assert_eq!(w.send(&request().unsaved(), &key).await, None);
    }

    async fn of_many_equal_submissions_at_once_exactly_one_is_stored_and_all_get_it(w) {
        for round in 0..5 {
            let key = once(&format!("key {round}"), 1);
            let sent = (0..50).map(|_| {
                let (requests, key, new) = (w.requests.clone(), key.clone(), request().unsaved());
                tokio::spawn(async move { (new.id, insert(&*requests, &new, &key).await) })
            });
            let (mut first, mut given) = (vec![], HashSet::new());
            for answer in sent.collect::<Vec<_>>() {
                match answer.await.expect("no panic") {
                    (id, Ok(None)) => first.push(id),
                    (_, Ok(Some(Earlier::Same(earlier)))) => {
                        given.insert(earlier.id);
                    }
                    (_, other) => panic!("{other:?}"),
                }
            }
            assert_eq!((first.len(), &given), (1, &first.iter().copied().collect()));
            assert_eq!(w.trail(EntityKind::Request, first[0]).await, ["request.submit"]);
            assert_eq!(w.submissions().await, round + 1);
        }
    }

    async fn of_many_submissions_of_two_contents_at_once_one_is_stored_and_the_other_content_is_told(w) {
        let sent = (0..20_u8).map(|n| {
            let (requests, key, new) = (w.requests.clone(), once("key", n % 2), request().unsaved());
            tokio::spawn(async move { (n % 2, insert(&*requests, &new, &key).await.expect("the store answers")) })
        });
        let mut answers = vec![];
        for answer in sent.collect::<Vec<_>>() {
            answers.push(answer.await.expect("no panic"));
        }
        let winner = answers.iter().find(|(_, earlier)| earlier.is_none()).expect("one is stored").0;
        for (content, earlier) in &answers {
            let same = matches!(earlier, None | Some(Earlier::Same(_)));
            assert_eq!(same, *content == winner, "{earlier:?}");
        }
        assert_eq!(w.submissions().await, 1);
    }

    async fn many_who_take_over_a_key_whose_time_is_over_store_one_request(w) {
        let key = once("key", 1);
        w.send(&request().unsaved(), &key).await;
        let sent = (0..20).map(|_| {
            let (requests, key) = (w.requests.clone(), key.clone());
            let new = request().created_at(over()).unsaved();
            tokio::spawn(async move { insert(&*requests, &new, &key).await.expect("the store answers") })
        });
        // Reapers at the same time must not make room for a second one.
        let reapers = (0..3).map(|_| {
            let jobs = w.jobs.clone();
            tokio::spawn(async move { jobs.reap(over()).await.expect("the store answers") })
        });
        let (sent, reapers): (Vec<_>, Vec<_>) = (sent.collect(), reapers.collect());
        let mut stored = 0;
        for answer in sent {
            stored += usize::from(answer.await.expect("no panic").is_none());
        }
        for reaper in reapers {
            reaper.await.expect("no panic");
        }
        assert_eq!((stored, w.submissions().await), (1, 2));
    }
}
