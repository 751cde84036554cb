//! PODs, targets and databases.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use domain::Timestamp;
use domain::audit::AuditEntry;
use domain::ids::{InstanceId, PodId};
use domain::pod::Pod;
use domain::ports::{Directory, DirectoryError, StoreError};
use domain::target::{
    DatabaseSource, LastSync, SyncAttempt, SyncChanges, SyncOutcome, Target, TargetDatabase,
};
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

    async fn change_pod(&self, before: &Pod, after: &Pod, audit: &AuditEntry) -> Result<(), DirectoryError> {
        self.atomically(|world| {
            let stored = world.pods.get_mut(&before.id);
            let stored = stored.ok_or_else(|| DirectoryError::UnknownPod(before.id.clone()))?;
            if stored != before {
                return Err(DirectoryError::Changed(format!("the POD {}", before.id)));
            }
            stored.clone_from(after);
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

    async fn change_target(
        &self,
        before: &Target,
        after: &Target,
        audit: &AuditEntry,
    ) -> Result<(), DirectoryError> {
        self.atomically(|world| {
            if known_target(world, &before.id)? != before {
                return Err(DirectoryError::Changed(format!("the instance {}", before.id)));
            }
            check_pods(world, &after.pods)?;
            let after = Target { pods: sorted(&after.pods), ..after.clone() };
            if (after.bound_revision, after.active) != (before.bound_revision, before.active) {
                world.next_syncs.remove(&before.id);
            }
            world.targets.insert(before.id.clone(), after);
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

    async fn put_database<'a>(
        &self,
        id: &InstanceId,
        before: Option<&'a TargetDatabase>,
        after: &TargetDatabase,
        audit: &AuditEntry,
    ) -> Result<(), DirectoryError> {
        self.atomically(|world| {
            known_target(world, id)?;
            let databases = world.databases.entry(id.clone()).or_default();
            let stored = databases.get(&after.name);
            if stored.map(TargetDatabase::decided) != before.map(TargetDatabase::decided) {
                return Err(DirectoryError::Changed(format!("the database {} of {id}", after.name)));
            }
            let last_seen_at = stored.and_then(|stored| stored.last_seen_at);
            databases.insert(after.name.clone(), TargetDatabase { last_seen_at, ..after.clone() });
            world.audit.push(audit.clone());
            Ok(())
        })
    }

    async fn last_sync(&self, id: &InstanceId) -> Result<Option<LastSync>, StoreError> {
        self.atomically(|world| Ok(world.syncs.get(id).cloned()))
    }

    async fn claim_due_sync(&self, now: Timestamp, next: Timestamp) -> Result<Option<Target>, StoreError> {
        self.atomically(|world| {
            let due_at = |target: &Target| world.next_syncs.get(&target.id).copied();
            let due = world
                .targets
                .values()
                .filter(|target| target.active && target.credentials_bound())
                .filter(|target| due_at(target).is_none_or(|at| at <= now))
                .min_by_key(|target| due_at(target))
                .cloned();
            if let Some(target) = &due {
                world.next_syncs.insert(target.id.clone(), next);
            }
            Ok(due)
        })
    }

    async fn record_sync(
        &self,
        id: &InstanceId,
        attempt: &SyncAttempt,
        audit: &AuditEntry,
    ) -> Result<SyncChanges, DirectoryError> {
        self.atomically(|world| {
            let began = attempt.started_at;
            let moved = known_target(world, id)?.connection_revision != attempt.connection_revision;
            if moved || world.syncs.get(id).is_some_and(|last| last.at > began) {
                return Err(DirectoryError::Changed(format!("the instance {id}")));
            }
            let (changes, error) = match &attempt.outcome {
                SyncOutcome::Succeeded(found) => {
                    let databases = world.databases.entry(id.clone()).or_default();
                    (synced(databases, found, began), None)
                }
                SyncOutcome::Failed(error) => (SyncChanges::default(), Some(error.clone())),
            };
            world.syncs.insert(id.clone(), LastSync { at: began, error });
            if let Some(next) = attempt.next_at {
                world.next_syncs.insert(id.clone(), next);
            }
            world.audit.push(attempt.on_trail(audit, &changes));
            Ok(changes)
        })
    }
}

/// Brings the entries up to date with what a server has. Manual ones are somebody's decision and stay.
fn synced(
    databases: &mut BTreeMap<DatabaseName, TargetDatabase>,
    found: &[DatabaseName],
    now: Timestamp,
) -> SyncChanges {
    let mut changes = SyncChanges::default();
    for (name, database) in databases.iter_mut() {
        let seen = found.contains(name);
        if seen {
            database.last_seen_at = Some(now);
        }
        if database.source == DatabaseSource::Manual || database.active == seen {
            continue;
        }
        database.active = seen;
        let list = if seen { &mut changes.reactivated } else { &mut changes.deactivated };
        list.push(name.clone());
    }
    for name in found.iter().collect::<BTreeSet<_>>() {
        if !databases.contains_key(name) {
            let database = TargetDatabase {
                name: name.clone(),
                description: None,
                source: DatabaseSource::Synced,
                active: true,
                last_seen_at: Some(now),
            };
            databases.insert(name.clone(), database);
            changes.added.push(name.clone());
        }
    }
    changes
}

fn known_target<'a>(world: &'a World, id: &InstanceId) -> Result<&'a Target, DirectoryError> {
    world.targets.get(id).ok_or_else(|| DirectoryError::UnknownInstance(id.clone()))
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
