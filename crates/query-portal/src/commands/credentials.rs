//! `credential ...`: what the portal keeps itself, sealed.

use anyhow::{Context as _, bail};
use domain::audit::{AuditEntry, Entity, EntityKind};
use domain::ports::{Clock as _, SealedCredential, SealedStore};
use domain::target::{CredentialRef, CredentialSourceKind};
use domain::user::Origin;
use secrets::SealingKeys;
use serde_json::json;

use super::{password, say};
use crate::cli::CredentialCommand;
use crate::config::Config;
use crate::system::SystemClock;
use crate::wiring;

pub(crate) async fn credential(config: &Config, command: CredentialCommand) -> anyhow::Result<()> {
    let store = wiring::sealed_store(config)?;
    match command {
        CredentialCommand::Set { reference, username, password_stdin } => {
            set(config, &store, &reference, &username, password_stdin).await
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

async fn set(
    config: &Config,
    store: &impl SealedStore,
    reference: &str,
    username: &str,
    password_stdin: bool,
) -> anyhow::Result<()> {
    let keys = keys(config)?;
    let named = CredentialRef { source: CredentialSourceKind::Sealed, reference: reference.to_owned() };
    config.reference_rules().check(&named).context("--reference")?;
    if username.is_empty() || username.chars().any(char::is_control) {
        bail!("--username must not be empty, and holds no control characters");
    }
    let password = password::ask_foreign(password_stdin).await?;
    let sealed = keys.seal(reference, username, &password, SystemClock.now());
    let before = store.find(reference).await?;
    let audit = entry("credential.set", reference, Some(&sealed));
    if !store.put(before.as_ref(), &sealed, &audit).await? {
        bail!("somebody else changed {reference} at the same moment; look at it and try again");
    }
    say(&format!("{} {reference}", if before.is_some() { "replaced" } else { "added" }))
}

async fn reseal(keys: &SealingKeys, store: &impl SealedStore) -> anyhow::Result<()> {
    let (mut resealed, mut unreadable) = (0, vec![]);
    let all = store.list().await?;
    for kept in &all {
        let sealed = match keys.reseal(kept, SystemClock.now()) {
            Ok(Some(sealed)) => sealed,
            Ok(None) => continue,
            Err(error) => {
                unreadable.push(format!("{}: {error}", kept.reference));
                continue;
            }
        };
        let audit = entry("credential.reseal", &kept.reference, Some(&sealed));
        if store.put(Some(kept), &sealed, &audit).await? {
            resealed += 1;
        } else {
            unreadable.push(format!("{}: changed meanwhile; run this again", kept.reference));
        }
    }
    say(&format!("sealed {resealed} of {} anew; the others were under the first key already", all.len()))?;
    if !unreadable.is_empty() {
        bail!("not sealed anew:\n  {}", unreadable.join("\n  "));
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
