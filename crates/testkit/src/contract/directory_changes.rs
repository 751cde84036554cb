//! `Directory`: changes of PODs and targets, by people who may not know of each other.

use domain::audit::EntityKind;
use domain::ids::PodId;
use domain::pod::Pod;
use domain::ports::DirectoryError;
use domain::target::{SyncAttempt, SyncOutcome, Target};

use super::directory::rich;
use super::scene::{Scene, entry, fifty_at_once, orders_db, renamed};
use super::stores::Stores;
use crate::builders::{at, database_name, email, instance_id, pod, pod_id, request, target, target_database};

async fn change_pod(w: &Scene, before: &Pod, after: &Pod) -> Result<(), DirectoryError> {
    let audit = entry("pod.update", EntityKind::Pod, before.id.as_str());
    w.directory.change_pod(before, after, &audit).await
}

async fn change_target(w: &Scene, before: &Target, after: &Target) -> Result<(), DirectoryError> {
    let audit = entry("instance.update", EntityKind::Instance, before.id.as_str());
    w.directory.change_target(before, after, &audit).await
}

async fn stored_pod(w: &Scene, id: &PodId) -> Pod {
    w.directory.find_pod(id).await.expect("the store answers").expect("the POD exists")
}

async fn stored_target(w: &Scene) -> Target {
    w.directory.find_target(&orders_db().id).await.expect("the store answers").expect("the target exists")
}

/// A look that found one database.
fn looked(name: &str) -> SyncAttempt {
    let outcome = SyncOutcome::Succeeded(vec![database_name(name)]);
    SyncAttempt { connection_revision: 1, started_at: at(0), outcome, next_at: None }
}

/// The one answer that is not "somebody was faster".
fn only_winner<T>(answers: Vec<Result<T, DirectoryError>>) -> T {
    let mut winners = vec![];
    for answer in answers {
        match answer {
            Ok(winner) => winners.push(winner),
            Err(error) => assert!(matches!(error, DirectoryError::Changed(_)), "{error:?}"),
        }
    }
    assert_eq!(winners.len(), 1);
    winners.remove(0)
}

rules! { ($) __directory_change_rules in directory_changes, stores: Stores => Scene::set_up;
    async fn a_pod_is_replaced_with_an_audit_row(w) {
        let before = pod("payments").build();
        let after = Pod {
            name: renamed(),
            manager_email: Some(email("grace")),
            description: Some("Cards,\n“all” of them".to_owned()),
            active: false,
            ..before.clone()
        };
        change_pod(&w, &before, &after).await.expect("nobody was faster");
        assert_eq!(stored_pod(&w, &before.id).await, after);
        change_pod(&w, &after, &before).await.expect("nobody was faster");
        assert_eq!(stored_pod(&w, &before.id).await, before, "values can be taken away");
        assert_eq!(stored_pod(&w, &pod_id("orders")).await, pod("orders").build(), "others stay");
        assert_eq!(w.trail(EntityKind::Pod, "payments").await, ["pod.create", "pod.update", "pod.update"]);
    }

    async fn a_pod_that_changed_meanwhile_is_refused_and_stays(w) {
        let first = pod("payments").build();
        let changes: [fn(&mut Pod); 4] = [
            |pod| pod.name = renamed(),
            |pod| pod.manager_email = Some(email("grace")),
            |pod| pod.description = Some("Cards".to_owned()),
            |pod| pod.active = false,
        ];
        for change in changes {
            let before = stored_pod(&w, &first.id).await;
            let mut faster = before.clone();
            change(&mut faster);
            change_pod(&w, &before, &faster).await.expect("nobody was faster");
            let late = Pod { description: Some("Somebody's idea".to_owned()), ..before.clone() };
            let error = change_pod(&w, &before, &late).await;
            assert!(matches!(error, Err(DirectoryError::Changed(_))), "{error:?}");
            assert_eq!(stored_pod(&w, &first.id).await, faster);
        }
        assert_eq!(w.trail(EntityKind::Pod, "payments").await.len(), 1 + changes.len());
    }

    async fn of_fifty_changes_of_a_pod_at_once_exactly_one_is_stored(w) {
        let before = pod("payments").build();
        let answers = fifty_at_once(|number| {
            let (directory, before) = (w.directory.clone(), before.clone());
            let after = Pod { description: Some(format!("Idea {number}")), ..before.clone() };
            let audit = entry("pod.update", EntityKind::Pod, "payments");
            async move { directory.change_pod(&before, &after, &audit).await.map(|()| after) }
        })
        .await;
        assert_eq!(stored_pod(&w, &before.id).await, only_winner(answers));
        assert_eq!(w.trail(EntityKind::Pod, "payments").await, ["pod.create", "pod.update"]);
    }

    async fn an_unknown_pod_cannot_be_changed(w) {
        let nowhere = pod("nowhere").build();
        let error = change_pod(&w, &nowhere, &Pod { active: false, ..nowhere.clone() }).await;
        assert!(matches!(error, Err(DirectoryError::UnknownPod(_))), "{error:?}");
        assert_eq!(w.directory.find_pod(&nowhere.id).await.expect("the store answers"), None);
        assert!(w.trail(EntityKind::Pod, "nowhere").await.is_empty());
    }

    async fn every_field_of_a_target_is_replaced_with_an_audit_row(w) {
        let before = orders_db();
        let after = Target { id: before.id.clone(), engine: before.engine, ..rich() };
        change_target(&w, &before, &after).await.expect("nobody was faster");
        assert_eq!(stored_target(&w).await, after);
        change_target(&w, &after, &before).await.expect("nobody was faster");
        assert_eq!(stored_target(&w).await, before, "values can be taken away");
        let trail = w.trail(EntityKind::Instance, "orders-db").await;
        assert_eq!(trail, ["instance.create", "instance.update", "instance.update"]);
    }

    async fn the_pods_of_a_target_are_replaced(w) {
        for pods in [vec![pod_id("orders")], vec![], vec![pod_id("orders"), pod_id("payments")]] {
            let before = stored_target(&w).await;
            let after = Target { pods: pods.clone(), ..before.clone() };
            change_target(&w, &before, &after).await.expect("nobody was faster");
            assert_eq!(stored_target(&w).await, after);
        }
    }

    async fn a_target_that_changed_meanwhile_is_refused_and_stays(w) {
        let changes: [fn(&mut Target); 5] = [
            |target| target.active = false,
            |target| target.pods = vec![pod_id("orders")],
            |target| target.description = Some("Orders".to_owned()),
            |target| {
                "elsewhere.internal".clone_into(&mut target.host);
                target.connection_revision = 2;
            },
            |target| target.bound_revision = Some(2),
        ];
        for change in changes {
            let before = stored_target(&w).await;
            let mut faster = before.clone();
            change(&mut faster);
            change_target(&w, &before, &faster).await.expect("nobody was faster");
            let late = Target { read_only: true, pods: vec![], ..before.clone() };
            let error = change_target(&w, &before, &late).await;
            assert!(matches!(error, Err(DirectoryError::Changed(_))), "{error:?}");
            assert_eq!(stored_target(&w).await, faster);
        }
        assert_eq!(w.trail(EntityKind::Instance, "orders-db").await.len(), 1 + changes.len());
    }

    async fn of_fifty_changes_of_a_target_at_once_exactly_one_is_stored_whole(w) {
        let before = orders_db();
        let answers = fifty_at_once(|number| {
            let (directory, before) = (w.directory.clone(), before.clone());
            let pods = if number % 2 == 0 { vec![pod_id("orders")] } else { vec![] };
            let after = Target { description: Some(format!("Idea {number}")), pods, ..before.clone() };
            let audit = entry("instance.update", EntityKind::Instance, "orders-db");
            async move { directory.change_target(&before, &after, &audit).await.map(|()| after) }
        })
        .await;
        assert_eq!(stored_target(&w).await, only_winner(answers));
        let trail = w.trail(EntityKind::Instance, "orders-db").await;
        assert_eq!(trail, ["instance.create", "instance.update"]);
    }

    async fn unknown_pods_of_a_target_are_refused_and_change_nothing(w) {
        let pods = vec![pod_id("nowhere"), pod_id("orders")];
        let after = Target { active: false, pods, ..orders_db() };
        let error = change_target(&w, &orders_db(), &after).await;
        assert!(
            matches!(&error, Err(DirectoryError::UnknownPod(id)) if *id == pod_id("nowhere")),
            "{error:?}"
        );
        assert_eq!(stored_target(&w).await, orders_db());
        assert_eq!(w.trail(EntityKind::Instance, "orders-db").await, ["instance.create"]);
    }

    async fn changes_of_an_unknown_target_are_refused_and_leave_no_audit_row(w) {
        let nowhere = target("nowhere").build();
        let error = change_target(&w, &nowhere, &Target { active: false, ..nowhere.clone() }).await;
        assert!(matches!(error, Err(DirectoryError::UnknownInstance(_))), "{error:?}");
        let audit = entry("instance.update", EntityKind::Instance, "nowhere");
        let error = w.directory.put_database(&nowhere.id, None, &target_database("orders"), &audit).await;
        assert!(matches!(error, Err(DirectoryError::UnknownInstance(_))), "{error:?}");
        let error = w.directory.record_sync(&nowhere.id, &looked("orders"), &audit).await;
        assert!(matches!(error, Err(DirectoryError::UnknownInstance(_))), "{error:?}");
        assert_eq!(w.directory.databases(&nowhere.id).await.expect("the store answers"), []);
        assert_eq!(w.directory.last_sync(&instance_id("nowhere")).await.expect("the store answers"), None);
        assert!(w.trail(EntityKind::Instance, "nowhere").await.is_empty());
    }

    async fn a_target_that_is_used_by_requests_can_still_be_changed(w) {
        w.approved(request().created_at(at(0))).await;
        let after = Target { pods: vec![], active: false, ..orders_db() };
        change_target(&w, &orders_db(), &after).await.expect("nobody was faster");
    }

    async fn a_change_of_a_target_leaves_its_databases_and_its_last_sync(w) {
        let (id, audit) = (orders_db().id, entry("instance.sync", EntityKind::Instance, "orders-db"));
        w.directory.record_sync(&id, &looked("shop"), &audit).await.expect("it exists");
        let known = w.directory.databases(&id).await.expect("the store answers");
        assert_eq!((known.len(), &known[0]), (2, &target_database("orders")));
        let synced = w.directory.last_sync(&id).await.expect("the store answers");
        assert!(synced.is_some());
        let after = Target { host: "elsewhere.internal".to_owned(), connection_revision: 2, ..orders_db() };
        change_target(&w, &orders_db(), &after).await.expect("nobody was faster");
        assert_eq!(w.directory.databases(&id).await.expect("the store answers"), known);
        assert_eq!(w.directory.last_sync(&id).await.expect("the store answers"), synced);
    }
}
