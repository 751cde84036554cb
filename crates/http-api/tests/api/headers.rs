//! What answers carry beside their content. Security headers, ids and the form of problems are looked at
//! with every call of every test, by `support`.

use actix_web::test::TestRequest;
use serde_json::json;

use crate::support::Portal;

const API_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

#[actix_web::test]
async fn answers_of_the_api_may_not_be_run_or_framed_even_when_they_are_errors() {
    let portal = Portal::new().await;
    for uri in [
        "/health/live",
        "/api/openapi.json",
        "/api/auth/me",
        "/api/nothing",
        "/nothing",
        "/docsx",
        "/api/docs",
    ] {
        let answer = portal.send(TestRequest::get().uri(uri)).await;
        assert_eq!(answer.header("content-security-policy"), Some(API_POLICY), "{uri}");
    }
}

#[actix_web::test]
async fn a_harmless_id_of_the_client_comes_back_and_others_are_replaced() {
    let portal = Portal::new().await;
    let longest = "x".repeat(64);
    for id in ["a", "trace-1_B", "00000000-0000-4000-8000-000000000001", &longest] {
        for uri in ["/health/live", "/api/auth/me", "/nothing"] {
            let call = TestRequest::get().uri(uri).insert_header(("x-request-id", id));
            assert_eq!(portal.send(call).await.header("x-request-id"), Some(id));
        }
    }
    let long = "x".repeat(65);
    for id in ["", " ", "a b", "<script>", "a;b", "a=\"b\"", "é", "../a", "a,b", "{\"a\":1}", &long] {
        let call = TestRequest::get().uri("/health/live").insert_header(("x-request-id", id.as_bytes()));
        let answer = portal.send(call).await;
        let given = answer.header("x-request-id").expect("there is one");
        assert_eq!((given.len(), given.matches('-').count()), (36, 4), "{id:?} became {given:?}");
    }
}

#[actix_web::test]
async fn every_answer_has_an_id_of_its_own() {
    let portal = Portal::new().await;
    let mut ids = vec![];
    for _ in 0..3 {
        let answer = portal.send(TestRequest::get().uri("/health/live")).await;
        ids.push(answer.header("x-request-id").expect("there is one").to_owned());
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[actix_web::test]
async fn no_answer_names_the_server_or_sets_a_cookie() {
    let portal = Portal::new().await;
    let login = json!({ "email": "ada@example.com", "password": testkit::builders::TEST_PASSWORD });
    let calls = [
        TestRequest::post().uri("/api/auth/login").set_json(login),
        TestRequest::get().uri("/nothing"),
        TestRequest::get().uri("/docs/"),
    ];
    for call in calls {
        let answer = portal.send(call).await;
        for name in ["server", "x-powered-by", "set-cookie", "access-control-allow-origin"] {
            assert_eq!(answer.header(name), None);
        }
    }
}
