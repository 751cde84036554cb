//! The store of PODs and targets.

use std::collections::HashMap;

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use domain::Timestamp;
use domain::audit::AuditEntry;
use domain::ids::{InstanceId, PodId};
use domain::pod::Pod;
use domain::ports::{Directory, DirectoryError, StoreError};
use domain::target::{LastSync, SyncAttempt, SyncChanges, Target, TargetDatabase};
use domain::text::DatabaseName;
use futures_util::FutureExt;

use crate::audit::record;
use crate::directory_changes;
use crate::error::store_error;
use crate::pool::{PgStore, Transaction};
use crate::schema::{database_instances, databases, instance_pods, pods};
use crate::syncs;
use crate::target_rows::{
    DatabaseRow, InstanceRow, PodRow, find_database, find_instance, find_pod, pods_of_instance,
};

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

/// Ends the transaction of a change: with its audit row, or with nothing.
async fn finish<T>(
    mut transaction: Transaction,
    changed: Result<T, DirectoryError>,
    audit: &AuditEntry,
) -> Result<T, DirectoryError> {
    match changed {
        Ok(answer) => {
            record(&mut transaction, audit).await?;
            transaction.commit().await?;
            Ok(answer)
        }
        Err(error) => {
            // Without an answer to this the pool closes the connection. Why the change failed says more.
            let _ = transaction.rollback().await;
            Err(error)
        }
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
        let changed = directory_changes::add_pod(&mut transaction, pod, audit.at).await;
        finish(transaction, changed, audit).await
    }

    async fn change_pod(&self, before: &Pod, after: &Pod, audit: &AuditEntry) -> Result<(), DirectoryError> {
        let mut transaction = self.store.begin().await?;
        let changed = directory_changes::change_pod(&mut transaction, before, after).await;
        finish(transaction, changed, audit).await
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
        databases: &[DatabaseName],
        audit: &AuditEntry,
    ) -> Result<(), DirectoryError> {
        let mut transaction = self.store.begin().await?;
        let changed = directory_changes::add_target(&mut transaction, target, databases, audit.at).await;
        finish(transaction, changed, audit).await
    }

    async fn change_target(
        &self,
        before: &Target,
        after: &Target,
        audit: &AuditEntry,
    ) -> Result<(), DirectoryError> {
        let mut transaction = self.store.begin().await?;
        let changed = directory_changes::change_target(&mut transaction, before, after, audit.at).await;
        finish(transaction, changed, audit).await
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

    async fn put_database<'a>(
        &self,
        id: &InstanceId,
        before: Option<&'a TargetDatabase>,
        after: &TargetDatabase,
        audit: &AuditEntry,
    ) -> Result<(), DirectoryError> {
        let mut transaction = self.store.begin().await?;
        let changed = syncs::put_database(&mut transaction, id, before, after, audit.at).await;
        finish(transaction, changed, audit).await
    }

    async fn last_sync(&self, id: &InstanceId) -> Result<Option<LastSync>, StoreError> {
        let id = id.clone();
        self.store
            .read(move |connection| {
                let id = id.clone();
                async move { syncs::last_sync(connection, id.as_str()).await }.boxed()
            })
            .await
    }

    async fn claim_due_sync(&self, now: Timestamp, next: Timestamp) -> Result<Option<Target>, StoreError> {
        let mut transaction = self.store.begin().await?;
        let claimed = syncs::claim_due(&mut transaction, now, next).await.map_err(store_error)?;
        let Some(row) = claimed else {
            transaction.rollback().await?;
            return Ok(None);
        };
        let pods = pods_of_instance(&transaction, &row.id).await.map_err(store_error)?;
        // Before the row is read: one that cannot be has had its turn, too, and does not keep the others from theirs.
        transaction.commit().await?;
        row.read(pods).map(Some)
    }

    async fn record_sync(
        &self,
        id: &InstanceId,
        attempt: &SyncAttempt,
        audit: &AuditEntry,
    ) -> Result<SyncChanges, DirectoryError> {
        let mut transaction = self.store.begin().await?;
        let changed = syncs::record_sync(&mut transaction, id, attempt).await;
        let changes = changed.as_ref().cloned().unwrap_or_default();
        finish(transaction, changed, &attempt.on_trail(audit, &changes)).await
    }
}
