//! Which signed calls were taken.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::Timestamp;
use domain::auth::TokenHash;
use domain::ports::{ReplayGuard, StoreError};

use crate::error::store_error;
use crate::pool::PgStore;
use crate::schema::slack_calls::dsl;

/// Most calls that one call forgets: more than one, so that the table does not grow.
const BATCH: i64 = 20;

/// Signed calls in PostgreSQL.
#[derive(Clone, Debug)]
pub struct PgReplayGuard {
    store: PgStore,
}

impl PgReplayGuard {
    pub fn new(store: PgStore) -> Self {
        Self { store }
    }
}

#[async_trait]
impl ReplayGuard for PgReplayGuard {
    async fn first_time(
        &self,
        signature: &TokenHash,
        now: Timestamp,
        forget_before: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.store.begin().await?;
        // Of several with one signature the first one takes it, and the others wait here until that has ended.
        let taken = diesel::insert_into(dsl::slack_calls)
            .values((dsl::signature_hash.eq(signature.as_str()), dsl::received_at.eq(now)))
            .on_conflict_do_nothing()
            .execute(&mut *transaction)
            .await
            .map_err(store_error)?;
        if taken == 0 {
            transaction.rollback().await?;
            return Ok(false);
        }
        forget(&mut transaction, forget_before).await.map_err(store_error)?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// Deletes old calls. Those that somebody else deletes are passed by.
async fn forget(connection: &mut AsyncPgConnection, before: Timestamp) -> QueryResult<()> {
    let over: Vec<String> = dsl::slack_calls
        .filter(dsl::received_at.lt(before))
        .order(dsl::received_at)
        .limit(BATCH)
        .select(dsl::signature_hash)
        .for_update()
        .skip_locked()
        .load(connection)
        .await?;
    if !over.is_empty() {
        diesel::delete(dsl::slack_calls.filter(dsl::signature_hash.eq_any(over))).execute(connection).await?;
    }
    Ok(())
}
