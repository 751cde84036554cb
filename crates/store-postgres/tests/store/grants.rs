//! What the owner and the server's own role can do to the audit trail, and to everything else.

use std::sync::Arc;

use crate::database::TestDatabase;
use domain::auth::TokenHash;
use domain::job::WorkerId;
use domain::pod::Pod;
use domain::ports::{
    AuditLog, Deliveries, Directory, ExecutionClaim, Health, JobQueue, ReplayGuard, RequestStore, ScriptLogs,
    SealedCredential, SealedStore, SlackMessage, UserStore, UserUpdate,
};
use domain::script::LogLimit;
use domain::target::{SyncAttempt, SyncOutcome, Target, TargetDatabase};
use secrecy::ExposeSecret;
use store_postgres::{
    MigrateError, PgAuditLog, PgDeliveries, PgHealth, PgReplayGuard, PgScriptLogs, PgSealedStore, PgStore,
    StoreConfig, migrate,
};
use testkit::builders::{at, console_line, database, database_name, pod, request, target, user};
use testkit::fakes::FakeClock;
use tokio_postgres::{Client, NoTls};

use crate::world::{Process, World, applied, approval, entry};

const CHANGES: [&str; 6] = [
    "UPDATE audit_logs SET action = 'nothing'",
    "DELETE FROM audit_logs",
    "TRUNCATE audit_logs CASCADE",
    "UPDATE audit_chain SET position = 2",
    "DELETE FROM audit_chain",
    "TRUNCATE audit_chain",
];

/// A role with a name that needs its quotes, and the settings to connect as it.
struct ServerRole {
    name: String,
    config: StoreConfig,
    database: String,
}

impl ServerRole {
    async fn create(database: &TestDatabase) -> Self {
        let name = format!("server \"of\" {}", database.name());
        let quoted = quoted(&name);
        let admin = database.client().await;
        admin.batch_execute(&format!("CREATE ROLE {quoted} LOGIN PASSWORD 'secret'")).await.unwrap();
        let url = database.url();
        let (_, host) = url.expose_secret().split_once('@').unwrap();
        let user = name.replace(' ', "%20").replace('"', "%22");
        let config = StoreConfig::new(format!("postgres://{user}:secret@{host}").into());
        Self { name, config, database: database.name().to_owned() }
    }

    async fn client(&self) -> Client {
        let (client, connection) =
            tokio_postgres::connect(self.config.url.expose_secret(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Roles belong to the server and would outlive the test's database.
    async fn drop(self, database: TestDatabase) {
        assert_eq!(database.name(), self.database);
        let quoted = quoted(&self.name);
        let admin = database.client().await;
        admin.batch_execute(&format!("DROP OWNED BY {quoted}; DROP ROLE {quoted}")).await.unwrap();
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

async fn refusal(client: &Client, statement: &str) -> String {
    let error = client.batch_execute(statement).await.expect_err(statement);
    error.as_db_error().unwrap().message().to_owned()
}

#[tokio::test]
async fn nobody_changes_the_audit_trail_not_even_its_owner() {
    let database = TestDatabase::create().await;
    PgAuditLog::new(database.store()).record(entry("user.login_failed")).await.unwrap();
    let owner = database.client().await;
    for replication in ["origin", "replica"] {
        // A superuser can silence ordinary triggers; these go on.
        owner.batch_execute(&format!("SET session_replication_role = {replication}")).await.unwrap();
        for change in CHANGES {
            let message = refusal(&owner, change).await;
            assert!(message.contains("append-only"), "{change}: {message}");
        }
    }
    let message = refusal(&owner, "TRUNCATE users CASCADE").await;
    assert!(message.contains("append-only"), "{message}");
    let rows: i64 = owner.query_one("SELECT count(*) FROM audit_logs", &[]).await.unwrap().get(0);
    assert_eq!(rows, 1);
}

/// Every way to change a target, a POD and an account.
async fn administers(process: &Process) {
    let before = target("orders-db").build();
    let after = Target { pods: vec![], ..before.clone() };
    process.directory.change_target(&before, &after, &entry("instance.update")).await.unwrap();
    let known = process.directory.find_database(&before.id, &database()).await.unwrap();
    let closed = TargetDatabase { active: false, ..known.clone().unwrap() };
    let audit = entry("instance.database");
    process.directory.put_database(&before.id, known.as_ref(), &closed, &audit).await.unwrap();
    let outcome = SyncOutcome::Succeeded(vec![database_name("shop")]);
    assert!(process.directory.claim_due_sync(at(0), at(60)).await.unwrap().is_some());
    let looked = SyncAttempt { connection_revision: 1, started_at: at(0), outcome, next_at: Some(at(3_600)) };
    process.directory.record_sync(&before.id, &looked, &entry("instance.sync")).await.unwrap();
    let before = pod("payments").build();
    let after = Pod { active: false, ..before.clone() };
    process.directory.change_pod(&before, &after, &entry("pod.update")).await.unwrap();
    let ada = process.users.find(user("ada").build().id).await.unwrap().unwrap();
    let update = UserUpdate {
        roles: Some(vec![]),
        password_hash: Some("plain:x".to_owned()),
        ..UserUpdate::default()
    };
    process.users.update(&ada, &update, &entry("user.update")).await.unwrap();
}

/// What a running script writes, and what is read of it.
async fn writes_a_log(process: &Process, store: PgStore) {
    let script = process.approved(request().script("fix.js", "return 1;")).await;
    let worker = WorkerId("host:1:1".to_owned());
    let claim = process.jobs.claim_execution(&worker, at(10), at(70)).await.unwrap();
    let Some(ExecutionClaim::Started { lease, .. }) = claim else { panic!("{claim:?}") };
    let logs = PgScriptLogs::new(store, Arc::new(FakeClock::new()));
    logs.writer(script.id, &lease).write(vec![console_line("one")]).await.unwrap();
    assert_eq!(logs.read(script.id, 0, LogLimit::NONE).await.unwrap().lines.len(), 1);
    assert_eq!(logs.count(script.id).await.unwrap().console, 1);
}

/// What Slack and the sealed credentials need.
async fn tells_and_seals(process: &Process, store: PgStore) {
    let job =
        process.jobs.claim_notification(&WorkerId("host:1:1".to_owned()), at(20), at(80)).await.unwrap();
    let job = job.expect("a submission is to be told");
    let deliveries = PgDeliveries::new(store.clone());
    deliveries.begin(&job, "#payments", at(20)).await.unwrap();
    let message = SlackMessage { channel: "C0PAYMENTS".to_owned(), ts: "1.1".to_owned() };
    deliveries.sent(job.lease.job, &message, at(21)).await.unwrap();
    assert_eq!(deliveries.channel_message(job.request).await.unwrap(), Some(message));
    let guard = PgReplayGuard::new(store.clone());
    for call in ["one", "two"] {
        assert!(guard.first_time(&TokenHash::of(call), at(20), at(30)).await.unwrap());
    }
    let sealed = PgSealedStore::new(store);
    let first = SealedCredential {
        reference: "shop".to_owned(),
        key_id: "one".to_owned(),
        nonce: vec![1],
        ciphertext: vec![2],
        sealed_at: at(20),
    };
    let second = SealedCredential { key_id: "two".to_owned(), ..first.clone() };
    let audit = entry("credential.seal");
    assert!(sealed.put(None, &first, &audit).await.unwrap());
    assert!(sealed.put(Some(&first), &second, &audit).await.unwrap());
    assert!(sealed.remove("shop", &audit).await.unwrap());
}

#[tokio::test]
async fn the_servers_role_works_with_the_store_and_cannot_touch_the_trail() {
    let world = World::peopled().await;
    let role = ServerRole::create(&world.database).await;
    let report = migrate(&world.database.url(), Some(&role.name)).await.unwrap();
    assert_eq!((report.applied.len(), report.granted_to.as_deref()), (0, Some(role.name.as_str())));
    migrate(&world.database.url(), Some(&role.name)).await.expect("granting again is no error");

    let store = PgStore::connect(&role.config).unwrap();
    PgHealth::new(store.clone()).check().await.unwrap();
    let process = world.process_on(store.clone());
    writes_a_log(&process, store.clone()).await;
    tells_and_seals(&process, store).await;
    let pending = process.submit(request()).await;
    process.requests.commit(&applied(&pending, approval(&pending))).await.unwrap();
    administers(&process).await;

    let client = role.client().await;
    for change in CHANGES {
        let message = refusal(&client, change).await;
        assert!(message.starts_with("permission denied"), "{change}: {message}");
    }
    let more = [
        "ALTER TABLE audit_logs DISABLE TRIGGER ALL",
        "DROP TABLE audit_logs",
        "UPDATE roles SET permissions = '[\"*:*\"]'",
        "INSERT INTO roles (name, description, permissions) VALUES ('root', '', '[\"*:*\"]')",
        "DELETE FROM __diesel_schema_migrations",
        "TRUNCATE jobs",
        "UPDATE script_log SET text = 'nothing'",
        "DELETE FROM script_log",
        "SET session_replication_role = replica",
    ];
    for change in more {
        let message = refusal(&client, change).await;
        assert!(message.contains("denied") || message.contains("must be owner"), "{change}: {message}");
    }
    drop(process);
    role.drop(world.database).await;
}

#[tokio::test]
async fn every_table_is_granted_in_one_way_or_another() {
    let database = TestDatabase::create().await;
    let role = ServerRole::create(&database).await;
    migrate(&database.url(), Some(&role.name)).await.unwrap();
    let forgotten = role
        .client()
        .await
        .query(
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' \
             AND NOT has_table_privilege(oid, 'SELECT')",
            &[],
        )
        .await
        .unwrap();
    let forgotten: Vec<String> = forgotten.iter().map(|row| row.get(0)).collect();
    assert_eq!(forgotten, Vec::<String>::new(), "add these to src/grants.rs");
    role.drop(database).await;
}

#[tokio::test]
async fn a_role_that_does_not_exist_or_cannot_be_limited_is_an_error() {
    let database = TestDatabase::create().await;
    let error = migrate(&database.url(), Some("nobody's role")).await.unwrap_err();
    assert!(matches!(error, MigrateError::UnknownRole(role) if role == "nobody's role"));
    let error = migrate(&database.url(), Some("postgres")).await.unwrap_err();
    assert!(matches!(error, MigrateError::UnlimitedRole(role) if role == "postgres"));
}
