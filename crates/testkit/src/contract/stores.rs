//! What an adapter hands to the contract.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use domain::ids::{InstanceId, JobId, PodId, RequestId, UserId};
use domain::job::Audience;
use domain::ports::{
    AuditLog, ChangeFeed, Deliveries, Directory, Health, JobQueue, ReplayGuard, RequestStore, ResultStore,
    ScriptLogs, SealedStore, SessionStore, SlackPeople, UserStore,
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
    pub deliveries: Arc<dyn Deliveries>,
    pub slack_people: Arc<dyn SlackPeople>,
    pub replay_guard: Arc<dyn ReplayGuard>,
    pub sealed: Arc<dyn SealedStore>,
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

/// The history of a notification, as far as the contract looks at it beside the port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeliveryNote {
    pub job: JobId,
    pub audience: Audience,
    /// `pending`, `sent` or `failed`.
    pub status: String,
    /// What operators read about the failure.
    pub error: Option<String>,
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

    /// The history of a request's notifications, oldest first.
    async fn delivery_notes(&self, request: RequestId) -> Vec<DeliveryNote>;
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

    async fn delivery_notes(&self, request: RequestId) -> Vec<DeliveryNote> {
        let note = |row: crate::memory::DeliveryRow| DeliveryNote {
            job: row.job,
            audience: row.audience,
            status: row.state.as_str().to_owned(),
            error: row.error,
        };
        let rows = self.delivery_rows().into_iter().filter(|row| row.request == request);
        rows.map(note).collect()
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
            deliveries: store.deliveries(),
            slack_people: store.slack_people(),
            replay_guard: store.replay_guard(),
            sealed: store.sealed_store(),
            health: store.health(),
            probe: Arc::new(store),
        }
    }
}
