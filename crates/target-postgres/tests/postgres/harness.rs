//! A database with an unprivileged role, orders against it, and a sink that keeps what it gets.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use domain::execution::{Credentials, ExecutionOrder, ExecutionReport, ResultChunk};
use domain::ids::{InstanceId, RequestId};
use domain::ports::{ExecutionError, ResultSink, SinkError, TargetExecutor};
use domain::request::{ExtendedJson, Submission, SubmissionKind};
use domain::target::{
    Admits, CredentialRef, CredentialSourceKind, Engine, Limits, SlackResults, Target, TlsMode,
};
use domain::text::{DatabaseName, DisplayName, SubmissionText};
use secrecy::SecretString;
use serde_json::Value;
use target_postgres::{PostgresExecutor, PostgresExecutorConfig};
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

pub(crate) const PASSWORD: &str = "correct-horse-battery";

#[derive(Default)]
pub(crate) struct VecSink {
    pub(crate) chunks: Vec<ResultChunk>,
    pub(crate) fail: bool,
}

#[async_trait]
impl ResultSink for VecSink {
    async fn write(&mut self, chunk: ResultChunk) -> Result<(), SinkError> {
        if self.fail {
            return Err(SinkError::LeaseLost);
        }
        self.chunks.push(chunk);
        Ok(())
    }
}

pub(crate) struct Outcome {
    pub(crate) result: Result<ExecutionReport, ExecutionError>,
    pub(crate) chunks: Vec<ResultChunk>,
}

impl Outcome {
    pub(crate) fn report(&self) -> &ExecutionReport {
        self.result.as_ref().unwrap_or_else(|error| panic!("{error:?}"))
    }

    pub(crate) fn error(&self) -> &ExecutionError {
        self.result.as_ref().expect_err("the execution succeeded")
    }

    pub(crate) fn database_error(&self) -> &domain::execution::DatabaseError {
        match self.error() {
            ExecutionError::Database(error) => error,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let text: String = self.chunks.iter().map(|c| std::str::from_utf8(&c.ndjson).unwrap()).collect();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn rows(&self) -> Vec<Value> {
        self.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub(crate) struct Db {
    pub(crate) admin: Client,
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) target: Target,
    pub(crate) executor: PostgresExecutor,
}

pub(crate) async fn connect(database: &str) -> Client {
    let url = dev_stack::test_postgres().url(database);
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("t{}_{}_{now}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Db {
    pub(crate) async fn new() -> Self {
        let name = unique();
        let role = format!("r{name}");
        let server = connect("postgres").await;
        for sql in [
            format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'"),
            format!("CREATE DATABASE {name} OWNER {role}"),
        ] {
            server.batch_execute(&sql).await.unwrap();
        }
        let admin = connect(&name).await;
        admin.batch_execute(&format!("ALTER SCHEMA public OWNER TO {role}")).await.unwrap();
        let port = url::Url::parse(&dev_stack::test_postgres().url("x")).unwrap().port().unwrap();
        Self { admin, name, role, target: target(port), executor: PostgresExecutor::default() }
    }

    /// An executor that keeps no sessions ready.
    pub(crate) async fn cold() -> Self {
        let config = PostgresExecutorConfig { warm_sessions: 0, ..PostgresExecutorConfig::default() };
        Self { executor: PostgresExecutor::new(config), ..Self::new().await }
    }

    pub(crate) fn order(&self, sql: &str) -> ExecutionOrder {
        ExecutionOrder {
            request: RequestId::from_uuid(uuid::Uuid::from_u128(7)),
            target: self.target.clone(),
            database: DatabaseName::parse(&self.name).unwrap(),
            credentials: Credentials::new(self.role.clone(), SecretString::from(PASSWORD)),
            submission: Submission {
                kind: SubmissionKind::Query,
                text: SubmissionText::parse(sql).unwrap(),
                filename: None,
                compiled: Vec::new(),
            },
            limits: self.target.limits,
            read_only: self.target.read_only,
            extended_json: ExtendedJson::default(),
        }
    }

    pub(crate) async fn run(&self, sql: &str) -> Outcome {
        self.run_order(&self.order(sql), CancellationToken::new()).await
    }

    pub(crate) async fn run_read_only(&self, sql: &str) -> Outcome {
        let order = ExecutionOrder { read_only: true, ..self.order(sql) };
        self.run_order(&order, CancellationToken::new()).await
    }

    pub(crate) async fn run_for(&self, timeout: Duration, sql: &str) -> Outcome {
        let mut order = self.order(sql);
        order.limits.timeout = timeout;
        self.run_order(&order, CancellationToken::new()).await
    }

    pub(crate) async fn run_order(&self, order: &ExecutionOrder, cancel: CancellationToken) -> Outcome {
        let mut sink = VecSink::default();
        let result = self.executor.execute(order, &mut sink, cancel).await;
        Outcome { result, chunks: sink.chunks }
    }

    /// Kills the session of the role as soon as it waits for this.
    pub(crate) async fn kill_when(&self, wait: &str) {
        let sql = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE usename = '{}' AND state <> 'idle' AND wait_event = '{wait}'",
            self.role
        );
        while self.count(&sql).await == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Makes a table `first`: a commit after a write to it takes so many seconds, and writes to a table `t`. A check that
    /// puts off another one reaches into the commit itself.
    pub(crate) async fn slow_commit(&self, seconds: u32) {
        let sql = format!(
            "CREATE TABLE t (id int); CREATE TABLE first (id int);
             CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION slow();
             CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN SET CONSTRAINTS ALL DEFERRED; INSERT INTO t VALUES (1); RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER later AFTER INSERT ON first DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION later()"
        );
        self.run(&sql).await.report();
    }

    pub(crate) async fn count(&self, query: &str) -> i64 {
        self.admin.query_one(query, &[]).await.unwrap().get(0)
    }

    /// Sessions of the target's role, those of the test itself not among them.
    pub(crate) async fn sessions(&self) -> i64 {
        self.count(&format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}'", self.role)).await
    }

    pub(crate) async fn finish(self) {
        drop((self.executor, self.admin));
        remove(&self.name, &self.role).await;
    }
}

pub(crate) async fn remove(database: &str, role: &str) {
    let server = connect("postgres").await;
    server.batch_execute(&format!("DROP DATABASE {database} WITH (FORCE)")).await.unwrap();
    server.batch_execute(&format!("DROP ROLE {role}")).await.unwrap();
}

fn target(port: u16) -> Target {
    Target {
        id: InstanceId::parse("test").unwrap(),
        name: DisplayName::parse("Test").unwrap(),
        engine: Engine::Postgresql,
        description: None,
        host: "127.0.0.1".to_owned(),
        port,
        connection_options: None,
        tls: TlsMode::Disable,
        credentials: CredentialRef { source: CredentialSourceKind::Env, reference: "X".to_owned() },
        connection_revision: 1,
        bound_revision: Some(1),
        active: true,
        read_only: false,
        allow_privileged_role: false,
        admits: Admits::default(),
        search_path: None,
        limits: Limits::default(),
        approvals_needed: 1,
        approval_ttl: Duration::from_mins(1),
        pods: Vec::new(),
        slack_results: SlackResults::Preview,
        slack_decisions: true,
    }
}
