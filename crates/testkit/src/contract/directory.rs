//! `Directory`: PODs, targets and databases come back as they were stored.

use std::time::Duration;

use domain::audit::EntityKind;
use domain::ports::DirectoryError;
use domain::target::{CredentialRef, CredentialSourceKind, Engine, Limits, SlackResults, Target, TlsMode};

use super::scene::{Scene, entry, orders_db};
use super::stores::Stores;
use crate::builders::{database, database_name, instance_id, pod, pod_id, target, target_database};

pub(super) async fn add(w: &Scene, target: &Target, databases: &[&str]) -> Result<(), DirectoryError> {
    let databases: Vec<_> = databases.iter().map(|name| database_name(name)).collect();
    let audit = entry("instance.create", EntityKind::Instance, target.id.as_str());
    w.directory.add_target(target, &databases, &audit).await
}

/// A target that uses every field.
pub(super) fn rich() -> Target {
    Target {
        engine: Engine::Mongodb,
        description: Some("Events,\n“all” of them".to_owned()),
        host: "2001:db8::1".to_owned(),
        port: 65_535,
        tls: TlsMode::Disable,
        credentials: CredentialRef {
            source: CredentialSourceKind::Sealed,
            reference: "prod/events#1".to_owned(),
        },
        connection_revision: 7,
        bound_revision: Some(6),
        active: false,
        read_only: true,
        allow_privileged_role: true,
        search_path: Some("app, public".to_owned()),
        limits: Limits {
            timeout: Duration::from_millis(1_500),
            lock_timeout: Duration::from_millis(250),
            max_rows: 5_000_000_000,
            max_bytes: 6_000_000_000,
        },
        approvals_needed: 3,
        approval_ttl: Duration::from_secs(7_201),
        pods: vec![pod_id("orders"), pod_id("payments")],
        slack_results: SlackResults::Counts,
        slack_decisions: false,
        ..target("events-db").build()
    }
}

rules! { ($) __directory_rules in directory, stores: Stores => Scene::set_up;
    async fn pods_come_back_as_they_were_stored_in_the_order_of_their_ids(w) {
        let new =
            pod("audits").manager_email("grace").slack_channel("C0AUDITS01").description("Looks at “everything”").inactive().build();
        w.directory.add_pod(&new, &entry("pod.create", EntityKind::Pod, "audits")).await.expect("a new POD");
        assert_eq!(w.directory.find_pod(&new.id).await.expect("the store answers"), Some(new.clone()));
        let expected = [new, pod("orders").build(), pod("payments").build()];
        assert_eq!(w.directory.pods().await.expect("the store answers"), expected);
        assert_eq!(w.trail(EntityKind::Pod, "audits").await, ["pod.create"]);
    }

    async fn a_pods_id_is_taken_once(w) {
        let again = pod("payments").inactive().build();
        let error = w.directory.add_pod(&again, &entry("pod.create", EntityKind::Pod, "payments")).await;
        assert!(matches!(error, Err(DirectoryError::Exists(_))), "{error:?}");
        let stored = w.directory.find_pod(&again.id).await.expect("the store answers");
        assert_eq!(stored, Some(pod("payments").build()));
        assert_eq!(w.trail(EntityKind::Pod, "payments").await, ["pod.create"]);
    }

    async fn an_unknown_pod_or_target_is_not_found(w) {
        let nowhere = instance_id("nowhere");
        assert_eq!(w.directory.find_pod(&pod_id("nowhere")).await.expect("the store answers"), None);
        assert_eq!(w.directory.find_target(&nowhere).await.expect("the store answers"), None);
        assert_eq!(w.directory.databases(&nowhere).await.expect("the store answers"), []);
        let found = w.directory.find_database(&nowhere, &database()).await.expect("the store answers");
        assert_eq!(found, None);
    }

    async fn targets_come_back_as_they_were_stored_in_the_order_of_their_ids(w) {
        add(&w, &rich(), &[]).await.expect("a new target");
        let bare = target("archive-db").pods(&[]).unbound().build();
        add(&w, &bare, &[]).await.expect("a new target");
        assert_eq!(w.directory.find_target(&rich().id).await.expect("the store answers"), Some(rich()));
        let all = w.directory.targets().await.expect("the store answers");
        assert_eq!(all, [bare, rich(), orders_db()]);
        assert_eq!(w.trail(EntityKind::Instance, "events-db").await, ["instance.create"]);
    }

    async fn a_targets_id_is_taken_once(w) {
        let again = target("orders-db").read_only().build();
        let error = add(&w, &again, &["other"]).await;
        assert!(matches!(error, Err(DirectoryError::Exists(_))), "{error:?}");
        assert_eq!(w.directory.find_target(&again.id).await.expect("the store answers"), Some(orders_db()));
        let databases = w.directory.databases(&again.id).await.expect("the store answers");
        assert_eq!(databases, [target_database("orders")]);
        assert_eq!(w.trail(EntityKind::Instance, "orders-db").await, ["instance.create"]);
    }

    async fn a_target_for_an_unknown_pod_is_refused(w) {
        let new = target("events-db").pods(&["payments", "nowhere"]).build();
        let error = add(&w, &new, &["events"]).await;
        assert!(
            matches!(&error, Err(DirectoryError::UnknownPod(id)) if *id == pod_id("nowhere")),
            "{error:?}"
        );
        assert_eq!(w.directory.find_target(&new.id).await.expect("the store answers"), None);
        assert_eq!(w.directory.databases(&new.id).await.expect("the store answers"), []);
        assert!(w.trail(EntityKind::Instance, "events-db").await.is_empty());
    }

    async fn databases_are_manual_entries_in_the_order_of_their_names(w) {
        let new = target("events-db").build();
        add(&w, &new, &["zoo", "events", "Mixed Case"]).await.expect("a new target");
        let expected = ["Mixed Case", "events", "zoo"].map(target_database);
        let mut databases = w.directory.databases(&new.id).await.expect("the store answers");
        let lowercase: Vec<_> =
            databases.iter().filter(|d| d.name.as_str() != "Mixed Case").cloned().collect();
        assert_eq!(lowercase, expected[1..], "in order, whatever the collation makes of capitals");
        databases.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(databases, expected);
    }

    async fn a_database_is_found_on_its_target_by_its_exact_name(w) {
        let id = orders_db().id;
        let find = async |name: &str| {
            w.directory.find_database(&id, &database_name(name)).await.expect("the store answers")
        };
        assert_eq!(find("orders").await, Some(target_database("orders")));
        assert_eq!(find("Orders").await, None);
        w.probe.set_database_active(&id, &database(), false).await;
        assert!(find("orders").await.is_some_and(|database| !database.active));
        assert_eq!(
            w.directory.databases(&id).await.expect("the store answers").len(),
            1,
            "inactive ones too"
        );
    }
}
