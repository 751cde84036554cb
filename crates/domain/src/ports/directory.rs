//! The store of PODs and targets.

use async_trait::async_trait;

use super::StoreError;
use crate::Timestamp;
use crate::audit::AuditEntry;
use crate::ids::{InstanceId, PodId};
use crate::pod::Pod;
use crate::target::{LastSync, SyncAttempt, SyncChanges, Target, TargetDatabase};
use crate::text::DatabaseName;

/// Why a change of the directory was not stored.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("{0} exists already")]
    Exists(String),
    #[error("there is no POD {0}")]
    UnknownPod(PodId),
    #[error("there is no instance {0}")]
    UnknownInstance(InstanceId),
    /// Somebody was faster.
    #[error("{0} was changed by somebody else meanwhile; look at it again")]
    Changed(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// PODs and targets. Every change MUST commit together with its audit entry.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Directory: Send + Sync {
    /// All PODs by id, inactive ones included.
    async fn pods(&self) -> Result<Vec<Pod>, StoreError>;
    async fn find_pod(&self, id: &PodId) -> Result<Option<Pod>, StoreError>;
    async fn add_pod(&self, pod: &Pod, audit: &AuditEntry) -> Result<(), DirectoryError>;
    /// Replaces a POD as it was read by what it shall be; both have the same id. MUST refuse with
    /// [`DirectoryError::Changed`], and change nothing, when the stored POD is not `before` any more.
    async fn change_pod(&self, before: &Pod, after: &Pod, audit: &AuditEntry) -> Result<(), DirectoryError>;

    /// All targets by id, inactive ones included.
    async fn targets(&self) -> Result<Vec<Target>, StoreError>;
    async fn find_target(&self, id: &InstanceId) -> Result<Option<Target>, StoreError>;
    /// Stores a target with its PODs and databases (as manual entries). MUST refuse an id that is taken and
    /// an unknown POD.
    async fn add_target(
        &self,
        target: &Target,
        databases: &[DatabaseName],
        audit: &AuditEntry,
    ) -> Result<(), DirectoryError>;
    /// Replaces a target as it was read by what it shall be, its PODs included; both have the same id and engine.
    /// When that binds its credentials or switches it on or off, its next sync MUST be due at once.
    /// MUST refuse with [`DirectoryError::Changed`], and change nothing, when the stored target is not `before`
    /// any more, and MUST refuse an unknown POD.
    async fn change_target(
        &self,
        before: &Target,
        after: &Target,
        audit: &AuditEntry,
    ) -> Result<(), DirectoryError>;

    /// The databases of a target by name, inactive ones included.
    async fn databases(&self, id: &InstanceId) -> Result<Vec<TargetDatabase>, StoreError>;
    async fn find_database(
        &self,
        id: &InstanceId,
        name: &DatabaseName,
    ) -> Result<Option<TargetDatabase>, StoreError>;
    /// Adds a database (`before` is `None`), or replaces what was read of it by what it shall be; both have the same
    /// name. MUST refuse with [`DirectoryError::Changed`], and change nothing, when what is decided about the stored
    /// entry ([`TargetDatabase::decided`]) is not that of `before` any more, and MUST leave when it was seen last.
    async fn put_database<'a>(
        &self,
        id: &InstanceId,
        before: Option<&'a TargetDatabase>,
        after: &TargetDatabase,
        audit: &AuditEntry,
    ) -> Result<(), DirectoryError>;

    /// The last look at the databases on the server that was noted; `None` when there was none.
    async fn last_sync(&self, id: &InstanceId) -> Result<Option<LastSync>, StoreError>;
    /// Takes an active target with bound credentials whose next sync is due, and has it due again at `next` at the earliest.
    /// A target that was never looked at is due. Of any number of callers at the same time exactly one MUST get it, and
    /// none MUST wait for another.
    async fn claim_due_sync(&self, now: Timestamp, next: Timestamp) -> Result<Option<Target>, StoreError>;
    /// Notes a sync. After a success: names that are not known MUST be added as synced and active entries, synced
    /// entries that the server still has MUST be active, those that it has no more MUST be inactive, and of manual
    /// entries nothing but `last_seen_at` may change. After a failure the entries MUST stay as they are. The audit
    /// entry MUST be written with what the sync changed ([`SyncAttempt::on_trail`]).
    ///
    /// MUST refuse with [`DirectoryError::Changed`], and write nothing, when the stored connection has another
    /// revision than the one that was looked at, or when a look is noted already that began after this one.
    async fn record_sync(
        &self,
        id: &InstanceId,
        attempt: &SyncAttempt,
        audit: &AuditEntry,
    ) -> Result<SyncChanges, DirectoryError>;
}
