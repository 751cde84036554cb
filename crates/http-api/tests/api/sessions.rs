//! One's own sessions and password.

use std::num::NonZeroU32;
use std::time::Duration;

use actix_web::http::header::{AUTHORIZATION, USER_AGENT};
use actix_web::test::TestRequest;
use http_api::RateLimits;
use serde_json::{Value, json};
use testkit::builders::TEST_PASSWORD;
use testkit::fakes::SequentialIds;

use crate::routes::NEW_PASSWORD;
use crate::support::{Answer, Options, Portal, text};

async fn change(portal: &Portal, current: &str, new: &str) -> Answer {
    let body = json!({ "currentPassword": current, "newPassword": new });
    portal.post("ada", "/api/auth/password", body).await
}

/// A login from a device that says what it is; gives its tokens.
async fn log_in_from(portal: &Portal, device: &str) -> Value {
    let body = json!({ "email": "ada@example.com", "password": TEST_PASSWORD });
    let call = TestRequest::post().uri("/api/auth/login").set_json(body);
    let call =
        call.insert_header((USER_AGENT, device)).peer_addr("192.0.2.7:1000".parse().expect("it is one"));
    portal.send(call).await.ok()
}

async fn me(portal: &Portal, tokens: &Value) -> String {
    let header = (AUTHORIZATION, format!("Bearer {}", text(&tokens["accessToken"])));
    portal.send(TestRequest::get().uri("/api/auth/me").insert_header(header)).await.verdict()
}

fn items(body: &Value) -> Vec<Value> {
    body["items"].as_array().expect("it is a list").clone()
}

#[actix_web::test]
async fn ones_live_sessions_are_listed_the_one_used_last_first() {
    let portal = Portal::new().await;
    portal.token("ada").await;
    portal.clock.advance(Duration::from_mins(1));
    log_in_from(&portal, "a phone").await;
    portal.token("bob").await;
    insta::assert_json_snapshot!(portal.get("ada", "/api/auth/sessions").await.ok(), @r#"
    {
      "items": [
        {
          "current": false,
          "device": "a phone",
          "expiresAt": "2026-03-09T09:01:00Z",
          "id": "00000000-0000-4000-8000-000000000002",
          "ip": "192.0.2.7",
          "refreshedAt": "2026-03-02T09:01:00Z",
          "startedAt": "2026-03-02T09:01:00Z"
        },
        {
          "current": true,
          "device": null,
          "expiresAt": "2026-03-09T09:00:00Z",
          "id": "00000000-0000-4000-8000-000000000001",
          "ip": null,
          "refreshedAt": "2026-03-02T09:00:00Z",
          "startedAt": "2026-03-02T09:00:00Z"
        }
      ]
    }
    "#);
}

#[actix_web::test]
async fn an_ended_session_is_out_at_once_and_the_others_are_not() {
    let portal = Portal::new().await;
    portal.token("ada").await;
    let phone = log_in_from(&portal, "a phone").await;
    let listed = items(&portal.get("ada", "/api/auth/sessions").await.ok());
    let other = listed.iter().find(|session| session["current"] == false).expect("there are two");
    let uri = format!("/api/auth/sessions/{}", text(&other["id"]));
    assert_eq!(portal.delete("bob", &uri).await.verdict(), "404 not_found");
    assert_eq!(me(&portal, &phone).await, "200");
    assert_eq!(portal.delete("ada", &uri).await.status, 204);
    assert_eq!(me(&portal, &phone).await, "401 session_ended");
    assert_eq!(portal.delete("ada", &uri).await.verdict(), "404 not_found");
    let left = items(&portal.get("ada", "/api/auth/sessions").await.ok());
    assert_eq!((left.len(), &left[0]["current"]), (1, &json!(true)));
    let refresh = json!({ "refreshToken": phone["refreshToken"] });
    let refreshed = portal.send(TestRequest::post().uri("/api/auth/refresh").set_json(refresh)).await;
    assert_eq!(refreshed.verdict(), "401 refresh_invalid");
    assert!(portal.store.audit_actions().contains(&"session.end".to_owned()));
}

#[actix_web::test]
async fn sessions_have_ids() {
    let portal = Portal::new().await;
    for id in ["1", "%00", "nothing"] {
        assert_eq!(
            portal.delete("ada", &format!("/api/auth/sessions/{id}")).await.verdict(),
            "400 validation"
        );
    }
    let unknown = format!("/api/auth/sessions/{}", SequentialIds::nth(990));
    assert_eq!(portal.delete("ada", &unknown).await.verdict(), "404 not_found");
}

#[actix_web::test]
async fn a_new_password_ends_all_sessions_and_the_old_one_is_good_for_nothing() {
    let portal = Portal::new().await;
    portal.token("ada").await;
    let phone = log_in_from(&portal, "a phone").await;
    portal.clock.advance(Duration::from_secs(1));
    assert_eq!(change(&portal, TEST_PASSWORD, NEW_PASSWORD).await.status, 204);
    assert_eq!(portal.get("ada", "/api/auth/me").await.verdict(), "401 session_ended");
    assert_eq!(me(&portal, &phone).await, "401 session_ended");
    for (password, verdict) in [(TEST_PASSWORD, "401 wrong_login"), (NEW_PASSWORD, "200")] {
        let body = json!({ "email": "ada@example.com", "password": password });
        let answer = portal.send(TestRequest::post().uri("/api/auth/login").set_json(body)).await;
        assert_eq!(answer.verdict(), verdict);
    }
}

#[actix_web::test]
async fn whoever_does_not_know_the_password_changes_nothing_and_leaves_a_trace() {
    let portal = Portal::new().await;
    for wrong in ["a-wrong-one", "Correct Horse Battery Staple", &"x".repeat(1_024)] {
        assert_eq!(change(&portal, wrong, NEW_PASSWORD).await.verdict(), "403 wrong_password");
    }
    assert_eq!(portal.get("ada", "/api/auth/me").await.status, 200);
    let failed = portal.store.audit_actions().iter().filter(|a| *a == "session.password_failed").count();
    assert_eq!(failed, 3);
}

#[actix_web::test]
async fn passwords_have_a_form() {
    let portal = Portal::new().await;
    let (short, long) = ("x".repeat(11), "x".repeat(72));
    for new in ["", &short, &long, "a\0bcdefghijklmnop"] {
        let answer = change(&portal, TEST_PASSWORD, new).await;
        assert_eq!(
            (answer.verdict().as_str(), answer.fields()),
            ("400 validation", vec!["newPassword".to_owned()])
        );
    }
    for current in [String::new(), "x".repeat(1_025)] {
        let answer = change(&portal, &current, NEW_PASSWORD).await;
        assert_eq!(
            (answer.verdict().as_str(), answer.fields()),
            ("400 validation", vec!["currentPassword".to_owned()])
        );
    }
    for body in
        [json!({}), json!({ "newPassword": NEW_PASSWORD }), json!({ "currentPassword": 1, "newPassword": 2 })]
    {
        assert_eq!(portal.post("ada", "/api/auth/password", body).await.verdict(), "400 invalid_json");
    }
}

#[actix_web::test]
async fn trying_passwords_counts_as_logging_in() {
    let rate = |n| NonZeroU32::new(n).expect("it is not zero");
    let rate_limits = RateLimits { per_second: rate(100), logins_per_minute: rate(2) };
    let portal = Portal::with(Options { rate_limits, ..Options::default() }).await;
    let token = portal.token("ada").await;
    let mut verdicts = vec![];
    for _ in 0..3 {
        let body = json!({ "currentPassword": "a-wrong-one", "newPassword": NEW_PASSWORD });
        let call = TestRequest::post().uri("/api/auth/passw%6frd").set_json(body);
        let call = call.peer_addr("192.0.2.1:1000".parse().expect("it is one"));
        verdicts.push(
            portal.send(call.insert_header((AUTHORIZATION, format!("Bearer {token}")))).await.verdict(),
        );
    }
    assert_eq!(verdicts, ["403 wrong_password", "403 wrong_password", "429 rate_limited"]);
}
