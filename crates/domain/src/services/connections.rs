//! Trying a target's connection, and looking up its databases, with the credentials that are bound to it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::Timestamp;
use crate::audit::{AuditEntry, Entity, EntityKind};
use crate::ids::{InstanceId, UserId};
use crate::policy::Denied;
use crate::ports::{
    AuditLog, Clock, CredentialError, Directory, DirectoryError, ExecutionError, Inspection, StoreError,
    TargetInspector,
};
use crate::services::{Authority, Keyring, error_chain};
use crate::target::{Engine, SyncAttempt, SyncChanges, SyncOutcome, Target};
use crate::text::DatabaseName;
use crate::user::{Origin, Permission};

/// Why a target was not tried at all.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("no credentials are bound to the connection as it is now; bind them first")]
    NotBound,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a target could not be looked at: for admins, who can do something about it. Never holds a credential.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failed {
    /// Stable, for programs.
    pub code: &'static str,
    /// A sentence.
    pub message: String,
}

/// What a try gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TestReport {
    pub at: Timestamp,
    pub outcome: Result<Inspection, Failed>,
}

/// What a sync gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyncReport {
    /// When the look began.
    pub at: Timestamp,
    pub outcome: Result<SyncChanges, Failed>,
}

/// After a sync that failed the portal tries again by itself that soon, or sooner when its period is shorter.
const RETRY: Duration = Duration::from_mins(5);

/// So many databases that are known are tried before the usual one: each may be gone from the server since.
const MOST_WAYS_IN: usize = 5;

/// See the module.
#[derive(Clone)]
pub struct Connections {
    pub directory: Arc<dyn Directory>,
    pub credentials: Keyring,
    pub inspectors: HashMap<Engine, Arc<dyn TargetInspector>>,
    pub audit: Arc<dyn AuditLog>,
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}

impl Connections {
    /// Connects as an execution would. The try is on the trail: it used a credential.
    pub async fn test(
        &self,
        authority: &Authority<'_>,
        id: &InstanceId,
        origin: Origin,
    ) -> Result<TestReport, ConnectionError> {
        let target = self.bound_target(authority, id).await?;
        let outcome = self.inspect(&target).await?;
        let audit = self.entry(authority.user(), "instance.test", id, code(outcome.as_ref().err()), origin);
        let at = audit.at;
        self.audit.record(audit).await?;
        Ok(TestReport { at, outcome })
    }

    /// Brings the list of databases up to date with the server's. When the connection was changed or a later look was
    /// noted while this one lasted, the list stays, and the trail tells that a credential was used for nothing.
    pub async fn sync(
        &self,
        authority: &Authority<'_>,
        id: &InstanceId,
        origin: Origin,
    ) -> Result<SyncReport, ConnectionError> {
        let target = self.bound_target(authority, id).await?;
        Ok(self.sync_target(&target, authority.user(), origin, None).await?)
    }

    /// Syncs one target whose time has come, in the name of nobody, and has the next sync of it due after the period. False
    /// when none is due.
    pub async fn sync_due(&self, period: Duration) -> Result<bool, StoreError> {
        let now = self.clock.now();
        // Until the look has succeeded, the next one is due soon: whoever holds this claim may fail, or die.
        let Some(target) = self.directory.claim_due_sync(now, now + period.min(RETRY)).await? else {
            return Ok(false);
        };
        match self.sync_target(&target, None, Origin::system(), Some(now + period)).await {
            Ok(_) => Ok(true),
            Err(DirectoryError::Store(error)) => Err(error),
            Err(error) => {
                tracing::info!(instance = %target.id, %error, "what a sync found was not noted");
                Ok(true)
            }
        }
    }

    /// `next_at` is when the next sync is due after a success.
    async fn sync_target(
        &self,
        target: &Target,
        user: Option<UserId>,
        origin: Origin,
        next_at: Option<Timestamp>,
    ) -> Result<SyncReport, DirectoryError> {
        let id = &target.id;
        let started_at = self.clock.now();
        let looked = self.inspect(target).await?;
        let outcome = match &looked {
            Ok(inspection) => SyncOutcome::Succeeded(inspection.databases.clone()),
            Err(failed) => SyncOutcome::Failed(failed.message.clone()),
        };
        let connection_revision = target.connection_revision;
        let next_at = next_at.filter(|_| looked.is_ok());
        let attempt = SyncAttempt { connection_revision, started_at, outcome, next_at };
        let audit = self.entry(user, "instance.sync", id, code(looked.as_ref().err()), origin.clone());
        match self.directory.record_sync(id, &attempt, &audit).await {
            Ok(changes) => Ok(SyncReport { at: started_at, outcome: looked.map(|_| changes) }),
            Err(error) => {
                if let DirectoryError::Changed(_) = error {
                    let audit = self.entry(user, "instance.sync", id, "changed_meanwhile", origin);
                    self.audit.record(audit).await?;
                }
                Err(error)
            }
        }
    }

    async fn bound_target(
        &self,
        authority: &Authority<'_>,
        id: &InstanceId,
    ) -> Result<Target, ConnectionError> {
        authority.require(Permission::ManageTargets)?;
        let found = self.directory.find_target(id).await?;
        let target = found.ok_or_else(|| DirectoryError::UnknownInstance(id.clone()))?;
        // Without this a credential could be sent to a server of somebody's own by a mere try.
        if target.credentials_bound() { Ok(target) } else { Err(ConnectionError::NotBound) }
    }

    async fn inspect(&self, target: &Target) -> Result<Result<Inspection, Failed>, StoreError> {
        let Some(inspector) = self.inspectors.get(&target.engine) else {
            return Ok(Err(Failed::new("engine", "This portal cannot reach this kind of database.")));
        };
        let mut credentials = match self.credentials.fetch(target).await {
            Ok(credentials) => credentials,
            Err(error) => return Ok(Err(unfetched(target, &error))),
        };
        let mut looked = None;
        for database in self.ways_in(target).await? {
            let mut outcome = inspector.inspect(target, &database, &credentials).await;
            if matches!(outcome, Err(ExecutionError::CredentialsRejected { .. })) {
                match self.credentials.fetch_anew(target, &credentials).await {
                    Ok(Some(renewed)) => {
                        credentials = renewed;
                        outcome = inspector.inspect(target, &database, &credentials).await;
                    }
                    Ok(None) => {}
                    Err(error) => return Ok(Err(unfetched(target, &error))),
                }
            }
            // The server answered, and has no such database, or no right to it: others may still do.
            let of_this_database = matches!(outcome, Err(ExecutionError::Database(_)));
            if looked.is_none() || !of_this_database {
                looked = Some(outcome);
            }
            if !of_this_database {
                break;
            }
        }
        let looked = looked.expect("there is the usual database at least");
        Ok(looked.map_err(|error| {
            tracing::info!(instance = %target.id, error = %error_chain(&error), "the instance could not be looked at");
            Failed::of_connection(&error)
        }))
    }

    /// The databases by which a look is tried, one after the other.
    async fn ways_in(&self, target: &Target) -> Result<Vec<DatabaseName>, StoreError> {
        let known = self.directory.databases(&target.id).await?;
        let active = known.into_iter().filter(|database| database.active).map(|database| database.name);
        Ok(active.take(MOST_WAYS_IN).chain([target.engine.usual_database()]).collect())
    }

    fn entry(
        &self,
        user: Option<UserId>,
        action: &str,
        id: &InstanceId,
        outcome: &str,
        origin: Origin,
    ) -> AuditEntry {
        AuditEntry {
            user,
            action: action.to_owned(),
            entity: Entity::new(EntityKind::Instance, id),
            old_values: None,
            new_values: Some(json!({ "outcome": outcome })),
            origin,
            at: self.clock.now(),
        }
    }
}

fn unfetched(target: &Target, error: &CredentialError) -> Failed {
    tracing::warn!(instance = %target.id, error = %error_chain(error), "credentials could not be fetched");
    Failed::of_credentials(error)
}

/// How an attempt ended, for the trail.
fn code(failed: Option<&Failed>) -> &'static str {
    failed.map_or("succeeded", |failed| failed.code)
}

impl Failed {
    fn new(code: &'static str, message: &str) -> Self {
        Self { code, message: message.to_owned() }
    }

    fn of_credentials(error: &CredentialError) -> Self {
        let message = match error {
            CredentialError::NotFound => "No credentials are kept under the reference of this instance.",
            CredentialError::Malformed { .. } => {
                "What is kept under the reference of this instance is not a credential; the log says why."
            }
            CredentialError::Unavailable { .. } => {
                "The source of the credentials did not answer. Try again later."
            }
            CredentialError::Forbidden => {
                "The reference of this instance is outside of the prefixes that the configuration allows."
            }
            CredentialError::Denied { .. } => {
                "The source of the credentials does not let the portal read them; the log says how it put that."
            }
            CredentialError::OtherServer => {
                "What is kept under the reference of this instance says that it is for another server."
            }
            CredentialError::NoSuchSource => "This portal is not set up for this source of credentials.",
        };
        Self::new("credentials", message)
    }

    fn of_connection(error: &ExecutionError) -> Self {
        match error {
            ExecutionError::CredentialsRejected { .. } => {
                Self::new("credentials_rejected", "The server did not accept the credentials.")
            }
            ExecutionError::RoleNotAllowed { reason } => Self::new("role_not_allowed", reason),
            // Where the portal cannot get to is for admins to mend, so they are told what happened on the way.
            ExecutionError::Unavailable { source } => Self::new(
                "unavailable",
                &format!("The server could not be reached: {}.", error_chain(&**source)),
            ),
            ExecutionError::Database(error) => {
                Self::new("database", &format!("The server answered with an error: {}", error.message))
            }
            ExecutionError::Refused(_)
            | ExecutionError::TimedOut
            | ExecutionError::Cancelled
            | ExecutionError::Sink(_)
            | ExecutionError::OutcomeUnknown { .. } => {
                Self::new("unavailable", "The server did not answer the portal's questions.")
            }
        }
    }
}
