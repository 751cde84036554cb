//! What an adapter hands to the contract.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use domain::ids::{InstanceId, PodId, RequestId, UserId};
use domain::ports::{
    AuditLog, ChangeFeed, Directory, Health, JobQueue, RequestStore, ResultStore, ScriptLogs, SessionStore,
    UserStore,
};
use domain::target::Target;
use domain::text::DatabaseName;
use serde_json::Value;

use crate::fakes::FakeClock;
use crate::memory::InMemoryStore;

/// All ports of one fresh world: no people, no PODs, no targets, but the roles that come with the portal.
#[derive(Clone)]
pub struct Stores {
    pub requests: Arc<dyn RequestStore>,
    pub jobs: Arc<dyn JobQueue>,
    pub users: Arc<dyn UserStore>,
    pub sessions: Arc<dyn SessionStore>,
    pub directory: Arc<dyn Directory>,
    pub results: Arc<dyn ResultStore>,
    /// With a clock that stands at second 0.
    pub logs: Arc<dyn ScriptLogs>,
    pub audit: Arc<dyn AuditLog>,
    pub changes: Arc<dyn ChangeFeed>,
    pub health: Arc<dyn Health>,
    /// May also keep alive what the world lives in.
    pub probe: Arc<dyn StoreProbe>,
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stores(..)")
    }
}

/// A line of the audit trail, as far as the contract looks at it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditRow {
    pub user: Option<UserId>,
    pub action: String,
    pub entity_kind: String,
    pub entity_id: String,
    pub old_values: Option<Value>,
    pub new_values: Option<Value>,
}

/// What the contract needs and no port offers. Failures panic.
#[async_trait]
pub trait StoreProbe: Send + Sync {
    /// The audit trail, oldest first.
    async fn audit_rows(&self) -> Vec<AuditRow>;

    /// Overwrites what is stored of an existing target, its PODs included, with exactly this.
    async fn change_target(&self, target: &Target);

    async fn set_pod_active(&self, pod: &PodId, active: bool);

    async fn set_database_active(&self, instance: &InstanceId, database: &DatabaseName, active: bool);

    /// Removes the execution job of a request, as only a person in the database could.
    async fn lose_execution_job(&self, request: RequestId);

    /// How many idempotency keys are kept, whether they still stand for something or not.
    async fn idempotency_keys(&self) -> usize;
}

#[async_trait]
impl StoreProbe for InMemoryStore {
    async fn audit_rows(&self) -> Vec<AuditRow> {
        let row = |entry: domain::audit::AuditEntry| AuditRow {
            user: entry.user,
            action: entry.action,
            entity_kind: entry.entity.kind.as_str().to_owned(),
            entity_id: entry.entity.id,
            old_values: entry.old_values,
            new_values: entry.new_values,
        };
        self.audit_entries().into_iter().map(row).collect()
    }

    async fn change_target(&self, target: &Target) {
        self.put_target(target);
    }

    async fn set_pod_active(&self, pod: &PodId, active: bool) {
        InMemoryStore::set_pod_active(self, pod, active);
    }

    async fn set_database_active(&self, instance: &InstanceId, database: &DatabaseName, active: bool) {
        InMemoryStore::set_database_active(self, instance, database, active);
    }

    async fn lose_execution_job(&self, request: RequestId) {
        InMemoryStore::lose_execution_job(self, request);
    }

    async fn idempotency_keys(&self) -> usize {
        InMemoryStore::idempotency_keys(self)
    }
}

impl From<InMemoryStore> for Stores {
    fn from(store: InMemoryStore) -> Self {
        Self {
            requests: store.request_store(),
            jobs: store.job_queue(),
            users: store.user_store(),
            sessions: store.session_store(),
            directory: store.directory(),
            results: store.result_store(),
            logs: store.script_logs(Arc::new(FakeClock::new())),
            audit: store.audit_log(),
            changes: store.change_feed(),
            health: store.health(),
            probe: Arc::new(store),
        }
    }
}
