//! `Directory`: what is known of the databases of a target, by hand and by looking.

use domain::Timestamp;
use domain::audit::EntityKind;
use domain::target::{DatabaseEntry, DatabaseSource, LastSync, SyncChanges, SyncOutcome, TargetDatabase};
use domain::text::DatabaseName;

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
    let audit = entry_at("instance.sync", EntityKind::Instance, "orders-db", now);
    w.directory.record_sync(&orders_db().id, outcome, &audit).await.expect("the target exists")
}

async fn put(w: &Scene, name: &str, description: Option<&str>, active: bool) {
    let new =
        DatabaseEntry { name: database_name(name), description: description.map(str::to_owned), active };
    let audit = entry_at("instance.database", EntityKind::Instance, "orders-db", at(1));
    w.directory.put_database(&orders_db().id, &new, &audit).await.expect("the target exists");
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
        put(&w, "forbidden", Some("Not for requests"), false).await;
        put(&w, "absent", None, true).await;
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
            async move { directory.record_sync(&orders_db().id, &outcome, &audit).await }
        })
        .await;
        let added: Vec<_> =
            answers.into_iter().flat_map(|changes| changes.expect("the target exists").added).collect();
        assert_eq!(added, names(&["shop", "zoo"]));
        assert_eq!(known(&w).await.len(), 3);
    }

    async fn a_database_is_added_and_changed_by_hand_with_an_audit_row_each(w) {
        put(&w, "shop", Some("“Everything”"), true).await;
        let shop = TargetDatabase { description: Some("“Everything”".to_owned()), ..target_database("shop") };
        assert_eq!(known(&w).await, [target_database("orders"), shop]);
        put(&w, "shop", None, false).await;
        let shop = TargetDatabase { active: false, ..target_database("shop") };
        assert_eq!(known(&w).await, [target_database("orders"), shop]);
        let trail = w.trail(EntityKind::Instance, "orders-db").await;
        assert_eq!(trail, ["instance.create", "instance.database", "instance.database"]);
    }

    async fn a_synced_entry_that_is_changed_by_hand_is_a_manual_one_from_then_on(w) {
        sync(&w, &["shop"], at(10)).await;
        put(&w, "shop", None, false).await;
        let by_hand = TargetDatabase {
            active: false,
            last_seen_at: Some(at(10)),
            ..target_database("shop")
        };
        assert_eq!(known(&w).await[1], by_hand);
        assert_eq!(sync(&w, &["shop"], at(20)).await, SyncChanges::default());
        assert_eq!(known(&w).await[1], TargetDatabase { last_seen_at: Some(at(20)), ..by_hand });
    }
}
