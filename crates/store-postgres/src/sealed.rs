//! Sealed credentials. What is in them, and by which keys, is not known here.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use domain::audit::AuditEntry;
use domain::ports::{SealedCredential, SealedStore, StoreError};
use futures_util::FutureExt;

use crate::audit::record;
use crate::error::store_error;
use crate::pool::{PgStore, Transaction};
use crate::schema::sealed_credentials::{self, dsl};

/// Sealed credentials in PostgreSQL.
#[derive(Clone, Debug)]
pub struct PgSealedStore {
    store: PgStore,
}

impl PgSealedStore {
    pub fn new(store: PgStore) -> Self {
        Self { store }
    }
}

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = sealed_credentials, check_for_backend(diesel::pg::Pg))]
struct SealedRow {
    reference: String,
    key_id: String,
    nonce: Vec<u8>,
    ciphertext: Vec<u8>,
    sealed_at: DateTime<Utc>,
}

impl SealedRow {
    fn of(credential: &SealedCredential) -> Self {
        let SealedCredential { reference, key_id, nonce, ciphertext, sealed_at } = credential.clone();
        Self { reference, key_id, nonce, ciphertext, sealed_at }
    }

    fn read(self) -> SealedCredential {
        let Self { reference, key_id, nonce, ciphertext, sealed_at } = self;
        SealedCredential { reference, key_id, nonce, ciphertext, sealed_at }
    }
}

#[async_trait]
impl SealedStore for PgSealedStore {
    async fn find(&self, reference: &str) -> Result<Option<SealedCredential>, StoreError> {
        let reference = reference.to_owned();
        let row: Option<SealedRow> = self
            .store
            .read(move |connection| {
                let row = dsl::sealed_credentials.find(reference.clone()).select(SealedRow::as_select());
                async move { row.get_result(connection).await.optional() }.boxed()
            })
            .await?;
        Ok(row.map(SealedRow::read))
    }

    async fn list(&self) -> Result<Vec<SealedCredential>, StoreError> {
        let rows: Vec<SealedRow> = self
            .store
            .read(|connection| {
                let rows = dsl::sealed_credentials.order(dsl::reference).select(SealedRow::as_select());
                rows.load(connection).boxed()
            })
            .await?;
        Ok(rows.into_iter().map(SealedRow::read).collect())
    }

    async fn put<'a>(
        &self,
        before: Option<&'a SealedCredential>,
        after: &SealedCredential,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.store.begin().await?;
        let row = SealedRow::of(after);
        let stored = match before {
            None => {
                let added = diesel::insert_into(dsl::sealed_credentials).values(row).on_conflict_do_nothing();
                added.execute(&mut *transaction).await
            }
            // Of two that saw the same, the second waits here and then finds another row.
            Some(before) => {
                let seen = dsl::sealed_credentials
                    .filter(dsl::reference.eq(&after.reference))
                    .filter(dsl::reference.eq(&before.reference))
                    .filter(dsl::key_id.eq(&before.key_id))
                    .filter(dsl::nonce.eq(&before.nonce))
                    .filter(dsl::ciphertext.eq(&before.ciphertext))
                    .filter(dsl::sealed_at.eq(before.sealed_at));
                diesel::update(seen).set(row).execute(&mut *transaction).await
            }
        };
        finish(transaction, stored.map_err(store_error)?, audit).await
    }

    async fn remove(&self, reference: &str, audit: &AuditEntry) -> Result<bool, StoreError> {
        let mut transaction = self.store.begin().await?;
        let removed =
            diesel::delete(dsl::sealed_credentials.find(reference)).execute(&mut *transaction).await;
        finish(transaction, removed.map_err(store_error)?, audit).await
    }
}

/// Ends a change together with its entry, or without one when nothing was changed.
async fn finish(
    mut transaction: Transaction,
    changed: usize,
    audit: &AuditEntry,
) -> Result<bool, StoreError> {
    if changed == 0 {
        transaction.rollback().await?;
        return Ok(false);
    }
    record(&mut transaction, audit).await?;
    transaction.commit().await?;
    Ok(true)
}
