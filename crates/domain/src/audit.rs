//! The audit trail: who did what to what, when, from where.
//!
//! An entry never holds a secret, and never a whole query text: the digest names it, and the
//! request itself, which is not deleted, holds it.

use serde_json::{Value, json};

use crate::Timestamp;
use crate::ids::UserId;
use crate::user::Origin;

/// One line of the trail.
#[derive(Clone, PartialEq, Debug)]
pub struct AuditEntry {
    /// `None` is the portal itself, or somebody who is not known (a failed login).
    pub user: Option<UserId>,
    /// `thing.verb`, for example `request.approve`.
    pub action: String,
    pub entity: Entity,
    pub old_values: Option<Value>,
    pub new_values: Option<Value>,
    pub origin: Origin,
    pub at: Timestamp,
}

impl AuditEntry {
    /// An account was tied to one in Slack, because the addresses are the same: by the person's own press, or by the portal
    /// itself (`None`), which wanted to write to them.
    pub fn slack_tie(
        account: UserId,
        slack_user_id: &str,
        by: Option<UserId>,
        origin: Origin,
        at: Timestamp,
    ) -> Self {
        Self {
            user: by,
            action: "user.slack".to_owned(),
            entity: Entity::new(EntityKind::User, account),
            old_values: None,
            new_values: Some(json!({ "slackUserId": slack_user_id })),
            origin,
            at,
        }
    }
}

/// What an entry is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entity {
    pub kind: EntityKind,
    pub id: String,
}

impl Entity {
    pub fn new(kind: EntityKind, id: impl ToString) -> Self {
        Self { kind, id: id.to_string() }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntityKind {
    Request,
    User,
    Session,
    Pod,
    Instance,
    Database,
    /// A credential that the portal keeps itself; the id is its reference.
    Credential,
}

impl EntityKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::User => "user",
            Self::Session => "session",
            Self::Pod => "pod",
            Self::Instance => "instance",
            Self::Database => "database",
            Self::Credential => "credential",
        }
    }
}
