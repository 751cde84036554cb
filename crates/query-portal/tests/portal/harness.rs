//! An installation of the portal for one test: databases and roles of its own, set up by the command line
//! as an operator would, served by as many processes as the test wants.

use std::io::Write as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::secrecy;

pub(crate) const PASSWORD: &str = "a password for tests";
pub(crate) const TARGET_PASSWORD: &str = "the-targets-own-secret";
pub(crate) const WRONG_PASSWORD: &str = "not-the-password-of-the-target";
pub(crate) const OWNER_PASSWORD: &str = "the-owners-own-secret";
pub(crate) const SERVER_PASSWORD: &str = "the-servers-own-secret";
pub(crate) const SIGNING_KEY: &str = "a signing key for tests, long enough to be accepted";
const BINARY: &str = env!("CARGO_BIN_EXE_query-portal");

/// The binary without a single variable of ours.
pub(crate) fn bare_command() -> Command {
    let mut command = Command::new(BINARY);
    command.env_clear();
    // Where instrumented code leaves its counts, when coverage is measured.
    command.envs(std::env::var_os("LLVM_PROFILE_FILE").map(|file| ("LLVM_PROFILE_FILE", file)));
    command
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// See the module.
pub(crate) struct Installation {
    name: String,
    admin_url: String,
    /// The target's database, as its superuser.
    pub(crate) target_url: String,
    variables: Vec<(String, String)>,
}

impl Installation {
    /// Migrated, with PODs `payments` and `platform`, people of every role and the targets `shop` and `archive`.
    pub(crate) async fn new() -> Self {
        let installation = Self::empty(&dev_stack::test_postgres().url("postgres")).await;
        installation.populate();
        installation
    }

    /// Databases, roles and migrations, but nobody and nothing registered.
    pub(crate) async fn empty(admin_url: &str) -> Self {
        Self::with_portal_database(admin_url, admin_url).await
    }

    /// The portal's database on one server, the target's on another.
    pub(crate) async fn with_portal_database(portal_admin: &str, target_admin: &str) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("e2e_{}_{number}", std::process::id());
        let portal = database(portal_admin, &format!("{name}_portal"));
        let target = database(target_admin, &format!("{name}_shop"));
        execute(
            portal_admin,
            &[
                format!("CREATE ROLE {name}_owner LOGIN PASSWORD '{OWNER_PASSWORD}'"),
                format!("CREATE ROLE {name}_server LOGIN PASSWORD '{SERVER_PASSWORD}'"),
                format!("CREATE DATABASE {name}_portal OWNER {name}_owner"),
            ],
        )
        .await;
        execute(
            target_admin,
            &[
                format!("CREATE ROLE {name}_target LOGIN PASSWORD '{TARGET_PASSWORD}'"),
                format!("CREATE DATABASE {name}_shop"),
            ],
        )
        .await;
        execute(
            &target,
            &[
                "CREATE TABLE hits (id bigserial PRIMARY KEY, note text)".to_owned(),
                format!("GRANT SELECT, INSERT, UPDATE, DELETE ON hits TO {name}_target"),
                format!("GRANT USAGE ON SEQUENCE hits_id_seq TO {name}_target"),
            ],
        )
        .await;
        let variables = [
            ("QUERY_PORTAL_DATABASE__URL", as_user(&portal, &format!("{name}_server"), SERVER_PASSWORD)),
            ("QUERY_PORTAL_DATABASE__OWNER_URL", as_user(&portal, &format!("{name}_owner"), OWNER_PASSWORD)),
            ("QUERY_PORTAL_AUTH__SIGNING_KEY", SIGNING_KEY.to_owned()),
            ("QUERY_PORTAL_AUTH__BCRYPT_COST", "10".to_owned()),
            ("QUERY_PORTAL_RATE_LIMIT__PER_SECOND", "100000".to_owned()),
            ("QUERY_PORTAL_RATE_LIMIT__LOGINS_PER_MINUTE", "100000".to_owned()),
            ("QUERY_PORTAL_EXECUTION__LEASE_SECONDS", "4".to_owned()),
            ("QUERY_PORTAL_EXECUTION__RENEW_SECONDS", "1".to_owned()),
            ("QUERY_PORTAL_EXECUTION__REAP_SECONDS", "1".to_owned()),
            // A test that wants syncs that nobody asks for says so.
            ("QUERY_PORTAL_SYNC__EVERY_MINUTES", "0".to_owned()),
            ("TARGET_SHOP_USERNAME", format!("{name}_target")),
            ("TARGET_SHOP_PASSWORD", TARGET_PASSWORD.to_owned()),
            ("TARGET_WRONG_USERNAME", format!("{name}_target")),
            ("TARGET_WRONG_PASSWORD", WRONG_PASSWORD.to_owned()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let installation = Self { name, admin_url: portal_admin.to_owned(), target_url: target, variables };
        installation.run(&["migrate"]);
        installation
    }

    fn populate(&self) {
        for id in ["payments", "platform"] {
            self.run(&["pod", "add", "--id", id, "--name", id]);
        }
        for (user, role, pod) in [
            ("dev", "developer", Some("payments")),
            ("manager", "manager", Some("payments")),
            ("other-dev", "developer", Some("platform")),
            ("other-manager", "manager", Some("platform")),
            ("admin", "admin", Some("payments")),
        ] {
            self.create_user(user, role, pod);
        }
        let port = port_of(&self.target_url);
        self.add_target("shop", &port, "env:TARGET_SHOP", &[]);
        self.add_target("archive", &port, "env:TARGET_SHOP", &["--read-only"]);
    }

    pub(crate) fn create_user(&self, user: &str, role: &str, pod: Option<&str>) {
        let email = email(user);
        let mut args =
            vec!["user", "create", "--email", &email, "--name", user, "--role", role, "--password-stdin"];
        args.extend(pod.iter().flat_map(|pod| ["--pod", pod]));
        self.run_with_input(&args, PASSWORD);
    }

    pub(crate) fn add_target(&self, id: &str, port: &str, credentials: &str, more: &[&str]) {
        let database = format!("{}_shop", self.name);
        let mut args = vec!["target", "add", "--id", id, "--name", id, "--host", "127.0.0.1", "--port", port];
        args.extend([
            "--tls",
            "disable",
            "--credentials",
            credentials,
            "--database",
            &database,
            "--pod",
            "payments",
        ]);
        args.extend(more);
        self.run(&args);
    }

    /// The name of the target's database.
    pub(crate) fn database(&self) -> String {
        format!("{}_shop", self.name)
    }

    /// One more variable for everything that is started from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Runs a command that has to succeed.
    pub(crate) fn run(&self, args: &[&str]) -> String {
        self.run_with_input(args, "")
    }

    fn run_with_input(&self, args: &[&str], input: &str) -> String {
        let output = self.attempt(args, input);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "query-portal {}: {error}", args.join(" "));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn attempt(&self, args: &[&str], input: &str) -> Output {
        let mut command = self.command();
        let mut child = command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        for (place, text) in [("standard output", &output.stdout), ("standard error", &output.stderr)] {
            secrecy::assert_silent(place, &String::from_utf8_lossy(text));
        }
        output
    }

    /// The binary with this installation's configuration and nothing else of ours.
    fn command(&self) -> Command {
        let mut command = bare_command();
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) async fn serve(&self) -> Server {
        self.serve_with(&[]).await
    }

    pub(crate) async fn serve_with(&self, more: &[(&str, &str)]) -> Server {
        let port = dev_stack::free_port().unwrap();
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut command = self.command();
        command.env("QUERY_PORTAL_SERVER__LISTEN", format!("127.0.0.1:{port}")).envs(more.iter().copied());
        let child = command.arg("serve").stdin(Stdio::null()).stderr(log.reopen().unwrap()).spawn().unwrap();
        let server = Server { child, log, url: format!("http://127.0.0.1:{port}"), client: Client::new() };
        server.wait_until_ready().await;
        server
    }

    /// One value of one row of the portal's database, as text.
    pub(crate) async fn portal_value(&self, sql: &str) -> String {
        let url = database(&self.admin_url, &format!("{}_portal", self.name));
        single_value(&url, sql).await
    }

    /// Changes the portal's database, as only an operator could.
    pub(crate) async fn change_portal(&self, sql: &str) {
        execute(&database(&self.admin_url, &format!("{}_portal", self.name)), &[sql.to_owned()]).await;
    }

    /// How often something was written on the target.
    pub(crate) async fn hits(&self, note: &str) -> u64 {
        let count = format!("SELECT count(*)::text FROM hits WHERE note = '{note}'");
        single_value(&self.target_url, &count).await.parse().unwrap()
    }

    /// What was audited of a request, oldest first.
    pub(crate) async fn audited(&self, request: &str) -> String {
        self.portal_value(&format!(
            "SELECT coalesce(string_agg(action, ' ' ORDER BY id), '') FROM audit_logs WHERE entity_id = '{request}'"
        ))
        .await
    }
}

/// With the test ends its data: none of it may hold a credential.
impl Drop for Installation {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let url = database(&self.admin_url, &format!("{}_portal", self.name));
            secrecy::assert_database_is_silent(url);
        }
    }
}

pub(crate) fn email(user: &str) -> String {
    format!("{user}@test.example")
}

/// A running portal process, killed with the test.
pub(crate) struct Server {
    child: Child,
    log: tempfile::NamedTempFile,
    pub(crate) url: String,
    client: Client,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed by the test already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        secrecy::assert_silent("the log", &self.log());
    }
}

impl Server {
    async fn wait_until_ready(&self) {
        eventually("the portal is ready", Duration::from_secs(30), async || {
            let answer = self.client.get(format!("{}/health/ready", self.url)).send().await;
            answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
        })
        .await;
    }

    /// What it has logged until now.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }

    /// The process id, for looking at the process from outside.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn terminate(&mut self) -> std::process::ExitStatus {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.child.wait().unwrap()
    }

    /// Logs in.
    pub(crate) async fn login(&self, user: &str) -> Person {
        let (status, body) = self.try_login(user).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        self.person(text("accessToken"), text("refreshToken"))
    }

    pub(crate) async fn try_login(&self, user: &str) -> (StatusCode, Value) {
        self.try_login_with(user, PASSWORD).await
    }

    pub(crate) async fn try_login_with(&self, user: &str, password: &str) -> (StatusCode, Value) {
        let body = json!({ "email": email(user), "password": password });
        let url = format!("{}/api/auth/login", self.url);
        read(self.client.post(url).json(&body).send().await.unwrap()).await
    }

    pub(crate) async fn refresh(&self, refresh_token: &str) -> (StatusCode, Value) {
        let url = format!("{}/api/auth/refresh", self.url);
        let body = json!({ "refreshToken": refresh_token });
        read(self.client.post(url).json(&body).send().await.unwrap()).await
    }

    /// Somebody who logged in elsewhere, calling this process.
    pub(crate) fn person(&self, access_token: String, refresh_token: String) -> Person {
        Person { url: self.url.clone(), client: self.client.clone(), access_token, refresh_token }
    }

    pub(crate) async fn health(&self, kind: &str) -> StatusCode {
        self.client.get(format!("{}/health/{kind}", self.url)).send().await.unwrap().status()
    }
}

/// Somebody who has logged in.
#[derive(Clone)]
pub(crate) struct Person {
    url: String,
    client: Client,
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
}

impl Person {
    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.call(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> (StatusCode, Value) {
        self.call(Method::DELETE, path, None).await
    }

    /// An answer with its headers, to a call with one more header.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        (name, value): (&'static str, &str),
        body: Option<Value>,
    ) -> Response {
        let call = self.client.request(method, format!("{}{path}", self.url)).header(name, value);
        let call = call.bearer_auth(&self.access_token);
        body.iter().fold(call, reqwest::RequestBuilder::json).send().await.unwrap()
    }

    /// The body of a good answer, as it is.
    pub(crate) async fn text(&self, path: &str) -> String {
        let url = format!("{}{path}", self.url);
        let answer = self.client.get(url).bearer_auth(&self.access_token).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let text = answer.text().await.unwrap();
        secrecy::assert_silent("an answer", &text);
        text
    }

    /// POST without a body.
    pub(crate) async fn act(&self, path: &str) -> (StatusCode, Value) {
        self.call(Method::POST, path, None).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut call =
            self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.access_token);
        if let Some(body) = body {
            call = call.json(&body);
        }
        read(call.send().await.unwrap()).await
    }

    /// Submits to the target `shop` and answers with the request's id.
    pub(crate) async fn submit(&self, installation: &Installation, sql: &str) -> String {
        self.submit_to(installation, "shop", sql).await
    }

    pub(crate) async fn submit_to(&self, installation: &Installation, target: &str, sql: &str) -> String {
        let body =
            json!({ "instanceId": target, "databaseName": installation.database(), "queryContent": sql });
        let (status, body) = self.post("/api/queries", body).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body["id"].as_str().unwrap().to_owned()
    }

    /// Approves and waits for the end.
    pub(crate) async fn approve(&self, id: &str) -> Value {
        let (status, body) = self.act(&format!("/api/queries/{id}/approve?wait=30")).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    pub(crate) async fn status_of(&self, id: &str) -> String {
        let (status, body) = self.get(&format!("/api/queries/{id}")).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["status"].as_str().unwrap().to_owned()
    }
}

async fn read(answer: Response) -> (StatusCode, Value) {
    let status = answer.status();
    let text = answer.text().await.unwrap();
    secrecy::assert_silent("an answer", &text);
    let body = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    };
    (status, body)
}

/// Looks until something holds; fails with its name when it does not in time.
pub(crate) async fn eventually(what: &str, within: Duration, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + within;
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn execute(url: &str, statements: &[String]) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let driving = tokio::spawn(connection);
    for statement in statements {
        client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
    drop(client);
    driving.await.unwrap().unwrap();
}

pub(crate) async fn single_value(url: &str, sql: &str) -> String {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let driving = tokio::spawn(connection);
    let value = client.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0);
    drop(client);
    driving.await.unwrap().unwrap();
    value
}

/// The same server, another database.
pub(crate) fn database(url: &str, name: &str) -> String {
    let mut url = url::Url::parse(url).unwrap();
    url.set_path(name);
    url.to_string()
}

fn as_user(url: &str, user: &str, password: &str) -> String {
    let mut url = url::Url::parse(url).unwrap();
    url.set_username(user).unwrap();
    url.set_password(Some(password)).unwrap();
    url.to_string()
}

pub(crate) fn port_of(url: &str) -> String {
    url::Url::parse(url).unwrap().port().unwrap().to_string()
}
