//! A world on a database of its own, with somebody in it.

use std::sync::Arc;

use crate::database::TestDatabase;
use async_trait::async_trait;
use domain::audit::{AuditEntry, Entity, EntityKind};
use domain::ids::{InstanceId, JobId, PodId, RequestId, UserId};
use domain::job::Audience;
use domain::lifecycle::{self, Transition};
use domain::ports::{Directory, IdGenerator, RequestStore, UserStore};
use domain::request::{Effect, Event, NotificationKind, Request};
use domain::target::Target;
use domain::text::DatabaseName;
use domain::user::{Origin, roles};
use store_postgres::{
    PgAuditLog, PgChangeFeed, PgDeliveries, PgDirectory, PgHealth, PgJobQueue, PgReplayGuard, PgRequestStore,
    PgResultStore, PgScriptLogs, PgSealedStore, PgSessionStore, PgSlackPeople, PgStore, PgUserStore,
};
use testkit::builders::{RequestBuilder, approver, at, database, pod, target, user};
use testkit::contract::{AuditRow, DeliveryNote, StoreProbe, Stores};
use testkit::fakes::{FakeClock, SequentialIds};

/// One database, and the ids that everything on it shares.
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) ids: Arc<dyn IdGenerator>,
}

/// The adapters of one portal process.
pub(crate) struct Process {
    pub(crate) requests: PgRequestStore,
    pub(crate) jobs: PgJobQueue,
    pub(crate) sessions: PgSessionStore,
    pub(crate) users: PgUserStore,
    pub(crate) directory: PgDirectory,
    pub(crate) results: PgResultStore,
}

impl World {
    pub(crate) async fn empty() -> Self {
        Self { database: TestDatabase::create().await, ids: Arc::new(SequentialIds::new()) }
    }

    /// With the POD `payments`, ada who submits, grace and alan who approve, and the target `orders-db`.
    pub(crate) async fn peopled() -> Self {
        let world = Self::empty().await;
        let process = world.process();
        process.directory.add_pod(&pod("payments").build(), &entry("pod.create")).await.unwrap();
        let cast = [user("ada"), user("grace").role(roles::MANAGER), user("alan").role(roles::MANAGER)];
        for person in cast {
            process.users.create(&person.new_user(), &entry("user.create")).await.unwrap();
        }
        let target = target("orders-db").build();
        process.directory.add_target(&target, &[database()], &entry("instance.create")).await.unwrap();
        world
    }

    /// A portal process with connections of its own.
    pub(crate) fn process(&self) -> Process {
        self.process_on(self.database.store())
    }

    pub(crate) fn process_on(&self, store: PgStore) -> Process {
        Process {
            requests: PgRequestStore::new(store.clone(), self.ids.clone()),
            jobs: PgJobQueue::new(store.clone(), self.ids.clone()),
            sessions: PgSessionStore::new(store.clone()),
            users: PgUserStore::new(store.clone()),
            directory: PgDirectory::new(store.clone()),
            results: PgResultStore::new(store),
        }
    }
}

impl Process {
    pub(crate) async fn submit(&self, request: RequestBuilder) -> Request {
        let request = request.unsaved();
        let audit = lifecycle::submission_audit(&request, Origin::default());
        let effects = [Effect::Notify(NotificationKind::Submitted)];
        self.requests.insert(&request, &audit, &effects, None).await.unwrap();
        self.requests.find(request.id).await.unwrap().unwrap()
    }

    pub(crate) async fn approved(&self, request: RequestBuilder) -> Request {
        let pending = self.submit(request).await;
        self.requests.commit(&applied(&pending, approval(&pending))).await.unwrap()
    }
}

pub(crate) fn approval(request: &Request) -> Event {
    Event::Approve { by: approver("grace"), digest: Some(request.digest()) }
}

pub(crate) fn applied(request: &Request, event: Event) -> Transition {
    lifecycle::transition(request.clone(), event, None, Origin::default(), at(1)).unwrap()
}

pub(crate) fn entry(action: &str) -> AuditEntry {
    AuditEntry {
        user: None,
        action: action.to_owned(),
        entity: Entity::new(EntityKind::User, "somebody"),
        old_values: None,
        new_values: None,
        origin: Origin::default(),
        at: at(0),
    }
}

/// What the contract looks at behind the store's back. It owns the database, so that it lives as long as the test.
struct Probe(TestDatabase);

/// The ports of a fresh world, for the contract.
pub(crate) async fn stores() -> Stores {
    let World { database, ids } = World::empty().await;
    let store = database.store();
    Stores {
        requests: Arc::new(PgRequestStore::new(store.clone(), ids.clone())),
        jobs: Arc::new(PgJobQueue::new(store.clone(), ids)),
        users: Arc::new(PgUserStore::new(store.clone())),
        sessions: Arc::new(PgSessionStore::new(store.clone())),
        directory: Arc::new(PgDirectory::new(store.clone())),
        results: Arc::new(PgResultStore::new(store.clone())),
        logs: Arc::new(PgScriptLogs::new(store.clone(), Arc::new(FakeClock::new()))),
        audit: Arc::new(PgAuditLog::new(store.clone())),
        changes: Arc::new(PgChangeFeed::start(&database.config()).unwrap()),
        deliveries: Arc::new(PgDeliveries::new(store.clone())),
        slack_people: Arc::new(PgSlackPeople::new(store.clone())),
        replay_guard: Arc::new(PgReplayGuard::new(store.clone())),
        sealed: Arc::new(PgSealedStore::new(store.clone())),
        health: Arc::new(PgHealth::new(store)),
        probe: Arc::new(Probe(database)),
    }
}

#[async_trait]
impl StoreProbe for Probe {
    async fn audit_rows(&self) -> Vec<AuditRow> {
        let rows = self
            .0
            .client()
            .await
            .query(
                "SELECT user_id::text, action, entity_type, entity_id, old_values::text, new_values::text \
                 FROM audit_logs ORDER BY id",
                &[],
            )
            .await
            .unwrap();
        let values = |text: Option<&str>| text.map(|text| serde_json::from_str(text).unwrap());
        rows.iter()
            .map(|row| AuditRow {
                user: row.get::<_, Option<String>>(0).map(|id| id.parse::<UserId>().unwrap()),
                action: row.get(1),
                entity_kind: row.get(2),
                entity_id: row.get(3),
                old_values: values(row.get(4)),
                new_values: values(row.get(5)),
            })
            .collect()
    }

    async fn change_target(&self, target: &Target) {
        let client = self.0.client().await;
        let credentials = &target.credentials;
        let changed = client
            .execute(
                "UPDATE database_instances SET name = $2, type = $3, description = $4, host = $5, port = $6, \
                 tls_mode = $7, credential_source = $8, credential_reference = $9, connection_revision = $10, \
                 bound_revision = $11, is_active = $12, read_only = $13, allow_privileged_role = $14, \
                 search_path = $15, timeout_ms = $16, lock_timeout_ms = $17, max_rows = $18, max_bytes = $19, \
                 approvals_needed = $20, approval_ttl_ms = $21, slack_results = $22, slack_decisions = $23 \
                 WHERE id = $1",
                &[
                    &target.id.as_str(),
                    &target.name.as_str(),
                    &target.engine.as_str(),
                    &target.description,
                    &target.host,
                    &i32::from(target.port),
                    &target.tls.as_str(),
                    &credentials.source.as_str(),
                    &credentials.reference,
                    &target.connection_revision,
                    &target.bound_revision,
                    &target.active,
                    &target.read_only,
                    &target.allow_privileged_role,
                    &target.search_path,
                    &i64::try_from(target.limits.timeout.as_millis()).unwrap(),
                    &i64::try_from(target.limits.lock_timeout.as_millis()).unwrap(),
                    &i64::try_from(target.limits.max_rows).unwrap(),
                    &i64::try_from(target.limits.max_bytes).unwrap(),
                    &i32::from(target.approvals_needed),
                    &i64::try_from(target.approval_ttl.as_millis()).unwrap(),
                    &target.slack_results.as_str(),
                    &target.slack_decisions,
                ],
            )
            .await
            .unwrap();
        assert_eq!(changed, 1);
        client
            .execute("DELETE FROM instance_pods WHERE instance_id = $1", &[&target.id.as_str()])
            .await
            .unwrap();
        for pod in &target.pods {
            let link = "INSERT INTO instance_pods (instance_id, pod_id) VALUES ($1, $2)";
            client.execute(link, &[&target.id.as_str(), &pod.as_str()]).await.unwrap();
        }
    }

    async fn set_pod_active(&self, pod: &PodId, active: bool) {
        let statement = "UPDATE pods SET is_active = $2 WHERE id = $1";
        assert_eq!(self.0.client().await.execute(statement, &[&pod.as_str(), &active]).await.unwrap(), 1);
    }

    async fn set_database_active(&self, instance: &InstanceId, database: &DatabaseName, active: bool) {
        let statement = "UPDATE databases SET is_active = $3 WHERE instance_id = $1 AND name = $2";
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&instance.as_str(), &database.as_str(), &active];
        assert_eq!(self.0.client().await.execute(statement, &parameters).await.unwrap(), 1);
    }

    async fn lose_execution_job(&self, request: RequestId) {
        let statement = format!(
            "DELETE FROM jobs USING query_requests r \
             WHERE r.id = jobs.request_id AND kind = 'execute_request' AND r.uuid = '{request}'"
        );
        assert_eq!(self.0.client().await.execute(&statement, &[]).await.unwrap(), 1);
    }

    async fn idempotency_keys(&self) -> usize {
        let count = self.0.client().await.query_one("SELECT count(*) FROM idempotency_keys", &[]).await;
        usize::try_from(count.unwrap().get::<_, i64>(0)).unwrap()
    }

    async fn delivery_notes(&self, request: RequestId) -> Vec<DeliveryNote> {
        let statement = format!(
            "SELECT n.job_id::text, n.channel_type, n.status, n.error_message FROM slack_notifications n \
             JOIN query_requests r ON r.id = n.request_id WHERE r.uuid = '{request}' ORDER BY n.id"
        );
        let rows = self.0.client().await.query(&statement, &[]).await.unwrap();
        let audience = |channel_type: &str| match channel_type {
            "channel" => Audience::Channel,
            "dm" => Audience::Requester,
            other => panic!("{other} is no audience"),
        };
        rows.iter()
            .map(|row| DeliveryNote {
                job: row.get::<_, String>(0).parse::<JobId>().unwrap(),
                audience: audience(row.get(1)),
                status: row.get(2),
                error: row.get(3),
            })
            .collect()
    }
}
