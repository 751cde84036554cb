//! Setting the portal up: accounts, PODs, targets. Every change lands on the trail with what was before it.

mod people;
mod pods;
mod targets;

use std::sync::Arc;

use serde_json::Value;

use crate::audit::{AuditEntry, Entity};
use crate::ids::UserId;
use crate::policy::{self, Denied};
use crate::ports::{
    Clock, Directory, DirectoryError, IdGenerator, PasswordHasher, StoreError, UserError, UserStore,
};
use crate::target::ReferenceRules;
use crate::user::{Actor, Origin, Permission};

pub use people::{AccountChange, NewAccount};
pub use targets::NewTarget;

/// In whose name something is set up.
#[derive(Clone, Debug)]
pub enum Authority<'a> {
    /// Somebody at the command line of the server: whoever can read its configuration may do everything.
    Operator,
    /// A person with an account.
    Person(&'a Actor),
}

impl Authority<'_> {
    pub(super) fn require(&self, permission: Permission) -> Result<(), Denied> {
        match self {
            Self::Operator => Ok(()),
            Self::Person(actor) => policy::permission(actor, permission),
        }
    }

    pub(super) fn user(&self) -> Option<UserId> {
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
    /// A value that cannot be: the field as the API names it, and what must hold.
    #[error("{field}: {message}")]
    Invalid { field: &'static str, message: String },
    #[error(transparent)]
    User(#[from] UserError),
    #[error("the POD does not exist")]
    NoSuchPod,
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The connection was changed after whoever binds it looked at it.
    #[error(
        "the connection of this instance is at revision {current} now; look at it again before you bind it"
    )]
    OtherRevision { current: i32 },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AdministrationError {
    fn invalid(field: &'static str, message: &str) -> Self {
        Self::Invalid { field, message: message.to_owned() }
    }
}

/// See the module.
pub struct Administration {
    pub users: Arc<dyn UserStore>,
    pub directory: Arc<dyn Directory>,
    pub passwords: Arc<dyn PasswordHasher>,
    /// Which credentials targets may name.
    pub references: ReferenceRules,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdGenerator>,
}

impl std::fmt::Debug for Administration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Administration").finish_non_exhaustive()
    }
}

/// Something that is about to be recorded.
struct Act {
    action: &'static str,
    entity: Entity,
    before: Option<Value>,
    after: Value,
    origin: Origin,
}

impl Administration {
    fn audit(&self, authority: &Authority<'_>, act: Act) -> AuditEntry {
        AuditEntry {
            user: authority.user(),
            action: act.action.to_owned(),
            entity: act.entity,
            old_values: act.before,
            new_values: Some(act.after),
            origin: act.origin,
            at: self.clock.now(),
        }
    }
}
