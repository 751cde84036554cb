//! `HEAD` on addresses that have a `GET`.

use actix_web::http::{Method, header::AUTHORIZATION};
use actix_web::test::TestRequest;

use crate::routes::{documented_routes, furnish, sample_call};
use crate::support::Portal;

#[actix_web::test]
async fn every_address_answers_head_as_it_answers_get_but_without_a_body() {
    let portal = Portal::new().await;
    furnish(&portal);
    let bearer = format!("Bearer {}", portal.token("grace").await);
    let mut seen = 0;
    for (method, path) in documented_routes() {
        if method != Method::GET {
            continue;
        }
        let call = || sample_call(&method, &path).insert_header((AUTHORIZATION, bearer.clone()));
        let get = portal.send(call()).await;
        let head = portal.send_as_it_is(call().method(Method::HEAD)).await;
        assert_eq!(
            (head.status, head.header("content-type")),
            (get.status, get.header("content-type")),
            "{path}"
        );
        assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
        seen += 1;
    }
    assert!(seen > 8);
    for uri in ["/docs/", "/api/openapi.json"] {
        let head = portal.send_as_it_is(TestRequest::default().method(Method::HEAD).uri(uri)).await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{uri}");
    }
}

#[actix_web::test]
async fn errors_have_no_body_either() {
    let portal = Portal::new().await;
    for (uri, status) in [("/api/auth/me", 401), ("/nothing", 404), ("/docs/nothing.js", 404)] {
        let head = portal.send_as_it_is(TestRequest::default().method(Method::HEAD).uri(uri)).await;
        assert_eq!((head.status, head.body.len()), (status, 0), "{uri}");
        assert_eq!(head.header("content-type"), Some("application/problem+json"), "{uri}");
        assert!(head.header("x-request-id").is_some(), "{uri}");
    }
}

#[actix_web::test]
async fn head_changes_nothing_where_there_is_no_get() {
    let portal = Portal::new().await;
    let bearer = format!("Bearer {}", portal.token("ada").await);
    let call = TestRequest::default().method(Method::HEAD).uri("/api/auth/logout");
    let head = portal.send_as_it_is(call.insert_header((AUTHORIZATION, bearer))).await;
    assert_eq!((head.status, head.header("allow")), (405, Some("POST")));
    assert_eq!(portal.get("ada", "/api/auth/me").await.status, 200, "she is still logged in");
}
