//! `target ...`

use std::time::Duration;

use anyhow::Context as _;
use domain::ids::{InstanceId, PodId};
use domain::services::{Authority, NewTarget};
use domain::target::{
    Admits, CredentialRef, CredentialSourceKind, Engine, Limits, MongoAddress, SlackResults, Target,
    TargetChange, TlsMode,
};
use domain::text::{DatabaseName, DisplayName};
use domain::user::Origin;

use super::say;
use crate::cli::{TargetAdd, TargetCommand};
use crate::config::Config;
use crate::wiring::administration;

pub(crate) async fn target(config: &Config, command: TargetCommand) -> anyhow::Result<()> {
    let administration = administration(config)?;
    let operator = Authority::Operator;
    match command {
        TargetCommand::Add(args) => {
            let new = new_target(*args)?;
            administration.add_target(&operator, &new, Origin::cli()).await?;
            say(&format!("added {}", new.target.id))
        }
        TargetCommand::List => {
            for target in administration.targets(&operator).await? {
                let pods: Vec<&str> = target.pods.iter().map(PodId::as_str).collect();
                say(&format!(
                    "{}\t{}\t{}\t{}\t{}\t{}",
                    target.id,
                    target.engine.as_str(),
                    address(&target),
                    if target.read_only { "read-only" } else { "read-write" },
                    if target.active { "active" } else { "inactive" },
                    pods.join(",")
                ))?;
            }
            Ok(())
        }
        TargetCommand::Activate { id } => set_active(&administration, &id, true).await,
        TargetCommand::Deactivate { id } => set_active(&administration, &id, false).await,
        TargetCommand::SetPods { id, pods } => {
            let id = InstanceId::parse(&id).context("--id")?;
            let pods = parse_all(&pods, "--pod", PodId::parse)?;
            let change = TargetChange { pods: Some(pods), ..TargetChange::default() };
            administration.change_target(&operator, &id, change, Origin::cli()).await?;
            say(&format!("updated {id}"))
        }
    }
}

async fn set_active(
    administration: &domain::services::Administration,
    id: &str,
    active: bool,
) -> anyhow::Result<()> {
    let id = InstanceId::parse(id).context("--id")?;
    let change = TargetChange { active: Some(active), ..TargetChange::default() };
    administration.change_target(&Authority::Operator, &id, change, Origin::cli()).await?;
    say(&format!("{id} is {} now", if active { "active" } else { "inactive" }))
}

/// Of several hosts each may have its own port, and a name that DNS resolves has none.
fn address(target: &Target) -> String {
    match target.engine {
        Engine::Postgresql => format!("{}:{}", target.host, target.port),
        Engine::Mongodb => {
            let options = target.connection_options.as_deref();
            MongoAddress::parse(&target.host, target.port, options)
                .map_or_else(|_| target.host.clone(), |address| address.hosts.join(","))
        }
    }
}

fn new_target(args: TargetAdd) -> anyhow::Result<NewTarget> {
    let credentials = parse_credentials(&args.credentials)?;
    let engine = Engine::parse(&args.engine).context("--engine must be postgresql or mongodb")?;
    let target = Target {
        id: InstanceId::parse(&args.id).context("--id")?,
        name: DisplayName::parse(&args.name).context("--name")?,
        engine,
        description: args.description,
        host: args.host,
        port: args.port.unwrap_or(engine.usual_port()),
        connection_options: args.connection_options,
        tls: TlsMode::parse(&args.tls).context("--tls must be disable, require, verify-ca or verify-full")?,
        credentials,
        connection_revision: 1,
        bound_revision: Some(1),
        active: true,
        read_only: args.read_only,
        allow_privileged_role: args.allow_privileged_role,
        admits: Admits {
            other_databases: args.allow_other_databases,
            server_javascript: args.allow_server_javascript,
        },
        search_path: args.search_path,
        limits: Limits {
            timeout: Duration::from_secs(args.timeout),
            lock_timeout: Duration::from_secs(args.lock_timeout),
            max_rows: args.max_rows,
            max_bytes: args.max_bytes,
        },
        approvals_needed: args.approvals,
        approval_ttl: Duration::from_hours(args.approval_ttl),
        pods: parse_all(&args.pods, "--pod", PodId::parse)?,
        slack_results: SlackResults::parse(&args.slack_results)
            .context("--slack-results must be preview, counts or none")?,
        slack_decisions: !args.no_slack_decisions,
    };
    Ok(NewTarget { target, databases: parse_all(&args.databases, "--database", DatabaseName::parse)? })
}

fn parse_credentials(text: &str) -> anyhow::Result<CredentialRef> {
    let (source, reference) = text.split_once(':').context("--credentials must be SOURCE:REFERENCE")?;
    let source = CredentialSourceKind::parse(source)
        .context("--credentials: the source must be env, aws or sealed, for example env:TARGET_SHOP")?;
    Ok(CredentialRef { source, reference: reference.to_owned() })
}

fn parse_all<T, E>(
    texts: &[String],
    option: &'static str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> anyhow::Result<Vec<T>>
where
    E: std::error::Error + Send + Sync + 'static,
{
    texts.iter().map(|text| parse(text).context(option)).collect()
}
