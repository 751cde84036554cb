//! Syncs that nobody asks for.

use std::time::Duration;

use domain::audit::AuditEntry;
use domain::ports::{Directory, ExecutionError};
use domain::services::SyncWorker;
use domain::target::{DatabaseSource, LastSync, Target, TargetDatabase};
use domain::user::Channel;
use serde_json::json;
use testkit::builders::{at, database, database_name, instance_id, target, target_database};
use tokio_util::sync::CancellationToken;

use super::connections::Lab;

const HOUR: Duration = Duration::from_hours(1);

impl Lab {
    async fn sync_due(&self) -> bool {
        self.connections.sync_due(HOUR).await.expect("the store answers")
    }

    fn at_minute(&self, minute: i64) {
        self.world.clock.set(at(60 * minute));
    }

    fn fails(&self) {
        self.inspector.fails(ExecutionError::Unavailable { source: "no route".into() });
    }

    fn worker(&self) -> SyncWorker {
        SyncWorker { connections: self.connections.clone(), period: HOUR, every: Duration::from_mins(1) }
    }

    fn trail(&self) -> Vec<AuditEntry> {
        self.world.store.audit_entries()
    }
}

/// A lab in which `orders-db` alone can be looked at; the other targets of the world are switched off.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.world.store.put_target(&target("ledger-db").inactive().build());
    lab
}

#[tokio::test]
async fn a_target_is_synced_once_in_each_period_in_the_name_of_nobody() {
    let lab = lab();
    lab.inspector.shows(&[database(), database_name("shop")]);
    assert!(lab.sync_due().await);
    assert!(!lab.sync_due().await);
    lab.at_minute(59);
    assert!(!lab.sync_due().await);
    lab.at_minute(60);
    assert!(lab.sync_due().await);
    assert!(!lab.sync_due().await);
    let trail = lab.trail();
    assert_eq!(trail.len(), 2);
    for entry in &trail {
        assert_eq!((entry.user, entry.action.as_str()), (None, "instance.sync"));
        assert_eq!(entry.origin.channel, Channel::System);
        assert_eq!(entry.entity.id, "orders-db");
    }
    assert_eq!(
        trail[0].new_values.as_ref().expect("it is told")["changes"]["added"]["names"],
        json!(["shop"])
    );
    assert_eq!(lab.last_sync().await, Some(LastSync { at: at(3_600), error: None }));
}

#[tokio::test]
async fn manual_entries_stay_and_what_has_vanished_is_switched_off() {
    let lab = lab();
    lab.inspector.shows(&[database_name("shop")]);
    lab.sync_due().await;
    lab.inspector.shows(&[]);
    lab.at_minute(60);
    lab.sync_due().await;
    let shop = TargetDatabase {
        source: DatabaseSource::Synced,
        active: false,
        last_seen_at: Some(at(0)),
        ..target_database("shop")
    };
    assert_eq!(lab.known().await, [target_database("orders"), shop]);
}

#[tokio::test]
async fn after_a_failure_it_is_tried_again_sooner_and_then_in_its_period_again() {
    let lab = lab();
    lab.fails();
    assert!(lab.sync_due().await);
    let error = lab.last_sync().await.expect("it is noted").error.expect("it failed");
    assert_eq!(error, "The server could not be reached: no route.");
    lab.at_minute(4);
    assert!(!lab.sync_due().await);
    lab.at_minute(5);
    assert!(lab.sync_due().await);
    assert_eq!(lab.last_sync().await, Some(LastSync { at: at(300), error: None }));
    lab.at_minute(64);
    assert!(!lab.sync_due().await);
    lab.at_minute(65);
    assert!(lab.sync_due().await);
}

#[tokio::test]
async fn a_period_that_is_shorter_than_the_wait_after_a_failure_holds_after_failures_too() {
    let lab = lab();
    let short = Duration::from_mins(1);
    lab.fails();
    assert!(lab.connections.sync_due(short).await.expect("the store answers"));
    lab.at_minute(1);
    assert!(lab.connections.sync_due(short).await.expect("the store answers"));
}

#[tokio::test]
async fn a_sync_that_somebody_asks_for_leaves_when_the_next_one_is_due() {
    let lab = lab();
    lab.sync_due().await;
    lab.at_minute(30);
    lab.sync("orders-db").await.expect("it is tried");
    lab.at_minute(59);
    assert!(!lab.sync_due().await);
    lab.at_minute(60);
    assert!(lab.sync_due().await);
}

#[tokio::test]
async fn no_credential_leaves_for_a_target_to_which_none_is_bound_or_that_is_switched_off() {
    let lab = lab();
    let moved = Target { connection_revision: 2, ..target("orders-db").build() };
    for target in [target("orders-db").unbound().build(), target("orders-db").inactive().build(), moved] {
        lab.world.store.put_target(&target);
        assert!(!lab.sync_due().await, "{target:?}");
    }
    assert_eq!(lab.inspector.looks(), []);
    assert_eq!(lab.trail(), []);
}

#[tokio::test]
async fn a_round_syncs_everything_that_is_due() {
    let lab = lab();
    for number in 0..5 {
        let server = Target {
            credentials: target("orders-db").build().credentials,
            ..target(&format!("server-{number}")).build()
        };
        lab.world.store.put_target(&server);
    }
    lab.fails();
    lab.worker().round(&CancellationToken::new()).await.expect("the store answers");
    assert_eq!(lab.inspector.looks().len(), 6);
    lab.worker().round(&CancellationToken::new()).await.expect("the store answers");
    assert_eq!(lab.inspector.looks().len(), 6);
}

#[tokio::test]
async fn a_round_begins_nothing_after_it_was_told_to_stop() {
    let lab = lab();
    let stop = CancellationToken::new();
    stop.cancel();
    lab.worker().round(&stop).await.expect("the store answers");
    assert_eq!(lab.inspector.looks(), []);
}

#[tokio::test(start_paused = true)]
async fn rounds_go_on_through_failures_of_the_store_until_they_are_stopped() {
    let lab = lab();
    lab.world.store.set_unavailable(true);
    let (stop, worker) = (CancellationToken::new(), lab.worker());
    let stopped = stop.clone();
    let running = tokio::spawn(async move { worker.run(stopped).await });
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(lab.inspector.looks(), []);
    lab.world.store.set_unavailable(false);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(lab.inspector.looks().len(), 1);
    let begin = tokio::time::Instant::now();
    stop.cancel();
    running.await.expect("no panic");
    assert_eq!(begin.elapsed(), Duration::ZERO, "it does not finish its pause first");
    let last = Directory::last_sync(&lab.world.store, &instance_id("orders-db")).await;
    assert!(last.expect("the store answers").is_some());
}
