//! What clients rely on beside the content of answers: idempotency keys, other origins, `HEAD`.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::Installation;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_equal_submissions_to_two_processes_at_once_one_is_stored_and_all_get_it() {
    let installation = Installation::new().await;
    let servers = [installation.serve().await, installation.serve().await];
    let developers = [servers[0].login("dev").await, servers[1].login("dev").await];
    let body = json!({
        "instanceId": "shop", "databaseName": installation.database(), "queryContent": "SELECT 1"
    });
    for round in 0..5 {
        let key = format!("round {round}");
        let send = |n: usize| {
            let (developer, key, body) = (&developers[n % 2], &key, body.clone());
            async move { developer.send(Method::POST, "/api/queries", ("idempotency-key", key), Some(body)).await }
        };
        let mut ids = vec![];
        let mut new = 0;
        for answer in join_all((0..50).map(send)).await {
            assert_eq!(answer.status(), StatusCode::CREATED);
            new += usize::from(!answer.headers().contains_key("idempotency-replayed"));
            ids.push(answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned());
        }
        ids.dedup();
        assert_eq!((new, ids.len()), (1, 1), "round {round}");
        assert_eq!(installation.audited(&ids[0]).await, "request.submit");
    }
    assert_eq!(installation.portal_value("SELECT count(*)::text FROM query_requests").await, "5");
    let notices = "SELECT count(*)::text FROM jobs WHERE kind = 'notify'";
    assert_eq!(installation.portal_value(notices).await, "5");
    let other = json!({
        "instanceId": "shop", "databaseName": installation.database(), "queryContent": "SELECT 2"
    });
    let key = ("idempotency-key", "round 0");
    let answer = developers[1].send(Method::POST, "/api/requests", key, Some(other.clone())).await;
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    assert_eq!(answer.json::<Value>().await.unwrap()["code"], "idempotency_conflict");
    // The next day, as far as the keys know.
    installation.change_portal("UPDATE idempotency_keys SET expires_at = now() WHERE key = 'round 0'").await;
    let answer = developers[0].send(Method::POST, "/api/queries", key, Some(other)).await;
    assert_eq!((answer.status(), answer.headers().get("idempotency-replayed")), (StatusCode::CREATED, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_a_named_origin_may_call_and_head_has_the_length_without_the_body() {
    let installation = Installation::new().await;
    let origins = [("QUERY_PORTAL_SERVER__CORS_ALLOWED_ORIGINS", "[\"https://console.example.com\"]")];
    let server = installation.serve_with(&origins).await;
    let dev = server.login("dev").await;
    let origin = ("origin", "https://console.example.com");
    let allowed = |answer: &reqwest::Response| answer.headers().get("access-control-allow-origin").cloned();
    let get = dev.send(Method::GET, "/api/auth/me", origin, None).await;
    assert_eq!(allowed(&get).unwrap(), origin.1);
    let length = get.headers()["content-length"].clone();
    let foreign = dev.send(Method::GET, "/api/auth/me", ("origin", "https://evil.example.com"), None).await;
    assert_eq!((foreign.status(), allowed(&foreign)), (StatusCode::OK, None));
    // Twice on one connection: a body that came all the same would be taken for the next answer.
    for _ in 0..2 {
        let head = dev.send(Method::HEAD, "/api/auth/me", origin, None).await;
        assert_eq!((head.status(), &head.headers()["content-length"]), (StatusCode::OK, &length));
        assert_eq!(head.text().await.unwrap(), "");
    }
}
