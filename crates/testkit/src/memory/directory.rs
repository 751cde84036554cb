//! PODs, targets and databases.

use async_trait::async_trait;
use domain::audit::AuditEntry;
use domain::ids::{InstanceId, PodId};
use domain::pod::Pod;
use domain::ports::{Directory, DirectoryError, StoreError};
use domain::target::{DatabaseSource, Target, TargetDatabase};
use domain::text::DatabaseName;

use super::InMemoryStore;
use super::world::World;

#[async_trait]
impl Directory for InMemoryStore {
    async fn pods(&self) -> Result<Vec<Pod>, StoreError> {
        self.atomically(|world| Ok(world.pods.values().cloned().collect()))
    }

    async fn find_pod(&self, id: &PodId) -> Result<Option<Pod>, StoreError> {
        self.atomically(|world| Ok(world.pods.get(id).cloned()))
    }

    async fn add_pod(&self, pod: &Pod, audit: &AuditEntry) -> Result<(), DirectoryError> {
        self.atomically(|world| {
            if world.pods.contains_key(&pod.id) {
                return Err(DirectoryError::Exists(pod.id.to_string()));
            }
            world.pods.insert(pod.id.clone(), pod.clone());
            world.audit.push(audit.clone());
            Ok(())
        })
    }

    async fn targets(&self) -> Result<Vec<Target>, StoreError> {
        self.atomically(|world| Ok(world.targets.values().cloned().collect()))
    }

    async fn find_target(&self, id: &InstanceId) -> Result<Option<Target>, StoreError> {
        self.atomically(|world| Ok(world.targets.get(id).cloned()))
    }

    async fn add_target(
        &self,
        target: &Target,
        databases: &[DatabaseName],
        audit: &AuditEntry,
    ) -> Result<(), DirectoryError> {
        self.atomically(|world| {
            if world.targets.contains_key(&target.id) {
                return Err(DirectoryError::Exists(target.id.to_string()));
            }
            check_pods(world, &target.pods)?;
            let mut target = target.clone();
            target.pods = sorted(&target.pods);
            let manual = |name: &DatabaseName| TargetDatabase {
                name: name.clone(),
                description: None,
                source: DatabaseSource::Manual,
                active: true,
                last_seen_at: None,
            };
            let databases = databases.iter().map(|name| (name.clone(), manual(name))).collect();
            world.databases.insert(target.id.clone(), databases);
            world.targets.insert(target.id.clone(), target);
            world.audit.push(audit.clone());
            Ok(())
        })
    }

    async fn set_target_active(
        &self,
        id: &InstanceId,
        active: bool,
        audit: &AuditEntry,
    ) -> Result<(), DirectoryError> {
        self.atomically(|world| {
            target_mut(world, id)?.active = active;
            world.audit.push(audit.clone());
            Ok(())
        })
    }

    async fn set_target_pods(
        &self,
        id: &InstanceId,
        pods: &[PodId],
        audit: &AuditEntry,
    ) -> Result<(), DirectoryError> {
        self.atomically(|world| {
            target_mut(world, id)?;
            check_pods(world, pods)?;
            target_mut(world, id)?.pods = sorted(pods);
            world.audit.push(audit.clone());
            Ok(())
        })
    }

    async fn databases(&self, id: &InstanceId) -> Result<Vec<TargetDatabase>, StoreError> {
        self.atomically(|world| {
            Ok(world.databases.get(id).map(|all| all.values().cloned().collect()).unwrap_or_default())
        })
    }

    async fn find_database(
        &self,
        id: &InstanceId,
        name: &DatabaseName,
    ) -> Result<Option<TargetDatabase>, StoreError> {
        self.atomically(|world| Ok(world.databases.get(id).and_then(|all| all.get(name).cloned())))
    }
}

fn target_mut<'a>(world: &'a mut World, id: &InstanceId) -> Result<&'a mut Target, DirectoryError> {
    world.targets.get_mut(id).ok_or_else(|| DirectoryError::UnknownInstance(id.clone()))
}

fn check_pods(world: &World, pods: &[PodId]) -> Result<(), DirectoryError> {
    match world.unknown_pod(pods.iter()) {
        Some(unknown) => Err(DirectoryError::UnknownPod(unknown)),
        None => Ok(()),
    }
}

/// A set, in the order of ids: what a table of pairs gives back.
fn sorted(pods: &[PodId]) -> Vec<PodId> {
    let mut pods = pods.to_vec();
    pods.sort();
    pods.dedup();
    pods
}
