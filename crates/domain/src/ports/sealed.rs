//! The store of credentials that the portal keeps itself, sealed by keys that are not in it.

use async_trait::async_trait;

use super::StoreError;
use crate::Timestamp;
use crate::audit::AuditEntry;

/// A credential as it is stored: readable only with the key that `key_id` names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedCredential {
    pub reference: String,
    pub key_id: String,
    pub nonce: Vec<u8>,
    pub ciphertext: Vec<u8>,
    /// When it was sealed.
    pub sealed_at: Timestamp,
}

/// Sealed credentials. Every change MUST commit together with its audit entry.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait SealedStore: Send + Sync {
    async fn find(&self, reference: &str) -> Result<Option<SealedCredential>, StoreError>;

    /// All of them by reference.
    async fn list(&self) -> Result<Vec<SealedCredential>, StoreError>;

    /// Replaces `before`, or adds where that is `None`. MUST do nothing and answer false when what is stored is not
    /// `before` any more. Both have the same reference.
    async fn put<'a>(
        &self,
        before: Option<&'a SealedCredential>,
        after: &SealedCredential,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError>;

    /// False when there is none.
    async fn remove(&self, reference: &str, audit: &AuditEntry) -> Result<bool, StoreError>;
}
