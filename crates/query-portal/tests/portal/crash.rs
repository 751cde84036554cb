//! Portal processes that die, and ones that are told to stop.

use std::time::Duration;

use crate::harness::{Installation, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_leaves_no_request_executing_and_nothing_runs_again() {
    let installation = Installation::new().await;
    let mut server = installation.serve().await;
    let (dev, manager) = (server.login("dev").await, server.login("manager").await);
    let id = dev.submit(&installation, "INSERT INTO hits (note) SELECT 'killed' FROM pg_sleep(3)").await;
    let (status, body) = manager.act(&format!("/api/queries/{id}/approve")).await;
    assert!(status.is_success(), "{body}");
    eventually("the request executes", Duration::from_secs(10), async || {
        dev.status_of(&id).await == "executing"
    })
    .await;
    server.kill();

    let server = installation.serve().await;
    let dev = server.login("dev").await;
    let path = format!("/api/queries/{id}");
    eventually("the request leaves executing", Duration::from_secs(30), async || {
        dev.get(&path).await.1["status"] == "interrupted"
    })
    .await;
    // Long enough for a second run to show itself, had there been one.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(dev.status_of(&id).await, "interrupted");
    assert_eq!(installation.hits("killed").await, 0, "the orphaned statement died with its client");
    let starts = format!(
        "SELECT count(*)::text FROM audit_logs WHERE entity_id = '{id}' AND action = 'request.start'"
    );
    assert_eq!(installation.portal_value(&starts).await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_server_finishes_what_runs() {
    let installation = Installation::new().await;
    let (mut stopping, staying) = (
        installation.serve().await,
        installation.serve_with(&[("QUERY_PORTAL_EXECUTION__CONCURRENCY", "0")]).await,
    );
    let (dev, manager) = (staying.login("dev").await, staying.login("manager").await);
    let id = dev.submit(&installation, "INSERT INTO hits (note) SELECT 'drained' FROM pg_sleep(2)").await;
    manager.act(&format!("/api/queries/{id}/approve")).await;
    eventually("the request executes", Duration::from_secs(10), async || {
        dev.status_of(&id).await == "executing"
    })
    .await;
    let ended = tokio::task::spawn_blocking(move || stopping.terminate()).await.unwrap();
    assert!(ended.success());
    assert_eq!(dev.status_of(&id).await, "completed");
    assert_eq!(installation.hits("drained").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_server_cancels_what_outlasts_the_draining() {
    let installation = Installation::new().await;
    let mut stopping = installation.serve_with(&[("QUERY_PORTAL_EXECUTION__DRAIN_SECONDS", "1")]).await;
    let staying = installation.serve_with(&[("QUERY_PORTAL_EXECUTION__CONCURRENCY", "0")]).await;
    let (dev, manager) = (staying.login("dev").await, staying.login("manager").await);
    let id = dev.submit(&installation, "INSERT INTO hits (note) SELECT 'cut' FROM pg_sleep(20)").await;
    manager.act(&format!("/api/queries/{id}/approve")).await;
    eventually("the request executes", Duration::from_secs(10), async || {
        dev.status_of(&id).await == "executing"
    })
    .await;
    let ended = tokio::task::spawn_blocking(move || stopping.terminate()).await.unwrap();
    assert!(ended.success());
    assert_eq!(dev.status_of(&id).await, "cancelled");
    assert_eq!(installation.hits("cut").await, 0);
}
