//! The portal's side: one request at a time, through the executor that production uses.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use domain::execution::{Credentials, ExecutionOrder, ExecutionReport, ResultChunk};
use domain::ids::{InstanceId, RequestId};
use domain::ports::{ExecutionError, ResultSink, SinkError, SubmissionReviewer, TargetExecutor};
use domain::request::{ExtendedJson, Submission, SubmissionKind};
use domain::review::{Refusal, Scope};
use domain::target::{
    Admits, CredentialRef, CredentialSourceKind, Engine, Limits, SlackResults, Target, TlsMode,
};
use domain::text::{DatabaseName, DisplayName, SubmissionText};
use secrecy::SecretString;
use target_postgres::{PostgresExecutor, PostgresReviewer};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

use crate::wire::Server;

/// The login whose role setting says as whom statements run, while the suite has changed the role.
pub(crate) const OTHER_LOGIN: &str = "portal_as";

/// What the portal made of a request.
pub(crate) struct Outcome {
    pub(crate) result: Result<ExecutionReport, ExecutionError>,
    /// The rows of each statement, as lines of JSON.
    pub(crate) rows: BTreeMap<usize, Vec<String>>,
}

pub(crate) struct Portal {
    runtime: Runtime,
    executor: PostgresExecutor,
    server: Server,
    admin: Client,
    target: Target,
    /// The role that [`OTHER_LOGIN`] takes now.
    other_role: String,
}

#[derive(Default)]
struct Rows(BTreeMap<usize, Vec<String>>);

#[async_trait]
impl ResultSink for Rows {
    async fn write(&mut self, chunk: ResultChunk) -> Result<(), SinkError> {
        let lines = self.0.entry(chunk.statement as usize).or_default();
        lines.extend(String::from_utf8_lossy(&chunk.ndjson).lines().map(str::to_owned));
        Ok(())
    }
}

impl Portal {
    pub(crate) fn new(server: Server, database: &str) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let _entered = runtime.enter();
        let admin = runtime.block_on(admin(&server, database))?;
        let target = target(server.port)?;
        let executor = PostgresExecutor::default();
        Ok(Self { executor, server, admin, target, other_role: String::new(), runtime })
    }

    /// Why this text may not run, if it may not.
    pub(crate) fn refusal(&self, sql: &str) -> Option<Refusal> {
        let submission = submission(sql)?;
        self.runtime
            .block_on(PostgresReviewer::new().review(&submission, &Scope::of(&self.target, None)))
            .err()
    }

    /// Runs a text as one request. `role` is the role that the suite has changed to.
    pub(crate) fn run(&mut self, database: &str, sql: &str, role: Option<&str>) -> anyhow::Result<Outcome> {
        if let Some(role) = role.filter(|role| *role != self.other_role) {
            let quoted = role.replace('"', "\"\"");
            let alter = format!("ALTER ROLE {OTHER_LOGIN} SET role TO \"{quoted}\"");
            self.runtime.block_on(self.admin.batch_execute(&alter))?;
            role.clone_into(&mut self.other_role);
            // Sessions that wait in the old executor have the old role; they end with it.
            let _entered = self.runtime.enter();
            self.executor = PostgresExecutor::default();
        }
        let order = self.order(database, sql, role.is_some())?;
        let mut rows = Rows::default();
        let result =
            self.runtime.block_on(self.executor.execute(&order, &mut rows, CancellationToken::new()));
        Ok(Outcome { result, rows: rows.0 })
    }

    fn order(&self, database: &str, sql: &str, other: bool) -> anyhow::Result<ExecutionOrder> {
        let username = if other { OTHER_LOGIN.to_owned() } else { self.server.user.clone() };
        Ok(ExecutionOrder {
            request: RequestId::from_uuid(uuid::Uuid::from_u128(7)),
            target: self.target.clone(),
            database: DatabaseName::parse(database)?,
            credentials: Credentials::new(username, SecretString::from(self.server.password.clone())),
            submission: submission(sql).ok_or_else(|| anyhow::anyhow!("the text is no submission"))?,
            limits: self.target.limits,
            read_only: false,
            extended_json: ExtendedJson::default(),
        })
    }
}

fn submission(sql: &str) -> Option<Submission> {
    let text = SubmissionText::parse(sql).ok()?;
    Some(Submission { kind: SubmissionKind::Query, text, filename: None, compiled: Vec::new() })
}

pub(crate) async fn admin(server: &Server, database: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::Config::new()
        .host("127.0.0.1")
        .port(server.port)
        .user(&server.user)
        .password(&server.password)
        .dbname(database)
        .connect(NoTls)
        .await?;
    tokio::spawn(connection);
    Ok(client)
}

fn target(port: u16) -> anyhow::Result<Target> {
    let limits = Limits {
        timeout: Duration::from_mins(1),
        lock_timeout: Duration::from_secs(5),
        max_rows: u64::MAX,
        max_bytes: u64::MAX,
    };
    Ok(Target {
        id: InstanceId::parse("suite")?,
        name: DisplayName::parse("Suite")?,
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
        allow_privileged_role: true,
        admits: Admits::default(),
        search_path: None,
        limits,
        approvals_needed: 1,
        approval_ttl: Duration::from_mins(1),
        pods: Vec::new(),
        slack_results: SlackResults::Preview,
        slack_decisions: true,
    })
}
