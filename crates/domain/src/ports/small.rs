//! The small ports: time, ids, secrets, tokens, notifications, health, and the store's common error.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use uuid::Uuid;

use crate::Timestamp;
use crate::audit::AuditEntry;
use crate::auth::AccessClaims;
use crate::execution::Credentials;
use crate::job::NotificationJob;
use crate::pod::Pod;
use crate::request::Request;
use crate::target::{CredentialRef, CredentialSourceKind, Target};
use crate::text::NewPassword;

/// What can go wrong with the portal's own store, whatever is asked of it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached or did not answer in time; trying again may help.
    #[error("the portal database is not available")]
    Unavailable { source: Box<dyn std::error::Error + Send + Sync> },
    /// A row that no version of the portal can have written.
    #[error("row {id} of table {table} holds an impossible value in {column}")]
    Corrupt { table: &'static str, column: &'static str, id: String },
    /// The store refused a statement of ours: a defect of the portal or of its installation.
    #[error("the portal database refused an operation")]
    Rejected { source: Box<dyn std::error::Error + Send + Sync> },
}

/// The time, in whole microseconds.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

/// New identifiers. They MUST NOT repeat and MUST NOT be guessable.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait IdGenerator: Send + Sync {
    fn new_id(&self) -> Uuid;
}

/// New secrets: refresh tokens and generated passwords.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait SecretGenerator: Send + Sync {
    /// MUST hold at least 256 bits from the operating system's random source, in URL-safe characters.
    fn new_token(&self) -> SecretString;
}

/// Password hashes. Slow on purpose; implementations MUST NOT block the async runtime.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait PasswordHasher: Send + Sync {
    async fn hash(&self, password: &NewPassword) -> String;
    /// False for a hash that cannot be read. MUST take as long for `None` (no such user) as for a
    /// wrong password, so that time tells nobody which accounts exist.
    async fn verify(&self, password: &SecretString, hash: Option<String>) -> bool;
}

/// Why an access token was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    #[error("the access token has expired")]
    Expired,
    #[error("the access token is not valid")]
    Invalid,
}

/// Signs and checks access tokens.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait AccessTokens: Send + Sync {
    fn sign(&self, claims: &AccessClaims) -> SecretString;
    /// MUST refuse every other algorithm, issuer, audience and token type, and MUST look at `expires_at`, which
    /// a token may have shortened to the whole second. MUST keep `issued_at` to the microsecond, so that tokens
    /// of different moments differ. Only a text that was signed here can be [`InvalidToken::Expired`].
    fn verify(&self, token: &str, now: Timestamp) -> Result<AccessClaims, InvalidToken>;
}

/// Why credentials could not be had. The cause goes to the log, never to a requester.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    #[error("no credentials are kept under this reference")]
    NotFound,
    #[error("what is kept under this reference is not a credential: {reason}")]
    Malformed { reason: String },
    #[error("the credential source is not available")]
    Unavailable { source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the reference is outside of the configured prefixes")]
    Forbidden,
    /// The source knows the portal, and does not let it read this.
    #[error("the credential source does not let the portal read this")]
    Denied { source: Box<dyn std::error::Error + Send + Sync> },
    /// What is kept says for which servers it is, and the target is another one.
    #[error("what is kept under this reference is for another server than the target's")]
    OtherServer,
    #[error("the portal is not set up for this source of credentials")]
    NoSuchSource,
}

/// Fetches credentials from where the company keeps them.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait CredentialSource: Send + Sync {
    fn kind(&self) -> CredentialSourceKind;
    /// The error MUST NOT hold any part of a credential.
    async fn fetch(&self, reference: &CredentialRef) -> Result<Credentials, CredentialError>;

    /// The same after a target did not accept `refused`: MUST ask where credentials are kept, and not a memory of it,
    /// unless that has other ones by now.
    async fn fetch_anew(
        &self,
        reference: &CredentialRef,
        refused: &Credentials,
    ) -> Result<Credentials, CredentialError> {
        let _ = refused;
        self.fetch(reference).await
    }
}

/// Why a notification did not go out.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    #[error("the notification could not be delivered now")]
    Retry { source: Box<dyn std::error::Error + Send + Sync> },
    /// Not its turn yet, or whoever takes it asks for a pause: this was no failed try.
    #[error("the notification has to wait")]
    Later { after: Duration },
    #[error("the notification can never be delivered: {reason}")]
    Permanent { reason: String },
}

/// What to tell, with the request, its target and its POD as they are at the moment of telling.
#[derive(Clone, PartialEq, Debug)]
pub struct Notification {
    pub job: NotificationJob,
    pub request: Request,
    /// Absent when it is not there any more.
    pub target: Option<Target>,
    /// Absent when it is not there any more.
    pub pod: Option<Pod>,
}

/// Tells people what happened.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Delivers. A notification may be given again after it was delivered: where it can be told, nobody MUST be told
    /// twice.
    async fn notify(&self, notification: &Notification) -> Result<(), NotifyError>;
}

/// Audit entries that do not belong to another change: failed logins, refusals.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait AuditLog: Send + Sync {
    async fn record(&self, entry: AuditEntry) -> Result<(), StoreError>;
}

/// Whether the portal can work.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Health: Send + Sync {
    async fn check(&self) -> Result<(), StoreError>;
}
