//! The store is away, or somebody asks too much.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use actix_web::http::header::AUTHORIZATION;
use actix_web::test::TestRequest;
use domain::ports::SlackDesk;
use http_api::RateLimits;
use serde_json::json;
use testkit::builders::TEST_PASSWORD;

use crate::routes::{documented_routes, furnish, sample_call};
use crate::slack::believing;
use crate::support::{Options, Portal, ada_request, submission};

#[actix_web::test]
async fn without_the_store_every_route_is_unavailable_but_the_one_that_tells_that_the_process_lives() {
    let slack = Some(Arc::new(believing()) as Arc<dyn SlackDesk>);
    let portal = Portal::with(Options { slack, ..Options::default() }).await;
    furnish(&portal);
    let bearer = format!("Bearer {}", portal.token("root").await);
    portal.store.set_unavailable(true);
    for (method, path) in documented_routes() {
        // As Slack would sign its calls; of others nothing is asked of the store.
        let call = sample_call(&method, &path)
            .insert_header((AUTHORIZATION, bearer.clone()))
            .insert_header(("x-slack-request-timestamp", "1772442000"))
            .insert_header(("x-slack-signature", "v0=abc"));
        let answer = portal.send(call).await;
        if path == "/health/live" {
            assert_eq!(answer.verdict(), "200");
        } else {
            assert_eq!(answer.verdict(), "503 unavailable", "{method} {path}");
            assert_eq!(answer.header("retry-after"), Some("2"));
        }
    }
    portal.store.set_unavailable(false);
    assert_eq!(portal.send(TestRequest::get().uri("/health/ready")).await.verdict(), "200");
    for (method, path) in documented_routes() {
        // What ends the session would leave the rest without one.
        let ends_it = matches!(path.as_str(), "/api/auth/sessions/{id}" | "/api/auth/password");
        if !ends_it && !path.contains("logout") && !path.ends_with("/withdraw") && !path.ends_with("/reject")
        {
            let call = sample_call(&method, &path).insert_header((AUTHORIZATION, bearer.clone()));
            assert_ne!(portal.send(call).await.status, 503, "{method} {path}");
        }
    }
}

#[actix_web::test]
async fn a_defect_of_the_store_tells_the_client_nothing() {
    let portal = Portal::new().await;
    portal.token("ada").await;
    // The next submission gets the first id of all, which is taken: the store refuses the row.
    portal.put(&ada_request(1).pending());
    let bearer = format!("Bearer {}", portal.token("ada").await);
    let call = TestRequest::post().uri("/api/queries").set_json(submission());
    let answer = portal.send_even_if_broken(call.insert_header((AUTHORIZATION, bearer))).await;
    insta::assert_json_snapshot!(answer.json(), @r#"
    {
      "code": "internal",
      "detail": "Something went wrong in the portal. Give the x-request-id of this answer to an operator.",
      "status": 500,
      "title": "Internal Server Error",
      "type": "urn:query-portal:problem:internal"
    }
    "#);
    assert_eq!(portal.post("ada", "/api/queries", submission()).await.status, 201);
}

fn limited(per_second: u32, logins_per_minute: u32) -> Options {
    let rate = |n| NonZeroU32::new(n).expect("it is not zero");
    let rate_limits = RateLimits { per_second: rate(per_second), logins_per_minute: rate(logins_per_minute) };
    Options { rate_limits, ..Options::default() }
}

fn peer(text: &str) -> SocketAddr {
    text.parse().expect("it is an address")
}

#[actix_web::test]
async fn whoever_logs_in_too_often_is_told_when_to_try_again_under_every_spelling_of_the_address() {
    let portal = Portal::with(limited(100, 2)).await;
    let body = json!({ "email": "ada@example.com", "password": "a-wrong-one" });
    let login = |uri: &str, from| TestRequest::post().uri(uri).peer_addr(peer(from)).set_json(&body);
    for _ in 0..2 {
        let answer = portal.send(login("/api/auth/login", "192.0.2.1:1000")).await;
        assert_eq!(answer.verdict(), "401 wrong_login");
    }
    for uri in ["/api/auth/login", "/api/auth/log%69n", "/%61pi/auth/%6Cogin?x=1", "/api/auth/refresh"] {
        let answer = portal.send(login(uri, "192.0.2.1:2000")).await;
        assert_eq!(answer.verdict(), "429 rate_limited", "{uri}");
        let seconds: u64 =
            answer.header("retry-after").expect("it says when").parse().expect("it is a number");
        assert!((1..=31).contains(&seconds), "{seconds}");
    }
    let other = portal.send(login("/api/auth/login", "192.0.2.2:1000")).await;
    assert_eq!(other.verdict(), "401 wrong_login");
}

#[actix_web::test]
async fn whoever_calls_too_often_is_told_so_with_and_without_a_token_and_health_stays_open() {
    let portal = Portal::with(limited(1, 100)).await;
    let token = portal.token("ada").await;
    let call = |uri: &str| TestRequest::get().uri(uri).peer_addr(peer("[2001:db8::1]:1000"));
    let mut verdicts = vec![];
    for _ in 0..12 {
        let me = call("/api/auth/me").insert_header((AUTHORIZATION, format!("Bearer {token}")));
        verdicts.push(portal.send(me).await.verdict());
    }
    assert_eq!(verdicts[..10], vec!["200"; 10]);
    assert_eq!(verdicts[11], "429 rate_limited");
    for uri in ["/api/queries", "/nothing", "/health/nothing", "/docs/"] {
        assert_eq!(portal.send(call(uri)).await.verdict(), "429 rate_limited", "{uri}");
    }
    for uri in ["/health/live", "/health/ready"] {
        assert_eq!(portal.send(call(uri)).await.verdict(), "200", "{uri}");
    }
    // Logins have a limit of their own, so that a busy client can still log in.
    let body = json!({ "email": "ada@example.com", "password": TEST_PASSWORD });
    let login =
        TestRequest::post().uri("/api/auth/login").peer_addr(peer("[2001:db8::1]:1000")).set_json(body);
    assert_eq!(portal.send(login).await.verdict(), "200");
}
