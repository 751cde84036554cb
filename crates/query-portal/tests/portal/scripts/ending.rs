//! Scripts that are stopped: by the clock, by people, by a server that stops or dies.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{SOON, Scene};
use crate::harness::eventually;

/// Writes inside and outside of a transaction, then hangs in a slow statement.
const SLOW: &str = "await db.transaction(async (tx) => {
    await tx.query(\"INSERT INTO hits (note) VALUES ('inside')\");
    await tx.query(\"INSERT INTO hits (note) SELECT 'slow' FROM pg_sleep(60)\");
  });";

async fn with_limit(seconds: u64) -> Scene {
    let scene = Scene::new().await;
    let admin = scene.server.login("admin").await;
    let (status, body) =
        admin.patch("/api/instances/shop", json!({ "limits": { "timeoutMs": seconds * 1000 } })).await;
    assert!(status.is_success(), "{body}");
    scene
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_on_time_ends_a_script_and_its_statement_and_keeps_nothing_of_them() {
    let scene = with_limit(1).await;
    let begun = Instant::now();
    let ran = scene.run(SLOW).await;
    let took = begun.elapsed();
    assert_eq!(ran.failed("timed_out"), "Stopped after 1 seconds, the limit of the instance.");
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(scene.running_on_target().await, 0);
    assert_eq!((scene.installation.hits("inside").await, scene.installation.hits("slow").await), (0, 0));
    let ran = scene.run("for (;;) {}").await;
    ran.failed("timed_out");
    let ran = scene.run("return 'clean'").await;
    assert_eq!(scene.rows(&ran).await, json!([["clean"]]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_is_cancelled_from_another_process() {
    let scene = Scene::new().await;
    let other = scene.installation.serve_with(&[("QUERY_PORTAL_EXECUTION__CONCURRENCY", "0")]).await;
    let manager = other.login("manager").await;
    let id = scene.submit(SLOW).await;
    scene.manager.act(&format!("/api/queries/{id}/approve")).await;
    eventually("its statement runs", SOON, async || scene.running_on_target().await > 0).await;
    let (status, body) = manager.act(&format!("/api/queries/{id}/cancel")).await;
    assert!(status.is_success(), "{body}");
    eventually("it is cancelled", SOON, async || scene.dev.status_of(&id).await == "cancelled").await;
    assert_eq!(scene.running_on_target().await, 0);
    assert_eq!(scene.installation.hits("inside").await, 0);

    let id = scene
        .submit(&format!("await db.query(\"INSERT INTO hits (note) VALUES ('before')\");\n{SLOW}"))
        .await;
    scene.manager.act(&format!("/api/queries/{id}/approve")).await;
    eventually("its statement runs", SOON, async || scene.running_on_target().await > 0).await;
    manager.act(&format!("/api/queries/{id}/cancel")).await;
    eventually("it is stopped", SOON, async || scene.dev.status_of(&id).await == "failed").await;
    let (_, body) = scene.dev.get(&format!("/api/queries/{id}")).await;
    assert_eq!(body["error"]["kind"], "stopped", "{body}");
    assert_eq!(
        scene.installation.hits("before").await,
        1,
        "what was committed before stays, and the message says so"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_changes_nothing() {
    let scene = Scene::new().await;
    let id = scene
        .submit("await sleep(700); await db.query(\"INSERT INTO hits (note) VALUES ('alone')\"); return 1")
        .await;
    let approving = format!("{}/api/queries/{id}/approve?wait=30", scene.server.url);
    let leaving = reqwest::Client::new()
        .post(approving)
        .bearer_auth(&scene.manager.access_token)
        .timeout(Duration::from_millis(200))
        .send()
        .await;
    assert!(leaving.is_err_and(|error| error.is_timeout()));
    eventually("it is completed", SOON, async || scene.dev.status_of(&id).await == "completed").await;
    assert_eq!(scene.installation.hits("alone").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_outlives_a_server_that_is_killed() {
    let mut scene = Scene::new().await;
    let id = scene.submit("await db.query(\"INSERT INTO hits (note) VALUES ('before')\"); for (;;) {}").await;
    scene.manager.act(&format!("/api/queries/{id}/approve")).await;
    eventually("it has written", SOON, async || scene.installation.hits("before").await == 1).await;
    let children = scene.children();
    assert!(!children.is_empty());
    scene.server.kill();
    eventually("no script process is left", SOON, async || {
        children.iter().all(|id| !std::path::Path::new(&format!("/proc/{id}")).exists())
    })
    .await;
    let server = scene.installation.serve().await;
    let dev = server.login("dev").await;
    eventually("it is interrupted", Duration::from_secs(30), async || {
        dev.status_of(&id).await == "interrupted"
    })
    .await;
    assert_eq!(scene.installation.hits("before").await, 1, "and it never runs again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_lets_a_script_end() {
    let Scene { installation, mut server, dev, manager } = Scene::new().await;
    let staying = installation.serve_with(&[("QUERY_PORTAL_EXECUTION__CONCURRENCY", "0")]).await;
    let dev = staying.person(dev.access_token, dev.refresh_token);
    let body = json!({ "instanceId": "shop", "databaseName": installation.database(), "submissionType": "script",
        "queryContent": "await sleep(1500); await db.query(\"INSERT INTO hits (note) VALUES ('drained')\")" });
    let (_, body) = dev.post("/api/queries", body).await;
    let id = body["id"].as_str().unwrap().to_owned();
    manager.act(&format!("/api/queries/{id}/approve")).await;
    eventually("it executes", SOON, async || dev.status_of(&id).await == "executing").await;
    let ended = tokio::task::spawn_blocking(move || server.terminate()).await.unwrap();
    assert!(ended.success());
    assert_eq!(dev.status_of(&id).await, "completed");
    assert_eq!(installation.hits("drained").await, 1);
}
