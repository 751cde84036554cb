//! Bodies that take their time: what happens meanwhile counts, and there is an end to it.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::http::header::AUTHORIZATION;
use actix_web::rt::time::sleep;
use actix_web::test::TestRequest;
use testkit::builders::{TEST_PASSWORD, user};

use crate::openapi::is_public;
use crate::routes::{documented_routes, furnish, sample_call};
use crate::socket::{Socket, listen};
use crate::support::{Options, Portal, account, text};

const NEW_USER: &str = r#"{"email":"eve@example.com","name":"Eve","roles":["admin"],"podId":"platform","password":"correct horse battery staple"}"#;

/// A portal whose patience a test can wait for.
async fn impatient() -> Portal {
    Portal::with(Options { body_time_limit: Duration::from_millis(200), ..Options::default() }).await
}

/// The headers of a call with a body of so many bytes, for which the portal has to ask.
fn headers(content_type: &str, length: usize) -> String {
    format!("{content_type}content-length: {length}\r\nexpect: 100-continue\r\n")
}

/// A call of Root's that wants to make another admin; the portal has looked at its token, and half of its body is sent.
async fn half_a_new_admin(address: SocketAddr, token: &str, content_type: &str) -> Socket {
    let headers = headers(content_type, NEW_USER.len());
    let mut socket = Socket::call(address, "POST /api/users", Some(token), &headers);
    socket.until_the_body_is_asked_for().await;
    assert!(socket.send(&NEW_USER[..5]));
    socket
}

const JSON: &str = "content-type: application/json\r\n";

async fn log_out_everywhere(portal: &Portal, token: &str) {
    let call = TestRequest::post().uri("/api/auth/logout-all");
    let answer = portal.send(call.insert_header((AUTHORIZATION, format!("Bearer {token}")))).await;
    assert_eq!(answer.status, 204);
}

fn accounts_made(portal: &Portal) -> usize {
    portal.store.audit_actions().iter().filter(|action| *action == "user.create").count()
}

#[actix_web::test]
async fn a_body_that_comes_late_but_in_time_is_as_good_as_any() {
    let portal = Portal::new().await;
    let (address, token) = (listen(&portal), portal.token("root").await);
    let mut socket = half_a_new_admin(address, &token, JSON).await;
    assert!(socket.send(&NEW_USER[5..]));
    assert_eq!((socket.verdict().await.as_str(), accounts_made(&portal)), ("201", 1));
}

#[actix_web::test]
async fn whoever_logs_out_while_their_body_arrives_does_nothing_any_more() {
    let portal = Portal::new().await;
    let address = listen(&portal);
    for content_type in [JSON, "content-type: multipart/form-data; boundary=x\r\n", ""] {
        let token = text(&portal.log_in("root").await["accessToken"]);
        let mut socket = half_a_new_admin(address, &token, content_type).await;
        log_out_everywhere(&portal, &token).await;
        assert!(socket.send(&NEW_USER[5..]));
        assert_eq!(socket.verdict().await, "401 session_ended", "{content_type}");
    }
    assert_eq!(accounts_made(&portal), 0);
}

#[actix_web::test]
async fn whoever_loses_their_role_or_their_account_while_their_body_arrives_does_nothing_any_more() {
    let portal = Portal::new().await;
    let (address, root) = (listen(&portal), account("root"));
    let token = portal.token("root").await;
    let mut demoted = half_a_new_admin(address, &token, JSON).await;
    portal.store.set_roles(root.id, &["developer"]);
    assert!(demoted.send(&NEW_USER[5..]));
    assert_eq!(demoted.verdict().await, "403 permission");
    portal.store.set_roles(root.id, &["admin"]);
    let mut deactivated = half_a_new_admin(address, &token, JSON).await;
    portal.store.put_user(&user("root").role("admin").pod("platform").inactive().build(), TEST_PASSWORD);
    assert!(deactivated.send(&NEW_USER[5..]));
    assert_eq!(deactivated.verdict().await, "401 session_ended");
    assert_eq!(accounts_made(&portal), 0);
}

#[actix_web::test]
async fn there_is_no_route_whose_caller_may_log_out_while_the_body_arrives() {
    let portal = Portal::new().await;
    furnish(&portal);
    let (address, mut seen) = (listen(&portal), 0);
    for (method, path) in documented_routes() {
        let call = sample_call(&method, &path).to_http_request();
        if is_public(&path) {
            continue;
        }
        let token = text(&portal.log_in("root").await["accessToken"]);
        let call = format!("{method} {}", call.uri());
        let mut socket = Socket::call(address, &call, Some(&token), &headers(JSON, 2));
        socket.until_the_body_is_asked_for().await;
        log_out_everywhere(&portal, &token).await;
        assert!(socket.send("{}"));
        assert_eq!(socket.verdict().await, "401 session_ended", "{call}");
        seen += 1;
    }
    assert!(seen > 30, "{seen}");
}

#[actix_web::test]
async fn nobody_waits_for_the_body_of_somebody_unknown() {
    let portal = Portal::new().await;
    let address = listen(&portal);
    for (token, verdict) in [(None, "401 token_missing"), (Some("nonsense"), "401 token_invalid")] {
        let mut socket = Socket::call(address, "POST /api/users", token, "content-length: 100\r\n");
        assert_eq!(socket.verdict().await, verdict);
    }
}

#[actix_web::test]
async fn a_body_that_does_not_arrive_in_time_is_refused_and_the_connection_closed() {
    let portal = impatient().await;
    let (address, token) = (listen(&portal), portal.token("root").await);
    for (call, token) in [
        ("POST /api/auth/login", None),
        ("POST /api/auth/refresh", None),
        ("POST /api/users", Some(token.as_str())),
        ("POST /api/auth/logout", Some(&token)),
    ] {
        let mut socket = Socket::call(address, call, token, &format!("{JSON}content-length: 100\r\n"));
        assert!(socket.send("{\"na"));
        let (head, problem) = socket.answer().await;
        assert!(head.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{call}: {head}");
        assert!(head.contains("\r\nconnection: close\r\n"), "{call}: {head}");
        assert_eq!(problem["code"], "body_too_slow", "{call}");
        let detail = "The body did not arrive within 0.2 seconds, so nothing was done. Send the call again.";
        assert_eq!(problem["detail"], detail, "{call}");
        assert!(socket.is_closed().await, "{call}");
    }
    assert_eq!(portal.get("root", "/api/auth/me").await.status, 200, "she is still logged in");
}

#[actix_web::test]
async fn a_trickle_does_not_prolong_the_time() {
    let portal = impatient().await;
    let (address, token) = (listen(&portal), portal.token("root").await);
    for framing in ["content-length: 1000\r\n", "transfer-encoding: chunked\r\n"] {
        let mut socket = Socket::call(address, "POST /api/users", Some(&token), &format!("{JSON}{framing}"));
        for _ in 0..12 {
            // Bytes of a body of a known length, and whole chunks of one without.
            let piece = if framing.starts_with("content-length") { "x" } else { "1\r\nx\r\n" };
            socket.send(piece);
            sleep(Duration::from_millis(50)).await;
        }
        let (head, problem) = socket.answer().await;
        assert_eq!(problem["code"], "body_too_slow", "{framing}");
        assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
    }
}
