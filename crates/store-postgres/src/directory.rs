//! The store of PODs and targets.

use std::collections::HashMap;

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::Timestamp;
use domain::audit::AuditEntry;
use domain::ids::{InstanceId, PodId};
use domain::pod::Pod;
use domain::ports::{Directory, DirectoryError, StoreError};
use domain::target::{DatabaseSource, Target, TargetDatabase};
use domain::text::DatabaseName;
use futures_util::FutureExt;

use crate::audit::record;
use crate::error::{store_error, violates};
use crate::pool::PgStore;
use crate::schema::{database_instances, databases, instance_pods, pods};
use crate::target_rows::{DatabaseRow, InstanceRow, PodRow, find_database, find_instance, find_pod};

/// PODs and targets in PostgreSQL.
#[derive(Clone, Debug)]
pub struct PgDirectory {
    store: PgStore,
}

impl PgDirectory {
    pub fn new(store: PgStore) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Directory for PgDirectory {
    async fn pods(&self) -> Result<Vec<Pod>, StoreError> {
        let rows: Vec<PodRow> = self
            .store
            .read(|connection| {
                pods::table.order(pods::id).select(PodRow::as_select()).load(connection).boxed()
            })
            .await?;
        rows.into_iter().map(PodRow::read).collect()
    }

    async fn find_pod(&self, id: &PodId) -> Result<Option<Pod>, StoreError> {
        let id = id.clone();
        let row = self
            .store
            .read(move |connection| {
                let id = id.clone();
                async move { find_pod(connection, id.as_str()).await }.boxed()
            })
            .await?;
        row.map(PodRow::read).transpose()
    }

    async fn add_pod(&self, pod: &Pod, audit: &AuditEntry) -> Result<(), DirectoryError> {
        let mut transaction = self.store.begin().await?;
        let added = diesel::insert_into(pods::table)
            .values((PodRow::of(pod), pods::created_at.eq(audit.at)))
            .execute(&mut *transaction)
            .await;
        match added {
            Ok(_) => {}
            Err(error) if violates(&error, "pods_pkey") => {
                transaction.rollback().await?;
                return Err(DirectoryError::Exists(format!("the POD {}", pod.id)));
            }
            Err(error) => return Err(store_error(error).into()),
        }
        record(&mut transaction, audit).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn targets(&self) -> Result<Vec<Target>, StoreError> {
        let (rows, links): (Vec<InstanceRow>, Vec<(String, String)>) = self
            .store
            .read(|connection| {
                async move {
                    let rows = database_instances::table
                        .order(database_instances::id)
                        .select(InstanceRow::as_select())
                        .load(connection)
                        .await?;
                    let links = instance_pods::table
                        .order(instance_pods::pod_id)
                        .select((instance_pods::instance_id, instance_pods::pod_id))
                        .load(connection)
                        .await?;
                    Ok((rows, links))
                }
                .boxed()
            })
            .await?;
        let mut pods: HashMap<String, Vec<String>> = HashMap::new();
        for (instance, pod) in links {
            pods.entry(instance).or_default().push(pod);
        }
        rows.into_iter()
            .map(|row| {
                let pods = pods.remove(&row.id).unwrap_or_default();
                row.read(pods)
            })
            .collect()
    }

    async fn find_target(&self, id: &InstanceId) -> Result<Option<Target>, StoreError> {
        let id = id.clone();
        let found = self
            .store
            .read(move |connection| {
                let id = id.clone();
                async move { find_instance(connection, id.as_str()).await }.boxed()
            })
            .await?;
        found.map(|(row, pods)| row.read(pods)).transpose()
    }

    async fn add_target(
        &self,
        target: &Target,
        names: &[DatabaseName],
        audit: &AuditEntry,
    ) -> Result<(), DirectoryError> {
        let mut transaction = self.store.begin().await?;
        let added = diesel::insert_into(database_instances::table)
            .values(InstanceRow::of(target, audit.at)?)
            .execute(&mut *transaction)
            .await;
        match added {
            Ok(_) => {}
            Err(error) if violates(&error, "database_instances_pkey") => {
                transaction.rollback().await?;
                return Err(DirectoryError::Exists(format!("the instance {}", target.id)));
            }
            Err(error) => return Err(store_error(error).into()),
        }
        if let Err(error) = link_pods(&mut transaction, &target.id, &target.pods).await {
            transaction.rollback().await?;
            return Err(error);
        }
        add_databases(&mut transaction, &target.id, names, audit.at).await?;
        record(&mut transaction, audit).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn set_target_active(
        &self,
        id: &InstanceId,
        active: bool,
        audit: &AuditEntry,
    ) -> Result<(), DirectoryError> {
        let mut transaction = self.store.begin().await?;
        let changed = diesel::update(database_instances::table.find(id.as_str()))
            .set((database_instances::is_active.eq(active), database_instances::updated_at.eq(audit.at)))
            .execute(&mut *transaction)
            .await
            .map_err(store_error)?;
        if changed == 0 {
            transaction.rollback().await?;
            return Err(DirectoryError::UnknownInstance(id.clone()));
        }
        record(&mut transaction, audit).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn set_target_pods(
        &self,
        id: &InstanceId,
        pods: &[PodId],
        audit: &AuditEntry,
    ) -> Result<(), DirectoryError> {
        let mut transaction = self.store.begin().await?;
        // The lock on the instance keeps two changes from mixing their lists.
        let changed = diesel::update(database_instances::table.find(id.as_str()))
            .set(database_instances::updated_at.eq(audit.at))
            .execute(&mut *transaction)
            .await
            .map_err(store_error)?;
        if changed == 0 {
            transaction.rollback().await?;
            return Err(DirectoryError::UnknownInstance(id.clone()));
        }
        diesel::delete(instance_pods::table.filter(instance_pods::instance_id.eq(id.as_str())))
            .execute(&mut *transaction)
            .await
            .map_err(store_error)?;
        if let Err(error) = link_pods(&mut transaction, id, pods).await {
            transaction.rollback().await?;
            return Err(error);
        }
        record(&mut transaction, audit).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn databases(&self, id: &InstanceId) -> Result<Vec<TargetDatabase>, StoreError> {
        let id = id.clone();
        let rows: Vec<DatabaseRow> = self
            .store
            .read(move |connection| {
                databases::table
                    .filter(databases::instance_id.eq(id.as_str().to_owned()))
                    .order(databases::name)
                    .select(DatabaseRow::as_select())
                    .load(connection)
                    .boxed()
            })
            .await?;
        rows.into_iter().map(DatabaseRow::read).collect()
    }

    async fn find_database(
        &self,
        id: &InstanceId,
        name: &DatabaseName,
    ) -> Result<Option<TargetDatabase>, StoreError> {
        let (id, name) = (id.clone(), name.clone());
        let row = self
            .store
            .read(move |connection| {
                let (id, name) = (id.clone(), name.clone());
                async move { find_database(connection, id.as_str(), name.as_str()).await }.boxed()
            })
            .await?;
        row.map(DatabaseRow::read).transpose()
    }
}

/// Ties PODs to an instance, one by one so that an unknown one can be named.
async fn link_pods(
    connection: &mut AsyncPgConnection,
    instance: &InstanceId,
    pods: &[PodId],
) -> Result<(), DirectoryError> {
    for pod in pods {
        let linked = diesel::insert_into(instance_pods::table)
            .values((
                instance_pods::instance_id.eq(instance.as_str()),
                instance_pods::pod_id.eq(pod.as_str()),
            ))
            .on_conflict_do_nothing()
            .execute(connection)
            .await;
        match linked {
            Ok(_) => {}
            Err(error) if violates(&error, "instance_pods_pod_id_fkey") => {
                return Err(DirectoryError::UnknownPod(pod.clone()));
            }
            Err(error) => return Err(store_error(error).into()),
        }
    }
    Ok(())
}

async fn add_databases(
    connection: &mut AsyncPgConnection,
    instance: &InstanceId,
    names: &[DatabaseName],
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows: Vec<_> = names
        .iter()
        .map(|name| {
            (
                databases::instance_id.eq(instance.as_str()),
                databases::name.eq(name.as_str()),
                databases::source.eq(DatabaseSource::Manual.as_str()),
                databases::created_at.eq(now),
                databases::updated_at.eq(now),
            )
        })
        .collect();
    diesel::insert_into(databases::table)
        .values(rows)
        .on_conflict_do_nothing()
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}
