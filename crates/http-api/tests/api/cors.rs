//! Web pages of other origins.

use std::num::NonZeroU32;

use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, ORIGIN,
};
use actix_web::test::TestRequest;
use http_api::{AllowedOrigins, RateLimits};
use testkit::builders::TEST_PASSWORD;

use crate::routes::{documented_routes, furnish, sample_call};
use crate::support::{Answer, Options, Portal, ada_request, submission};

const CONSOLE: &str = "https://console.example.com";
const LOCAL: &str = "http://localhost:3000";
const FOREIGN: &str = "https://evil.example.com";

fn options() -> Options {
    let origins = [CONSOLE, LOCAL].map(str::to_owned);
    Options { cors: AllowedOrigins::parse(&origins).expect("they are origins"), ..Options::default() }
}

fn preflight(origin: &str, method: &str, uri: &str) -> TestRequest {
    TestRequest::default()
        .method(Method::OPTIONS)
        .uri(uri)
        .insert_header((ORIGIN, origin))
        .insert_header((ACCESS_CONTROL_REQUEST_METHOD, method))
}

fn sorted(list: Option<&str>) -> Vec<String> {
    let mut names: Vec<String> = list.unwrap_or_default().split(", ").map(str::to_lowercase).collect();
    names.sort_unstable();
    names
}

fn allowed(answer: &Answer) -> Option<&str> {
    answer.header("access-control-allow-origin")
}

#[actix_web::test]
async fn a_page_of_a_named_origin_may_ask_for_every_method_and_header_of_the_api_without_a_token() {
    let portal = Portal::with(options()).await;
    for (method, path) in documented_routes() {
        let call = preflight(
            CONSOLE,
            method.as_str(),
            &path.replace("{id}", "anything").replace("{name}", "anything"),
        );
        let headers = "authorization,content-type,idempotency-key,last-event-id,x-request-id";
        let answer = portal.send(call.insert_header((ACCESS_CONTROL_REQUEST_HEADERS, headers))).await;
        assert_eq!((answer.status, allowed(&answer)), (200, Some(CONSOLE)), "{method} {path}");
        assert!(answer.body.is_empty());
    }
    let answer = portal.send(preflight(LOCAL, "POST", "/api/queries")).await;
    assert_eq!(allowed(&answer), Some(LOCAL), "the answer names the one that asks");
    let methods = sorted(answer.header("access-control-allow-methods"));
    assert_eq!(methods, ["delete", "get", "head", "patch", "post", "put"]);
    let headers = sorted(answer.header("access-control-allow-headers"));
    assert_eq!(
        headers,
        ["accept", "authorization", "content-type", "idempotency-key", "last-event-id", "x-request-id"]
    );
    assert_eq!(answer.header("access-control-max-age"), Some("3600"));
    assert!(answer.header("vary").is_some_and(|vary| vary.contains("Origin")));
}

#[actix_web::test]
async fn a_preflight_for_anything_else_is_refused_and_says_why() {
    let portal = Portal::with(options()).await;
    let header = |name: &'static str| {
        preflight(CONSOLE, "POST", "/api/queries").insert_header((ACCESS_CONTROL_REQUEST_HEADERS, name))
    };
    for call in [
        preflight(FOREIGN, "GET", "/api/queries"),
        preflight("null", "GET", "/api/queries"),
        preflight("https://console.example.com.evil.example", "GET", "/api/queries"),
        preflight("http://console.example.com", "GET", "/api/queries"),
        preflight("https://console.example.com:8443", "GET", "/api/queries"),
        preflight(CONSOLE, "TRACE", "/api/queries"),
        header("x-anything"),
        header("cookie"),
    ] {
        let answer = portal.send(call).await;
        assert_eq!((answer.verdict().as_str(), allowed(&answer)), ("400 cors_refused", None));
    }
    let answer = portal.send(preflight(FOREIGN, "GET", "/api/queries")).await;
    insta::assert_snapshot!(answer.json()["detail"].as_str().expect("it is a text"), @"A web page of another origin may not make this call: Origin is not allowed to make this request. The setting server.cors_allowed_origins names the origins that may.");
}

#[actix_web::test]
async fn answers_to_a_named_origin_say_so_and_show_their_headers_whatever_the_answer_is() {
    let portal = Portal::with(options()).await;
    let bearer = format!("Bearer {}", portal.token("ada").await);
    let call = |method: &str, uri: &str| {
        let method = Method::from_bytes(method.as_bytes()).expect("it is a method");
        TestRequest::default().method(method).uri(uri).insert_header((ORIGIN, CONSOLE))
    };
    let known = |method: &str, uri: &str| call(method, uri).insert_header((AUTHORIZATION, bearer.clone()));
    let calls = [
        ("200", known("GET", "/api/auth/me")),
        ("201", known("POST", "/api/queries").set_json(submission())),
        (
            "400 validation",
            known("POST", "/api/queries").set_json(submission()).insert_header(("idempotency-key", "")),
        ),
        ("401 token_missing", call("GET", "/api/queries")),
        (
            "403 not_visible",
            known("GET", "/api/queries/").uri(&{
                let other = ada_request(77).requester(&crate::support::account("bob")).pending();
                format!("/api/queries/{}", portal.put(&other))
            }),
        ),
        ("404 not_found", call("GET", "/nothing")),
        ("404 not_found", call("GET", "/docs/nothing.js")),
        ("405 method_not_allowed", known("DELETE", "/api/auth/me")),
    ];
    for (verdict, call) in calls {
        let answer = portal.send(call).await;
        assert_eq!(answer.verdict(), verdict);
        assert_eq!(allowed(&answer), Some(CONSOLE), "{verdict}");
        let exposed = sorted(answer.header("access-control-expose-headers"));
        let expected = [
            "content-disposition",
            "idempotency-replayed",
            "location",
            "retry-after",
            "x-request-id",
            "x-result-truncated",
        ];
        assert_eq!(exposed, expected, "{verdict}");
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
}

#[actix_web::test]
async fn failures_and_rate_limits_can_be_read_by_the_page_too() {
    let one = NonZeroU32::new(1).expect("it is not zero");
    let rate_limits =
        RateLimits { per_second: NonZeroU32::new(1_000).expect("it is not zero"), logins_per_minute: one };
    let portal = Portal::with(Options { rate_limits, ..options() }).await;
    let login = || {
        let body = serde_json::json!({ "email": "ada@example.com", "password": TEST_PASSWORD });
        let peer = "192.0.2.1:1000".parse().expect("it is an address");
        TestRequest::post()
            .uri("/api/auth/login")
            .peer_addr(peer)
            .insert_header((ORIGIN, CONSOLE))
            .set_json(body)
    };
    let bearer = format!("Bearer {}", crate::support::text(&portal.send(login()).await.ok()["accessToken"]));
    let limited = portal.send(login()).await;
    assert_eq!((limited.verdict().as_str(), allowed(&limited)), ("429 rate_limited", Some(CONSOLE)));
    let preflight = portal.send(preflight(CONSOLE, "POST", "/api/auth/login")).await;
    assert_eq!(preflight.status, 200, "a preflight is no login");
    let submit = || {
        let call = TestRequest::post().uri("/api/queries").insert_header((ORIGIN, CONSOLE));
        call.insert_header((AUTHORIZATION, bearer.clone())).set_json(submission())
    };
    // The next submission gets an id that is taken: the store refuses the row.
    portal.put(&ada_request(1).pending());
    let broken = portal.send_even_if_broken(submit()).await;
    assert_eq!((broken.verdict().as_str(), allowed(&broken)), ("500 internal", Some(CONSOLE)));
    portal.store.set_unavailable(true);
    let away = portal.send(submit()).await;
    assert_eq!((away.verdict().as_str(), allowed(&away)), ("503 unavailable", Some(CONSOLE)));
}

/// How many calls from one address are answered before one is not, and the answer to that one.
async fn until_limited(portal: &Portal, call: impl Fn() -> TestRequest) -> (usize, Answer) {
    for answered in 0..100 {
        let peer = "192.0.2.1:1000".parse().expect("it is an address");
        let answer = portal.send(call().peer_addr(peer)).await;
        if answer.status == 429 {
            return (answered, answer);
        }
    }
    panic!("there is no end to it");
}

#[actix_web::test]
async fn preflights_count_once_like_any_call_and_not_as_logins() {
    let one = NonZeroU32::new(1).expect("it is not zero");
    let rate_limits = RateLimits { per_second: one, logins_per_minute: one };
    for (options, origin) in [(options(), Some(CONSOLE)), (Options::default(), None)] {
        let portal = Portal::with(Options { rate_limits, ..options }).await;
        let login = || preflight(CONSOLE, "POST", "/api/auth/login");
        let (answered, limited) = until_limited(&portal, login).await;
        assert!(answered >= 10, "a burst is ten times as many as in a second, not {answered}");
        assert_eq!(limited.verdict(), "429 rate_limited");
        let call = || TestRequest::get().uri("/api/auth/me").insert_header((ORIGIN, CONSOLE));
        let (answered, limited) = until_limited(&portal, call).await;
        assert!(answered < 10, "preflights have used up the burst");
        assert_eq!(allowed(&limited), origin, "a page can read that it has to wait");
    }
}

#[actix_web::test]
async fn a_page_of_a_foreign_origin_gets_nothing_that_lets_it_read_the_answer() {
    let portal = Portal::with(options()).await;
    furnish(&portal);
    let bearer = format!("Bearer {}", portal.token("ada").await);
    for (method, path) in documented_routes() {
        let call = sample_call(&method, &path).insert_header((ORIGIN, FOREIGN));
        let answer = portal.send(call.insert_header((AUTHORIZATION, bearer.clone()))).await;
        assert_eq!(allowed(&answer), None, "{method} {path}");
    }
}

#[actix_web::test]
async fn without_the_setting_there_is_no_access_from_other_origins_at_all() {
    let portal = Portal::new().await;
    let answer = portal.send(preflight(CONSOLE, "GET", "/api/queries")).await;
    assert_eq!((answer.verdict().as_str(), allowed(&answer)), ("401 token_missing", None));
    let call = TestRequest::get().uri("/health/live").insert_header((ORIGIN, CONSOLE));
    let answer = portal.send(call).await;
    assert_eq!((answer.status, allowed(&answer), answer.header("vary")), (200, None, None));
}
