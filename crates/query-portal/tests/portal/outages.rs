//! Databases that are away, and come back.

use std::time::Duration;

use dev_stack::{Durability, PostgresOptions, PostgresServer};
use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{Installation, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_the_portal_answers_503_and_works_again_without_a_restart() {
    let folder = shared_folder();
    let start = || {
        let mut options = PostgresOptions::new(folder.path().join("portal"));
        options.durability = Durability::TestOnly;
        options
    };
    let first = tokio::task::spawn_blocking({
        let options = start();
        move || PostgresServer::start(options).unwrap()
    })
    .await
    .unwrap();
    let port = first.port();
    let target = dev_stack::test_postgres().url("postgres");
    let installation = Installation::with_portal_database(&first.url("postgres"), &target).await;
    installation.create_user("dev", "developer", None);
    let server = installation.serve().await;
    let dev = server.login("dev").await;
    tokio::task::spawn_blocking(move || first.stop().unwrap()).await.unwrap();

    let (status, body) = dev.get("/api/queries").await;
    assert_eq!(
        (status, body["code"].as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("unavailable")),
        "{body}"
    );
    assert_eq!(server.health("ready").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(server.health("live").await, StatusCode::OK);
    let body = body.to_string();
    assert!(!body.contains("postgres") && !body.contains(&port.to_string()), "{body}");

    let again = tokio::task::spawn_blocking({
        let mut options = start();
        options.port = Some(port);
        move || PostgresServer::start(options).unwrap()
    })
    .await
    .unwrap();
    eventually("the portal works again", Duration::from_secs(30), async || {
        dev.get("/api/queries").await.0 == StatusCode::OK && server.health("ready").await == StatusCode::OK
    })
    .await;
    drop((server, installation));
    tokio::task::spawn_blocking(move || again.stop().unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_target_fails_the_request_with_a_sentence_and_no_credential() {
    let installation = Installation::new().await;
    let closed = dev_stack::free_port().unwrap().to_string();
    installation.add_target("away", &closed, "env:TARGET_SHOP", &[]);
    let port = crate::harness::port_of(&installation.target_url);
    installation.add_target("locked", &port, "env:TARGET_WRONG", &[]);
    installation.add_target("unset", &port, "env:TARGET_NOBODY", &[]);
    installation.add_target("foreign", &port, "env:TARGET_SHOP", &[]);
    // Nobody can enter such a reference; the portal does not fetch it either.
    let foreign =
        "UPDATE database_instances SET credential_reference = 'QUERY_PORTAL_DATABASE' WHERE id = 'foreign'";
    installation.change_portal(foreign).await;
    let server = installation.serve().await;
    let (dev, manager) = (server.login("dev").await, server.login("manager").await);
    for (target, kind) in [
        ("away", "target_unavailable"),
        ("locked", "credentials"),
        ("unset", "credentials"),
        ("foreign", "credentials"),
    ] {
        let id = dev.submit_to(&installation, target, "SELECT 1").await;
        let failed = manager.approve(&id).await;
        assert_eq!(
            (failed["status"].as_str(), failed["error"]["kind"].as_str()),
            (Some("failed"), Some(kind)),
            "{failed}"
        );
        let message = failed["error"]["message"].as_str().unwrap();
        assert!(message.contains(target) && message.ends_with('.'), "{message}");
        let whole = failed.to_string();
        for secret in ["the-targets-own-secret", "not-the-password", "TARGET_", "_target"] {
            assert!(!whole.contains(secret), "{secret} in {whole}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_refused_when_its_target_was_changed_after_the_approval() {
    let installation = Installation::new().await;
    let server = installation.serve_with(&[("QUERY_PORTAL_EXECUTION__CONCURRENCY", "0")]).await;
    let (dev, manager) = (server.login("dev").await, server.login("manager").await);
    let id = dev.submit(&installation, "INSERT INTO hits (note) VALUES ('refused')").await;
    let (status, body) = manager.post(&format!("/api/queries/{id}/approve"), json!({})).await;
    assert_eq!((status, body["status"].as_str()), (StatusCode::OK, Some("approved")));
    installation.run(&["target", "deactivate", "--id", "shop"]);
    let worker = installation.serve().await;
    let (_, end) = dev.get(&format!("/api/queries/{id}?wait=20")).await;
    assert_eq!(
        (end["status"].as_str(), end["error"]["kind"].as_str()),
        (Some("failed"), Some("refused")),
        "{end}"
    );
    assert_eq!(installation.hits("refused").await, 0);
    assert_eq!(installation.audited(&id).await, "request.submit request.approve request.refuse");
    drop(worker);
}

/// A folder that PostgreSQL's own user can reach.
fn shared_folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}
