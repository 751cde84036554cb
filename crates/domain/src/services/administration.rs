//! Setting the portal up: accounts, PODs, targets.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::audit::{AuditEntry, Entity, EntityKind};
use crate::ids::{InstanceId, PodId, UserId};
use crate::pod::Pod;
use crate::policy::{self, Denied};
use crate::ports::{
    Clock, Directory, DirectoryError, IdGenerator, NewUser, PasswordHasher, StoreError, UserError, UserStore,
    UserUpdate,
};
use crate::target::{Target, TlsMode};
use crate::text::{DatabaseName, DisplayName, Email, NewPassword};
use crate::user::{Actor, Origin, Permission, User};

/// In whose name something is set up.
#[derive(Clone, Debug)]
pub enum Authority<'a> {
    /// Somebody at the command line of the server: whoever can read its configuration may do everything.
    Operator,
    /// A person with an account.
    Person(&'a Actor),
}

impl Authority<'_> {
    fn require(&self, permission: Permission) -> Result<(), Denied> {
        match self {
            Self::Operator => Ok(()),
            Self::Person(actor) => policy::permission(actor, permission),
        }
    }

    fn user(&self) -> Option<UserId> {
        match self {
            Self::Operator => None,
            Self::Person(actor) => Some(actor.user),
        }
    }
}

/// Why something was not set up.
#[derive(Debug, thiserror::Error)]
pub enum AdministrationError {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    User(#[from] UserError),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An account to be.
#[derive(Clone, Debug)]
pub struct NewAccount {
    pub email: Email,
    pub name: DisplayName,
    pub pod: Option<PodId>,
    pub roles: Vec<String>,
    pub password: NewPassword,
}

/// A target to be; its credentials are bound by the act of adding it.
#[derive(Clone, Debug)]
pub struct NewTarget {
    pub target: Target,
    pub databases: Vec<DatabaseName>,
}

/// See the module.
pub struct Administration {
    pub users: Arc<dyn UserStore>,
    pub directory: Arc<dyn Directory>,
    pub passwords: Arc<dyn PasswordHasher>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdGenerator>,
}

impl std::fmt::Debug for Administration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Administration").finish_non_exhaustive()
    }
}

impl Administration {
    pub async fn create_user(
        &self,
        authority: &Authority<'_>,
        account: NewAccount,
        origin: Origin,
    ) -> Result<UserId, AdministrationError> {
        authority.require(Permission::ManageUsers)?;
        if account.roles.is_empty() {
            return Err(AdministrationError::Invalid("an account needs at least one role".to_owned()));
        }
        let id = UserId::from_uuid(self.ids.new_id());
        let values = json!({
            "email": account.email.as_str(), "roles": account.roles,
            "pod": account.pod.as_ref().map(PodId::as_str),
        });
        let user = NewUser {
            id,
            password_hash: self.passwords.hash(&account.password).await,
            email: account.email,
            name: account.name,
            pod: account.pod,
            roles: account.roles,
            at: self.clock.now(),
        };
        let entity = Entity::new(EntityKind::User, id);
        self.users.create(&user, &self.audit(authority, "user.create", entity, values, origin)).await?;
        Ok(id)
    }

    /// Changes an account; what it changed goes onto the trail, a password only as the fact that it changed.
    pub async fn update_user(
        &self,
        authority: &Authority<'_>,
        id: UserId,
        update: UserUpdate,
        origin: Origin,
    ) -> Result<(), AdministrationError> {
        authority.require(Permission::ManageUsers)?;
        if update.roles.as_ref().is_some_and(Vec::is_empty) {
            return Err(AdministrationError::Invalid("an account needs at least one role".to_owned()));
        }
        let values = json!({
            "name": update.name.as_ref().map(DisplayName::as_str), "roles": update.roles, "active": update.active,
            "pod": update.pod.as_ref().map(|p| p.as_ref().map(PodId::as_str)),
            "passwordChanged": update.password_hash.is_some(),
        });
        let entity = Entity::new(EntityKind::User, id);
        self.users.update(id, &update, &self.audit(authority, "user.update", entity, values, origin)).await?;
        Ok(())
    }

    /// Sets a new password, which ends all sessions of the account.
    pub async fn set_password(
        &self,
        authority: &Authority<'_>,
        id: UserId,
        password: &NewPassword,
        origin: Origin,
    ) -> Result<(), AdministrationError> {
        authority.require(Permission::ManageUsers)?;
        let update =
            UserUpdate { password_hash: Some(self.passwords.hash(password).await), ..UserUpdate::default() };
        self.update_user(authority, id, update, origin).await
    }

    pub async fn users(&self, authority: &Authority<'_>) -> Result<Vec<User>, AdministrationError> {
        authority.require(Permission::ManageUsers)?;
        Ok(self.users.list().await?)
    }

    pub async fn add_pod(
        &self,
        authority: &Authority<'_>,
        pod: &Pod,
        origin: Origin,
    ) -> Result<(), AdministrationError> {
        authority.require(Permission::ManagePods)?;
        let values = json!({ "name": pod.name.as_str(), "managerEmail": pod.manager_email.as_ref().map(Email::as_str) });
        let entity = Entity::new(EntityKind::Pod, &pod.id);
        Ok(self.directory.add_pod(pod, &self.audit(authority, "pod.create", entity, values, origin)).await?)
    }

    pub async fn add_target(
        &self,
        authority: &Authority<'_>,
        new: &NewTarget,
        origin: Origin,
    ) -> Result<(), AdministrationError> {
        authority.require(Permission::ManageTargets)?;
        check_target(&new.target)?;
        let target = &new.target;
        let values = json!({
            "name": target.name.as_str(), "type": target.engine.as_str(), "host": target.host, "port": target.port,
            "tls": target.tls.as_str(), "readOnly": target.read_only,
            "credentialSource": target.credentials.source.as_str(), "credentialReference": target.credentials.reference,
            "pods": target.pods.iter().map(PodId::as_str).collect::<Vec<_>>(),
            "databases": new.databases.iter().map(DatabaseName::as_str).collect::<Vec<_>>(),
        });
        let entity = Entity::new(EntityKind::Instance, &target.id);
        let audit = self.audit(authority, "instance.create", entity, values, origin);
        Ok(self.directory.add_target(target, &new.databases, &audit).await?)
    }

    pub async fn set_target_active(
        &self,
        authority: &Authority<'_>,
        id: &InstanceId,
        active: bool,
        origin: Origin,
    ) -> Result<(), AdministrationError> {
        authority.require(Permission::ManageTargets)?;
        let entity = Entity::new(EntityKind::Instance, id);
        let audit = self.audit(authority, "instance.update", entity, json!({ "active": active }), origin);
        Ok(self.directory.set_target_active(id, active, &audit).await?)
    }

    pub async fn set_target_pods(
        &self,
        authority: &Authority<'_>,
        id: &InstanceId,
        pods: &[PodId],
        origin: Origin,
    ) -> Result<(), AdministrationError> {
        authority.require(Permission::ManageTargets)?;
        let entity = Entity::new(EntityKind::Instance, id);
        let values = json!({ "pods": pods.iter().map(PodId::as_str).collect::<Vec<_>>() });
        let audit = self.audit(authority, "instance.update", entity, values, origin);
        Ok(self.directory.set_target_pods(id, pods, &audit).await?)
    }

    pub async fn targets(&self, authority: &Authority<'_>) -> Result<Vec<Target>, AdministrationError> {
        authority.require(Permission::ManageTargets)?;
        Ok(self.directory.targets().await?)
    }

    pub async fn pods(&self, authority: &Authority<'_>) -> Result<Vec<Pod>, AdministrationError> {
        authority.require(Permission::ManagePods)?;
        Ok(self.directory.pods().await?)
    }

    fn audit(
        &self,
        authority: &Authority<'_>,
        action: &str,
        entity: Entity,
        values: Value,
        origin: Origin,
    ) -> AuditEntry {
        AuditEntry {
            user: authority.user(),
            action: action.to_owned(),
            entity,
            old_values: None,
            new_values: Some(values),
            origin,
            at: self.clock.now(),
        }
    }
}

fn check_target(target: &Target) -> Result<(), AdministrationError> {
    let invalid = |message: &str| Err(AdministrationError::Invalid(message.to_owned()));
    let host_ok = !target.host.is_empty()
        && target.host.len() <= 253
        && target.host.chars().all(|c| c.is_ascii_graphic() && !matches!(c, ',' | '@' | '?' | '\'' | '"'));
    if !host_ok {
        return invalid("the host must be one host name or address");
    }
    if target.host.starts_with('/') && target.tls != TlsMode::Disable {
        return invalid("a Unix socket needs tls = disable");
    }
    if target.credentials.reference.trim().is_empty() {
        return invalid("the credential reference must not be empty");
    }
    if target.approvals_needed == 0 {
        return invalid("a target needs at least 1 approval");
    }
    if target.limits.timeout.is_zero() || target.limits.max_rows == 0 || target.limits.max_bytes == 0 {
        return invalid("limits must be greater than zero");
    }
    Ok(())
}
