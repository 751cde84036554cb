//! What a person sees of targets and PODs.

use std::sync::Arc;

use crate::ids::{InstanceId, PodId};
use crate::pod::Pod;
use crate::policy;
use crate::ports::{Directory, StoreError};
use crate::target::{Target, TargetDatabase};
use crate::user::{Actor, Permission};

/// Why something of the directory cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryAccessError {
    /// Missing, or not for this person: they are not told which.
    #[error("there is no such instance")]
    NotFound,
    #[error("there is no such POD")]
    NoSuchPod,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// See the module.
pub struct DirectoryAccess {
    pub directory: Arc<dyn Directory>,
}

impl std::fmt::Debug for DirectoryAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DirectoryAccess").finish_non_exhaustive()
    }
}

impl DirectoryAccess {
    /// The targets of the person's PODs; inactive ones only for who manages targets.
    pub async fn targets(&self, actor: &Actor) -> Result<Vec<Target>, DirectoryAccessError> {
        let targets = self.directory.targets().await?;
        Ok(targets.into_iter().filter(|t| shows(actor, t)).collect())
    }

    /// A target of the person's PODs; an inactive one only for who manages targets.
    pub async fn target(&self, actor: &Actor, id: &InstanceId) -> Result<Target, DirectoryAccessError> {
        let target = self.directory.find_target(id).await?;
        target.filter(|target| shows(actor, target)).ok_or(DirectoryAccessError::NotFound)
    }

    /// The databases of a target; inactive ones only for who manages targets.
    pub async fn databases(
        &self,
        actor: &Actor,
        id: &InstanceId,
    ) -> Result<Vec<TargetDatabase>, DirectoryAccessError> {
        let target = self.target(actor, id).await?;
        let all = actor.may(Permission::ManageTargets);
        let databases = self.directory.databases(&target.id).await?;
        Ok(databases.into_iter().filter(|d| all || d.active).collect())
    }

    /// The PODs; inactive ones only for who manages PODs.
    pub async fn pods(&self, actor: &Actor) -> Result<Vec<Pod>, DirectoryAccessError> {
        let pods = self.directory.pods().await?;
        Ok(pods.into_iter().filter(|pod| shows_pod(actor, pod)).collect())
    }

    /// A POD; an inactive one only for who manages PODs.
    pub async fn pod(&self, actor: &Actor, id: &PodId) -> Result<Pod, DirectoryAccessError> {
        let pod = self.directory.find_pod(id).await?;
        pod.filter(|pod| shows_pod(actor, pod)).ok_or(DirectoryAccessError::NoSuchPod)
    }
}

fn shows(actor: &Actor, target: &Target) -> bool {
    policy::sees_target(actor, target) && (target.active || actor.may(Permission::ManageTargets))
}

fn shows_pod(actor: &Actor, pod: &Pod) -> bool {
    pod.active || actor.may(Permission::ManagePods)
}
