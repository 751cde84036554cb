//! `Directory`: what looks at a target find, and what they change of what is known of its databases.

use domain::Timestamp;
use domain::audit::EntityKind;
use domain::ports::DirectoryError;
use domain::target::{
    DatabaseSource, LastSync, SyncAttempt, SyncChanges, SyncOutcome, Target, TargetDatabase,
};
use domain::text::DatabaseName;
use serde_json::json;

use super::databases::put;
use super::scene::{Scene, entry_at, fifty_at_once, orders_db};
use super::stores::Stores;
use crate::builders::{at, database_name, instance_id, target_database};

fn names(names: &[&str]) -> Vec<DatabaseName> {
    names.iter().map(|name| database_name(name)).collect()
}

/// A look at the server of `orders-db` that found these.
async fn sync(w: &Scene, found: &[&str], now: Timestamp) -> SyncChanges {
    record(w, &SyncOutcome::Succeeded(names(found)), now).await
}

async fn record(w: &Scene, outcome: &SyncOutcome, now: Timestamp) -> SyncChanges {
    attempt(w, 1, outcome, now).await.expect("the target exists and nobody was faster")
}

/// A look by the connection of a revision that began at a moment, and was over a minute later.
async fn attempt(
    w: &Scene,
    connection_revision: i32,
    outcome: &SyncOutcome,
    started_at: Timestamp,
) -> Result<SyncChanges, DirectoryError> {
    let attempt = SyncAttempt { connection_revision, started_at, outcome: outcome.clone(), next_at: None };
    let over = started_at + chrono::TimeDelta::minutes(1);
    let audit = entry_at("instance.sync", EntityKind::Instance, "orders-db", over);
    w.directory.record_sync(&orders_db().id, &attempt, &audit).await
}

/// Shows that looks of all outcomes are refused and leave nothing.
async fn is_refused(w: &Scene, connection_revision: i32, started_at: Timestamp) {
    let before = (known(w).await, last(w).await, w.trail(EntityKind::Instance, "orders-db").await);
    for outcome in [SyncOutcome::Succeeded(names(&["late"])), SyncOutcome::Failed("It is away.".to_owned())] {
        let error = attempt(w, connection_revision, &outcome, started_at).await;
        assert!(matches!(error, Err(DirectoryError::Changed(_))), "{error:?}");
    }
    assert_eq!((known(w).await, last(w).await, w.trail(EntityKind::Instance, "orders-db").await), before);
}

/// What is known of the databases of `orders-db`.
async fn known(w: &Scene) -> Vec<TargetDatabase> {
    w.directory.databases(&orders_db().id).await.expect("the store answers")
}

async fn last(w: &Scene) -> Option<LastSync> {
    w.directory.last_sync(&orders_db().id).await.expect("the store answers")
}

fn synced(name: &str, active: bool, seen: Timestamp) -> TargetDatabase {
    TargetDatabase {
        source: DatabaseSource::Synced,
        active,
        last_seen_at: Some(seen),
        ..target_database(name)
    }
}

rules! { ($) __sync_rules in syncs, stores: Stores => Scene::set_up;
    async fn what_was_never_synced_has_no_last_sync(w) {
        assert_eq!(last(&w).await, None);
        let nowhere = w.directory.last_sync(&instance_id("nowhere")).await;
        assert_eq!(nowhere.expect("the store answers"), None);
    }

    async fn a_sync_adds_what_was_not_known_as_synced_and_active(w) {
        let changes = sync(&w, &["zoo", "Shop", "shop", "orders"], at(10)).await;
        assert_eq!(changes, SyncChanges { added: names(&["Shop", "shop", "zoo"]), ..SyncChanges::default() });
        let orders = TargetDatabase { last_seen_at: Some(at(10)), ..target_database("orders") };
        let [shop, small, zoo] = ["Shop", "shop", "zoo"].map(|name| synced(name, true, at(10)));
        assert_eq!(known(&w).await, [shop, orders, small, zoo]);
        assert_eq!(last(&w).await, Some(LastSync { at: at(10), error: None }));
        let trail = w.trail(EntityKind::Instance, "orders-db").await;
        assert_eq!(trail, ["instance.create", "instance.sync"]);
    }

    async fn a_sync_switches_off_what_is_gone_and_on_what_came_back(w) {
        sync(&w, &["archive", "shop", "zoo"], at(10)).await;
        let changes = sync(&w, &["archive"], at(20)).await;
        let gone = SyncChanges { deactivated: names(&["shop", "zoo"]), ..SyncChanges::default() };
        assert_eq!(changes, gone);
        let expected = [
            synced("archive", true, at(20)),
            target_database("orders"),
            synced("shop", false, at(10)),
            synced("zoo", false, at(10)),
        ];
        assert_eq!(known(&w).await, expected);
        assert_eq!(sync(&w, &["archive"], at(30)).await, SyncChanges::default(), "gone once");
        let changes = sync(&w, &["zoo", "shop", "new"], at(40)).await;
        let expected = SyncChanges {
            added: names(&["new"]),
            reactivated: names(&["shop", "zoo"]),
            deactivated: names(&["archive"]),
        };
        assert_eq!(changes, expected);
        let expected = [
            synced("archive", false, at(30)),
            synced("new", true, at(40)),
            target_database("orders"),
            synced("shop", true, at(40)),
            synced("zoo", true, at(40)),
        ];
        assert_eq!(known(&w).await, expected);
    }

    async fn a_sync_that_finds_nothing_switches_all_synced_ones_off(w) {
        sync(&w, &["shop"], at(10)).await;
        assert_eq!(sync(&w, &[], at(20)).await.deactivated, names(&["shop"]));
        assert_eq!(known(&w).await, [target_database("orders"), synced("shop", false, at(10))]);
    }

    async fn a_sync_changes_nothing_of_manual_entries_but_when_they_were_seen(w) {
        let description = Some("Not for requests".to_owned());
        let forbidden = TargetDatabase { description, active: false, ..target_database("forbidden") };
        for entry in [forbidden, target_database("absent")] {
            put(&w, None, &entry).await.expect("it is new");
        }
        let before = known(&w).await;
        let changes = sync(&w, &["forbidden", "orders"], at(10)).await;
        assert_eq!(changes, SyncChanges::default());
        let seen = |known: &TargetDatabase| known.name != database_name("absent");
        let expected: Vec<_> = before
            .into_iter()
            .map(|known| TargetDatabase { last_seen_at: seen(&known).then_some(at(10)), ..known })
            .collect();
        assert_eq!(known(&w).await, expected);
    }

    async fn a_failed_sync_is_noted_and_leaves_the_entries(w) {
        sync(&w, &["shop"], at(10)).await;
        let before = known(&w).await;
        let failed = SyncOutcome::Failed("The server could not be reached: “no route”.".to_owned());
        assert_eq!(record(&w, &failed, at(20)).await, SyncChanges::default());
        assert_eq!(known(&w).await, before);
        let error = Some("The server could not be reached: “no route”.".to_owned());
        assert_eq!(last(&w).await, Some(LastSync { at: at(20), error }));
        sync(&w, &["shop"], at(30)).await;
        assert_eq!(last(&w).await, Some(LastSync { at: at(30), error: None }), "a success clears it");
        let trail = w.trail(EntityKind::Instance, "orders-db").await;
        assert_eq!(trail, ["instance.create", "instance.sync", "instance.sync", "instance.sync"]);
    }

    async fn of_fifty_syncs_at_once_each_database_is_added_by_one(w) {
        let answers = fifty_at_once(|_| {
            let directory = w.directory.clone();
            let audit = entry_at("instance.sync", EntityKind::Instance, "orders-db", at(10));
            let outcome = SyncOutcome::Succeeded(names(&["shop", "zoo"]));
            let attempt = SyncAttempt { connection_revision: 1, started_at: at(10), outcome, next_at: None };
            async move { directory.record_sync(&orders_db().id, &attempt, &audit).await }
        })
        .await;
        let added: Vec<_> =
            answers.into_iter().flat_map(|changes| changes.expect("the target exists").added).collect();
        assert_eq!(added, names(&["shop", "zoo"]));
        assert_eq!(known(&w).await.len(), 3);
    }

    async fn a_look_by_another_connection_than_the_present_one_is_refused(w) {
        sync(&w, &["shop"], at(10)).await;
        let moved = Target { host: "elsewhere.internal".to_owned(), connection_revision: 2, ..orders_db() };
        let audit = entry_at("instance.update", EntityKind::Instance, "orders-db", at(20));
        w.directory.change_target(&orders_db(), &moved, &audit).await.expect("nobody was faster");
        for other in [1, 3, 0] {
            is_refused(&w, other, at(30)).await;
        }
        let found = SyncOutcome::Succeeded(names(&["zoo"]));
        let changes = attempt(&w, 2, &found, at(30)).await.expect("it is the present one");
        assert_eq!((changes.added, changes.deactivated), (names(&["zoo"]), names(&["shop"])));
    }

    async fn a_look_that_began_before_one_that_is_noted_is_refused_whenever_it_is_over(w) {
        sync(&w, &["shop"], at(20)).await;
        is_refused(&w, 1, at(19)).await;
        let failed = SyncOutcome::Failed("It is away.".to_owned());
        record(&w, &failed, at(30)).await;
        is_refused(&w, 1, at(29)).await;
        // This one began while the last one lasted.
        let changes = sync(&w, &["zoo"], at(31)).await;
        assert_eq!((changes.added, changes.deactivated), (names(&["zoo"]), names(&["shop"])));
        sync(&w, &["zoo"], at(31)).await;
    }

    async fn of_looks_at_once_the_one_that_began_last_stays(w) {
        let answers = fifty_at_once(|number| {
            let directory = w.directory.clone();
            let second = i64::try_from(number).expect("it is small");
            let outcome = SyncOutcome::Succeeded(names(&[&format!("found-{second}")]));
            let attempt = SyncAttempt { connection_revision: 1, started_at: at(second), outcome, next_at: None };
            let audit = entry_at("instance.sync", EntityKind::Instance, "orders-db", at(100));
            async move { directory.record_sync(&orders_db().id, &attempt, &audit).await }
        })
        .await;
        for answer in answers {
            assert!(matches!(answer, Ok(_) | Err(DirectoryError::Changed(_))), "{answer:?}");
        }
        assert_eq!(last(&w).await, Some(LastSync { at: at(49), error: None }));
        let active: Vec<_> = known(&w).await.into_iter().filter(|known| known.active).collect();
        assert_eq!(active, [synced("found-49", true, at(49)), target_database("orders")]);
    }

    async fn the_trail_tells_what_a_sync_changed(w) {
        sync(&w, &["archive", "shop", "zoo"], at(10)).await;
        sync(&w, &["archive"], at(20)).await;
        sync(&w, &["fresh", "shop"], at(30)).await;
        record(&w, &SyncOutcome::Failed("It is away.".to_owned()), at(40)).await;
        let rows = w.probe.audit_rows().await.into_iter().filter(|row| row.action == "instance.sync");
        let told: Vec<_> = rows.map(|row| row.new_values.expect("something is told")).collect();
        let none = || json!({ "count": 0, "names": [] });
        let changes = [
            json!({
                "added": { "count": 3, "names": ["archive", "shop", "zoo"] },
                "reactivated": none(), "deactivated": none(),
            }),
            json!({
                "added": none(), "reactivated": none(),
                "deactivated": { "count": 2, "names": ["shop", "zoo"] },
            }),
            json!({
                "added": { "count": 1, "names": ["fresh"] }, "reactivated": { "count": 1, "names": ["shop"] },
                "deactivated": { "count": 1, "names": ["archive"] },
            }),
        ];
        for (told, changes) in told.iter().zip(&changes) {
            assert_eq!(told, &json!({ "note": "é", "changes": changes }), "beside what the caller says");
        }
        assert_eq!(told[3..], [json!({ "note": "é" })], "a failure changes nothing");
    }

    async fn the_trail_counts_all_changes_of_a_sync_and_names_the_first_hundred(w) {
        let found: Vec<String> = (0..1_500).map(|number| format!("db-{number:04}")).collect();
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(sync(&w, &found, at(10)).await.added.len(), 1_500);
        let row = w.probe.audit_rows().await.pop().expect("it is on the trail");
        let added = &row.new_values.expect("something is told")["changes"]["added"];
        assert_eq!(added, &json!({ "count": 1_500, "names": found[..SyncChanges::NAMES_ON_TRAIL] }));
    }
}
