//! A portal over fakes, answered calls, and what holds for every answer.

use std::cell::RefCell;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::to_bytes;
use actix_web::dev::Service as _;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::test::{self, TestRequest};
use actix_web::web::{Bytes, Data};
use domain::ids::RequestId;
use domain::job::WorkerId;
use domain::ports::{
    CredentialSource, ReplayGuard, ScriptRunner, ScriptTarget, SlackDesk, SubmissionReviewer, TargetExecutor,
    TargetInspector,
};
use domain::request::Request;
use domain::services::{
    Administration, AuthSettings, Authentication, Connections, DirectoryAccess, ExecutionSettings,
    ExecutionWorker, Keyring, Requests, ScriptChecks, Scripts, SlackDecisions, Submissions,
};
use domain::target::{CredentialSourceKind, Engine, ReferenceRules};
use domain::user::User;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use http_api::{AllowedOrigins, Api, ApiSettings, JwtAccessTokens, JwtSettings, RateLimits};
use serde_json::{Value, json};
use testkit::InMemoryStore;
use testkit::builders::{
    RequestBuilder, TEST_PASSWORD, database_name, instance_id, pod, request, target, target_database, user,
};
use testkit::fakes::{
    FakeClock, FakeCredentials, FakeExecutor, FakeInspector, FakeReviewer, FakeScriptRunner,
    FakeScriptTarget, PlainPasswords, SequentialIds, SequentialSecrets,
};

pub(crate) const KEY: &str = "a-signing-key-of-these-tests-only";
pub(crate) const ISSUER: &str = "query-portal";
/// The password that the credential source keeps for `orders-db`.
pub(crate) const TARGET_PASSWORD: &str = "not-for-your-eyes";
pub(crate) const AUDIENCE: &str = "query-portal-api";

/// Everybody who calls in these tests, with their roles and PODs. Ada is the one who submits.
pub(crate) const PEOPLE: [(&str, &str, &str); 7] = [
    ("ada", "developer", "payments"),
    ("bob", "developer", "payments"),
    ("grace", "manager", "payments"),
    ("linus", "manager", "search"),
    ("root", "admin", "platform"),
    ("olga", "operator", "payments"),
    ("vera", "viewer", "payments"),
];

/// An answer that was read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("headers are ASCII"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("answers are UTF-8")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }

    /// The `code` of a problem.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().expect("a problem has a code").to_owned()
    }

    /// Status and code, or only the status of a success: `409 invalid_state`.
    pub(crate) fn verdict(&self) -> String {
        if self.status < 400 { self.status.to_string() } else { format!("{} {}", self.status, self.code()) }
    }

    /// The fields that a problem names.
    pub(crate) fn fields(&self) -> Vec<String> {
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| text(&error["field"])).collect()
    }

    /// The body of a success.
    pub(crate) fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "{} {:?}", self.status, self.body);
        self.json()
    }
}

type Service = dyn Fn(TestRequest) -> LocalBoxFuture<'static, Answer>;

/// How a portal of a test differs from the usual one.
pub(crate) struct Options {
    pub(crate) rate_limits: RateLimits,
    pub(crate) require_digest: bool,
    pub(crate) executor: Option<Arc<dyn TargetExecutor>>,
    pub(crate) runs_scripts: bool,
    /// Who reviews what goes to MongoDB; without one the portal does not run it.
    pub(crate) shell: Option<Arc<FakeReviewer>>,
    pub(crate) cors: AllowedOrigins,
    pub(crate) body_time_limit: Duration,
    /// Slack as the portal meets it; without it nobody decides there.
    pub(crate) slack: Option<Arc<dyn SlackDesk>>,
    /// Who remembers the calls that were taken, if not the store.
    pub(crate) replays: Option<Arc<dyn ReplayGuard>>,
}

impl Default for Options {
    fn default() -> Self {
        let plenty = NonZeroU32::new(100_000).expect("it is not zero");
        Self {
            rate_limits: RateLimits { per_second: plenty, logins_per_minute: plenty },
            require_digest: false,
            executor: None,
            runs_scripts: true,
            shell: None,
            cors: AllowedOrigins::default(),
            body_time_limit: http_api::BODY_TIME_LIMIT,
            slack: None,
            replays: None,
        }
    }
}

/// The app over an in-memory store, with its fakes at hand.
pub(crate) struct Portal {
    pub(crate) store: InMemoryStore,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) reviewer: Arc<FakeReviewer>,
    pub(crate) executor: Arc<FakeExecutor>,
    pub(crate) runner: Arc<FakeScriptRunner>,
    pub(crate) inspector: Arc<FakeInspector>,
    pub(crate) credentials: Arc<FakeCredentials>,
    pub(crate) api: Data<Api>,
    worker: ExecutionWorker,
    service: Box<Service>,
    tokens: RefCell<HashMap<String, String>>,
}

impl Portal {
    pub(crate) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let (store, clock) = (furnished_store(), Arc::new(FakeClock::new()));
        let (reviewer, executor) = (Arc::new(FakeReviewer::default()), Arc::new(FakeExecutor::default()));
        let played = options.executor.clone().unwrap_or_else(|| executor.clone());
        let inspector = Arc::new(FakeInspector::default());
        let credentials = FakeCredentials::default().with("TARGET_ORDERS-DB", "portal", TARGET_PASSWORD);
        let credentials = Arc::new(credentials);
        let runner = Arc::new(FakeScriptRunner::new());
        let scripts = options.runs_scripts.then(|| scripts(&store, &clock, &runner));
        let submit = scripts.as_ref().map(|scripts| Arc::clone(&scripts.runner));
        let worker = ExecutionWorker { scripts, ..worker(&store, &clock, played, credentials.clone()) };
        let connections = connections(&store, &clock, &inspector, credentials.clone());
        let api = Data::new(api(&store, &clock, &reviewer, submit, connections, &options));
        let service = Rc::new(test::init_service(http_api::app(Data::clone(&api))).await);
        let service = move |request: TestRequest| {
            let service = Rc::clone(&service);
            async move {
                let response = service.call(request.to_request()).await.expect("errors become answers");
                let (status, headers) = (response.status().as_u16(), response.headers().clone());
                let Ok(body) = to_bytes(response.into_body()).await else { panic!("the answer broke off") };
                Answer { status, headers, body }
            }
            .boxed_local()
        };
        let tokens = RefCell::default();
        Self {
            store,
            clock,
            reviewer,
            executor,
            runner,
            inspector,
            credentials,
            api,
            worker,
            service: Box::new(service),
            tokens,
        }
    }

    /// Sends a call and looks at what holds for every answer. No test may see a 500 that it does not ask for.
    pub(crate) async fn send(&self, request: TestRequest) -> Answer {
        let answer = self.send_even_if_broken(request).await;
        assert_ne!(answer.status, 500, "{:?}", answer.body);
        answer
    }

    /// The same for the few calls that have to fail inside of the portal.
    pub(crate) async fn send_even_if_broken(&self, request: TestRequest) -> Answer {
        let answer = (self.service)(request).await;
        assert_well_formed(&answer);
        answer
    }

    /// The same for answers without a body, whose form is not looked at.
    pub(crate) async fn send_as_it_is(&self, request: TestRequest) -> Answer {
        (self.service)(request).await
    }

    /// Sends a call with the token of somebody of [`PEOPLE`].
    pub(crate) async fn send_as(&self, name: &str, request: TestRequest) -> Answer {
        let token = self.token(name).await;
        self.send(request.insert_header((AUTHORIZATION, format!("Bearer {token}")))).await
    }

    pub(crate) async fn get(&self, name: &str, uri: &str) -> Answer {
        self.send_as(name, TestRequest::get().uri(uri)).await
    }

    /// The same with an address of its own, for calls at the same time.
    pub(crate) async fn get_owned(&self, name: &str, uri: String) -> Answer {
        self.get(name, &uri).await
    }

    pub(crate) async fn post(&self, name: &str, uri: &str, body: Value) -> Answer {
        self.send_as(name, TestRequest::post().uri(uri).set_json(body)).await
    }

    pub(crate) async fn patch(&self, name: &str, uri: &str, body: Value) -> Answer {
        self.send_as(name, TestRequest::patch().uri(uri).set_json(body)).await
    }

    pub(crate) async fn put_json(&self, name: &str, uri: &str, body: Value) -> Answer {
        self.send_as(name, TestRequest::put().uri(uri).set_json(body)).await
    }

    pub(crate) async fn delete(&self, name: &str, uri: &str) -> Answer {
        self.send_as(name, TestRequest::delete().uri(uri)).await
    }

    /// A POST without a body.
    pub(crate) async fn post_nothing(&self, name: &str, uri: &str) -> Answer {
        self.send_as(name, TestRequest::post().uri(uri)).await
    }

    /// Somebody's access token, from a login that they do once.
    pub(crate) async fn token(&self, name: &str) -> String {
        let known = self.tokens.borrow().get(name).cloned();
        if let Some(token) = known {
            return token;
        }
        let token = text(&self.log_in(name).await["accessToken"]);
        self.tokens.borrow_mut().insert(name.to_owned(), token.clone());
        token
    }

    /// Time has passed: everybody logs in again before their next call.
    pub(crate) fn tokens_are_old(&self) {
        self.tokens.borrow_mut().clear();
    }

    /// The tokens of a new login.
    pub(crate) async fn log_in(&self, name: &str) -> Value {
        let body = json!({ "email": format!("{name}@example.com"), "password": TEST_PASSWORD });
        self.send(TestRequest::post().uri("/api/auth/login").set_json(body)).await.ok()
    }

    /// Submits a query of Ada's and gives its id.
    pub(crate) async fn submit(&self) -> String {
        text(&self.post("ada", "/api/queries", submission()).await.ok()["id"])
    }

    /// Runs one approved request to its end.
    pub(crate) async fn run_one(&self) {
        assert!(self.worker.run_one().await.expect("the store is there"), "nothing was approved");
    }

    /// Puts a request of Ada's into the store as it is, and gives its id.
    pub(crate) fn put(&self, request: &Request) -> RequestId {
        self.store.put_request(request);
        request.id
    }
}

/// What Ada submits when it does not matter.
pub(crate) fn submission() -> Value {
    json!({ "instanceId": "orders-db", "databaseName": "orders", "queryContent": "SELECT 1" })
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("it is a text").to_owned()
}

/// The account of somebody of [`PEOPLE`].
pub(crate) fn account(name: &str) -> User {
    let (_, role, pod) = PEOPLE.into_iter().find(|(person, ..)| *person == name).expect("we know them");
    user(name).role(role).pod(pod).build()
}

/// A request of Ada's to make more of. Its id is the same in every run, unlike those that the builder gives.
pub(crate) fn ada_request(id: u64) -> RequestBuilder {
    request().id(RequestId::from_uuid(SequentialIds::nth(id))).requester(&account("ada"))
}

fn furnished_store() -> InMemoryStore {
    let store = InMemoryStore::new();
    for id in ["payments", "search", "platform", "outsiders"] {
        store.put_pod(&pod(id).build());
    }
    store.put_pod(&pod("closed").inactive().build());
    for (name, ..) in PEOPLE {
        store.put_user(&account(name), TEST_PASSWORD);
    }
    store.put_target(&target("orders-db").pods(&["payments", "closed"]).build());
    store.put_target(&target("search-db").pods(&["search"]).build());
    store.put_target(&target("old-db").inactive().build());
    store.put_target(&target("documents-db").engine(Engine::Mongodb).build());
    store.put_database(&instance_id("orders-db"), &target_database("orders"));
    store.put_database(&instance_id("orders-db"), &target_database("archive"));
    store.set_database_active(&instance_id("orders-db"), &database_name("archive"), false);
    store.put_database(&instance_id("search-db"), &target_database("index"));
    store.put_database(&instance_id("old-db"), &target_database("old"));
    store.put_database(&instance_id("documents-db"), &target_database("documents"));
    store
}

fn api(
    store: &InMemoryStore,
    clock: &Arc<FakeClock>,
    reviewer: &Arc<FakeReviewer>,
    scripts: Option<Arc<dyn ScriptRunner>>,
    connections: Connections,
    options: &Options,
) -> Api {
    let ids = Arc::new(SequentialIds::new());
    let mut reviewers: HashMap<Engine, Arc<dyn SubmissionReviewer>> =
        HashMap::from([(Engine::Postgresql, reviewer.clone() as _)]);
    if let Some(shell) = &options.shell {
        reviewers.insert(Engine::Mongodb, shell.clone());
    }
    let requests = Requests {
        requests: store.request_store(),
        directory: store.directory(),
        results: store.result_store(),
        logs: store.script_logs(clock.clone()),
        changes: store.change_feed(),
        clock: clock.clone(),
        require_digest: options.require_digest,
    };
    let slack = options.slack.clone().map(|desk| SlackDecisions {
        requests: requests.clone(),
        desk,
        people: store.slack_people(),
        users: store.user_store(),
        replays: options.replays.clone().unwrap_or_else(|| store.replay_guard()),
        clock: clock.clone(),
    });
    let settings = ApiSettings {
        authentication: Authentication {
            users: store.user_store(),
            sessions: store.session_store(),
            audit: store.audit_log(),
            passwords: Arc::new(PlainPasswords),
            tokens: Arc::new(tokens(ISSUER, AUDIENCE, KEY)),
            secrets: Arc::new(SequentialSecrets::new()),
            clock: clock.clone(),
            ids: Arc::new(SequentialIds::new()),
            settings: AuthSettings::default(),
        },
        submissions: Submissions {
            requests: store.request_store(),
            directory: store.directory(),
            scripts,
            checks: ScriptChecks::default(),
            reviewers,
            clock: clock.clone(),
            ids: Arc::new(SequentialIds::new()),
        },
        requests,
        directory: DirectoryAccess { directory: store.directory() },
        administration: Administration {
            users: store.user_store(),
            directory: store.directory(),
            passwords: Arc::new(PlainPasswords),
            references: references(),
            clock: clock.clone(),
            ids: Arc::new(SequentialIds::new()),
        },
        connections,
        slack,
        rate_limits: options.rate_limits,
        cors: options.cors.clone(),
        body_time_limit: options.body_time_limit,
    };
    Api::new(settings, store.health(), ids)
}

/// What targets may name here; nothing is sealed.
fn references() -> ReferenceRules {
    let prefixes = || vec!["TARGET_".to_owned(), "prod/".to_owned()];
    ReferenceRules::new([(CredentialSourceKind::Env, prefixes()), (CredentialSourceKind::Aws, prefixes())])
}

fn connections(
    store: &InMemoryStore,
    clock: &Arc<FakeClock>,
    inspector: &Arc<FakeInspector>,
    credentials: Arc<dyn CredentialSource>,
) -> Connections {
    let inspector: Arc<dyn TargetInspector> = inspector.clone();
    Connections {
        directory: store.directory(),
        credentials: Keyring::from_iter([credentials]),
        inspectors: HashMap::from([(Engine::Postgresql, inspector)]),
        audit: store.audit_log(),
        clock: clock.clone(),
    }
}

/// The real access tokens.
pub(crate) fn tokens(issuer: &str, audience: &str, key: &str) -> JwtAccessTokens {
    let settings = JwtSettings { key: key.into(), issuer: issuer.to_owned(), audience: audience.to_owned() };
    JwtAccessTokens::new(settings).expect("the key is long enough")
}

fn worker(
    store: &InMemoryStore,
    clock: &Arc<FakeClock>,
    executor: Arc<dyn TargetExecutor>,
    credentials: Arc<dyn CredentialSource>,
) -> ExecutionWorker {
    ExecutionWorker {
        queue: store.job_queue(),
        requests: store.request_store(),
        results: store.result_store(),
        scripts: None,
        executors: HashMap::from([(Engine::Postgresql, executor)]),
        credentials: Keyring::from_iter([credentials]),
        changes: store.change_feed(),
        clock: clock.clone(),
        worker: WorkerId("test:1:1".to_owned()),
        settings: ExecutionSettings::default(),
    }
}

fn scripts(store: &InMemoryStore, clock: &Arc<FakeClock>, runner: &Arc<FakeScriptRunner>) -> Scripts {
    let target: Arc<dyn ScriptTarget> = Arc::new(FakeScriptTarget::default());
    Scripts {
        runner: runner.clone(),
        targets: HashMap::from([(Engine::Postgresql, target)]),
        logs: store.script_logs(clock.clone()),
    }
}

/// What every answer has: headers that protect it, an id, and with an error a whole problem document.
fn assert_well_formed(answer: &Answer) {
    let fixed = [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("cross-origin-resource-policy", "same-origin"),
        ("strict-transport-security", "max-age=31536000"),
    ];
    for (name, value) in fixed {
        assert_eq!(answer.header(name), Some(value), "{name} of {}", answer.status);
    }
    let policy = answer.header("content-security-policy").expect("there is a policy");
    assert!(policy.contains("frame-ancestors 'none'") && policy.starts_with("default-src '"), "{policy}");
    let id = answer.header("x-request-id").expect("there is an id");
    assert!((1..=64).contains(&id.len()), "{id}");
    if answer.status >= 400 {
        assert_problem(answer);
    }
}

fn assert_problem(answer: &Answer) {
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{:?}", answer.body);
    let problem = answer.json();
    let code = answer.code();
    let status = StatusCode::from_u16(answer.status).expect("the status is one");
    assert_eq!(problem["status"], json!(answer.status));
    assert_eq!(problem["title"], json!(status.canonical_reason().expect("it is a known one")));
    assert_eq!(problem["type"], json!(format!("urn:query-portal:problem:{code}")));
    let detail = text(&problem["detail"]);
    assert!(detail.ends_with(['.', '}']), "not a sentence: {detail}");
    assert_eq!(answer.header("www-authenticate"), (answer.status == 401).then_some("Bearer"));
    assert_eq!(answer.header("retry-after").is_some(), matches!(answer.status, 429 | 503));
    // Neither where in the code it happened, nor anything that only the portal may know.
    for secret in [
        "panicked",
        ".rs:",
        "src/",
        "::",
        "plain:",
        TEST_PASSWORD,
        "secret-",
        KEY,
        "in-memory",
        TARGET_PASSWORD,
    ] {
        assert!(!answer.text().contains(secret), "{secret:?} in {}", answer.text());
    }
}
