//! Trying connections and looking up databases: what is asked of whom, and what is told of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::audit::{AuditEntry, Entity, EntityKind};
use domain::execution::{Credentials, DatabaseError};
use domain::policy::Denied;
use domain::ports::{
    CredentialError, CredentialSource, Directory, DirectoryError, ExecutionError, Inspection, RoleReport,
    SinkError, TargetInspector,
};
use domain::services::{Authority, ConnectionError, Connections, Failed, Keyring, SyncReport, TestReport};
use domain::target::{
    CredentialSourceKind, Engine, LastSync, SyncAttempt, SyncChanges, SyncOutcome, Target, TargetChange,
    TargetDatabase,
};
use domain::text::DatabaseName;
use domain::user::{Actor, Origin, Permission, roles};
use serde_json::json;
use testkit::builders::{actor, at, database, database_name, instance_id, target, target_database};
use testkit::fakes::{FakeCredentials, FakeInspector};

use super::World;

const PASSWORD: &str = "not-for-your-eyes";
const USERNAME: &str = "portal-role";

pub(super) struct Lab {
    pub(super) world: World,
    credentials: Arc<FakeCredentials>,
    pub(super) inspector: Arc<FakeInspector>,
    pub(super) connections: Connections,
    root: Actor,
}

impl Lab {
    /// Only `orders-db` has credentials.
    pub(super) fn new() -> Self {
        let world = World::new();
        let credentials = Arc::new(FakeCredentials::default().with("TARGET_ORDERS-DB", USERNAME, PASSWORD));
        let inspector = Arc::new(FakeInspector::default());
        let source: Arc<dyn CredentialSource> = credentials.clone();
        let inspectors: HashMap<Engine, Arc<dyn TargetInspector>> =
            HashMap::from([(Engine::Postgresql, inspector.clone() as _)]);
        let connections = Connections {
            directory: world.store.directory(),
            credentials: Keyring::from_iter([source]),
            inspectors,
            audit: world.store.audit_log(),
            clock: world.clock.clone(),
        };
        let root = actor("root").role(roles::ADMIN).build();
        Self { world, credentials, inspector, connections, root }
    }

    pub(super) async fn test(&self, id: &str) -> Result<TestReport, ConnectionError> {
        self.connections.test(&Authority::Person(&self.root), &instance_id(id), Origin::default()).await
    }

    pub(super) async fn sync(&self, id: &str) -> Result<SyncReport, ConnectionError> {
        self.connections.sync(&Authority::Person(&self.root), &instance_id(id), Origin::default()).await
    }

    async fn failure(&self) -> Failed {
        let report = self.test("orders-db").await.expect("it was tried");
        report.outcome.expect_err("it has to fail")
    }

    pub(super) async fn known(&self) -> Vec<TargetDatabase> {
        let known = Directory::databases(&self.world.store, &instance_id("orders-db")).await;
        known.expect("the store answers")
    }

    pub(super) async fn last_sync(&self) -> Option<LastSync> {
        let last = Directory::last_sync(&self.world.store, &instance_id("orders-db")).await;
        last.expect("the store answers")
    }

    fn only_entry(&self) -> AuditEntry {
        let mut entries = self.world.store.audit_entries();
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries.remove(0)
    }

    /// Nobody was asked for a credential, no server was looked at, and nothing is on the trail.
    fn nothing_was_tried(&self) {
        assert_eq!(self.credentials.fetched(), Vec::<String>::new());
        assert_eq!(self.inspector.looks(), []);
        assert_eq!(self.world.store.audit_actions(), Vec::<String>::new());
    }
}

fn source(text: &str) -> Box<dyn std::error::Error + Send + Sync> {
    text.into()
}

#[tokio::test]
async fn a_test_tells_what_the_server_is_and_has_and_is_on_the_trail() {
    let lab = Lab::new();
    lab.inspector.shows(&[database_name("shop"), database()]);
    let databases = vec![database(), database_name("shop")];
    let role = RoleReport {
        name: "portal".to_owned(),
        privileges: vec!["createdb".to_owned()],
        member_of: vec!["pg_read_all_data".to_owned()],
        may_write: Some(false),
    };
    lab.inspector.shows_role(role.clone());
    let latency = Duration::from_millis(2);
    let inspection = Inspection { server_version: "15.18".to_owned(), latency, role, databases };
    let report = lab.test("orders-db").await.expect("it was tried");
    assert_eq!(report, TestReport { at: at(0), outcome: Ok(inspection) });
    assert_eq!(lab.inspector.looks(), [(instance_id("orders-db"), database(), USERNAME.to_owned())]);
    let entry = lab.only_entry();
    assert_eq!((entry.action.as_str(), entry.user), ("instance.test", Some(lab.root.user)));
    assert_eq!((entry.entity.kind, entry.entity.id.as_str()), (EntityKind::Instance, "orders-db"));
    assert_eq!(entry.new_values, Some(json!({ "outcome": "succeeded" })));
    assert_eq!(lab.known().await, [target_database("orders")], "a test changes nothing");
    assert_eq!(lab.last_sync().await, None);
}

#[tokio::test]
async fn a_sync_brings_the_list_of_databases_up_to_date() {
    let lab = Lab::new();
    lab.inspector.shows(&[database_name("shop"), database()]);
    let report = lab.sync("orders-db").await.expect("it was tried");
    let changes = SyncChanges { added: vec![database_name("shop")], ..SyncChanges::default() };
    assert_eq!(report, SyncReport { at: at(0), outcome: Ok(changes) });
    assert_eq!(lab.known().await.len(), 2);
    assert_eq!(lab.last_sync().await, Some(LastSync { at: at(0), error: None }));
    let entry = lab.only_entry();
    assert_eq!(entry.action, "instance.sync");
    let none = json!({ "count": 0, "names": [] });
    let added = json!({ "count": 1, "names": ["shop"] });
    let changes = json!({ "added": added, "reactivated": none, "deactivated": none });
    assert_eq!(entry.new_values, Some(json!({ "outcome": "succeeded", "changes": changes })));
}

/// What happens to `orders-db` while a look at it lasts, which is ten seconds.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Meanwhile {
    Nothing,
    TheConnectionIsChangedAndBound,
    AnotherLookBeginsAndIsNoted,
}

struct SlowInspector {
    store: testkit::InMemoryStore,
    clock: Arc<testkit::fakes::FakeClock>,
    meanwhile: Meanwhile,
}

#[async_trait]
impl TargetInspector for SlowInspector {
    fn engine(&self) -> Engine {
        Engine::Postgresql
    }

    async fn inspect(
        &self,
        target: &Target,
        _database: &DatabaseName,
        _credentials: &Credentials,
    ) -> Result<Inspection, ExecutionError> {
        self.clock.advance(Duration::from_secs(10));
        match self.meanwhile {
            Meanwhile::Nothing => {}
            Meanwhile::TheConnectionIsChangedAndBound => {
                let elsewhere =
                    TargetChange { host: Some("other.internal".to_owned()), ..Default::default() };
                let moved = target.changed(elsewhere);
                self.store.put_target(&Target { bound_revision: Some(moved.connection_revision), ..moved });
            }
            Meanwhile::AnotherLookBeginsAndIsNoted => {
                let outcome = SyncOutcome::Succeeded(vec![database_name("newer")]);
                let attempt =
                    SyncAttempt { connection_revision: 1, started_at: at(5), outcome, next_at: None };
                let audit = AuditEntry {
                    user: None,
                    action: "instance.sync".to_owned(),
                    entity: Entity::new(EntityKind::Instance, &target.id),
                    old_values: None,
                    new_values: None,
                    origin: Origin::default(),
                    at: at(6),
                };
                self.store.record_sync(&target.id, &attempt, &audit).await.expect("nobody was faster");
            }
        }
        let databases = vec![database_name("shop")];
        Ok(Inspection {
            server_version: "15.18".to_owned(),
            latency: Duration::from_millis(2),
            role: RoleReport::default(),
            databases,
        })
    }
}

async fn slow_sync(meanwhile: Meanwhile) -> (Lab, Result<SyncReport, ConnectionError>) {
    let mut lab = Lab::new();
    let (store, clock) = (lab.world.store.clone(), lab.world.clock.clone());
    let slow: Arc<dyn TargetInspector> = Arc::new(SlowInspector { store, clock, meanwhile });
    lab.connections.inspectors = HashMap::from([(Engine::Postgresql, slow)]);
    let report = lab.sync("orders-db").await;
    (lab, report)
}

#[tokio::test]
async fn a_sync_is_as_of_the_moment_at_which_it_began() {
    let (lab, report) = slow_sync(Meanwhile::Nothing).await;
    assert_eq!(report.expect("nobody was faster").at, at(0));
    assert_eq!(lab.last_sync().await, Some(LastSync { at: at(0), error: None }));
    assert_eq!(lab.only_entry().at, at(10), "the trail tells when it was over");
}

#[tokio::test]
async fn a_sync_that_was_overtaken_changes_nothing_and_is_on_the_trail_as_such() {
    let cases = [
        (Meanwhile::TheConnectionIsChangedAndBound, vec![database()], None),
        (
            Meanwhile::AnotherLookBeginsAndIsNoted,
            vec![database_name("newer"), database()],
            Some(LastSync { at: at(5), error: None }),
        ),
    ];
    for (meanwhile, left, last) in cases {
        let (lab, report) = slow_sync(meanwhile).await;
        let error = report.expect_err("somebody was faster");
        let changed = matches!(error, ConnectionError::Directory(DirectoryError::Changed(_)));
        assert!(changed, "{meanwhile:?}: {error:?}");
        let known: Vec<_> = lab.known().await.into_iter().map(|known| known.name).collect();
        assert_eq!((known, lab.last_sync().await), (left, last), "{meanwhile:?}");
        let entry = lab.world.store.audit_entries().pop().expect("a credential was used");
        assert_eq!((entry.action.as_str(), entry.user), ("instance.sync", Some(lab.root.user)));
        assert_eq!(entry.new_values, Some(json!({ "outcome": "changed_meanwhile" })));
    }
}

#[tokio::test]
async fn a_failed_sync_is_noted_and_leaves_the_list() {
    let lab = Lab::new();
    lab.inspector.fails(ExecutionError::CredentialsRejected { source: source("auth failed") });
    let report = lab.sync("orders-db").await.expect("it was tried");
    let failed = report.outcome.expect_err("it has to fail");
    assert_eq!(failed.code, "credentials_rejected");
    assert_eq!(lab.last_sync().await, Some(LastSync { at: at(0), error: Some(failed.message) }));
    assert_eq!(lab.known().await, [target_database("orders")]);
    let entry = lab.only_entry();
    assert_eq!(entry.action, "instance.sync");
    assert_eq!(entry.new_values, Some(json!({ "outcome": "credentials_rejected" })));
}

#[tokio::test]
async fn no_credential_is_fetched_for_a_connection_to_which_none_is_bound() {
    let lab = Lab::new();
    let moved = target("orders-db").build().changed(domain::target::TargetChange {
        host: Some("thief.internal".to_owned()),
        ..domain::target::TargetChange::default()
    });
    for unbound in [target("orders-db").unbound().build(), moved] {
        lab.world.store.put_target(&unbound);
        let error = lab.test("orders-db").await.expect_err("nothing is bound");
        assert!(matches!(error, ConnectionError::NotBound), "{error:?}");
        let error = lab.sync("orders-db").await.expect_err("nothing is bound");
        assert!(matches!(error, ConnectionError::NotBound), "{error:?}");
    }
    lab.nothing_was_tried();
    assert_eq!(lab.last_sync().await, None);
}

#[tokio::test]
async fn only_who_manages_targets_tries_one() {
    let lab = Lab::new();
    let grace = actor("grace").role(roles::MANAGER).build();
    let person = Authority::Person(&grace);
    let needs = Denied::Permission(Permission::ManageTargets);
    for id in ["orders-db", "nowhere"] {
        let id = instance_id(id);
        let error = lab.connections.test(&person, &id, Origin::default()).await;
        assert!(matches!(error, Err(ConnectionError::Denied(denied)) if denied == needs), "{error:?}");
        let error = lab.connections.sync(&person, &id, Origin::default()).await;
        assert!(matches!(error, Err(ConnectionError::Denied(denied)) if denied == needs), "{error:?}");
    }
    lab.nothing_was_tried();
}

#[tokio::test]
async fn an_unknown_target_is_told() {
    let lab = Lab::new();
    for error in [
        lab.test("nowhere").await.expect_err("there is none"),
        lab.sync("nowhere").await.expect_err("there is none"),
    ] {
        let unknown = matches!(error, ConnectionError::Directory(DirectoryError::UnknownInstance(_)));
        assert!(unknown, "{error:?}");
    }
    lab.nothing_was_tried();
}

#[tokio::test]
async fn the_server_is_looked_at_by_a_known_active_database_or_by_the_usual_one() {
    let lab = Lab::new();
    let id = instance_id("orders-db");
    let put = |name: &str, active| {
        lab.world.store.put_database(&id, &TargetDatabase { active, ..target_database(name) });
    };
    put("archive", false);
    lab.test("orders-db").await.expect("it was tried");
    put("orders", false);
    lab.test("orders-db").await.expect("it was tried");
    let by: Vec<_> = lab.inspector.looks().into_iter().map(|(_, database, _)| database).collect();
    assert_eq!(by, [database(), database_name("postgres")]);
}

/// Without this a list would stay as it is for ever once its first database is gone from the server.
#[tokio::test]
async fn a_known_database_that_is_gone_from_the_server_does_not_keep_the_portal_from_looking() {
    let lab = Lab::new();
    for number in 0..9 {
        let id = instance_id("orders-db");
        lab.world.store.put_database(&id, &target_database(&format!("gone-{number}")));
    }
    let gone =
        || ExecutionError::Database(DatabaseError { code: "3D000".to_owned(), ..DatabaseError::default() });
    for _ in 0..5 {
        lab.inspector.fails(gone());
    }
    let report = lab.test("orders-db").await.expect("it was tried");
    report.outcome.expect("the usual database is there");
    let by: Vec<String> = lab.inspector.looks().into_iter().map(|(_, name, _)| name.to_string()).collect();
    assert_eq!(by, ["gone-0", "gone-1", "gone-2", "gone-3", "gone-4", "postgres"]);
    assert_eq!(lab.credentials.fetched().len(), 1, "once for all of them");

    // What tells nothing of the database ends the look.
    lab.inspector.fails(ExecutionError::Unavailable { source: source("no route") });
    assert_eq!(lab.failure().await.code, "unavailable");
    assert_eq!(lab.inspector.looks().len(), by.len() + 1);
}

#[tokio::test]
async fn every_failure_of_a_connection_has_its_code_and_its_sentence() {
    let lab = Lab::new();
    let said = "The server did not answer the portal's questions.";
    let answer = DatabaseError { message: "out of memory".to_owned(), ..DatabaseError::default() };
    let role = || ExecutionError::RoleNotAllowed { reason: "The role is a superuser.".to_owned() };
    let cases = [
        (
            ExecutionError::CredentialsRejected { source: source("password of portal-role was wrong") },
            ("credentials_rejected", "The server did not accept the credentials."),
        ),
        (role(), ("role_not_allowed", "The role is a superuser.")),
        (
            ExecutionError::Unavailable { source: source("connection refused") },
            ("unavailable", "The server could not be reached: connection refused."),
        ),
        (ExecutionError::Database(answer), ("database", "The server answered with an error: out of memory")),
        (ExecutionError::TimedOut, ("unavailable", said)),
        (ExecutionError::Cancelled, ("unavailable", said)),
        (ExecutionError::Sink(SinkError::LeaseLost), ("unavailable", said)),
        (ExecutionError::OutcomeUnknown { source: source("gone") }, ("unavailable", said)),
    ];
    let count = cases.len();
    for (error, (code, message)) in cases {
        if let ExecutionError::Database(error) = &error {
            // By the usual database, too.
            lab.inspector.fails(ExecutionError::Database(error.clone()));
        }
        lab.inspector.fails(error);
        assert_eq!(lab.failure().await, Failed { code, message: message.to_owned() });
        let entry = lab.world.store.audit_entries().pop().expect("it is on the trail");
        assert_eq!(entry.new_values, Some(json!({ "outcome": code })));
    }
    assert_eq!(lab.world.store.audit_entries().len(), count);
}

#[tokio::test]
async fn every_failure_of_a_credential_has_its_sentence_and_reaches_no_server() {
    let lab = Lab::new();
    let cases = [
        (CredentialError::NotFound, "No credentials are kept under the reference of this instance."),
        (
            CredentialError::Malformed { reason: "a part is empty".to_owned() },
            "What is kept under the reference of this instance is not a credential; the log says why.",
        ),
        (
            CredentialError::Unavailable { source: source("timeout") },
            "The source of the credentials did not answer. Try again later.",
        ),
        (
            CredentialError::Forbidden,
            "The reference of this instance is outside of the prefixes that the configuration allows.",
        ),
        (
            CredentialError::Denied { source: source("AccessDeniedException") },
            "The source of the credentials does not let the portal read them; the log says how it put that.",
        ),
        (
            CredentialError::OtherServer,
            "What is kept under the reference of this instance says that it is for another server.",
        ),
        (CredentialError::NoSuchSource, "This portal is not set up for this source of credentials."),
    ];
    for (error, message) in cases {
        lab.credentials.fail_next(error);
        assert_eq!(lab.failure().await, Failed { code: "credentials", message: message.to_owned() });
        let entry = lab.world.store.audit_entries().pop().expect("it is on the trail");
        assert_eq!(entry.new_values, Some(json!({ "outcome": "credentials" })));
    }
    assert_eq!(lab.inspector.looks(), []);
}

#[tokio::test]
async fn a_kind_of_server_or_a_source_that_this_portal_does_not_have_is_told_without_a_fetch() {
    let lab = Lab::new();
    lab.world.store.put_target(&target("orders-db").engine(Engine::Mongodb).build());
    let expected =
        Failed { code: "engine", message: "This portal cannot reach this kind of database.".to_owned() };
    assert_eq!(lab.failure().await, expected);
    let mut sealed = target("orders-db").build();
    sealed.credentials.source = CredentialSourceKind::Sealed;
    lab.world.store.put_target(&sealed);
    let expected = Failed {
        code: "credentials",
        message: "This portal is not set up for this source of credentials.".to_owned(),
    };
    assert_eq!(lab.failure().await, expected);
    assert_eq!(lab.credentials.fetched(), Vec::<String>::new());
    assert_eq!(lab.inspector.looks(), []);
}

#[tokio::test]
async fn no_credential_is_in_a_report_or_on_the_trail() {
    let lab = Lab::new();
    let wrong = || ExecutionError::CredentialsRejected { source: source(&format!("{USERNAME}/{PASSWORD}")) };
    let mut told = vec![];
    for fails in [false, true] {
        for _ in 0..2 {
            if fails {
                lab.inspector.fails(wrong());
            }
        }
        told.push(format!("{:?}", lab.test("orders-db").await.expect("it was tried")));
        told.push(format!("{:?}", lab.sync("orders-db").await.expect("it was tried")));
    }
    told.push(format!("{:?}", lab.world.store.audit_entries()));
    told.push(format!("{:?}", lab.last_sync().await));
    for text in told {
        assert!(!text.contains(PASSWORD) && !text.contains(USERNAME), "{text}");
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_told_and_nothing_is_tried() {
    let lab = Lab::new();
    lab.world.store.set_unavailable(true);
    let error = lab.test("orders-db").await.expect_err("the store is away");
    assert!(matches!(error, ConnectionError::Store(_)), "{error:?}");
    let error = lab.sync("orders-db").await.expect_err("the store is away");
    assert!(matches!(error, ConnectionError::Store(_)), "{error:?}");
    lab.world.store.set_unavailable(false);
    lab.nothing_was_tried();
}
