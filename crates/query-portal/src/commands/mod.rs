//! What an operator does at the command line. Access to the configuration is the authority.

mod credentials;
mod health;
mod password;
mod pods;
mod targets;
mod users;

use std::io::Write as _;

use anyhow::Context as _;

pub(crate) use credentials::credential;
pub(crate) use health::health;
pub(crate) use pods::pod;
pub(crate) use targets::target;
pub(crate) use users::user;

use crate::config::Config;

/// Brings the database up to date.
pub(crate) async fn migrate(config: &Config) -> anyhow::Result<()> {
    let (url, server_role) = config.migration()?;
    let report = store_postgres::migrate(url, server_role.as_deref()).await.context("migrating failed")?;
    if report.applied.is_empty() {
        say("The database is up to date.")?;
    }
    for name in &report.applied {
        say(&format!("applied {name}"))?;
    }
    match server_role {
        Some(role) => {
            say(&format!("The role {role} may serve: it can add to the audit trail, but not change it."))
        }
        None => say(
            "database.owner_url is not set, so the server runs as the owner of its tables. For a real installation \
             set database.url to another role: one that cannot change the audit trail.",
        ),
    }
}

/// What `config check` tells when `serve` would start.
pub(crate) fn config_is_complete() -> anyhow::Result<()> {
    say("The configuration is complete. Whether the database answers is what /health/ready tells.")
}

/// Prints the description of the API.
pub(crate) fn openapi() -> anyhow::Result<()> {
    say(&http_api::openapi_document().to_pretty_json()?)
}

/// Writes a line for the person at the terminal.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("standard output cannot be written")
}
