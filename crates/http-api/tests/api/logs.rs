//! What reaches the log: what an operator needs, and nothing that a user typed.

use std::io::Write;
use std::sync::{Arc, Mutex};

use actix_web::http::header::{AUTHORIZATION, USER_AGENT};
use actix_web::test::TestRequest;
use serde_json::json;
use testkit::builders::TEST_PASSWORD;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{Portal, ada_request, submission, text};

#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no test panics while it logs").clone())
            .expect("logs are UTF-8")
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no test panics while it logs").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Everything that is logged in this thread, for as long as the guard lives.
pub(crate) fn capture() -> (Captured, tracing::subscriber::DefaultGuard) {
    let captured = Captured::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(captured.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    (captured, guard)
}

const MARK: &str = "xyzzymark";

/// Calls that carry the mark wherever a user can type something.
fn marked_calls(id: &str) -> Vec<TestRequest> {
    let mut typed = submission();
    typed["queryContent"] = json!(format!("SELECT '{MARK}'"));
    typed["comments"] = json!(MARK);
    let mut misplaced = submission();
    misplaced["instanceId"] = json!(MARK);
    misplaced[MARK] = json!(MARK);
    let post = |uri: &str| TestRequest::post().uri(uri);
    vec![
        post("/api/queries").set_json(&typed),
        post("/api/queries").set_json(&misplaced),
        post("/api/queries")
            .set_payload(format!("{{{MARK}"))
            .insert_header(("content-type", "application/json")),
        post(&format!("/api/queries?{MARK}={MARK}")).set_json(&typed),
        post(&format!("/api/queries/{id}/reject")).set_json(json!({ "reason": MARK })),
        post(&format!("/api/queries/{id}/approve")).set_json(json!({ "digest": MARK })),
        post(&format!("/api/queries/{MARK}/approve")),
        post("/api/auth/login").set_json(json!({ "email": format!("{MARK}@example.com"), "password": MARK })),
        post("/api/auth/login").set_json(json!({ "email": [MARK], "password": MARK })),
        post("/api/auth/refresh").set_json(json!({ "refreshToken": MARK })),
        TestRequest::get().uri(&format!("/api/queries?status={MARK}")),
        TestRequest::get().uri(&format!("/api/queries?cursor={MARK}")),
        TestRequest::get().uri(&format!("/api/queries/{MARK}")),
        TestRequest::get().uri(&format!("/api/queries/{id}?wait={MARK}")),
        TestRequest::get().uri(&format!("/api/instances/{MARK}/dbs")),
        TestRequest::get().uri(&format!("/api/{MARK}")),
        TestRequest::get().uri(&format!("/{MARK}")),
        TestRequest::get().uri(&format!("/docs/{MARK}")),
        TestRequest::delete().uri(&format!("/api/queries/{MARK}")),
    ]
}

#[actix_web::test]
async fn nothing_that_a_user_typed_is_logged_neither_with_refusals_nor_with_failures() {
    let (captured, _logging) = capture();
    let portal = Portal::new().await;
    let refresh_token = portal.log_in("ada").await["refreshToken"].clone();
    let bearer = format!("Bearer {}", portal.token("ada").await);
    let id = text(&portal.post("ada", "/api/queries", submission()).await.ok()["id"]);
    // The next id is taken, so that the first marked submission is a failure of the portal's own.
    portal.put(&ada_request(2).pending());
    let mut statuses = vec![];
    for unavailable in [false, true] {
        portal.store.set_unavailable(unavailable);
        for authorization in [bearer.clone(), format!("Bearer {MARK}")] {
            for call in marked_calls(&id) {
                let call = call
                    .insert_header((AUTHORIZATION, authorization.clone()))
                    .insert_header((USER_AGENT, MARK))
                    .insert_header(("x-forwarded-for", MARK))
                    .insert_header(("x-request-id", format!("{MARK} with a space")));
                statuses.push(portal.send_even_if_broken(call).await.status);
            }
        }
    }
    portal.store.set_unavailable(false);
    // Reuse of a refresh token is worth a line, and the line holds no token.
    for _ in 0..2 {
        let body = json!({ "refreshToken": refresh_token });
        portal.send(TestRequest::post().uri("/api/auth/refresh").set_json(body)).await;
    }
    for status in [500, 503, 400, 401, 404, 405] {
        assert!(statuses.contains(&status), "{status} was not among {statuses:?}");
    }
    let log = captured.text();
    let failures = statuses.iter().filter(|status| **status >= 500).count();
    assert_eq!(log.matches("a call failed").count(), failures, "one line per failure:\n{log}");
    assert!(log.contains("a refresh token was used twice"));
    assert!(
        log.contains("exists already") && log.contains("told to be unavailable"),
        "causes are missing:\n{log}"
    );
    let token = text(&refresh_token);
    for secret in [MARK, TEST_PASSWORD, bearer.trim_start_matches("Bearer "), &token, "SELECT", "plain:"] {
        assert!(!log.contains(secret), "{secret:?} in:\n{log}");
    }
}

#[actix_web::test]
async fn a_failure_is_logged_with_the_id_that_its_answer_names_and_its_route() {
    let captured = Captured::default();
    let subscriber = tracing_subscriber::fmt().json().with_writer(captured.clone()).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let portal = Portal::new().await;
    let bearer = format!("Bearer {}", portal.token("ada").await);
    portal.store.set_unavailable(true);
    let call = TestRequest::get().uri("/api/queries/pending?limit=1").insert_header((AUTHORIZATION, bearer));
    let answer = portal.send(call.insert_header(("x-request-id", "my-own-id"))).await;
    assert_eq!(answer.header("x-request-id"), Some("my-own-id"));
    let log = captured.text();
    let line: serde_json::Value = serde_json::from_str(log.trim()).expect("it is one line of JSON");
    let fields = &line["fields"];
    assert_eq!((&line["level"], &fields["request_id"]), (&json!("ERROR"), &json!("my-own-id")));
    assert_eq!((&fields["status"], &fields["method"]), (&json!(503), &json!("GET")));
    assert_eq!(fields["route"], json!("/api/queries/pending"));
}
