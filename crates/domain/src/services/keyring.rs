//! The way to every credential: which source has it, whether a target may name it, and whether it may go there.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::execution::Credentials;
use crate::ports::{CredentialError, CredentialSource};
use crate::target::{CredentialSourceKind, Target};

/// The sources that the configuration sets up.
#[derive(Clone, Default)]
pub struct Keyring(HashMap<CredentialSourceKind, Arc<dyn CredentialSource>>);

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keyring").field(&self.0.keys()).finish()
    }
}

impl FromIterator<Arc<dyn CredentialSource>> for Keyring {
    fn from_iter<I: IntoIterator<Item = Arc<dyn CredentialSource>>>(sources: I) -> Self {
        Self(sources.into_iter().map(|source| (source.kind(), source)).collect())
    }
}

impl Keyring {
    /// The login for a target whose credentials are bound; who calls has looked at that.
    pub async fn fetch(&self, target: &Target) -> Result<Credentials, CredentialError> {
        let source = self.source(target)?;
        fitting(target, source.fetch(&target.credentials).await?)
    }

    /// The login after the target did not accept `refused`, which may have been replaced since it was fetched. `None` when
    /// it is the same one still: another try would be the same.
    pub async fn fetch_anew(
        &self,
        target: &Target,
        refused: &Credentials,
    ) -> Result<Option<Credentials>, CredentialError> {
        let source = self.source(target)?;
        let found = fitting(target, source.fetch_anew(&target.credentials, refused).await?)?;
        Ok((!found.is_same_login(refused)).then_some(found))
    }

    fn source(&self, target: &Target) -> Result<&Arc<dyn CredentialSource>, CredentialError> {
        self.0.get(&target.credentials.source).ok_or(CredentialError::NoSuchSource)
    }
}

/// What says for which servers it is goes to no other.
fn fitting(target: &Target, credentials: Credentials) -> Result<Credentials, CredentialError> {
    let Some(named) = &credentials.hosts else { return Ok(credentials) };
    let hosts = target.hosts();
    if hosts.is_empty() || !hosts.is_subset(named) {
        return Err(CredentialError::OtherServer);
    }
    Ok(credentials)
}
