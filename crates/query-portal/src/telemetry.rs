//! Structured logs on standard error.

use anyhow::Context as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Log, LogFormat};

/// These crates write query texts, parameters, notices, messages, headers or secrets into their logs: they stay silent
/// whatever is asked for.
const SILENCED: [&str; 14] = [
    "tokio_postgres",
    "postgres",
    "diesel",
    "diesel_async",
    "slack_morphism",
    "aws_config",
    "aws_credential_types",
    "aws_runtime",
    "aws_sdk_secretsmanager",
    "aws_sigv4",
    "aws_smithy_http_client",
    "aws_smithy_runtime",
    "aws_smithy_runtime_api",
    "h2",
];

pub(crate) fn init(log: &Log) -> anyhow::Result<()> {
    let filter = filter(log)?;
    let registry =
        tracing_subscriber::registry().with(filter).with(filter_fn(|about| is_let_through(about.target())));
    match log.format {
        LogFormat::Json => {
            registry.with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)).init();
        }
        LogFormat::Text => registry.with(fmt::layer().with_writer(std::io::stderr)).init(),
    }
    Ok(())
}

/// A level that is asked for a part of a silent crate does not make it speak.
fn is_let_through(target: &str) -> bool {
    let of = target.split("::").next().unwrap_or(target);
    !SILENCED.contains(&of)
}

/// What is let through.
pub(crate) fn filter(log: &Log) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(&log.level).context("log.level is not a filter like \"info\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_crates_are_silent_and_those_with_similar_names_are_not() {
        for silent in
            ["aws_sigv4", "aws_smithy_runtime::client::http", "slack_morphism::api", "tokio_postgres::query"]
        {
            assert!(!is_let_through(silent), "{silent}");
        }
        for heard in ["domain::services", "query_portal", "tokio_postgres_rustls", "store_postgres::pool", ""]
        {
            assert!(is_let_through(heard), "{heard}");
        }
    }
}
