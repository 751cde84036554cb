//! `Directory`: what people say of the databases of a target, without knowing of each other or of syncs.

use domain::audit::EntityKind;
use domain::ports::DirectoryError;
use domain::target::{DatabaseSource, SyncAttempt, SyncOutcome, TargetDatabase};

use super::scene::{Scene, entry_at, fifty_at_once, orders_db};
use super::stores::Stores;
use crate::builders::{at, database, database_name, target_database};

pub(super) fn shop() -> TargetDatabase {
    target_database("shop")
}

pub(super) async fn put(
    w: &Scene,
    before: Option<&TargetDatabase>,
    after: &TargetDatabase,
) -> Result<(), DirectoryError> {
    let audit = entry_at("instance.database", EntityKind::Instance, "orders-db", at(1));
    w.directory.put_database(&orders_db().id, before, after, &audit).await
}

async fn stored(w: &Scene, name: &str) -> Option<TargetDatabase> {
    let found = w.directory.find_database(&orders_db().id, &database_name(name)).await;
    found.expect("the store answers")
}

/// A look at the server of `orders-db` that found these, at second 10 or later.
async fn sync(w: &Scene, found: &[&str], second: i64) {
    let found = found.iter().map(|name| database_name(name)).collect();
    let outcome = SyncOutcome::Succeeded(found);
    let attempt = SyncAttempt { connection_revision: 1, started_at: at(second), outcome, next_at: None };
    let audit = entry_at("instance.sync", EntityKind::Instance, "orders-db", at(second));
    w.directory.record_sync(&orders_db().id, &attempt, &audit).await.expect("nobody was faster");
}

/// Shows that a change that started from `before` is refused and leaves nothing.
async fn is_refused(w: &Scene, before: Option<&TargetDatabase>, after: &TargetDatabase) {
    let (kept, trail) =
        (stored(w, after.name.as_str()).await, w.trail(EntityKind::Instance, "orders-db").await);
    let error = put(w, before, after).await;
    assert!(matches!(error, Err(DirectoryError::Changed(_))), "{error:?}");
    assert_eq!(stored(w, after.name.as_str()).await, kept);
    assert_eq!(w.trail(EntityKind::Instance, "orders-db").await, trail);
}

rules! { ($) __database_rules in databases, stores: Stores => Scene::set_up;
    async fn a_database_is_added_and_changed_with_an_audit_row_each(w) {
        let described = TargetDatabase { description: Some("“Everything”".to_owned()), ..shop() };
        put(&w, None, &described).await.expect("it is new");
        assert_eq!(stored(&w, "shop").await, Some(described.clone()));
        let closed = TargetDatabase { active: false, ..shop() };
        put(&w, Some(&described), &closed).await.expect("nobody was faster");
        assert_eq!(stored(&w, "shop").await, Some(closed), "values can be taken away");
        assert_eq!(stored(&w, "orders").await, Some(target_database("orders")), "others stay");
        let trail = w.trail(EntityKind::Instance, "orders-db").await;
        assert_eq!(trail, ["instance.create", "instance.database", "instance.database"]);
    }

    async fn a_synced_entry_becomes_a_manual_one_and_keeps_when_it_was_seen(w) {
        sync(&w, &["shop"], 10).await;
        let synced = stored(&w, "shop").await.expect("it was found");
        assert_eq!(synced.source, DatabaseSource::Synced);
        let by_hand = TargetDatabase { active: false, last_seen_at: Some(at(99)), ..shop() };
        put(&w, Some(&synced), &by_hand).await.expect("nobody was faster");
        let expected = TargetDatabase { last_seen_at: Some(at(10)), ..by_hand };
        assert_eq!(stored(&w, "shop").await.as_ref(), Some(&expected));
        sync(&w, &["shop"], 20).await;
        assert_eq!(stored(&w, "shop").await, Some(TargetDatabase { last_seen_at: Some(at(20)), ..expected }));
    }

    async fn a_database_that_changed_meanwhile_is_refused_and_stays(w) {
        let changes: [fn(&mut TargetDatabase); 3] = [
            |database| database.active = false,
            |database| database.description = Some("Orders".to_owned()),
            |database| database.source = DatabaseSource::Synced,
        ];
        for change in changes {
            let before = stored(&w, "orders").await.expect("it exists");
            let mut faster = before.clone();
            change(&mut faster);
            put(&w, Some(&before), &faster).await.expect("nobody was faster");
            let late = TargetDatabase { description: Some("Somebody's idea".to_owned()), ..before.clone() };
            is_refused(&w, Some(&before), &late).await;
        }
    }

    async fn a_database_that_is_there_already_is_not_added_and_one_that_is_not_there_is_not_changed(w) {
        is_refused(&w, None, &TargetDatabase { active: false, ..target_database("orders") }).await;
        is_refused(&w, Some(&shop()), &TargetDatabase { active: false, ..shop() }).await;
        assert_eq!(stored(&w, "shop").await, None);
    }

    async fn a_sync_that_decided_something_meanwhile_is_noticed_and_one_that_only_looked_is_not(w) {
        sync(&w, &["orders", "shop"], 10).await;
        let before = stored(&w, "shop").await.expect("it was found");
        let after = TargetDatabase { description: Some("The shop".to_owned()), ..shop() };
        sync(&w, &["orders"], 20).await;
        is_refused(&w, Some(&before), &after).await;
        sync(&w, &["orders", "shop"], 30).await;
        put(&w, Some(&before), &after).await.expect("it is as it was, but for when it was seen");
    }

    async fn of_fifty_people_who_add_or_change_a_database_at_once_exactly_one_does(w) {
        for (name, before) in [("shop", None), ("orders", Some(target_database(database().as_str())))] {
            let answers = fifty_at_once(|number| {
                let (directory, before) = (w.directory.clone(), before.clone());
                let idea = Some(format!("Idea {number}"));
                let after = TargetDatabase { description: idea, ..target_database(name) };
                let audit = entry_at("instance.database", EntityKind::Instance, "orders-db", at(1));
                async move {
                    let put = directory.put_database(&orders_db().id, before.as_ref(), &after, &audit).await;
                    put.map(|()| after)
                }
            })
            .await;
            let mut winners = vec![];
            for answer in answers {
                match answer {
                    Ok(winner) => winners.push(winner),
                    Err(error) => assert!(matches!(error, DirectoryError::Changed(_)), "{error:?}"),
                }
            }
            let [winner] = &winners[..] else { panic!("one has to win: {winners:?}") };
            assert_eq!(stored(&w, name).await.as_ref(), Some(winner));
        }
        assert_eq!(w.trail(EntityKind::Instance, "orders-db").await.len(), 1 + 2);
    }
}
