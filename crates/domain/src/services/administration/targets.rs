//! Targets: entering, changing, switching off, and binding credentials to them.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Act, Administration, AdministrationError, Authority};
use crate::audit::{Entity, EntityKind};
use crate::ids::{InstanceId, PodId};
use crate::ports::DirectoryError;
use crate::target::{
    Admits, CredentialRef, DatabaseChange, Engine, LastSync, MongoAddress, ReferenceError, Target,
    TargetChange, TargetDatabase, TlsMode,
};
use crate::text::DatabaseName;
use crate::user::{Origin, Permission};

/// A target to be; its credentials are bound by the act of adding it.
#[derive(Clone, Debug)]
pub struct NewTarget {
    pub target: Target,
    pub databases: Vec<DatabaseName>,
}

/// Longest description of a target, a POD or a database, in characters.
const MAX_DESCRIPTION: usize = 2_000;
/// Longest list of a MongoDB target's hosts, and longest list of its options, in bytes.
const MAX_HOSTS: usize = 2_000;
const MAX_TIMEOUT: Duration = Duration::from_hours(24);
const MAX_APPROVAL_TTL: Duration = Duration::from_hours(365 * 24);
const MAX_ROWS: u64 = 1_000_000_000;
const MAX_BYTES: u64 = 1 << 40;

impl Administration {
    pub async fn add_target(
        &self,
        authority: &Authority<'_>,
        new: &NewTarget,
        origin: Origin,
    ) -> Result<(), AdministrationError> {
        authority.require(Permission::ManageTargets)?;
        check(&new.target)?;
        let target = &new.target;
        self.check_reference(target)?;
        let mut after = on_trail(target);
        after["databases"] = json!(new.databases.iter().map(DatabaseName::as_str).collect::<Vec<_>>());
        let entity = Entity::new(EntityKind::Instance, &target.id);
        let act = Act { action: "instance.create", entity, before: None, after, origin };
        Ok(self.directory.add_target(target, &new.databases, &self.audit(authority, act)).await?)
    }

    /// Changes a target. Where that touches its connection, no request runs there until an admin has bound the
    /// credentials again ([`Administration::bind_credentials`]).
    pub async fn change_target(
        &self,
        authority: &Authority<'_>,
        id: &InstanceId,
        change: TargetChange,
        origin: Origin,
    ) -> Result<Target, AdministrationError> {
        let before = self.target(authority, id).await?;
        let after = before.changed(change);
        check(&after)?;
        // The configuration may have changed since: what is there already may stay, and be switched off.
        if after.credentials != before.credentials {
            self.check_reference(&after)?;
        }
        self.replace_target(authority, "instance.update", before, after, origin).await
    }

    /// Says that the credential that the target names may go where its connection leads. `revision` is that of the
    /// connection which the admin looked at.
    pub async fn bind_credentials(
        &self,
        authority: &Authority<'_>,
        id: &InstanceId,
        revision: i32,
        origin: Origin,
    ) -> Result<Target, AdministrationError> {
        let before = self.target(authority, id).await?;
        if before.connection_revision != revision {
            return Err(AdministrationError::OtherRevision { current: before.connection_revision });
        }
        self.check_reference(&before)?;
        let after = Target { bound_revision: Some(revision), ..before.clone() };
        self.replace_target(authority, "instance.bind", before, after, origin).await
    }

    pub async fn target(
        &self,
        authority: &Authority<'_>,
        id: &InstanceId,
    ) -> Result<Target, AdministrationError> {
        authority.require(Permission::ManageTargets)?;
        let found = self.directory.find_target(id).await?;
        Ok(found.ok_or_else(|| DirectoryError::UnknownInstance(id.clone()))?)
    }

    pub async fn targets(&self, authority: &Authority<'_>) -> Result<Vec<Target>, AdministrationError> {
        authority.require(Permission::ManageTargets)?;
        Ok(self.directory.targets().await?)
    }

    /// Adds a database to a target, or changes what is known of it. A sync leaves it as it is from then on.
    pub async fn put_database(
        &self,
        authority: &Authority<'_>,
        id: &InstanceId,
        change: DatabaseChange,
        origin: Origin,
    ) -> Result<TargetDatabase, AdministrationError> {
        authority.require(Permission::ManageTargets)?;
        let before = self.directory.find_database(id, &change.name).await?;
        let after = change.of(before.as_ref());
        check_description(after.description.as_deref())?;
        if before.as_ref() == Some(&after) {
            return Ok(after);
        }
        let act = Act {
            action: "instance.database",
            entity: Entity::new(EntityKind::Instance, id),
            before: before.as_ref().map(database_on_trail),
            after: database_on_trail(&after),
            origin,
        };
        self.directory.put_database(id, before.as_ref(), &after, &self.audit(authority, act)).await?;
        Ok(after)
    }

    /// The last look at the databases of a target.
    pub async fn last_sync(
        &self,
        authority: &Authority<'_>,
        id: &InstanceId,
    ) -> Result<Option<LastSync>, AdministrationError> {
        authority.require(Permission::ManageTargets)?;
        Ok(self.directory.last_sync(id).await?)
    }

    /// Nobody can bind what the portal would not fetch.
    fn check_reference(&self, target: &Target) -> Result<(), AdministrationError> {
        self.references.check(&target.credentials).map_err(|error| {
            let field = match error {
                ReferenceError::NoSuchSource(_) => "connection.credentialSource",
                ReferenceError::OutsidePrefixes(_) => "connection.credentialReference",
            };
            AdministrationError::invalid(field, &error.to_string())
        })
    }

    async fn replace_target(
        &self,
        authority: &Authority<'_>,
        action: &'static str,
        before: Target,
        after: Target,
        origin: Origin,
    ) -> Result<Target, AdministrationError> {
        if after == before {
            return Ok(after);
        }
        let act = Act {
            action,
            entity: Entity::new(EntityKind::Instance, &before.id),
            before: Some(on_trail(&before)),
            after: on_trail(&after),
            origin,
        };
        self.directory.change_target(&before, &after, &self.audit(authority, act)).await?;
        Ok(after)
    }
}

/// A target on the trail: everything but what it inherits from nowhere else. A reference names a credential and is none.
fn on_trail(target: &Target) -> Value {
    json!({
        "name": target.name.as_str(), "type": target.engine.as_str(), "description": target.description,
        "host": target.host, "port": target.port, "connectionOptions": target.connection_options,
        "tls": target.tls.as_str(),
        "credentialSource": target.credentials.source.as_str(), "credentialReference": target.credentials.reference,
        "connectionRevision": target.connection_revision, "credentialsBound": target.credentials_bound(),
        "active": target.active, "readOnly": target.read_only, "allowPrivilegedRole": target.allow_privileged_role,
        "allowOtherDatabases": target.admits.other_databases,
        "allowServerJavascript": target.admits.server_javascript,
        "searchPath": target.search_path,
        "limits": {
            "timeoutMs": milliseconds(target.limits.timeout), "lockTimeoutMs": milliseconds(target.limits.lock_timeout),
            "maxRows": target.limits.max_rows, "maxBytes": target.limits.max_bytes,
        },
        "approvalsNeeded": target.approvals_needed, "approvalTtlMs": milliseconds(target.approval_ttl),
        "pods": target.pods.iter().map(PodId::as_str).collect::<Vec<_>>(),
        "slackResults": target.slack_results.as_str(), "slackDecisions": target.slack_decisions,
    })
}

fn database_on_trail(database: &TargetDatabase) -> Value {
    json!({
        "database": database.name.as_str(), "description": database.description, "active": database.active,
        "source": database.source.as_str(),
    })
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn check(target: &Target) -> Result<(), AdministrationError> {
    let invalid = |field, message: &str| Err(AdministrationError::invalid(field, message));
    if target.port == 0 {
        return invalid("connection.port", "must be 1 to 65535");
    }
    match target.engine {
        Engine::Postgresql => check_postgresql(target)?,
        Engine::Mongodb => check_mongodb(target)?,
    }
    if !target.credentials.is_well_formed() {
        return invalid("connection.credentialReference", CredentialRef::FORM);
    }
    if target.approvals_needed == 0 {
        return invalid("approvalsNeeded", "must be at least 1");
    }
    if target.approval_ttl.is_zero() || target.approval_ttl > MAX_APPROVAL_TTL {
        return invalid("approvalTtlSeconds", "must be more than 0 and at most 365 days");
    }
    let limits = &target.limits;
    for (field, time) in [("limits.timeoutMs", limits.timeout), ("limits.lockTimeoutMs", limits.lock_timeout)]
    {
        if time.is_zero() || time > MAX_TIMEOUT {
            return invalid(field, "must be more than 0 and at most 24 hours");
        }
    }
    if !(1..=MAX_ROWS).contains(&limits.max_rows) {
        return invalid("limits.maxRows", "must be 1 to 1,000,000,000");
    }
    if !(1..=MAX_BYTES).contains(&limits.max_bytes) {
        return invalid("limits.maxBytes", "must be 1 byte to 1 TiB");
    }
    check_description(target.description.as_deref())
}

fn check_postgresql(target: &Target) -> Result<(), AdministrationError> {
    let invalid = |field, message: &str| Err(AdministrationError::invalid(field, message));
    let host_ok = !target.host.is_empty()
        && target.host.len() <= 253
        && target.host.chars().all(|c| c.is_ascii_graphic() && !matches!(c, ',' | '@' | '?' | '\'' | '"'));
    if !host_ok {
        return invalid("connection.host", "must be one host name or address");
    }
    if target.host.starts_with('/') && target.tls != TlsMode::Disable {
        return invalid("connection.tls", "must be disable for a Unix socket");
    }
    let path = target.search_path.as_deref();
    if path.is_some_and(|path| path.len() > 1_000 || path.chars().any(char::is_control)) {
        return invalid("searchPath", "must be at most 1,000 bytes without control characters");
    }
    let Admits { other_databases, server_javascript } = target.admits;
    let for_mongodb = [
        ("connection.options", target.connection_options.is_some()),
        ("allowOtherDatabases", other_databases),
        ("allowServerJavascript", server_javascript),
    ];
    match for_mongodb.into_iter().find(|(_, given)| *given) {
        Some((field, _)) => invalid(field, "is for mongodb instances only"),
        None => Ok(()),
    }
}

fn check_mongodb(target: &Target) -> Result<(), AdministrationError> {
    let invalid = |field, message: &str| Err(AdministrationError::invalid(field, message));
    if target.host.len() > MAX_HOSTS {
        return invalid("connection.host", "must be at most 2,000 bytes long");
    }
    // The hosts by themselves first, so that the complaint names the field that it is about.
    for (field, options) in
        [("connection.host", None), ("connection.options", target.connection_options.as_deref())]
    {
        if let Err(error) = MongoAddress::parse(&target.host, target.port, options) {
            return invalid(field, &error.to_string());
        }
    }
    if target.connection_options.as_ref().is_some_and(|options| options.len() > MAX_HOSTS) {
        return invalid("connection.options", "must be at most 2,000 bytes long");
    }
    if target.tls == TlsMode::VerifyCa {
        let message = "must be verify-full, require or disable for mongodb: whoever checks the certificate checks the \
                       host name, too";
        return invalid("connection.tls", message);
    }
    match target.search_path {
        Some(_) => invalid("searchPath", "is for postgresql instances only"),
        None => Ok(()),
    }
}

/// Descriptions are for people: any text, but no NUL, which the portal's database cannot keep.
pub(super) fn check_description(text: Option<&str>) -> Result<(), AdministrationError> {
    match text {
        Some(text) if text.chars().count() > MAX_DESCRIPTION || text.contains('\0') => Err(
            AdministrationError::invalid("description", "must be at most 2,000 characters long, without NUL"),
        ),
        _ => Ok(()),
    }
}
