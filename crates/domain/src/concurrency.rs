//! How much of something one person may have under way at the same time, in one process of the portal.
//!
//! It knows nothing of what is under way, and nothing of other processes: what many processes share has a limit of its
//! own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ids::UserId;

/// Hands out permits, to each person as many at the same time as one may have.
#[derive(Debug)]
pub struct PersonLimit {
    most: usize,
    held: Held,
}

/// How many permits each person holds. Who holds none is not in it, so that it does not grow.
type Held = Arc<Mutex<HashMap<UserId, usize>>>;

/// One thing under way. It is over when this is dropped: also when whoever holds it is cancelled or panics.
#[derive(Debug)]
pub struct Permit {
    user: UserId,
    held: Held,
}

impl PersonLimit {
    pub fn new(most: usize) -> Self {
        Self { most, held: Held::default() }
    }

    /// Nothing when the person holds as many as they may. Nobody waits for one.
    pub fn acquire(&self, user: UserId) -> Option<Permit> {
        let mut held = lock(&self.held);
        let count = held.get(&user).copied().unwrap_or_default();
        if count >= self.most {
            return None;
        }
        held.insert(user, count + 1);
        Some(Permit { user, held: Arc::clone(&self.held) })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        if let Some(count) = held.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.user);
            }
        }
    }
}

/// Nothing can panic between two counts that belong together, so a poisoned lock holds good counts.
fn lock(held: &Held) -> MutexGuard<'_, HashMap<UserId, usize>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(n: u128) -> UserId {
        UserId::from_uuid(uuid::Uuid::from_u128(n))
    }

    #[test]
    fn each_person_has_as_many_permits_as_one_may_have() {
        let limit = PersonLimit::new(2);
        let first = limit.acquire(user(1)).unwrap();
        let _second = limit.acquire(user(1)).unwrap();
        assert!(limit.acquire(user(1)).is_none());
        assert!(limit.acquire(user(2)).is_some(), "somebody else has their own");
        drop(first);
        let _third = limit.acquire(user(1)).unwrap();
        assert!(limit.acquire(user(1)).is_none());
    }

    #[test]
    fn a_permit_is_given_back_when_its_holder_panics() {
        let limit = PersonLimit::new(1);
        let permit = limit.acquire(user(1)).unwrap();
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _permit = permit;
            panic!("told to");
        }))
        .unwrap_err();
        assert!(limit.acquire(user(1)).is_some());
    }

    #[test]
    fn of_who_holds_nothing_nothing_is_kept() {
        let limit = PersonLimit::new(1);
        for n in 0..100 {
            drop(limit.acquire(user(n)));
        }
        assert_eq!(lock(&limit.held).len(), 0);
    }
}
