//! Time, ids and secrets that a test can foresee.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::Timestamp;
use domain::ports::{Clock, IdGenerator, SecretGenerator};
use secrecy::SecretString;
use uuid::Uuid;

use super::lock;
use crate::builders::epoch;

/// A clock that stands still until it is told otherwise.
#[derive(Debug)]
pub struct FakeClock(Mutex<Timestamp>);

impl FakeClock {
    /// Shows [`epoch`].
    pub fn new() -> Self {
        Self::at(epoch())
    }

    pub fn at(now: Timestamp) -> Self {
        Self(Mutex::new(now))
    }

    pub fn set(&self, now: Timestamp) {
        *lock(&self.0) = now;
    }

    pub fn advance(&self, by: Duration) {
        *lock(&self.0) += by;
    }
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        *lock(&self.0)
    }
}

/// `00000000-0000-4000-8000-000000000001`, `...2` and so on.
#[derive(Debug, Default)]
pub struct SequentialIds(AtomicU64);

impl SequentialIds {
    pub fn new() -> Self {
        Self::default()
    }

    /// The id that the n-th call gives, counted from 1.
    pub fn nth(n: u64) -> Uuid {
        Uuid::from_u128(0x0000_0000_0000_4000_8000_0000_0000_0000 + u128::from(n))
    }
}

impl IdGenerator for SequentialIds {
    fn new_id(&self) -> Uuid {
        Self::nth(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// `secret-1-` and so on, filled up to the length of a real token. No secret at all.
#[derive(Debug, Default)]
pub struct SequentialSecrets(AtomicU64);

impl SequentialSecrets {
    pub fn new() -> Self {
        Self::default()
    }

    /// The token that the n-th call gives, counted from 1.
    pub fn nth(n: u64) -> String {
        format!("{:-<43}", format!("secret-{n}-"))
    }
}

impl SecretGenerator for SequentialSecrets {
    fn new_token(&self) -> SecretString {
        Self::nth(self.0.fetch_add(1, Ordering::Relaxed) + 1).into()
    }
}
