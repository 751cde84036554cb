//! The store of people and their sessions.

use async_trait::async_trait;

use super::StoreError;
use crate::Timestamp;
use crate::audit::AuditEntry;
use crate::auth::{NewSession, OwnerProof, PresentedToken, Principal, Rotation, SessionInfo, TokenHash};
use crate::ids::{PodId, SessionId, UserId};
use crate::text::{DisplayName, Email};
use crate::user::{Role, User};

/// Why a change of people was not stored.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    #[error("an account with this e-mail address exists already")]
    EmailTaken,
    #[error("another account is tied to this Slack user")]
    SlackUserTaken,
    #[error("the user does not exist")]
    NotFound,
    #[error("there is no role named {0}")]
    UnknownRole(String),
    #[error("there is no POD {0}")]
    UnknownPod(PodId),
    /// Somebody was faster.
    #[error("the account was changed by somebody else meanwhile; look at it again")]
    Changed,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An account to be.
#[derive(Clone, Debug)]
pub struct NewUser {
    pub id: UserId,
    pub email: Email,
    pub name: DisplayName,
    pub pod: Option<PodId>,
    pub password_hash: String,
    pub roles: Vec<String>,
    pub at: Timestamp,
}

/// What changes of an account; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct UserUpdate {
    pub name: Option<DisplayName>,
    /// `Some(None)` takes the person out of their POD.
    pub pod: Option<Option<PodId>>,
    pub roles: Option<Vec<String>>,
    pub active: Option<bool>,
    /// `Some(None)` unties the account from Slack.
    pub slack_user_id: Option<Option<String>>,
    pub password_hash: Option<String>,
    /// Of people who change their own account; `None` when somebody changes another's, which needs none.
    pub proof: Option<OwnerProof>,
}

/// An account with what a login is checked against.
#[derive(Clone, Debug)]
pub struct UserWithPassword {
    pub user: User,
    pub password_hash: String,
}

/// People.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait UserStore: Send + Sync {
    /// MUST refuse an e-mail address that is taken, an unknown role and an unknown POD, and write the audit
    /// entry in the same transaction.
    async fn create(&self, user: &NewUser, audit: &AuditEntry) -> Result<(), UserError>;

    async fn find(&self, id: UserId) -> Result<Option<User>, StoreError>;

    async fn find_by_email(&self, email: &Email) -> Result<Option<UserWithPassword>, StoreError>;

    /// Accounts by e-mail address, at most `limit`, those behind `after`.
    async fn list(&self, after: Option<Email>, limit: u32) -> Result<Vec<User>, StoreError>;

    /// Changes an account as it was read. MUST refuse with [`UserError::Changed`], and change nothing, when the
    /// stored name, POD, roles, activity or Slack user are not those of `before` any more, or when there is a proof and the stored
    /// password hash is not the verified one any more, or the session of the proof has ended or is not of this
    /// account. A new password or a deactivation MUST end all of its sessions at once. Writes the audit entry in the
    /// same transaction.
    async fn update(&self, before: &User, update: &UserUpdate, audit: &AuditEntry) -> Result<(), UserError>;

    /// All roles by name.
    async fn roles(&self) -> Result<Vec<Role>, StoreError>;
}

/// Logins.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Stores a login with its first refresh token, notes `last_login`, and writes the audit entry, in one
    /// transaction. MUST do nothing and answer false when the account is not active, or its password hash is not
    /// the verified one, at that moment: the password may have been changed since it was checked.
    async fn open(&self, session: &NewSession, audit: &AuditEntry) -> Result<bool, StoreError>;

    /// Trades a refresh token for the next one. MUST be atomic: of two calls with the same token one is
    /// [`Rotation::Rotated`] and the other [`Rotation::Reused`]. A reuse MUST revoke every token of the session
    /// and leave an audit entry `session.reuse_detected`; a token of a session that is revoked or over is
    /// [`Rotation::Invalid`]. The session's end (`expires_at`) is not moved.
    async fn rotate(
        &self,
        presented: &TokenHash,
        next: &TokenHash,
        now: Timestamp,
    ) -> Result<Rotation, StoreError>;

    /// Ends a session and blacklists the access token that asked for it. MUST act at once, in every process.
    async fn close(
        &self,
        token: &PresentedToken,
        now: Timestamp,
        audit: &AuditEntry,
    ) -> Result<(), StoreError>;

    /// Ends all sessions of a user: no token issued before `now` is accepted any more.
    async fn close_all(&self, user: UserId, now: Timestamp, audit: &AuditEntry) -> Result<(), StoreError>;

    /// The live sessions of a user, the one that was used last first.
    async fn list(&self, user: UserId, now: Timestamp) -> Result<Vec<SessionInfo>, StoreError>;

    /// Ends one session of a user. False when the user has no such live session.
    async fn close_one(
        &self,
        user: UserId,
        session: SessionId,
        now: Timestamp,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError>;

    /// Who is behind a presented access token. MUST be `None` when the user is not active, the session is
    /// revoked, the token is blacklisted, or it was issued before the user's tokens were invalidated. Roles,
    /// permissions and PODs MUST be those of this moment.
    async fn principal(&self, token: &PresentedToken) -> Result<Option<Principal>, StoreError>;
}
