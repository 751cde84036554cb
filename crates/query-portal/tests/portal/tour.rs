//! The way of a request from submission to result, by every kind of person.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Installation, email};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_goes_from_submission_to_result_and_each_step_is_audited() {
    let installation = Installation::new().await;
    let server = installation.serve().await;
    let dev = server.login("dev").await;
    let manager = server.login("manager").await;
    let other_manager = server.login("other-manager").await;

    let sql = "INSERT INTO hits (note) VALUES ('a'), ('b') RETURNING note; SELECT count(*) FROM hits";
    let id = dev.submit(&installation, sql).await;
    let (status, body) = manager.get("/api/queries/pending").await;
    assert_eq!((status, body["items"][0]["id"].as_str()), (StatusCode::OK, Some(id.as_str())));
    let (_, body) = other_manager.get("/api/queries/pending").await;
    assert_eq!(body["items"], json!([]));

    let approve = format!("/api/queries/{id}/approve");
    let (status, body) = other_manager.act(&approve).await;
    assert_eq!((status, body["code"].as_str()), (StatusCode::FORBIDDEN, Some("not_visible")));
    let (status, body) = dev.act(&approve).await;
    assert_eq!((status, body["code"].as_str()), (StatusCode::FORBIDDEN, Some("own_request")));
    assert_eq!(dev.status_of(&id).await, "pending");
    assert_eq!(installation.hits("a").await, 0);

    let done = manager.approve(&id).await;
    assert_eq!(done["status"], "completed", "{done}");
    assert_eq!(done["execution"]["statements"][0]["preview"], json!([["a"], ["b"]]));
    let (status, result) = dev.get(&format!("/api/requests/{id}/result")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(result["statements"][0]["rows"], json!([["a"], ["b"]]));
    assert_eq!(result["statements"][1]["rows"], json!([[2]]));
    assert_eq!(
        installation.audited(&id).await,
        "request.submit request.approve request.start request.succeed"
    );
    let (status, _) = other_manager.get(&format!("/api/queries/{id}/result")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_does_not_approve_their_own_request_but_others_of_every_pod() {
    let installation = Installation::new().await;
    let server = installation.serve().await;
    let (admin, dev) = (server.login("admin").await, server.login("dev").await);
    let own = admin.submit(&installation, "SELECT 1").await;
    let (status, body) = admin.act(&format!("/api/queries/{own}/approve")).await;
    assert_eq!((status, body["code"].as_str()), (StatusCode::FORBIDDEN, Some("own_request")));
    let others = dev.submit(&installation, "SELECT 1").await;
    assert_eq!(admin.approve(&others).await["status"], "completed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejecting_needs_a_reason_and_tells_it_and_withdrawing_is_for_the_requester() {
    let installation = Installation::new().await;
    let server = installation.serve().await;
    let (dev, manager) = (server.login("dev").await, server.login("manager").await);
    let rejected = dev.submit(&installation, "SELECT 1").await;
    let path = format!("/api/queries/{rejected}/reject");
    let (status, _) = manager.post(&path, json!({ "reason": " " })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, body) = manager.post(&path, json!({ "reason": "use the replica" })).await;
    assert_eq!((status, body["status"].as_str()), (StatusCode::OK, Some("rejected")));
    assert_eq!(body["rejection"]["reason"], "use the replica");
    assert_eq!(body["rejection"]["by"]["email"], email("manager"));

    let withdrawn = dev.submit(&installation, "SELECT 1").await;
    let path = format!("/api/queries/{withdrawn}/withdraw");
    let (status, body) = manager.act(&path).await;
    assert_eq!((status, body["code"].as_str()), (StatusCode::FORBIDDEN, Some("not_requester")));
    let (status, body) = dev.act(&path).await;
    assert_eq!((status, body["status"].as_str()), (StatusCode::OK, Some("withdrawn")));
    let (status, body) = manager.act(&format!("/api/queries/{withdrawn}/approve")).await;
    assert_eq!((status, body["code"].as_str()), (StatusCode::CONFLICT, Some("invalid_state")));
    assert_eq!(installation.audited(&rejected).await, "request.submit request.reject");
    assert_eq!(installation.audited(&withdrawn).await, "request.submit request.withdraw");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_statement_is_told_with_its_place_and_undoes_everything() {
    let installation = Installation::new().await;
    let server = installation.serve().await;
    let (dev, manager) = (server.login("dev").await, server.login("manager").await);
    let sql = "INSERT INTO hits (note) VALUES ('é');\nSELECT nothing FROM hits";
    let id = dev.submit(&installation, sql).await;
    let failed = manager.approve(&id).await;
    assert_eq!(failed["status"], "failed");
    let error = &failed["error"];
    assert_eq!(
        (error["kind"].as_str(), error["code"].as_str()),
        (Some("database"), Some("42703")),
        "{failed}"
    );
    assert_eq!(
        (error["statement"].as_u64(), error["line"].as_u64(), error["column"].as_u64()),
        (Some(2), Some(2), Some(8))
    );
    assert_eq!(installation.hits("é").await, 0);
    let (status, body) = dev.get(&format!("/api/queries/{id}/result")).await;
    assert_eq!((status, body["code"].as_str()), (StatusCode::CONFLICT, Some("no_result")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_target_takes_no_write_by_any_road() {
    let installation = Installation::new().await;
    let server = installation.serve().await;
    let (dev, manager) = (server.login("dev").await, server.login("manager").await);
    let body = json!({ "instanceId": "archive", "databaseName": installation.database(),
        "queryContent": "INSERT INTO hits (note) VALUES ('x')" });
    let (status, body) = dev.post("/api/queries", body).await;
    assert_eq!(
        (status, body["code"].as_str()),
        (StatusCode::BAD_REQUEST, Some("statement_refused")),
        "{body}"
    );
    // A DO block hides its write from the review; the server's read-only transaction does not let it pass.
    let hidden = "SELECT 1; SELECT set_config('transaction_read_only', 'off', false)";
    let id = dev.submit_to(&installation, "archive", hidden).await;
    let failed = manager.approve(&id).await;
    assert_eq!(failed["status"], "failed", "{failed}");
    assert_eq!(installation.hits("x").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logging_out_and_losing_a_role_act_on_the_next_call_in_every_process() {
    let installation = Installation::new().await;
    let (first, second) = (installation.serve().await, installation.serve().await);
    let manager = first.login("manager").await;
    let there = second.person(manager.access_token.clone(), manager.refresh_token.clone());
    assert_eq!(there.get("/api/auth/me").await.0, StatusCode::OK);
    assert_eq!(manager.act("/api/auth/logout").await.0, StatusCode::NO_CONTENT);
    for person in [&manager, &there] {
        let (status, body) = person.get("/api/auth/me").await;
        assert_eq!((status, body["code"].as_str()), (StatusCode::UNAUTHORIZED, Some("session_ended")));
    }
    assert_eq!(second.refresh(&manager.refresh_token).await.0, StatusCode::UNAUTHORIZED);

    let (dev, manager) = (first.login("dev").await, second.login("manager").await);
    let id = dev.submit(&installation, "SELECT 1").await;
    installation.run(&["user", "update", "--email", &email("manager"), "--role", "developer"]);
    let (status, body) = manager.act(&format!("/api/queries/{id}/approve")).await;
    assert_eq!((status, body["code"].as_str()), (StatusCode::FORBIDDEN, Some("not_visible")));
    installation.run(&["user", "update", "--email", &email("dev"), "--deactivate"]);
    assert_eq!(dev.get("/api/auth/me").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(first.try_login("dev").await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_works_once_and_its_reuse_ends_the_session() {
    let installation = Installation::new().await;
    let server = installation.serve().await;
    let dev = server.login("dev").await;
    let (status, body) = server.refresh(&dev.refresh_token).await;
    assert_eq!(status, StatusCode::OK);
    let renewed = body["refreshToken"].as_str().unwrap();
    let access = server.person(body["accessToken"].as_str().unwrap().to_owned(), String::new());
    assert_eq!(access.get("/api/auth/me").await.0, StatusCode::OK);
    let (status, body) = server.refresh(&dev.refresh_token).await;
    assert_eq!((status, body["code"].as_str()), (StatusCode::UNAUTHORIZED, Some("refresh_reused")));
    assert_eq!(server.refresh(renewed).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(access.get("/api/auth/me").await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_see_the_targets_of_their_pods_only() {
    let installation = Installation::new().await;
    let server = installation.serve().await;
    let names = |body: &Value| -> Vec<String> {
        body["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    let dev = server.login("dev").await;
    assert_eq!(names(&dev.get("/api/instances").await.1), ["archive", "shop"]);
    let (_, databases) = dev.get("/api/instances/shop/dbs").await;
    assert_eq!(databases["items"][0]["name"], installation.database());
    let other = server.login("other-dev").await;
    assert_eq!(names(&other.get("/api/instances").await.1), Vec::<String>::new());
    assert_eq!(other.get("/api/instances/shop/dbs").await.0, StatusCode::NOT_FOUND);
    installation.run(&["target", "deactivate", "--id", "shop"]);
    assert_eq!(names(&dev.get("/api/instances").await.1), ["archive"]);
}
