//! Sessions kept ready, so that an execution need not wait for a login. Each is used once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::execution::ExecutionOrder;
use domain::ids::InstanceId;
use domain::text::DatabaseName;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::session::{ConnectSettings, Endpoint, Session};

/// Sessions are interchangeable when they have the same key. The login is there as a hash only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    target: InstanceId,
    revision: i32,
    database: DatabaseName,
    login: [u8; 32],
}

impl Key {
    pub(crate) fn of(order: &ExecutionOrder) -> Self {
        let user = order.credentials.username.as_bytes();
        let mut hash = Sha256::new();
        hash.update(u64::try_from(user.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(user);
        hash.update(order.credentials.password.expose_secret().as_bytes());
        Self {
            target: order.target.id.clone(),
            revision: order.target.connection_revision,
            database: order.database.clone(),
            login: hash.finalize().into(),
        }
    }
}

#[derive(Default)]
struct Slot {
    /// Sessions that are being opened.
    opening: usize,
    idle: Vec<(u64, Session)>,
}

#[derive(Default)]
struct Shelf {
    next: u64,
    slots: HashMap<Key, Slot>,
}

/// Keeps sessions. Dropping it closes them and stops those that are being opened.
pub(crate) struct Warm {
    shelf: Arc<Mutex<Shelf>>,
    settings: Arc<ConnectSettings>,
    stop: CancellationToken,
    size: usize,
    max_idle: Duration,
    _stop_on_drop: DropGuard,
}

impl Warm {
    pub(crate) fn new(size: usize, max_idle: Duration, settings: Arc<ConnectSettings>) -> Self {
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        Self { shelf: Arc::default(), settings, stop, size, max_idle, _stop_on_drop: guard }
    }

    /// A session that was alive a moment ago, if there is one.
    pub(crate) fn take(&self, key: &Key) -> Option<Session> {
        let mut shelf = lock(&self.shelf);
        let slot = shelf.slots.get_mut(key)?;
        while let Some((_, session)) = slot.idle.pop() {
            if !session.client.is_closed() {
                return Some(session);
            }
        }
        None
    }

    /// Opens a session in the background when one is missing.
    pub(crate) fn refill(&self, key: Key, endpoint: Endpoint) {
        {
            let mut shelf = lock(&self.shelf);
            let slot = shelf.slots.entry(key.clone()).or_default();
            if self.stop.is_cancelled() || slot.opening + slot.idle.len() >= self.size {
                shelf.tidy(&key);
                return;
            }
            slot.opening += 1;
        }
        let keeper = Keeper { shelf: self.shelf.clone(), key };
        let (settings, stop) = (self.settings.clone(), self.stop.clone());
        let max_idle = self.max_idle;
        tokio::spawn(async move {
            let opened = tokio::select! {
                opened = Session::open(&endpoint, &settings) => opened.ok(),
                () = stop.cancelled() => None,
            };
            // A target that cannot be reached is reported by the next execution, which tries again.
            if let Some(id) = keeper.shelve(opened) {
                tokio::select! {
                    () = tokio::time::sleep(max_idle) => {}
                    () = stop.cancelled() => {}
                }
                keeper.discard(id);
            }
        });
    }

    /// Closes all sessions and opens no more.
    pub(crate) fn close(&self) {
        self.stop.cancel();
        lock(&self.shelf).slots.clear();
    }
}

/// Puts one session on the shelf and takes it away again when it got old.
struct Keeper {
    shelf: Arc<Mutex<Shelf>>,
    key: Key,
}

impl Keeper {
    fn shelve(&self, session: Option<Session>) -> Option<u64> {
        let mut shelf = lock(&self.shelf);
        shelf.next += 1;
        let id = shelf.next;
        let shelved = match (shelf.slots.get_mut(&self.key), session) {
            (Some(slot), Some(session)) => {
                slot.opening = slot.opening.saturating_sub(1);
                slot.idle.push((id, session));
                Some(id)
            }
            (Some(slot), None) => {
                slot.opening = slot.opening.saturating_sub(1);
                None
            }
            (None, _) => None,
        };
        shelf.tidy(&self.key);
        shelved
    }

    fn discard(&self, id: u64) {
        let mut shelf = lock(&self.shelf);
        if let Some(slot) = shelf.slots.get_mut(&self.key) {
            slot.idle.retain(|(kept, _)| *kept != id);
        }
        shelf.tidy(&self.key);
    }
}

impl Shelf {
    /// Forgets a key for which nothing is kept, so that old logins do not pile up.
    fn tidy(&mut self, key: &Key) {
        if self.slots.get(key).is_some_and(|slot| slot.opening == 0 && slot.idle.is_empty()) {
            self.slots.remove(key);
        }
    }
}

/// The shelf is whole between any two statements above, so a panic elsewhere does not spoil it.
fn lock(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}
