//! Setting up PODs and targets: what a change does to the binding of credentials, and what is refused.

use std::time::Duration;

use domain::pod::{Pod, PodChange};
use domain::policy::Denied;
use domain::ports::{Directory, DirectoryError};
use domain::services::{AdministrationError, Authority, NewTarget};
use domain::target::{
    CredentialRef, CredentialSourceKind, DatabaseChange, DatabaseSource, SlackResults, Target, TargetChange,
    TargetDatabase, TlsMode,
};
use domain::user::{Actor, Origin, Permission};
use serde_json::{Value, json};
use testkit::builders::{
    at, database_name, display_name, email, instance_id, pod, pod_id, target, target_database,
};

use super::accounts::Office;

impl Office {
    pub(super) async fn change_target(
        &self,
        actor: &Actor,
        id: &str,
        change: TargetChange,
    ) -> Result<Target, AdministrationError> {
        let authority = Authority::Person(actor);
        self.administration.change_target(&authority, &instance_id(id), change, Origin::default()).await
    }

    pub(super) async fn changed(&self, change: TargetChange) -> Target {
        self.change_target(&self.root, "orders-db", change).await.expect("root may")
    }

    async fn bind(&self, actor: &Actor, revision: i32) -> Result<Target, AdministrationError> {
        let authority = Authority::Person(actor);
        let id = instance_id("orders-db");
        self.administration.bind_credentials(&authority, &id, revision, Origin::default()).await
    }

    async fn put(&self, change: DatabaseChange) -> Result<TargetDatabase, AdministrationError> {
        let authority = Authority::Person(&self.root);
        let id = instance_id("orders-db");
        self.administration.put_database(&authority, &id, change, Origin::default()).await
    }

    async fn database(&self, name: &str) -> TargetDatabase {
        let (id, name) = (instance_id("orders-db"), database_name(name));
        let found = Directory::find_database(&self.world.store, &id, &name).await;
        found.expect("the store answers").expect("it is known")
    }

    async fn stored(&self) -> Target {
        let found = Directory::find_target(&self.world.store, &instance_id("orders-db")).await;
        found.expect("the store answers").expect("the target exists")
    }

    /// The last entry of the trail: action, old and new values.
    pub(super) fn last_entry(&self) -> (String, Value, Value) {
        let entry = self.world.store.audit_entries().pop().expect("something is on the trail");
        assert_eq!(entry.user, Some(self.root.user));
        let [old, new] = [entry.old_values, entry.new_values].map(Option::unwrap_or_default);
        (entry.action, old, new)
    }
}

/// Says nothing of the database `shop`.
fn shop() -> DatabaseChange {
    DatabaseChange { name: database_name("shop"), description: None, active: None }
}

fn elsewhere() -> TargetChange {
    TargetChange { host: Some("elsewhere.internal".to_owned()), ..TargetChange::default() }
}

pub(super) fn credential(source: CredentialSourceKind, reference: &str) -> TargetChange {
    let credentials = CredentialRef { source, reference: reference.to_owned() };
    TargetChange { credentials: Some(credentials), ..TargetChange::default() }
}

/// Where the connection leads and with which credential, each alone.
fn of_the_connection() -> [TargetChange; 5] {
    [
        elsewhere(),
        TargetChange { port: Some(5433), ..TargetChange::default() },
        TargetChange { tls: Some(TlsMode::Require), ..TargetChange::default() },
        credential(CredentialSourceKind::Env, "TARGET_OTHER"),
        credential(CredentialSourceKind::Aws, "TARGET_ORDERS-DB"),
    ]
}

/// Everything else, each alone.
fn beside_the_connection() -> [TargetChange; 15] {
    let none = TargetChange::default;
    [
        TargetChange { name: Some(display_name("Orders")), ..none() },
        TargetChange { description: Some(Some("Orders".to_owned())), ..none() },
        TargetChange { active: Some(false), ..none() },
        TargetChange { read_only: Some(true), ..none() },
        TargetChange { allow_privileged_role: Some(true), ..none() },
        TargetChange { search_path: Some(Some("app".to_owned())), ..none() },
        TargetChange { timeout: Some(Duration::from_mins(1)), ..none() },
        TargetChange { lock_timeout: Some(Duration::from_secs(1)), ..none() },
        TargetChange { max_rows: Some(10), ..none() },
        TargetChange { max_bytes: Some(10), ..none() },
        TargetChange { approvals_needed: Some(2), ..none() },
        TargetChange { approval_ttl: Some(Duration::from_mins(1)), ..none() },
        TargetChange { pods: Some(vec![pod_id("orders")]), ..none() },
        TargetChange { slack_results: Some(SlackResults::Counts), ..none() },
        TargetChange { slack_decisions: Some(false), ..none() },
    ]
}

fn is_denied<T: std::fmt::Debug>(answer: Result<T, AdministrationError>, permission: Permission) {
    let error = answer.expect_err("it has to be refused");
    let expected = Denied::Permission(permission);
    assert!(matches!(error, AdministrationError::Denied(denied) if denied == expected), "{error:?}");
}

#[tokio::test]
async fn every_change_of_the_connection_unbinds_the_credentials_for_good() {
    for change in of_the_connection() {
        let office = Office::new();
        let before = office.stored().await;
        let after = office.changed(change.clone()).await;
        assert_eq!(after, office.stored().await);
        assert_eq!((after.connection_revision, after.credentials_bound()), (2, false), "{change:?}");
        let back = TargetChange {
            host: Some(before.host),
            port: Some(before.port),
            tls: Some(before.tls),
            credentials: Some(before.credentials),
            ..TargetChange::default()
        };
        let back = office.changed(back).await;
        assert_eq!((back.connection_revision, back.credentials_bound()), (3, false), "{change:?}");
        assert_eq!(office.world.store.audit_actions(), ["instance.update", "instance.update"]);
    }
}

#[tokio::test]
async fn every_other_change_leaves_the_credentials_bound() {
    let office = Office::new();
    for change in beside_the_connection() {
        let before = office.stored().await;
        let after = office.changed(change.clone()).await;
        assert_ne!(after, before, "{change:?}");
        assert_eq!(after, office.stored().await);
        assert_eq!((after.connection_revision, after.credentials_bound()), (1, true), "{change:?}");
        let (action, old, new) = office.last_entry();
        assert_eq!(action, "instance.update");
        assert_ne!(old, new, "the trail tells this change: {change:?}");
    }
    assert_eq!(office.world.store.audit_entries().len(), beside_the_connection().len());
}

#[tokio::test]
async fn a_change_of_a_target_is_on_the_trail_with_what_was_before_it() {
    let office = Office::new();
    office.changed(elsewhere()).await;
    let (_, old, new) = office.last_entry();
    let before = json!({
        "name": "Server orders-db", "type": "postgresql", "description": null, "host": "db.internal",
        "port": 5432, "connectionOptions": null, "tls": "verify-full", "credentialSource": "env",
        "credentialReference": "TARGET_ORDERS-DB", "connectionRevision": 1, "credentialsBound": true,
        "active": true, "readOnly": false, "allowPrivilegedRole": false,
        "allowOtherDatabases": false, "allowServerJavascript": false, "searchPath": null,
        "limits": {
            "timeoutMs": 30_000, "lockTimeoutMs": 5_000, "maxRows": 100_000, "maxBytes": 268_435_456,
        },
        "approvalsNeeded": 1, "approvalTtlMs": 86_400_000, "pods": ["payments"],
        "slackResults": "preview", "slackDecisions": true,
    });
    assert_eq!(old, before);
    let mut after = before;
    after["host"] = json!("elsewhere.internal");
    after["connectionRevision"] = json!(2);
    after["credentialsBound"] = json!(false);
    assert_eq!(new, after);
}

#[tokio::test]
async fn a_change_that_changes_nothing_leaves_nothing() {
    let office = Office::new();
    let stored = office.stored().await;
    let same = TargetChange {
        host: Some(stored.host.clone()),
        pods: Some(vec![pod_id("payments"), pod_id("payments")]),
        ..TargetChange::default()
    };
    assert_eq!(office.changed(same).await, stored);
    assert_eq!(office.bind(&office.root, 1).await.expect("it is bound already"), stored);
    assert!(office.world.store.audit_entries().is_empty());
}

#[tokio::test]
async fn credentials_are_bound_to_the_connection_that_was_looked_at_and_to_no_other() {
    let office = Office::new();
    office.changed(elsewhere()).await;
    for other in [1, 3, 0, i32::MAX] {
        let error = office.bind(&office.root, other).await.expect_err("it is at revision 2");
        assert!(matches!(error, AdministrationError::OtherRevision { current: 2 }), "{error:?}");
        assert!(!office.stored().await.credentials_bound());
    }
    let bound = office.bind(&office.root, 2).await.expect("root has seen it");
    assert!(bound.credentials_bound());
    assert_eq!(bound, office.stored().await);
    let (action, old, new) = office.last_entry();
    assert_eq!(action, "instance.bind");
    assert_eq!((&old["credentialsBound"], &new["credentialsBound"]), (&json!(false), &json!(true)));
    assert_eq!(office.world.store.audit_actions(), ["instance.update", "instance.bind"]);
}

#[tokio::test]
async fn only_who_manages_targets_reads_or_changes_them() {
    let office = Office::new();
    let (person, id) = (Authority::Person(&office.pat), instance_id("orders-db"));
    let administration = &office.administration;
    let needs = Permission::ManageTargets;
    is_denied(office.change_target(&office.pat, "orders-db", elsewhere()).await, needs);
    is_denied(office.change_target(&office.pat, "nowhere", elsewhere()).await, needs);
    is_denied(office.bind(&office.pat, 1).await, needs);
    is_denied(administration.target(&person, &id).await, needs);
    is_denied(administration.targets(&person).await, needs);
    let new = NewTarget { target: target("events-db").build(), databases: vec![] };
    is_denied(administration.add_target(&person, &new, Origin::default()).await, needs);
    is_denied(administration.put_database(&person, &id, shop(), Origin::default()).await, needs);
    let needs = Permission::ManagePods;
    let (new, change) = (pod("audits").build(), PodChange::default());
    is_denied(administration.add_pod(&person, &new, Origin::default()).await, needs);
    is_denied(administration.change_pod(&person, &pod_id("orders"), change, Origin::default()).await, needs);
    is_denied(administration.pods(&person).await, needs);
    assert!(office.world.store.audit_entries().is_empty());
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let office = Office::new();
    let error = office.change_target(&office.root, "nowhere", elsewhere()).await;
    let unknown = |error: &AdministrationError| {
        matches!(error, AdministrationError::Directory(DirectoryError::UnknownInstance(_)))
    };
    assert!(unknown(&error.expect_err("there is no such instance")));
    let person = Authority::Person(&office.root);
    let error =
        office.administration.put_database(&person, &instance_id("nowhere"), shop(), Origin::default()).await;
    assert!(unknown(&error.expect_err("there is no such instance")));
    let change = PodChange { active: Some(false), ..PodChange::default() };
    let error =
        office.administration.change_pod(&person, &pod_id("nowhere"), change, Origin::default()).await;
    assert!(matches!(error, Err(AdministrationError::NoSuchPod)), "{error:?}");
    let nowhere = TargetChange { pods: Some(vec![pod_id("nowhere")]), ..TargetChange::default() };
    let error = office.change_target(&office.root, "orders-db", nowhere).await;
    assert!(matches!(error, Err(AdministrationError::Directory(DirectoryError::UnknownPod(_)))), "{error:?}");
    assert!(office.world.store.audit_entries().is_empty());
}

#[tokio::test]
async fn a_database_is_put_with_what_was_before_and_what_is_on_the_trail() {
    let office = Office::new();
    let described = DatabaseChange { description: Some(Some("What people buy".to_owned())), ..shop() };
    let added = office.put(described).await.expect("root may");
    assert_eq!(
        added,
        TargetDatabase { description: Some("What people buy".to_owned()), ..target_database("shop") }
    );
    assert_eq!(office.database("shop").await, added);
    let (action, old, first) = office.last_entry();
    let expected = json!({
        "database": "shop", "description": "What people buy", "active": true, "source": "manual",
    });
    assert_eq!((action.as_str(), old, &first), ("instance.database", Value::Null, &expected));

    let closed = office.put(DatabaseChange { active: Some(false), ..shop() }).await.expect("root may");
    assert_eq!(closed, TargetDatabase { active: false, ..added }, "what is not said stays");
    assert_eq!(office.database("shop").await, closed);
    let (_, old, second) = office.last_entry();
    let mut expected = first.clone();
    expected["active"] = json!(false);
    assert_eq!((old, &second), (first, &expected));

    for nothing in [shop(), DatabaseChange { active: Some(false), ..shop() }] {
        assert_eq!(office.put(nothing).await.expect("it changes nothing"), closed, "and opens nothing");
    }
    assert_eq!(office.world.store.audit_entries().len(), 2);
    let bare = office.put(DatabaseChange { description: Some(None), ..shop() }).await.expect("root may");
    assert_eq!(bare, TargetDatabase { description: None, ..closed });
    let long = DatabaseChange { description: Some(Some("é".repeat(2_001))), ..shop() };
    let error = office.put(long).await;
    assert!(matches!(error, Err(AdministrationError::Invalid { field: "description", .. })), "{error:?}");
}

#[tokio::test]
async fn a_database_that_a_sync_found_is_a_manual_one_once_somebody_put_it() {
    let office = Office::new();
    let found = TargetDatabase {
        source: DatabaseSource::Synced,
        active: false,
        last_seen_at: Some(at(5)),
        ..target_database("shop")
    };
    office.world.store.put_database(&instance_id("orders-db"), &found);
    let put = office.put(shop()).await.expect("root may");
    assert_eq!(put, TargetDatabase { source: DatabaseSource::Manual, ..found });
    assert_eq!(office.database("shop").await, put);
    let (_, old, new) = office.last_entry();
    assert_eq!((&old["source"], &new["source"]), (&json!("synced"), &json!("manual")));
}

#[tokio::test]
async fn a_change_of_a_pod_is_on_the_trail_with_what_was_before_it() {
    let office = Office::new();
    let change = PodChange {
        name: Some(display_name("Money")),
        manager_email: Some(Some(email("grace"))),
        description: Some(Some("Cards".to_owned())),
        slack_channel: Some(Some("#payments".to_owned())),
        active: Some(false),
    };
    let person = Authority::Person(&office.root);
    let id = pod_id("payments");
    let change_pod = async |change: PodChange| {
        office.administration.change_pod(&person, &id, change, Origin::default()).await
    };
    let after = change_pod(change.clone()).await.expect("root may");
    assert_eq!(Directory::find_pod(&office.world.store, &id).await.expect("it answers"), Some(after.clone()));
    let (action, old, new) = office.last_entry();
    let before = json!({
        "name": "Team payments", "managerEmail": null, "description": null, "slackChannel": null, "active": true,
    });
    let expected = json!({
        "name": "Money", "managerEmail": "grace@example.com", "description": "Cards",
        "slackChannel": "#payments", "active": false,
    });
    assert_eq!((action.as_str(), old, new), ("pod.update", before, expected));
    assert_eq!(change_pod(change).await.expect("nothing changes"), after);
    let less = PodChange { manager_email: Some(None), ..PodChange::default() };
    let less = change_pod(less).await.expect("root may");
    assert_eq!(less, Pod { manager_email: None, ..after });
    let long = PodChange { description: Some(Some("é".repeat(2_001))), ..PodChange::default() };
    let error = change_pod(long).await;
    assert!(matches!(error, Err(AdministrationError::Invalid { field: "description", .. })), "{error:?}");
    assert_eq!(office.world.store.audit_actions(), ["pod.update", "pod.update"]);
}
