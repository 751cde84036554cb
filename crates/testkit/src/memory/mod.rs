//! One in-memory world behind all ports of the store, with the obligations that their docs name.
//!
//! A cloned [`InMemoryStore`] shows the same world. Every port method holds the world's one lock from
//! beginning to end, so it is atomic; it checks everything before it changes anything.

mod deliveries;
mod directory;
mod hooks;
mod jobs;
mod people;
mod requests;
mod results;
mod script_logs;
mod sealed;
mod sessions;
mod slack;
mod world;

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use domain::audit::AuditEntry;
use domain::ports::{
    AuditLog, Change, ChangeFeed, Clock, Deliveries, Directory, Health, JobQueue, ReplayGuard, RequestStore,
    ResultStore, ScriptLogs, SealedStore, SessionStore, SlackPeople, StoreError, UserStore,
};
use tokio::sync::broadcast;

pub use deliveries::{DeliveryRow, DeliveryState};
use world::World;
pub use world::{JobKind, JobRow, JobState};

/// How many changes a slow listener may be behind before it loses some.
const FEED_CAPACITY: usize = 1024;

/// A store that lives as long as its last clone.
#[derive(Clone, Debug)]
pub struct InMemoryStore {
    world: Arc<Mutex<World>>,
    news: broadcast::Sender<Change>,
}

impl Default for InMemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl InMemoryStore {
    /// An empty store with the roles that come with the portal.
    pub fn new() -> Self {
        Self { world: Arc::default(), news: broadcast::Sender::new(FEED_CAPACITY) }
    }

    pub fn request_store(&self) -> Arc<dyn RequestStore> {
        Arc::new(self.clone())
    }

    pub fn job_queue(&self) -> Arc<dyn JobQueue> {
        Arc::new(self.clone())
    }

    pub fn user_store(&self) -> Arc<dyn UserStore> {
        Arc::new(self.clone())
    }

    pub fn session_store(&self) -> Arc<dyn SessionStore> {
        Arc::new(self.clone())
    }

    pub fn directory(&self) -> Arc<dyn Directory> {
        Arc::new(self.clone())
    }

    pub fn result_store(&self) -> Arc<dyn ResultStore> {
        Arc::new(self.clone())
    }

    /// The logs of scripts, whose lines come when the clock says.
    pub fn script_logs(&self, clock: Arc<dyn Clock>) -> Arc<dyn ScriptLogs> {
        Arc::new(script_logs::InMemoryLogs::new(self.clone(), clock))
    }

    pub fn audit_log(&self) -> Arc<dyn AuditLog> {
        Arc::new(self.clone())
    }

    pub fn change_feed(&self) -> Arc<dyn ChangeFeed> {
        Arc::new(self.clone())
    }

    pub fn deliveries(&self) -> Arc<dyn Deliveries> {
        Arc::new(self.clone())
    }

    pub fn slack_people(&self) -> Arc<dyn SlackPeople> {
        Arc::new(self.clone())
    }

    pub fn replay_guard(&self) -> Arc<dyn ReplayGuard> {
        Arc::new(self.clone())
    }

    pub fn sealed_store(&self) -> Arc<dyn SealedStore> {
        Arc::new(self.clone())
    }

    pub fn health(&self) -> Arc<dyn Health> {
        Arc::new(self.clone())
    }

    /// The world as it is, whether the store pretends to be available or not.
    fn peek(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no test panics while it holds the world")
    }

    /// One atomic operation. News goes out after the lock is released, and only when it succeeded.
    fn atomically<T, E: From<StoreError>>(
        &self,
        operation: impl FnOnce(&mut World) -> Result<T, E>,
    ) -> Result<T, E> {
        let (answer, news) = {
            let mut world = self.peek();
            if world.unavailable {
                return Err(unavailable().into());
            }
            let answer = operation(&mut world);
            (answer, std::mem::take(&mut world.news))
        };
        if answer.is_ok() {
            for change in news {
                // Nobody listens: then nobody has to be told.
                let _ = self.news.send(change);
            }
        }
        answer
    }
}

/// What every call answers while the store is switched off.
fn unavailable() -> StoreError {
    StoreError::Unavailable { source: "the in-memory store was told to be unavailable".into() }
}

/// A statement that a database would refuse by one of its constraints.
fn rejected(reason: impl Into<String>) -> StoreError {
    StoreError::Rejected { source: reason.into().into() }
}

impl ChangeFeed for InMemoryStore {
    fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.news.subscribe()
    }
}

#[async_trait]
impl AuditLog for InMemoryStore {
    async fn record(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.atomically(|world| {
            world.audit.push(entry);
            Ok(())
        })
    }
}

#[async_trait]
impl Health for InMemoryStore {
    async fn check(&self) -> Result<(), StoreError> {
        self.atomically(|_| Ok(()))
    }
}
