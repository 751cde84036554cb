//! Keeps fetched credentials for a while, in front of any source, and lets all who want the same one share one fetch.
//! It knows nothing of what is behind it; failures are never kept.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::execution::Credentials;
use domain::ports::{CredentialError, CredentialSource};
use domain::target::{CredentialRef, CredentialSourceKind};
use moka::future::Cache;
use moka::ops::compute::Op;

/// There is one entry for each reference that targets name; far more than anybody has targets.
const MOST_ENTRIES: u64 = 10_000;

/// A credential and when its fetch began: what was changed after that moment, it may not show.
struct Kept {
    credentials: Credentials,
    begun: Instant,
}

/// A source whose answers are kept for their time to live. With none of it, every call goes to the source.
pub struct Cached {
    source: Arc<dyn CredentialSource>,
    kept: Option<Cache<CredentialRef, Arc<Kept>>>,
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time_to_live = self.kept.as_ref().and_then(|cache| cache.policy().time_to_live());
        f.debug_struct("Cached")
            .field("kind", &self.source.kind())
            .field("time_to_live", &time_to_live)
            .finish_non_exhaustive()
    }
}

impl Cached {
    pub fn new(source: Arc<dyn CredentialSource>, time_to_live: Duration) -> Self {
        let cache = || Cache::builder().max_capacity(MOST_ENTRIES).time_to_live(time_to_live).build();
        Self { source, kept: (!time_to_live.is_zero()).then(cache) }
    }

    /// What is kept, or else what one fetch brings to all who wait for it.
    async fn get(
        &self,
        cache: &Cache<CredentialRef, Arc<Kept>>,
        reference: &CredentialRef,
    ) -> Result<Arc<Kept>, CredentialError> {
        let fetch = async {
            let begun = Instant::now();
            let credentials = self.source.fetch(reference).await?;
            Ok(Arc::new(Kept { credentials, begun }))
        };
        cache.try_get_with_by_ref(reference, fetch).await.map_err(shared)
    }
}

/// Drops `old`, unless somebody has put another one in its place by now.
async fn forget(cache: &Cache<CredentialRef, Arc<Kept>>, reference: &CredentialRef, old: &Arc<Kept>) {
    cache
        .entry_by_ref(reference)
        .and_compute_with(async |entry| match entry {
            Some(entry) if Arc::ptr_eq(entry.value(), old) => Op::Remove,
            _ => Op::Nop,
        })
        .await;
}

#[async_trait]
impl CredentialSource for Cached {
    fn kind(&self) -> CredentialSourceKind {
        self.source.kind()
    }

    async fn fetch(&self, reference: &CredentialRef) -> Result<Credentials, CredentialError> {
        let Some(cache) = &self.kept else { return self.source.fetch(reference).await };
        Ok(self.get(cache, reference).await?.credentials.clone())
    }

    async fn fetch_anew(
        &self,
        reference: &CredentialRef,
        refused: &Credentials,
    ) -> Result<Credentials, CredentialError> {
        let Some(cache) = &self.kept else { return self.source.fetch_anew(reference, refused).await };
        let asked = Instant::now();
        // Ends: what is not good enough was fetched before `asked`, and every fetch from now on begins after it.
        loop {
            let kept = self.get(cache, reference).await?;
            if kept.begun >= asked || !kept.credentials.is_same_login(refused) {
                return Ok(kept.credentials.clone());
            }
            forget(cache, reference, &kept).await;
        }
    }
}

/// The failure of a shared fetch, for one of those who waited for it.
fn shared(error: Arc<CredentialError>) -> CredentialError {
    match &*error {
        CredentialError::NotFound => CredentialError::NotFound,
        CredentialError::Malformed { reason } => CredentialError::Malformed { reason: reason.clone() },
        CredentialError::Unavailable { .. } => {
            CredentialError::Unavailable { source: Box::new(SharedCause(error)) }
        }
        CredentialError::Forbidden => CredentialError::Forbidden,
        CredentialError::Denied { .. } => CredentialError::Denied { source: Box::new(SharedCause(error)) },
        CredentialError::OtherServer => CredentialError::OtherServer,
        CredentialError::NoSuchSource => CredentialError::NoSuchSource,
    }
}

/// The cause of a failure that several share: it reads as the cause itself does.
struct SharedCause(Arc<CredentialError>);

impl SharedCause {
    fn cause(&self) -> &(dyn Error + 'static) {
        self.0.source().unwrap_or(&*self.0)
    }
}

impl fmt::Debug for SharedCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.cause(), f)
    }
}

impl fmt::Display for SharedCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.cause(), f)
    }
}

impl Error for SharedCause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause().source()
    }
}
