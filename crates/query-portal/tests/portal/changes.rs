//! Changing, repeating and stopping requests; results in other forms; events.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{Installation, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_request_runs_as_edited_and_only_with_its_new_digest() {
    let installation = Installation::new().await;
    let server = installation.serve().await;
    let (dev, manager) = (server.login("dev").await, server.login("manager").await);
    let id = dev.submit(&installation, "INSERT INTO hits (note) VALUES ('before')").await;
    let path = format!("/api/queries/{id}");
    let (_, seen) = manager.get(&path).await;
    let (status, edited) =
        dev.patch(&path, json!({ "queryContent": "INSERT INTO hits (note) VALUES ('after')" })).await;
    assert_eq!((status, &edited["edited"]), (StatusCode::OK, &json!(true)), "{edited}");
    let approve = format!("{path}/approve?wait=30");
    let (status, body) = manager.act(&approve).await;
    assert_eq!((status, body["code"].as_str()), (StatusCode::CONFLICT, Some("digest_required")));
    let (status, body) = manager.post(&approve, json!({ "digest": seen["digest"] })).await;
    assert_eq!((status, body["code"].as_str()), (StatusCode::CONFLICT, Some("digest_mismatch")));
    assert_eq!(body["currentDigest"], edited["digest"]);
    let (_, done) = manager.post(&approve, json!({ "digest": edited["digest"] })).await;
    assert_eq!(done["status"], "completed", "{done}");
    assert_eq!((installation.hits("before").await, installation.hits("after").await), (0, 1));
    let (status, body) = dev.patch(&path, json!({ "comments": "too late" })).await;
    assert_eq!((status, body["code"].as_str()), (StatusCode::CONFLICT, Some("invalid_state")));
    assert_eq!(
        installation.audited(&id).await,
        "request.submit request.edit request.approve request.start request.succeed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_request_is_cancelled_from_another_process_and_leaves_nothing() {
    let installation = Installation::new().await;
    let working = installation.serve().await;
    let asked = installation.serve_with(&[("QUERY_PORTAL_EXECUTION__CONCURRENCY", "0")]).await;
    let (dev, manager) = (asked.login("dev").await, asked.login("manager").await);
    let id = dev.submit(&installation, "INSERT INTO hits (note) SELECT 'cancelled' FROM pg_sleep(25)").await;
    let cancel = format!("/api/queries/{id}/cancel?wait=20");
    let (status, body) = dev.act(&cancel).await;
    assert_eq!((status, body["code"].as_str()), (StatusCode::CONFLICT, Some("invalid_state")), "{body}");
    manager.act(&format!("/api/queries/{id}/approve")).await;
    eventually("the request executes", Duration::from_secs(10), async || {
        dev.status_of(&id).await == "executing"
    })
    .await;
    let (status, body) = dev.act(&cancel).await;
    assert_eq!((status, body["status"].as_str()), (StatusCode::OK, Some("cancelled")), "{body}");
    assert_eq!(installation.hits("cancelled").await, 0);
    drop(working);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_that_comes_too_late_is_a_conflict_and_one_that_comes_in_time_leaves_nothing() {
    let installation = Installation::new().await;
    let working = installation.serve().await;
    let asked = installation.serve_with(&[("QUERY_PORTAL_EXECUTION__CONCURRENCY", "0")]).await;
    let (dev, manager) = (asked.login("dev").await, asked.login("manager").await);
    for round in 0..30 {
        let note = format!("raced {round}");
        let sql = format!("INSERT INTO hits (note) SELECT '{note}' FROM pg_sleep(0.0{})", round % 7);
        let id = dev.submit(&installation, &sql).await;
        let (path, cancel) = (format!("/api/queries/{id}"), format!("/api/queries/{id}/cancel?wait=20"));
        manager.act(&format!("{path}/approve")).await;
        tokio::time::sleep(Duration::from_millis(5 * round)).await;
        let answer = dev.act(&cancel).await;
        let (_, end) = dev.get(&format!("{path}?wait=20")).await;
        let expected = match (answer.0, answer.1["status"].as_str(), end["status"].as_str()) {
            (StatusCode::OK, Some("cancelled"), Some("cancelled")) => 0,
            // The commit was faster than the wish.
            (StatusCode::OK, Some("completed"), Some("completed")) => 1,
            // It had not begun, or it had ended already.
            (StatusCode::CONFLICT, _, Some("completed")) => {
                assert!(
                    matches!(answer.1["code"].as_str(), Some("invalid_state" | "conflict")),
                    "{answer:?}"
                );
                1
            }
            _ => panic!("round {round}: {end} after {answer:?}"),
        };
        assert_eq!(installation.hits(&note).await, expected, "round {round}");
        let (status, body) = dev.act(&cancel).await;
        assert_eq!((status, body["code"].as_str()), (StatusCode::CONFLICT, Some("invalid_state")), "{body}");
    }
    drop(working);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_submitted_again_as_a_new_one_by_its_requester_only() {
    let installation = Installation::new().await;
    let server = installation.serve().await;
    let (dev, manager) = (server.login("dev").await, server.login("manager").await);
    let id = dev.submit(&installation, "SELECT 1").await;
    let path = format!("/api/queries/{id}/clone");
    assert_eq!(manager.act(&path).await.0, StatusCode::FORBIDDEN);
    let (status, again) = dev.act(&path).await;
    assert_eq!((status, again["status"].as_str()), (StatusCode::CREATED, Some("pending")), "{again}");
    assert_ne!(again["id"].as_str(), Some(id.as_str()));
    assert_eq!(again["queryContent"], "SELECT 1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_is_had_as_csv_and_ndjson_too() {
    let installation = Installation::new().await;
    let server = installation.serve().await;
    let (dev, manager) = (server.login("dev").await, server.login("manager").await);
    let sql = "SELECT 1 AS id, '=cmd()' AS text, NULL AS nothing UNION ALL SELECT 2, 'a,\"b\"', '' ORDER BY id; \
               SELECT array[1,2] AS list";
    let id = dev.submit(&installation, sql).await;
    manager.approve(&id).await;
    let csv = dev.text(&format!("/api/queries/{id}/result?format=csv&statement=1")).await;
    assert_eq!(csv, "id,text,nothing\r\n1,\"'=cmd()\",\r\n2,\"a,\"\"b\"\"\",\"\"\r\n");
    let typed = dev.text(&format!("/api/queries/{id}/result?format=csv&statement=2&header=typed")).await;
    assert_eq!(typed, "list:_int4\r\n\"[1,2]\"\r\n");
    let ndjson = dev.text(&format!("/api/queries/{id}/result?format=ndjson&statement=1")).await;
    assert_eq!(ndjson, "[1,\"=cmd()\",null]\n[2,\"a,\\\"b\\\"\",\"\"]\n");
    let (status, body) = dev.get(&format!("/api/queries/{id}/result?format=csv")).await;
    assert_eq!((status, body["errors"][0]["field"].as_str()), (StatusCode::BAD_REQUEST, Some("statement")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_tell_each_state_until_the_last() {
    let installation = Installation::new().await;
    let server = installation.serve().await;
    let (dev, manager) = (server.login("dev").await, server.login("manager").await);
    let id = dev.submit(&installation, "SELECT pg_sleep(0.5)").await;
    let path = format!("/api/queries/{id}/events");
    let listening = tokio::spawn({
        let (dev, path) = (dev.clone(), path.clone());
        async move { dev.text(&path).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    manager.approve(&id).await;
    let events = tokio::time::timeout(Duration::from_secs(10), listening).await.unwrap().unwrap();
    let told: Vec<&str> =
        events.split("\"status\":\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!((told.first(), told.last()), (Some(&"pending"), Some(&"completed")), "{events}");
    assert!(told.contains(&"executing"), "{events}");
    // Who comes late is told the last state at once.
    assert!(dev.text(&path).await.contains("\"status\":\"completed\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_is_checked_without_being_submitted() {
    let installation = Installation::new().await;
    let server = installation.serve().await;
    let dev = server.login("dev").await;
    let check = async |instance: &str, sql: &str| {
        dev.post("/api/queries/check", json!({ "instanceId": instance, "queryContent": sql })).await
    };
    let (status, body) = check("shop", "DELETE FROM hits").await;
    assert_eq!((status, &body["accepted"]), (StatusCode::OK, &json!(true)));
    assert_eq!(body["review"]["findings"][0]["code"], "delete_without_where", "{body}");
    let (_, body) = check("shop", "SELECT 1;\nCOMMIT").await;
    assert_eq!((&body["accepted"], &body["refusal"]["line"]), (&json!(false), &json!(2)), "{body}");
    let (_, body) = check("archive", "DELETE FROM hits").await;
    assert_eq!(body["accepted"], false, "{body}");
    assert_eq!(check("nowhere", "SELECT 1").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(dev.get("/api/queries").await.1["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_request_is_resolved_by_somebody_else_than_its_requester() {
    let installation = Installation::new().await;
    let mut server = installation.serve().await;
    let (dev, manager) = (server.login("dev").await, server.login("manager").await);
    let id = dev.submit(&installation, "INSERT INTO hits (note) SELECT 'lost' FROM pg_sleep(3)").await;
    manager.act(&format!("/api/queries/{id}/approve")).await;
    eventually("the request executes", Duration::from_secs(10), async || {
        dev.status_of(&id).await == "executing"
    })
    .await;
    server.kill();
    let server = installation.serve().await;
    let (dev, manager) = (server.login("dev").await, server.login("manager").await);
    eventually("the request is interrupted", Duration::from_secs(20), async || {
        dev.status_of(&id).await == "interrupted"
    })
    .await;
    let path = format!("/api/queries/{id}/resolve");
    let found = json!({ "outcome": "failed", "note": "the table has no such row" });
    let (status, body) = dev.post(&path, found.clone()).await;
    assert_eq!((status, body["code"].as_str()), (StatusCode::FORBIDDEN, Some("own_request")));
    let (status, body) = manager.post(&path, found.clone()).await;
    assert_eq!((status, body["status"].as_str()), (StatusCode::OK, Some("failed")), "{body}");
    assert_eq!(body["resolution"]["note"], "the table has no such row");
    assert_eq!(manager.post(&path, found).await.0, StatusCode::CONFLICT);
}
