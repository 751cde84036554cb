//! Structured logs on standard error.

use anyhow::Context as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Log, LogFormat};

/// These crates write query texts, parameters, notices, messages, headers or secrets into their logs: they stay silent
/// whatever is asked for.
const SILENCED: [&str; 14] = [
    "tokio_postgres=off",
    "postgres=off",
    "diesel=off",
    "diesel_async=off",
    "slack_morphism=off",
    "aws_config=off",
    "aws_credential_types=off",
    "aws_runtime=off",
    "aws_sdk_secretsmanager=off",
    "aws_sigv4=off",
    "aws_smithy_http_client=off",
    "aws_smithy_runtime=off",
    "aws_smithy_runtime_api=off",
    "h2=off",
];

pub(crate) fn init(log: &Log) -> anyhow::Result<()> {
    let filter = filter(log)?;
    let registry = tracing_subscriber::registry().with(filter);
    match log.format {
        LogFormat::Json => {
            registry.with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)).init();
        }
        LogFormat::Text => registry.with(fmt::layer().with_writer(std::io::stderr)).init(),
    }
    Ok(())
}

/// What is let through.
pub(crate) fn filter(log: &Log) -> anyhow::Result<EnvFilter> {
    let mut filter = EnvFilter::try_new(&log.level).context("log.level is not a filter like \"info\"")?;
    for directive in SILENCED {
        filter = filter.add_directive(directive.parse().context("a built-in log directive")?);
    }
    Ok(filter)
}
