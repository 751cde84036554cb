//! Credentials that the portal keeps itself, sealed, in its own store. It knows the store by its port only.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use domain::execution::Credentials;
use domain::ports::{CredentialError, CredentialSource, SealedStore};
use domain::target::{CredentialRef, CredentialSourceKind, ReferenceRules};

use crate::sealing::SealingKeys;
use crate::{admit, malformed, rules};

/// Reads sealed credentials from the store and opens them with the keys of the configuration.
pub struct SealedCredentialSource {
    store: Arc<dyn SealedStore>,
    keys: Arc<SealingKeys>,
    rules: ReferenceRules,
}

impl fmt::Debug for SealedCredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedCredentialSource")
            .field("keys", &self.keys)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

impl SealedCredentialSource {
    /// An empty prefix admits nothing.
    pub fn new(prefixes: Vec<String>, keys: Arc<SealingKeys>, store: Arc<dyn SealedStore>) -> Self {
        Self { store, keys, rules: rules(CredentialSourceKind::Sealed, prefixes) }
    }
}

#[async_trait]
impl CredentialSource for SealedCredentialSource {
    fn kind(&self) -> CredentialSourceKind {
        CredentialSourceKind::Sealed
    }

    async fn fetch(&self, reference: &CredentialRef) -> Result<Credentials, CredentialError> {
        admit(&self.rules, reference)?;
        let name = &reference.reference;
        let found = self.store.find(name).await;
        let found = found.map_err(|error| CredentialError::Unavailable { source: error.into() })?;
        let sealed = found.ok_or(CredentialError::NotFound)?;
        // A sealed login is bound to its own reference, so this is what binds it to the one that was asked for.
        if sealed.reference != *name {
            return Err(malformed("the store answered with what is kept under another reference"));
        }
        self.keys.open(&sealed)
    }
}
