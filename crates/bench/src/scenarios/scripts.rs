//! Scripts: the first result of a process, warm and cold, against Node.js; memory; database calls a second.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use async_trait::async_trait;
use domain::execution::{Credentials, ExecutionOrder};
use domain::ids::{InstanceId, RequestId};
use domain::ports::{
    ExecutionError, ScriptConnection, ScriptLog, ScriptRunner as _, ScriptSession, ScriptTarget as _,
    SinkError,
};
use domain::request::{ExtendedJson, Submission, SubmissionKind};
use domain::script::{CallAnswer, CallError, DatabaseCall, LogEntry, ScriptOrder, ScriptOutcome};
use domain::target::{
    Admits, CredentialRef, CredentialSourceKind, Engine, Limits, SlackResults, Target, TlsMode,
};
use domain::text::{DatabaseName, DisplayName, SubmissionText};
use futures_util::FutureExt as _;
use script_runner::{ProcessScriptRunner, ProcessSettings, ScriptSettings};
use target_postgres::PostgresExecutor;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::bare::{Bare, milliseconds};
use crate::options::Sizes;
use crate::report::{Aim, Comparison, Report, Unit};
use crate::stats::median;
use crate::world::{Stage, World};

const SCRIPT: &str = "return 1";

const NODE: &str = include_str!("node-fork.js");

pub(crate) async fn measure(stage: &Stage, sizes: Sizes) -> anyhow::Result<Report> {
    let mut report = Report::default();
    against_node(stage, sizes, &mut report).await?;
    calls(stage, sizes, &mut report).await?;
    Ok(report)
}

fn runner(program: &Path, warm: usize) -> anyhow::Result<ProcessScriptRunner> {
    let mut settings = ScriptSettings::new(program.to_owned(), vec!["script-worker".into()]);
    settings.processes = ProcessSettings { warm, most: 16, checks: 1 };
    settings.max_calls = 1_000_000;
    Ok(ProcessScriptRunner::start(settings)?)
}

async fn against_node(stage: &Stage, sizes: Sizes, report: &mut Report) -> anyhow::Result<()> {
    let (warm, cold) = (runner(&stage.program, 1)?, runner(&stage.program, 0)?);
    let mut node = Node::start(stage)?;
    if node.is_none() {
        report.note("scripts: there is no `node` on this machine, so nothing is compared with it");
    }
    // The first of each makes the snapshot, or fills caches of the file system.
    for runner in [&warm, &cold] {
        run(runner, SCRIPT, Box::new(NoSession)).await?;
    }
    let (mut warm_times, mut cold_times, mut sizes_of_node) = (vec![], vec![], vec![]);
    let (mut warm_rounds, mut cold_rounds) = (vec![], vec![]);
    for _ in 0..sizes.scripts {
        // Until a process is ready again, whatever else happens.
        tokio::time::sleep(Duration::from_millis(30)).await;
        let warm = run(&warm, SCRIPT, Box::new(NoSession)).await?;
        let cold = run(&cold, SCRIPT, Box::new(NoSession)).await?;
        warm_times.push(warm);
        cold_times.push(cold);
        if let Some(node) = &mut node {
            let (time, resident) = node.run(SCRIPT)?;
            sizes_of_node.push(resident);
            warm_rounds.push((warm, time));
            cold_rounds.push((cold, time));
        }
    }
    let resident = idle_process(&warm).await?;
    report.note(format!(
        "scripts: first result of `{SCRIPT}`: warm median {:.2} ms, cold median {:.2} ms; a process that waits has \
         {resident:.1} MiB resident",
        median(&warm_times),
        median(&cold_times),
    ));
    let Some(node) = node else { return Ok(()) };
    node.stop()?;
    let comparison = |name: &str, a: &str, unit, rounds, most| Comparison {
        name: format!("scripts: {name}"),
        a: a.to_owned(),
        b: "node: child_process.fork + vm".to_owned(),
        unit,
        rounds,
        aim: Some(Aim::AtMost(most)),
    };
    report.compare(comparison("first result, warm", "warm process", Unit::Milliseconds, warm_rounds, 0.1));
    report.compare(comparison("first result, cold", "new process", Unit::Milliseconds, cold_rounds, 0.5));
    let memory = sizes_of_node.iter().map(|node| (resident, *node)).collect();
    report.compare(comparison(
        "resident memory of a process",
        "script process",
        Unit::Mebibytes,
        memory,
        0.6,
    ));
    Ok(())
}

/// Database calls one after the other: of a script, and of a bare connection.
async fn calls(stage: &Stage, sizes: Sizes, report: &mut Report) -> anyhow::Result<()> {
    let world = World::new(stage, "scripts").await?;
    let url = Url::parse(&world.target_url()?)?;
    let bare = Bare::connect(url.as_str()).await?;
    let (runner, executor) = (runner(&stage.program, 1)?, PostgresExecutor::default());
    let count = sizes.script_calls;
    let in_transaction = format!(
        "await db.transaction(async (tx) => {{ for (let i = 0; i < {count}; i += 1) await tx.query('SELECT 1') }})"
    );
    let alone = format!("for (let i = 0; i < {count}; i += 1) await db.query('SELECT 1')");
    for (name, text) in [("in one transaction", in_transaction), ("each in its own transaction", alone)] {
        let mut rounds = vec![];
        for _ in 0..sizes.rounds {
            let stop = CancellationToken::new();
            let session = executor.open(&order(&url)?, stop).await?;
            let script = run(&runner, &text, session).await?;
            let begun = Instant::now();
            for _ in 0..count {
                bare.time("SELECT 1").await?;
            }
            rounds.push((a_second(count, script), a_second(count, milliseconds(begun))));
        }
        report.compare(Comparison {
            name: format!("scripts: db.query, {name}"),
            a: "a script's calls".to_owned(),
            b: "bare connection".to_owned(),
            unit: Unit::PerSecond,
            rounds,
            aim: None,
        });
    }
    executor.shut_down();
    bare.close().await
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn a_second(count: usize, milliseconds: f64) -> f64 {
    count as f64 * 1000.0 / milliseconds
}

/// Milliseconds from the script to its end.
async fn run(
    runner: &ProcessScriptRunner,
    text: &str,
    session: Box<dyn ScriptSession>,
) -> anyhow::Result<f64> {
    let order = ScriptOrder {
        request: RequestId::from_uuid(uuid::Uuid::nil()),
        engine: Engine::Postgresql,
        database: DatabaseName::parse("shop")?,
        text: SubmissionText::parse(text)?,
        limits: limits(),
        read_only: false,
    };
    let connection = ScriptConnection { session, stop: CancellationToken::new() };
    let begun = Instant::now();
    let connect = futures_util::future::ready(Ok(connection)).boxed();
    let end = runner.run(&order, connect, &mut NoLog, CancellationToken::new()).await;
    let took = milliseconds(begun);
    match end.outcome {
        ScriptOutcome::Returned(_) => Ok(took),
        other => bail!("a script ended as {other:?}"),
    }
}

fn limits() -> Limits {
    Limits { timeout: Duration::from_mins(5), ..Limits::default() }
}

/// MiB of a process that waits for its script.
async fn idle_process(runner: &ProcessScriptRunner) -> anyhow::Result<f64> {
    runner.isolation().await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut sizes = vec![];
    for thread in std::fs::read_dir("/proc/self/task")? {
        let children = std::fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            let command = std::fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
            if command.contains("script-worker") {
                sizes.push(resident(child)?);
            }
        }
    }
    ensure!(!sizes.is_empty(), "no script process waits");
    Ok(median(&sizes))
}

fn resident(process: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

fn order(url: &Url) -> anyhow::Result<ExecutionOrder> {
    let database = url.path().trim_start_matches('/');
    let password = url.password().context("the target's URL has no password")?.to_owned();
    Ok(ExecutionOrder {
        request: RequestId::from_uuid(uuid::Uuid::nil()),
        target: Target {
            id: InstanceId::parse("shop")?,
            name: DisplayName::parse("Shop")?,
            engine: Engine::Postgresql,
            description: None,
            host: url.host_str().context("the target's URL has no host")?.to_owned(),
            port: url.port().unwrap_or(5432),
            connection_options: None,
            tls: TlsMode::Disable,
            credentials: CredentialRef {
                source: CredentialSourceKind::Env,
                reference: "TARGET_SHOP".to_owned(),
            },
            connection_revision: 1,
            bound_revision: Some(1),
            active: true,
            read_only: false,
            allow_privileged_role: false,
            admits: Admits::default(),
            search_path: None,
            limits: limits(),
            approvals_needed: 1,
            approval_ttl: Duration::from_hours(1),
            pods: vec![],
            slack_results: SlackResults::Preview,
            slack_decisions: true,
        },
        database: DatabaseName::parse(database)?,
        credentials: Credentials::new(url.username(), password.into()),
        submission: Submission {
            kind: SubmissionKind::Script,
            text: SubmissionText::parse(SCRIPT)?,
            filename: None,
            compiled: vec![],
        },
        limits: limits(),
        read_only: false,
        extended_json: ExtendedJson::default(),
    })
}

struct NoSession;

#[async_trait]
impl ScriptSession for NoSession {
    async fn call(&mut self, _: DatabaseCall) -> Result<CallAnswer, CallError> {
        Err(CallError::Ended(ExecutionError::Cancelled))
    }

    async fn close(self: Box<Self>) -> Result<(), ExecutionError> {
        Ok(())
    }
}

struct NoLog;

#[async_trait]
impl ScriptLog for NoLog {
    async fn write(&mut self, _: Vec<LogEntry>) -> Result<(), SinkError> {
        Ok(())
    }
}

/// A Node.js that forks a child for each script.
struct Node {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Node {
    /// `None` where there is no Node.js.
    fn start(stage: &Stage) -> anyhow::Result<Option<Self>> {
        let file = stage.logs.path().join("node-fork.js");
        std::fs::write(&file, NODE)?;
        let path: HashMap<_, _> = std::env::vars_os().filter(|(name, _)| name == "PATH").collect();
        let spawned = Command::new("node")
            .arg(file)
            .env_clear()
            .envs(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let input = child.stdin.take().context("node has no input")?;
        let output = BufReader::new(child.stdout.take().context("node has no output")?);
        Ok(Some(Self { child, input, output }))
    }

    /// Milliseconds until the result, and MiB of the child.
    fn run(&mut self, script: &str) -> anyhow::Result<(f64, f64)> {
        writeln!(self.input, "{script}")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let (time, kib) = line.trim().split_once(' ').context("node said nothing")?;
        Ok((time.parse()?, kib.parse::<f64>()? / 1024.0))
    }

    fn stop(self) -> anyhow::Result<()> {
        let Self { mut child, input, .. } = self;
        drop(input);
        ensure!(child.wait()?.success(), "node failed");
        Ok(())
    }
}
