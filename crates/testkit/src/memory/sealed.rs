//! Sealed credentials.

use async_trait::async_trait;
use domain::audit::AuditEntry;
use domain::ports::{SealedCredential, SealedStore, StoreError};

use super::InMemoryStore;

#[async_trait]
impl SealedStore for InMemoryStore {
    async fn find(&self, reference: &str) -> Result<Option<SealedCredential>, StoreError> {
        self.atomically(|world| Ok(world.sealed.get(reference).cloned()))
    }

    async fn list(&self) -> Result<Vec<SealedCredential>, StoreError> {
        self.atomically(|world| Ok(world.sealed.values().cloned().collect()))
    }

    async fn put<'a>(
        &self,
        before: Option<&'a SealedCredential>,
        after: &SealedCredential,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        self.atomically(|world| {
            if world.sealed.get(&after.reference) != before {
                return Ok(false);
            }
            world.sealed.insert(after.reference.clone(), after.clone());
            world.audit.push(audit.clone());
            Ok(true)
        })
    }

    async fn remove(&self, reference: &str, audit: &AuditEntry) -> Result<bool, StoreError> {
        self.atomically(|world| {
            let removed = world.sealed.remove(reference).is_some();
            if removed {
                world.audit.push(audit.clone());
            }
            Ok(removed)
        })
    }
}
