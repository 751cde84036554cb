//! What Secrets Manager and the way to it can do wrong, by a responder that answers as it would.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use domain::execution::Credentials;
use domain::ports::{CredentialError, CredentialSource};
use domain::target::{CredentialRef, CredentialSourceKind};
use secrecy::ExposeSecret;
use testkit::everything_said;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::moto::{OWN_TOKEN, source};

const SECRET: &str = "hF6-Rc29-kEt";

/// Standard retries wait up to a second and then up to two.
const ROOMY: Duration = Duration::from_secs(20);

fn reference(name: &str) -> CredentialRef {
    CredentialRef { source: CredentialSourceKind::Aws, reference: name.to_owned() }
}

/// Gives the answers one after the other, and the last one for ever.
struct Answers(Vec<ResponseTemplate>, AtomicUsize);

impl Respond for Answers {
    fn respond(&self, _request: &Request) -> ResponseTemplate {
        let at = self.1.fetch_add(1, Ordering::SeqCst).min(self.0.len() - 1);
        self.0[at].clone()
    }
}

async fn responder(answers: impl IntoIterator<Item = ResponseTemplate>) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/"))
        .and(header("x-amz-target", "secretsmanager.GetSecretValue"))
        .respond_with(Answers(answers.into_iter().collect(), AtomicUsize::new(0)))
        .mount(&server)
        .await;
    server
}

fn failure(status: u16, code: &str, message: &str) -> ResponseTemplate {
    let body = format!(r#"{{"__type": "{code}", "message": "{message}"}}"#);
    ResponseTemplate::new(status).set_body_raw(body, "application/x-amz-json-1.1")
}

fn success() -> ResponseTemplate {
    let text = format!(r#"{{\"username\": \"app\", \"password\": \"{SECRET}\"}}"#);
    let body =
        format!(r#"{{"Name": "targets/shop", "SecretString": "{text}", "VersionStages": ["AWSCURRENT"]}}"#);
    ResponseTemplate::new(200).set_body_raw(body, "application/x-amz-json-1.1")
}

async fn fetch(server: &MockServer, timeout: Duration) -> Result<Credentials, CredentialError> {
    source(&server.uri(), "targets/", timeout).fetch(&reference("targets/shop")).await
}

async fn asked(server: &MockServer) -> usize {
    server.received_requests().await.expect("they are recorded").len()
}

/// The cause of a failure that the source reports as unavailable.
fn unavailable(found: Result<Credentials, CredentialError>) -> String {
    match found {
        Err(error @ CredentialError::Unavailable { .. }) => silent(&error),
        other => panic!("{other:?}"),
    }
}

fn denied(found: Result<Credentials, CredentialError>) -> String {
    match found {
        Err(error @ CredentialError::Denied { .. }) => silent(&error),
        other => panic!("{other:?}"),
    }
}

fn silent(error: &CredentialError) -> String {
    let said = everything_said(error);
    assert!(!said.contains(SECRET) && !said.contains(OWN_TOKEN), "{said}");
    said
}

#[tokio::test]
async fn denied_access_is_told_with_the_service_s_own_words_and_not_tried_again() {
    let message = "User: arn:aws:sts::1:assumed-role/portal/i-1 is not authorized to perform: GetSecretValue";
    let server = responder([failure(400, "AccessDeniedException", message)]).await;
    let said = denied(fetch(&server, ROOMY).await);
    assert!(said.contains(&format!("HTTP status 400 AccessDeniedException: {message}")), "{said}");
    assert_eq!(asked(&server).await, 1);
}

#[tokio::test]
async fn a_login_that_aws_does_not_accept_is_denied_without_repeating_the_request() {
    for code in ["InvalidSignatureException", "ExpiredTokenException", "UnrecognizedClientException"] {
        let message =
            format!("The canonical string should have been 'POST x-amz-security-token:{OWN_TOKEN}'");
        let server = responder([failure(400, code, &message)]).await;
        assert!(denied(fetch(&server, ROOMY).await).contains(code));
    }
}

#[tokio::test]
async fn a_key_that_cannot_decrypt_the_secret_denies_it() {
    let server = responder([failure(400, "DecryptionFailure", "the KMS key is disabled")]).await;
    assert!(denied(fetch(&server, ROOMY).await).contains("DecryptionFailure: the KMS key is disabled"));
}

#[tokio::test]
async fn throttling_that_lasts_makes_the_source_unavailable_after_three_tries() {
    let server = responder([failure(400, "ThrottlingException", "Rate exceeded")]).await;
    assert!(unavailable(fetch(&server, ROOMY).await).contains("400 ThrottlingException"));
    assert_eq!(asked(&server).await, 3);
}

#[tokio::test]
async fn throttling_and_faults_that_pass_are_not_noticed() {
    let throttled = failure(400, "ThrottlingException", "Rate exceeded");
    let server = responder([throttled, failure(500, "InternalServiceError", "?"), success()]).await;
    let found = fetch(&server, ROOMY).await.unwrap();
    assert_eq!((found.username.as_str(), found.password.expose_secret()), ("app", SECRET));
    assert_eq!(asked(&server).await, 3);
}

#[tokio::test]
async fn a_service_that_fails_makes_the_source_unavailable() {
    let server = responder([failure(500, "InternalServiceError", SECRET)]).await;
    assert!(unavailable(fetch(&server, ROOMY).await).contains("500 InternalServiceError"));
    assert_eq!(asked(&server).await, 3);
    let server = responder([ResponseTemplate::new(503).set_body_string(SECRET)]).await;
    assert!(unavailable(fetch(&server, ROOMY).await).contains("HTTP status 503"));
}

#[tokio::test]
async fn a_code_that_nobody_knows_makes_the_source_unavailable_and_is_cut_to_what_a_log_takes() {
    let server = responder([failure(418, &"Teapot\\u0007\\u202e".repeat(50), SECRET)]).await;
    let said = unavailable(fetch(&server, ROOMY).await);
    assert!(said.contains("HTTP status 418 Teapot") && said.is_ascii() && said.len() < 2_000, "{said}");
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_given_up_in_time() {
    let server = responder([success().set_delay(Duration::from_mins(1))]).await;
    let before = Instant::now();
    assert!(unavailable(fetch(&server, Duration::from_millis(900)).await).contains("in time"));
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
}

#[tokio::test]
async fn a_second_try_helps_when_the_first_one_hangs() {
    let server = responder([success().set_delay(Duration::from_mins(1)), success()]).await;
    assert!(fetch(&server, Duration::from_secs(9)).await.is_ok());
    assert_eq!(asked(&server).await, 2);
}

#[tokio::test]
async fn a_service_that_is_not_there_is_told_by_its_cause() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let found = source(&url, "targets/", ROOMY).fetch(&reference("targets/shop")).await;
    assert!(unavailable(found).contains("could not be asked: "));
}

#[tokio::test]
async fn an_answer_that_is_none_of_secrets_manager_is_not_repeated() {
    let page = format!("<html>{SECRET}</html>");
    let broken = format!(r#"{{"SecretString": "{SECRET}"#);
    let number = format!(r#"{{"SecretString": ["{SECRET}"]}}"#);
    for body in [page, broken, number] {
        let server = responder([ResponseTemplate::new(200).set_body_string(body)]).await;
        let said = unavailable(fetch(&server, ROOMY).await);
        assert!(said.contains("could not be read (HTTP status 200)"), "{said}");
    }
    let server = responder([ResponseTemplate::new(200).set_body_string("{}")]).await;
    assert!(matches!(fetch(&server, ROOMY).await, Err(CredentialError::Malformed { .. })));
}

#[tokio::test]
async fn what_is_outside_of_the_prefixes_is_never_asked_for() {
    let server = responder([success()]).await;
    let found = source(&server.uri(), "targets/", ROOMY).fetch(&reference("portal/signing-key")).await;
    assert!(matches!(found, Err(CredentialError::Forbidden)), "{found:?}");
    assert_eq!(asked(&server).await, 0);
}

/// Keeps every log line of its thread that is of level DEBUG or above.
struct Log(&'static Mutex<String>);

impl tracing::field::Visit for Log {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        let mut log = self.0.lock().expect("no writer panics");
        write!(log, "{field}={value:?} ").expect("a string takes everything");
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::DEBUG
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        span.record(&mut Log(self.0));
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _span: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut Log(self.0));
    }

    fn record_follows_from(&self, _span: &tracing::span::Id, _follows: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut Log(self.0));
    }

    fn enter(&self, _span: &tracing::span::Id) {}

    fn exit(&self, _span: &tracing::span::Id) {}
}

#[tokio::test]
async fn the_sdk_logs_nothing_of_a_secret() {
    let log: &'static Mutex<String> = Box::leak(Box::default());
    let _guard = tracing::subscriber::set_default(Log(log));
    let server = responder([
        success(),
        failure(500, "InternalServiceError", SECRET),
        ResponseTemplate::new(200).set_body_string(format!("<html>{SECRET}</html>")),
    ])
    .await;
    assert!(fetch(&server, ROOMY).await.is_ok());
    unavailable(fetch(&server, ROOMY).await);
    let logged = log.lock().unwrap();
    assert!(
        logged.contains("get_secret_value") || logged.contains("GetSecretValue"),
        "nothing was logged: {logged}"
    );
    assert!(!logged.contains(SECRET), "{logged}");
    assert!(!logged.contains(OWN_TOKEN), "{logged}");
}
