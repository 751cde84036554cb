//! Every route for every kind of caller.

use std::fmt::Write as _;
use std::sync::Arc;

use actix_web::http::{Method, header::AUTHORIZATION};
use actix_web::test::TestRequest;
use domain::request::Request;
use serde_json::{Value, json};
use testkit::builders::TEST_PASSWORD;
use testkit::fakes::{SequentialIds, SequentialSecrets};

use crate::form::Form;
use crate::slack::Forged;
use crate::support::{Answer, Options, PEOPLE, Portal, account, ada_request, submission};

/// Method and path of every route in the description.
pub(crate) fn documented_routes() -> Vec<(Method, String)> {
    let document = serde_json::to_value(http_api::openapi_document()).expect("it is JSON");
    let paths = document["paths"].as_object().expect("there are paths").clone();
    let mut routes = vec![];
    for (path, item) in paths {
        for method in item.as_object().expect("a path has methods").keys() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("it is a method");
            routes.push((method, path.clone()));
        }
    }
    routes
}

/// A call of a route, good in itself; [`furnish`] has made what it is about.
///
/// # Panics
/// For a route without a row here: add one.
pub(crate) fn sample_call(method: &Method, path: &str) -> TestRequest {
    let body = match (method.as_str(), path) {
        ("POST", "/api/auth/login") => {
            Some(json!({ "email": "root@example.com", "password": TEST_PASSWORD }))
        }
        ("POST", "/api/auth/refresh") => Some(json!({ "refreshToken": SequentialSecrets::nth(1) })),
        ("POST", "/api/queries") => Some(submission()),
        ("POST", "/api/queries/check") => {
            Some(json!({ "instanceId": "orders-db", "queryContent": "SELECT 1" }))
        }
        ("PATCH", "/api/queries/{id}") => Some(json!({ "comments": "For the audit." })),
        ("POST", "/api/queries/{id}/resolve") => Some(json!({ "outcome": "failed", "note": "I looked." })),
        ("POST", "/api/auth/password") => {
            Some(json!({ "currentPassword": TEST_PASSWORD, "newPassword": NEW_PASSWORD }))
        }
        ("POST", "/api/instances") => Some(new_instance()),
        ("PATCH", "/api/instances/{id}" | "/api/pods/{id}" | "/api/users/{id}") => {
            Some(json!({ "name": "Renamed" }))
        }
        ("POST", "/api/instances/{id}/bind") => Some(json!({ "connectionRevision": 1 })),
        ("PUT", "/api/instances/{id}/dbs/{name}") => Some(json!({ "description": "The orders." })),
        ("POST", "/api/pods") => Some(json!({ "id": "new-pod", "name": "New" })),
        ("POST", "/api/users") => Some(new_user()),
        ("POST", "/api/users/{id}/password") => Some(json!({ "password": NEW_PASSWORD })),
        ("POST", "/api/queries/{id}/reject") => Some(json!({ "reason": "Please add a WHERE." })),
        (
            "GET",
            "/api/auth/me"
            | "/api/auth/sessions"
            | "/api/instances/{id}"
            | "/api/pods/{id}"
            | "/api/users"
            | "/api/users/{id}"
            | "/api/roles"
            | "/api/queries"
            | "/api/queries/pending"
            | "/api/queries/{id}"
            | "/api/queries/{id}/result"
            | "/api/queries/{id}/events"
            | "/api/queries/{id}/log"
            | "/api/scripts/{id}/status"
            | "/api/instances"
            | "/api/instances/{id}/dbs"
            | "/api/pods"
            | "/health/live"
            | "/health/ready",
        )
        | (
            "POST",
            "/api/auth/logout"
            | "/api/auth/logout-all"
            | "/api/queries/{id}/approve"
            | "/api/queries/{id}/withdraw"
            | "/api/queries/{id}/clone"
            | "/api/queries/{id}/cancel"
            // Its form is added below.
            | "/api/scripts/upload"
            // Slack's own words, which the portal of these calls takes for nobody's.
            | "/api/slack/interactions"
            | "/api/instances/{id}/test"
            | "/api/instances/{id}/sync",
        )
        | (
            "DELETE",
            "/api/auth/sessions/{id}" | "/api/instances/{id}" | "/api/pods/{id}" | "/api/users/{id}",
        ) => None,
        _ => panic!("{method} {path} has no row in this table: add one"),
    };
    let id = match path {
        // The caller's own: the first session of a portal.
        "/api/auth/sessions/{id}" => SequentialIds::nth(1).to_string(),
        "/api/pods/{id}" => "payments".to_owned(),
        path if path.starts_with("/api/instances/") => "orders-db".to_owned(),
        path if path.starts_with("/api/users/") => account("bob").id.to_string(),
        "/api/queries/{id}/cancel" => ada_request(EXECUTING).executing().id.to_string(),
        "/api/queries/{id}/resolve" => ada_request(INTERRUPTED).interrupted().id.to_string(),
        "/api/queries/{id}/result" | "/api/queries/{id}/events" => {
            ada_request(COMPLETED).completed().id.to_string()
        }
        "/api/scripts/{id}/status" | "/api/queries/{id}/log" => script().id.to_string(),
        _ => ada_request(PENDING).pending().id.to_string(),
    };
    let uri = path.replace("{id}", &id).replace("{name}", "orders");
    let call = TestRequest::default().method(method.clone()).uri(&uri);
    match body {
        Some(body) => call.set_json(body),
        None if path == "/api/scripts/upload" => Form::script().fill(call),
        None => call,
    }
}

/// What somebody's password is changed to.
pub(crate) const NEW_PASSWORD: &str = "wrong donkey fuel cell";

/// An instance that can be added.
pub(crate) fn new_instance() -> Value {
    json!({
        "id": "new-db", "name": "New", "podIds": ["payments"], "databases": ["fresh"],
        "connection": {
            "host": "db.example.com", "tls": "disable",
            "credentialSource": "env", "credentialReference": "TARGET_ORDERS-DB",
        },
    })
}

/// An account that can be created.
pub(crate) fn new_user() -> Value {
    json!({
        "email": "new@example.com", "name": "New", "podId": "payments", "roles": ["developer"],
        "password": NEW_PASSWORD,
    })
}

const PENDING: u64 = 901;
const COMPLETED: u64 = 902;
const EXECUTING: u64 = 903;
const INTERRUPTED: u64 = 904;
const SCRIPT: u64 = 905;

fn script() -> Request {
    ada_request(SCRIPT).script("fix.js", "return 1;").completed()
}

/// Puts the requests into a portal that sample calls are about. The refresh token in them is the first that
/// a portal gives.
pub(crate) fn furnish(portal: &Portal) {
    portal.put(&ada_request(PENDING).pending());
    portal.put(&ada_request(COMPLETED).completed());
    portal.put(&ada_request(EXECUTING).executing());
    portal.put(&ada_request(INTERRUPTED).interrupted());
    portal.put(&script());
}

/// Every cell gets a portal of its own: a withdrawal or a logout must not reach the next one.
async fn verdict(method: &Method, path: &str, caller: Option<&str>) -> Answer {
    let portal = Portal::with(Options { slack: Some(Arc::new(Forged)), ..Options::default() }).await;
    furnish(&portal);
    let token = portal.token(caller.unwrap_or("ada")).await;
    let call = sample_call(method, path);
    let call =
        if caller.is_some() { call.insert_header((AUTHORIZATION, format!("Bearer {token}"))) } else { call };
    portal.send(call).await
}

#[actix_web::test]
async fn every_route_answers_every_role_as_this_table_says() {
    let mut table = String::new();
    for (method, path) in documented_routes() {
        let mut row = format!("{method} {path}\n   ");
        let callers = [None].into_iter().chain(PEOPLE.map(|(name, ..)| Some(name)));
        for (index, caller) in callers.enumerate() {
            let answer = verdict(&method, &path, caller).await;
            let separator = if index == 4 {
                " |\n    "
            } else if index == 0 {
                " "
            } else {
                " | "
            };
            write!(row, "{separator}{}: {}", caller.unwrap_or("nobody"), answer.verdict())
                .expect("memory is writable");
        }
        table.push_str(&row);
        table.push('\n');
    }
    insta::assert_snapshot!(table, @r"
    POST /api/auth/login
        nobody: 200 | ada: 200 | bob: 200 | grace: 200 |
        linus: 200 | root: 200 | olga: 200 | vera: 200
    POST /api/auth/logout
        nobody: 401 token_missing | ada: 204 | bob: 204 | grace: 204 |
        linus: 204 | root: 204 | olga: 204 | vera: 204
    POST /api/auth/logout-all
        nobody: 401 token_missing | ada: 204 | bob: 204 | grace: 204 |
        linus: 204 | root: 204 | olga: 204 | vera: 204
    GET /api/auth/me
        nobody: 401 token_missing | ada: 200 | bob: 200 | grace: 200 |
        linus: 200 | root: 200 | olga: 200 | vera: 200
    POST /api/auth/password
        nobody: 401 token_missing | ada: 204 | bob: 204 | grace: 204 |
        linus: 204 | root: 204 | olga: 204 | vera: 204
    POST /api/auth/refresh
        nobody: 200 | ada: 200 | bob: 200 | grace: 200 |
        linus: 200 | root: 200 | olga: 200 | vera: 200
    GET /api/auth/sessions
        nobody: 401 token_missing | ada: 200 | bob: 200 | grace: 200 |
        linus: 200 | root: 200 | olga: 200 | vera: 200
    DELETE /api/auth/sessions/{id}
        nobody: 401 token_missing | ada: 204 | bob: 204 | grace: 204 |
        linus: 204 | root: 204 | olga: 204 | vera: 204
    GET /api/instances
        nobody: 401 token_missing | ada: 200 | bob: 200 | grace: 200 |
        linus: 200 | root: 200 | olga: 200 | vera: 200
    POST /api/instances
        nobody: 401 token_missing | ada: 403 permission | bob: 403 permission | grace: 403 permission |
        linus: 403 permission | root: 201 | olga: 403 permission | vera: 403 permission
    DELETE /api/instances/{id}
        nobody: 401 token_missing | ada: 403 permission | bob: 403 permission | grace: 403 permission |
        linus: 403 permission | root: 200 | olga: 403 permission | vera: 403 permission
    GET /api/instances/{id}
        nobody: 401 token_missing | ada: 200 | bob: 200 | grace: 200 |
        linus: 404 not_found | root: 200 | olga: 200 | vera: 200
    PATCH /api/instances/{id}
        nobody: 401 token_missing | ada: 403 permission | bob: 403 permission | grace: 403 permission |
        linus: 403 permission | root: 200 | olga: 403 permission | vera: 403 permission
    POST /api/instances/{id}/bind
        nobody: 401 token_missing | ada: 403 permission | bob: 403 permission | grace: 403 permission |
        linus: 403 permission | root: 200 | olga: 403 permission | vera: 403 permission
    GET /api/instances/{id}/dbs
        nobody: 401 token_missing | ada: 200 | bob: 200 | grace: 200 |
        linus: 404 not_found | root: 200 | olga: 200 | vera: 200
    PUT /api/instances/{id}/dbs/{name}
        nobody: 401 token_missing | ada: 403 permission | bob: 403 permission | grace: 403 permission |
        linus: 403 permission | root: 200 | olga: 403 permission | vera: 403 permission
    POST /api/instances/{id}/sync
        nobody: 401 token_missing | ada: 403 permission | bob: 403 permission | grace: 403 permission |
        linus: 403 permission | root: 200 | olga: 403 permission | vera: 403 permission
    POST /api/instances/{id}/test
        nobody: 401 token_missing | ada: 403 permission | bob: 403 permission | grace: 403 permission |
        linus: 403 permission | root: 200 | olga: 403 permission | vera: 403 permission
    GET /api/pods
        nobody: 401 token_missing | ada: 200 | bob: 200 | grace: 200 |
        linus: 200 | root: 200 | olga: 200 | vera: 200
    POST /api/pods
        nobody: 401 token_missing | ada: 403 permission | bob: 403 permission | grace: 403 permission |
        linus: 403 permission | root: 201 | olga: 403 permission | vera: 403 permission
    DELETE /api/pods/{id}
        nobody: 401 token_missing | ada: 403 permission | bob: 403 permission | grace: 403 permission |
        linus: 403 permission | root: 200 | olga: 403 permission | vera: 403 permission
    GET /api/pods/{id}
        nobody: 401 token_missing | ada: 200 | bob: 200 | grace: 200 |
        linus: 200 | root: 200 | olga: 200 | vera: 200
    PATCH /api/pods/{id}
        nobody: 401 token_missing | ada: 403 permission | bob: 403 permission | grace: 403 permission |
        linus: 403 permission | root: 200 | olga: 403 permission | vera: 403 permission
    GET /api/queries
        nobody: 401 token_missing | ada: 200 | bob: 200 | grace: 200 |
        linus: 200 | root: 200 | olga: 200 | vera: 200
    POST /api/queries
        nobody: 401 token_missing | ada: 201 | bob: 201 | grace: 201 |
        linus: 400 validation | root: 403 pod_without_access | olga: 403 permission | vera: 403 permission
    POST /api/queries/check
        nobody: 401 token_missing | ada: 200 | bob: 200 | grace: 200 |
        linus: 400 validation | root: 200 | olga: 403 permission | vera: 403 permission
    GET /api/queries/pending
        nobody: 401 token_missing | ada: 200 | bob: 200 | grace: 200 |
        linus: 200 | root: 200 | olga: 200 | vera: 200
    GET /api/queries/{id}
        nobody: 401 token_missing | ada: 200 | bob: 403 not_visible | grace: 200 |
        linus: 403 not_visible | root: 200 | olga: 403 not_visible | vera: 403 not_visible
    PATCH /api/queries/{id}
        nobody: 401 token_missing | ada: 200 | bob: 403 not_visible | grace: 403 not_requester |
        linus: 403 not_visible | root: 403 not_requester | olga: 403 not_visible | vera: 403 not_visible
    POST /api/queries/{id}/approve
        nobody: 401 token_missing | ada: 403 own_request | bob: 403 not_visible | grace: 200 |
        linus: 403 not_visible | root: 200 | olga: 403 not_visible | vera: 403 not_visible
    POST /api/queries/{id}/cancel
        nobody: 401 token_missing | ada: 200 | bob: 403 not_visible | grace: 200 |
        linus: 403 not_visible | root: 200 | olga: 403 not_visible | vera: 403 not_visible
    POST /api/queries/{id}/clone
        nobody: 401 token_missing | ada: 201 | bob: 403 not_visible | grace: 403 not_requester |
        linus: 403 not_visible | root: 403 not_requester | olga: 403 not_visible | vera: 403 not_visible
    GET /api/queries/{id}/events
        nobody: 401 token_missing | ada: 200 | bob: 403 not_visible | grace: 200 |
        linus: 403 not_visible | root: 200 | olga: 403 not_visible | vera: 403 not_visible
    GET /api/queries/{id}/log
        nobody: 401 token_missing | ada: 200 | bob: 403 not_visible | grace: 200 |
        linus: 403 not_visible | root: 200 | olga: 403 not_visible | vera: 403 not_visible
    POST /api/queries/{id}/reject
        nobody: 401 token_missing | ada: 403 own_request | bob: 403 not_visible | grace: 200 |
        linus: 403 not_visible | root: 200 | olga: 403 not_visible | vera: 403 not_visible
    POST /api/queries/{id}/resolve
        nobody: 401 token_missing | ada: 403 own_request | bob: 403 not_visible | grace: 200 |
        linus: 403 not_visible | root: 200 | olga: 403 not_visible | vera: 403 not_visible
    GET /api/queries/{id}/result
        nobody: 401 token_missing | ada: 200 | bob: 403 not_visible | grace: 200 |
        linus: 403 not_visible | root: 200 | olga: 403 not_visible | vera: 403 not_visible
    POST /api/queries/{id}/withdraw
        nobody: 401 token_missing | ada: 200 | bob: 403 not_visible | grace: 403 not_requester |
        linus: 403 not_visible | root: 403 not_requester | olga: 403 not_visible | vera: 403 not_visible
    GET /api/roles
        nobody: 401 token_missing | ada: 403 permission | bob: 403 permission | grace: 403 permission |
        linus: 403 permission | root: 200 | olga: 403 permission | vera: 403 permission
    POST /api/scripts/upload
        nobody: 401 token_missing | ada: 201 | bob: 201 | grace: 201 |
        linus: 400 validation | root: 403 pod_without_access | olga: 403 permission | vera: 403 permission
    GET /api/scripts/{id}/status
        nobody: 401 token_missing | ada: 200 | bob: 403 not_visible | grace: 200 |
        linus: 403 not_visible | root: 200 | olga: 403 not_visible | vera: 403 not_visible
    POST /api/slack/interactions
        nobody: 401 slack_signature | ada: 401 slack_signature | bob: 401 slack_signature | grace: 401 slack_signature |
        linus: 401 slack_signature | root: 401 slack_signature | olga: 401 slack_signature | vera: 401 slack_signature
    GET /api/users
        nobody: 401 token_missing | ada: 403 permission | bob: 403 permission | grace: 403 permission |
        linus: 403 permission | root: 200 | olga: 403 permission | vera: 403 permission
    POST /api/users
        nobody: 401 token_missing | ada: 403 permission | bob: 403 permission | grace: 403 permission |
        linus: 403 permission | root: 201 | olga: 403 permission | vera: 403 permission
    DELETE /api/users/{id}
        nobody: 401 token_missing | ada: 403 permission | bob: 403 permission | grace: 403 permission |
        linus: 403 permission | root: 200 | olga: 403 permission | vera: 403 permission
    GET /api/users/{id}
        nobody: 401 token_missing | ada: 403 permission | bob: 403 permission | grace: 403 permission |
        linus: 403 permission | root: 200 | olga: 403 permission | vera: 403 permission
    PATCH /api/users/{id}
        nobody: 401 token_missing | ada: 403 permission | bob: 403 permission | grace: 403 permission |
        linus: 403 permission | root: 200 | olga: 403 permission | vera: 403 permission
    POST /api/users/{id}/password
        nobody: 401 token_missing | ada: 403 permission | bob: 403 permission | grace: 403 permission |
        linus: 403 permission | root: 204 | olga: 403 permission | vera: 403 permission
    GET /health/live
        nobody: 200 | ada: 200 | bob: 200 | grace: 200 |
        linus: 200 | root: 200 | olga: 200 | vera: 200
    GET /health/ready
        nobody: 200 | ada: 200 | bob: 200 | grace: 200 |
        linus: 200 | root: 200 | olga: 200 | vera: 200
    ");
}

#[actix_web::test]
async fn a_wrong_method_on_a_known_address_says_which_methods_there_are() {
    let portal = Portal::new().await;
    let routes = documented_routes();
    for (_, path) in &routes {
        let mut allowed: Vec<&str> =
            routes.iter().filter(|(_, other)| other == path).map(|(method, _)| method.as_str()).collect();
        if allowed.contains(&"GET") {
            allowed.push("HEAD");
        }
        allowed.sort_unstable();
        let uri = path.replace("{id}", "anything").replace("{name}", "anything");
        for method in ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            // There the word in the path is taken for the id of a request to change, which it is not.
            let taken_for_an_id = matches!(path.as_str(), "/api/queries/check" | "/api/queries/pending");
            if allowed.contains(&method) || (method == "PATCH" && taken_for_an_id) {
                continue;
            }
            let method = Method::from_bytes(method.as_bytes()).expect("it is a token");
            let answer = portal.send_as("root", TestRequest::default().method(method).uri(&uri)).await;
            assert_eq!(answer.verdict(), "405 method_not_allowed", "{uri}");
            assert_eq!(answer.header("allow"), Some(allowed.join(", ").as_str()), "{uri}");
        }
    }
    for uri in ["/api/openapi.json", "/docs/"] {
        let answer = portal.send_as("root", TestRequest::delete().uri(uri)).await;
        assert_eq!(
            (answer.verdict().as_str(), answer.header("allow")),
            ("405 method_not_allowed", Some("GET, HEAD"))
        );
    }
}

#[actix_web::test]
async fn addresses_without_a_route_are_not_found() {
    let portal = Portal::new().await;
    let id = portal.submit().await;
    let unknown = [
        "/".to_owned(),
        "/nothing".to_owned(),
        "/health".to_owned(),
        "/health/".to_owned(),
        "/metrics".to_owned(),
        "/docs/nothing.js".to_owned(),
        "/api".to_owned(),
        "/api/".to_owned(),
        "/api/nothing".to_owned(),
        "/api/queries/".to_owned(),
        format!("/api/queries/{id}/nothing"),
        format!("/api/queries/{id}/result/more"),
        "//api//queries".to_owned(),
        "/API/queries".to_owned(),
        "/api/requestsfoo".to_owned(),
        "/api/./queries".to_owned(),
    ];
    for uri in unknown {
        let answer = portal.get("root", &uri).await;
        assert_eq!(answer.verdict(), "404 not_found", "{uri}");
    }
}

#[actix_web::test]
async fn below_api_somebody_without_a_token_learns_nothing_about_addresses() {
    let portal = Portal::new().await;
    for uri in ["/api", "/api/nothing", "/api/queries/nothing/nothing"] {
        let answer = portal.send(TestRequest::get().uri(uri)).await;
        assert_eq!(answer.verdict(), "401 token_missing", "{uri}");
    }
    let answer = portal.send(TestRequest::get().uri("/nothing")).await;
    assert_eq!(answer.verdict(), "404 not_found");
}
