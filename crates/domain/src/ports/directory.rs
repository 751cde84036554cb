//! The store of PODs and targets.

use async_trait::async_trait;

use super::StoreError;
use crate::audit::AuditEntry;
use crate::ids::{InstanceId, PodId};
use crate::pod::Pod;
use crate::target::{Target, TargetDatabase};
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
    /// Switches a target on or off.
    async fn set_target_active(
        &self,
        id: &InstanceId,
        active: bool,
        audit: &AuditEntry,
    ) -> Result<(), DirectoryError>;
    /// Replaces the PODs that may use a target.
    async fn set_target_pods(
        &self,
        id: &InstanceId,
        pods: &[PodId],
        audit: &AuditEntry,
    ) -> Result<(), DirectoryError>;

    /// The databases of a target by name, inactive ones included.
    async fn databases(&self, id: &InstanceId) -> Result<Vec<TargetDatabase>, StoreError>;
    async fn find_database(
        &self,
        id: &InstanceId,
        name: &DatabaseName,
    ) -> Result<Option<TargetDatabase>, StoreError>;
}
