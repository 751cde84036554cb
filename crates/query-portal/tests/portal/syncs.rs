//! Lists of databases that keep themselves up to date.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Installation, Person, Server, eventually, execute};

const SYNCS: (&str, &str) = ("QUERY_PORTAL_SYNC__EVERY_MINUTES", "60");
const SOON: Duration = Duration::from_secs(20);

async fn serve(installation: &Installation) -> Server {
    installation.serve_with(&[SYNCS]).await
}

/// How many syncs are on the trail, and how many of them nobody asked for.
async fn syncs(installation: &Installation) -> (u32, u32) {
    let counted = installation
        .portal_value(
            "SELECT count(*) || ' ' || count(*) FILTER (WHERE user_id IS NULL AND channel = 'system')
             FROM audit_logs WHERE action = 'instance.sync'",
        )
        .await;
    let (all, own) = counted.split_once(' ').unwrap();
    (all.parse().unwrap(), own.parse().unwrap())
}

/// As if the period were over.
async fn time_passes(installation: &Installation) {
    let over = "UPDATE database_instances SET next_sync_at = now() WHERE next_sync_at > now()";
    installation.change_portal(over).await;
}

async fn entry(admin: &Person, database: &str) -> Option<Value> {
    let (status, body) = admin.get("/api/instances/shop/dbs").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body["items"].as_array().unwrap().iter().find(|entry| entry["name"] == database).cloned()
}

async fn last_sync(admin: &Person) -> Value {
    let (status, body) = admin.get("/api/instances/shop").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body["lastSync"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_instance_is_synced_by_one_of_all_processes_and_again_when_its_time_has_come() {
    let installation = Installation::new().await;
    let (first, _second, _third) =
        (serve(&installation).await, serve(&installation).await, serve(&installation).await);
    // There are two instances.
    for syncs_so_far in [2, 4, 6] {
        eventually("both are synced", SOON, async || syncs(&installation).await.0 == syncs_so_far).await;
        // Several rounds of all three.
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(syncs(&installation).await, (syncs_so_far, syncs_so_far));
        time_passes(&installation).await;
    }
    let admin = first.login("admin").await;
    assert_eq!(last_sync(&admin).await["status"], "succeeded");
    let known = entry(&admin, &installation.database()).await.unwrap();
    assert_eq!((&known["source"], &known["active"]), (&json!("manual"), &json!(true)));
    assert!(known["lastSeenAt"].is_string(), "{known}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_new_on_a_server_appears_and_what_has_vanished_is_switched_off() {
    let installation = Installation::new().await;
    // Before all others, so that looks are tried by it.
    let extra = format!("0_{}", installation.database());
    execute(&installation.target_url, &[format!("CREATE DATABASE \"{extra}\"")]).await;
    let server = serve(&installation).await;
    let admin = server.login("admin").await;
    eventually("it is found", SOON, async || entry(&admin, &extra).await.is_some()).await;
    let found = entry(&admin, &extra).await.unwrap();
    assert_eq!((&found["source"], &found["active"]), (&json!("synced"), &json!(true)));

    execute(&installation.target_url, &[format!("DROP DATABASE \"{extra}\" WITH (FORCE)")]).await;
    time_passes(&installation).await;
    eventually("it is switched off", SOON, async || {
        entry(&admin, &extra).await.is_some_and(|entry| entry["active"] == false)
    })
    .await;
    assert_eq!(last_sync(&admin).await["status"], "succeeded");
    let manual = entry(&admin, &installation.database()).await.unwrap();
    assert_eq!((&manual["source"], &manual["active"]), (&json!("manual"), &json!(true)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_bound_is_due_at_once_and_a_failure_is_told_and_tried_again_sooner() {
    let installation = Installation::new().await;
    let mut server = installation.serve_with(&[SYNCS]).await;
    let admin = server.login("admin").await;
    eventually("it is synced", SOON, async || last_sync(&admin).await["status"] == "succeeded").await;

    let wrong = json!({ "connection": { "credentialSource": "env", "credentialReference": "TARGET_WRONG" } });
    assert_eq!(admin.patch("/api/instances/shop", wrong).await.0, StatusCode::OK);
    time_passes(&installation).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(last_sync(&admin).await["status"], "succeeded", "nothing is bound, so nobody looks");
    bind(&admin, 2).await;
    eventually("it is tried", SOON, async || last_sync(&admin).await["status"] == "failed").await;
    assert_eq!(last_sync(&admin).await["error"], "The server did not accept the credentials.");
    let soon = "SELECT (next_sync_at BETWEEN now() AND now() + interval '5 minutes')::text
                FROM database_instances WHERE id = 'shop'";
    assert_eq!(installation.portal_value(soon).await, "true");

    let right = json!({ "connection": { "credentialSource": "env", "credentialReference": "TARGET_SHOP" } });
    assert_eq!(admin.patch("/api/instances/shop", right).await.0, StatusCode::OK);
    bind(&admin, 3).await;
    eventually("it is synced", SOON, async || last_sync(&admin).await["status"] == "succeeded").await;
    let later = "SELECT (next_sync_at > now() + interval '50 minutes')::text
                 FROM database_instances WHERE id = 'shop'";
    assert_eq!(installation.portal_value(later).await, "true");

    assert!(server.terminate().success());
}

async fn bind(admin: &Person, revision: u32) {
    let bound = admin.post("/api/instances/shop/bind", json!({ "connectionRevision": revision })).await;
    assert_eq!(bound.0, StatusCode::OK, "{}", bound.1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_period_of_0_nothing_is_looked_up_unless_somebody_asks() {
    let installation = Installation::new().await;
    let server = installation.serve_with(&[("QUERY_PORTAL_SYNC__EVERY_MINUTES", "0")]).await;
    let admin = server.login("admin").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(syncs(&installation).await, (0, 0));
    assert_eq!(admin.act("/api/instances/shop/sync").await.0, StatusCode::OK);
    assert_eq!(syncs(&installation).await, (1, 0));
}
