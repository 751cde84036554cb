//! `credential ...`: what the portal keeps itself, sealed.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use domain::audit::{AuditEntry, Entity, EntityKind};
use domain::execution::Credentials;
use domain::ports::{Clock as _, SealedCredential, SealedStore};
use domain::target::{CredentialRef, CredentialSourceKind};
use domain::user::Origin;
use secrecy::ExposeSecret as _;
use secrets::{SealingKeys, parse_hosts};
use serde_json::json;

use super::{password, say};
use crate::cli::CredentialCommand;
use crate::config::Config;
use crate::system::SystemClock;
use crate::wiring;

pub(crate) async fn credential(config: &Config, command: CredentialCommand) -> anyhow::Result<()> {
    let store = wiring::sealed_store(config)?;
    match command {
        CredentialCommand::Set { reference, username, hosts, password_stdin } => {
            let hosts = hosts_of(&hosts)?;
            let login = Login { reference: &reference, username: &username, hosts };
            set(config, &store, login, password_stdin).await
        }
        CredentialCommand::List => {
            for kept in store.list().await? {
                say(&format!("{}\t{}\t{}", kept.reference, kept.key_id, kept.sealed_at.to_rfc3339()))?;
            }
            Ok(())
        }
        CredentialCommand::Remove { reference } => {
            if !store.remove(&reference, &entry("credential.remove", &reference, None)).await? {
                bail!("nothing is kept under {reference}");
            }
            say(&format!("removed {reference}"))
        }
        CredentialCommand::Reseal => reseal(&keys(config)?, &store).await,
    }
}

/// What is to be kept, but for its password.
struct Login<'a> {
    reference: &'a str,
    username: &'a str,
    hosts: Option<BTreeSet<String>>,
}

/// `None` when none are named, which is a login for any server.
fn hosts_of(given: &[String]) -> anyhow::Result<Option<BTreeSet<String>>> {
    if given.is_empty() {
        return Ok(None);
    }
    let mut hosts = BTreeSet::new();
    for host in given {
        hosts.append(&mut parse_hosts(host).context("--host")?);
    }
    Ok(Some(hosts))
}

async fn set(
    config: &Config,
    store: &impl SealedStore,
    login: Login<'_>,
    password_stdin: bool,
) -> anyhow::Result<()> {
    let Login { reference, username, hosts } = login;
    let keys = keys(config)?;
    let named = CredentialRef { source: CredentialSourceKind::Sealed, reference: reference.to_owned() };
    // What no instance could name is of no use.
    if !named.is_well_formed() {
        bail!("--reference {}", CredentialRef::FORM);
    }
    config.reference_rules().check(&named).context("--reference")?;
    if username.is_empty() || username.chars().any(char::is_control) {
        bail!("--username must not be empty, and holds no control characters");
    }
    let password = password::ask_foreign(password_stdin).await?;
    if password.expose_secret().is_empty() {
        bail!("the password is empty; nothing was changed");
    }
    let login = Credentials { hosts, ..Credentials::new(username, password) };
    let sealed = keys.seal(reference, &login, SystemClock.now());
    let opened = keys.open(&sealed).context("what was sealed does not open again; nothing was changed")?;
    if !opened.is_same_login(&login) || opened.hosts != login.hosts {
        bail!("what was sealed opens as something else; nothing was changed");
    }
    let before = store.find(reference).await?;
    let audit = entry("credential.set", reference, Some(&sealed));
    if !store.put(before.as_ref(), &sealed, &audit).await? {
        bail!("somebody else changed {reference} at the same moment; look at it and try again");
    }
    say(&format!("{} {reference}", if before.is_some() { "replaced" } else { "added" }))
}

async fn reseal(keys: &SealingKeys, store: &impl SealedStore) -> anyhow::Result<()> {
    let (mut resealed, mut there_already, mut failed) = (0, 0, vec![]);
    for kept in &store.list().await? {
        match keys.reseal(kept, SystemClock.now()) {
            Ok(None) => there_already += 1,
            Ok(Some(sealed)) => {
                let audit = entry("credential.reseal", &kept.reference, Some(&sealed));
                if store.put(Some(kept), &sealed, &audit).await? {
                    resealed += 1;
                } else {
                    failed.push(format!("{}: changed meanwhile; run this again", kept.reference));
                }
            }
            Err(error) => failed.push(format!("{}: {error}", kept.reference)),
        }
    }
    let first = keys.sealing_id();
    say(&format!(
        "{resealed} sealed anew under {first}, {there_already} under it already, {} failed",
        failed.len()
    ))?;
    if !failed.is_empty() {
        bail!(
            "keep the other keys; these do not open with {first}, or were not sealed anew:\n  {}",
            failed.join("\n  ")
        );
    }
    Ok(())
}

/// Both belong together, which the check of the configuration has seen to.
fn keys(config: &Config) -> anyhow::Result<SealingKeys> {
    config.sealing_keys()?.context(
        "the source sealed is not set up: set secrets.sealed_prefixes and secrets.sealed_keys, for example to the output \
         of: echo \"$(date +%Y-%m):$(openssl rand -base64 32)\"",
    )
}

fn entry(action: &str, reference: &str, sealed: Option<&SealedCredential>) -> AuditEntry {
    AuditEntry {
        user: None,
        action: action.to_owned(),
        entity: Entity::new(EntityKind::Credential, reference),
        old_values: None,
        new_values: sealed.map(|sealed| json!({ "keyId": sealed.key_id })),
        origin: Origin::cli(),
        at: SystemClock.now(),
    }
}
