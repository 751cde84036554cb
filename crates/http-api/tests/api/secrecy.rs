//! No answer, log line or audit entry holds a credential, a password or what is kept of one.

use actix_web::http::header::AUTHORIZATION;
use actix_web::test::TestRequest;
use domain::ports::{CredentialError, ExecutionError};
use serde_json::json;
use testkit::builders::TEST_PASSWORD;

use crate::logs::capture;
use crate::routes::{NEW_PASSWORD, documented_routes, furnish, new_instance, new_user, sample_call};
use crate::support::{Answer, PEOPLE, Portal, TARGET_PASSWORD, account};

/// `plain:` begins what the fake hasher keeps of a password.
const SECRETS: [&str; 4] = [TEST_PASSWORD, NEW_PASSWORD, TARGET_PASSWORD, "plain:"];

fn assert_silent(what: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret:?} in {what}: {text}");
    }
}

fn assert_nothing_told(what: &str, answer: &Answer) {
    assert_silent(what, answer.text());
    for (name, value) in &answer.headers {
        assert_silent(name.as_str(), &String::from_utf8_lossy(value.as_bytes()));
    }
}

#[actix_web::test]
async fn no_answer_of_any_route_to_anybody_holds_a_secret() {
    for (method, path) in documented_routes() {
        for (name, ..) in PEOPLE {
            let portal = Portal::new().await;
            furnish(&portal);
            let bearer = format!("Bearer {}", portal.token(name).await);
            let answer =
                portal.send(sample_call(&method, &path).insert_header((AUTHORIZATION, bearer))).await;
            assert_nothing_told(&format!("{method} {path} for {name}"), &answer);
            for entry in portal.store.audit_entries() {
                assert_silent("the trail", &format!("{entry:?}"));
            }
        }
    }
}

#[actix_web::test]
async fn neither_do_the_lines_and_answers_of_what_fails() {
    let (log, _logging) = capture();
    let portal = Portal::new().await;
    let bob = format!("/api/users/{}", account("bob").id);
    let mut answers = vec![];
    let orders = "/api/instances/orders-db";
    portal.credentials.fail_next(CredentialError::Malformed { reason: "it has no user name".to_owned() });
    answers.push(portal.post_nothing("root", &format!("{orders}/test")).await);
    let source = std::io::Error::other("connection refused");
    portal.inspector.fails(ExecutionError::Unavailable { source: source.into() });
    answers.push(portal.post_nothing("root", &format!("{orders}/sync")).await);
    for _ in 0..2 {
        answers.push(portal.post("root", "/api/users", new_user()).await);
        answers.push(portal.post("root", "/api/instances", new_instance()).await);
    }
    let wrong = json!({ "currentPassword": NEW_PASSWORD, "newPassword": NEW_PASSWORD });
    answers.push(portal.post("ada", "/api/auth/password", wrong.clone()).await);
    answers.push(portal.patch("root", &bob, json!({ "password": NEW_PASSWORD })).await);
    let root = format!("Bearer {}", portal.token("root").await);
    portal.store.set_unavailable(true);
    let calls = [
        TestRequest::post().uri("/api/users").set_json(new_user()),
        TestRequest::post().uri("/api/auth/password").set_json(wrong),
        TestRequest::post().uri(&format!("{bob}/password")).set_json(json!({ "password": NEW_PASSWORD })),
        TestRequest::post().uri(&format!("{orders}/test")),
    ];
    for call in calls {
        answers.push(portal.send(call.insert_header((AUTHORIZATION, root.clone()))).await);
    }
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 201, 201, 409, 409, 403, 400, 503, 503, 503, 503]);
    for answer in &answers {
        assert_nothing_told("an answer", answer);
    }
    let log = log.text();
    assert!(log.contains("credentials could not be fetched") && log.contains("a call failed"), "{log}");
    assert_silent("the log", &log);
}
