//! Idempotency keys: taken in the transaction that stores the request, and forgotten by the reaper.

use diesel::prelude::*;
use diesel::upsert::excluded;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::Timestamp;
use domain::idempotency::{Idempotency, KEPT_FOR};
use domain::ids::{RequestId, UserId};
use domain::ports::StoreError;
use domain::request::Request;

use crate::error::{rejected, store_error};
use crate::pool::PgStore;
use crate::schema::idempotency_keys::{self, dsl};

/// Most keys that one call forgets; the rest waits for the next call.
const BATCH: i64 = 1_000;

/// What a key stands for.
pub(crate) enum Kept {
    /// The request that the same was asked for.
    Same(RequestId),
    Other,
}

/// Takes the key for a new request, unless it stands for something already. Of several transactions with one key the
/// first one takes it, and the others wait here until that has ended.
pub(crate) async fn take(
    connection: &mut AsyncPgConnection,
    idempotency: &Idempotency,
    request: &Request,
) -> Result<Option<Kept>, StoreError> {
    let (user, now) = (request.requester.id, request.created_at);
    let row = (
        dsl::user_id.eq(user.as_uuid()),
        dsl::key.eq(idempotency.key.as_str()),
        dsl::fingerprint.eq(idempotency.fingerprint.to_string()),
        dsl::request_uuid.eq(request.id.as_uuid()),
        dsl::expires_at.eq(now + KEPT_FOR),
    );
    let upsert = diesel::insert_into(idempotency_keys::table)
        .values(row)
        .on_conflict((dsl::user_id, dsl::key))
        .do_update()
        .set((
            dsl::fingerprint.eq(excluded(dsl::fingerprint)),
            dsl::request_uuid.eq(excluded(dsl::request_uuid)),
            dsl::expires_at.eq(excluded(dsl::expires_at)),
        ));
    // What has not been forgotten yet, though its time is over, is as good as forgotten.
    let taken = diesel::query_dsl::methods::FilterDsl::filter(upsert, dsl::expires_at.le(now))
        .execute(connection)
        .await
        .map_err(store_error)?;
    if taken == 1 {
        return Ok(None);
    }
    // The statement above has locked the row, so it is still there.
    let kept = find(connection, user, idempotency, now).await.map_err(store_error)?;
    kept.map(Some).ok_or_else(|| rejected("an idempotency key could neither be taken nor found"))
}

/// What a key of somebody stands for now.
pub(crate) async fn find(
    connection: &mut AsyncPgConnection,
    user: UserId,
    idempotency: &Idempotency,
    now: Timestamp,
) -> QueryResult<Option<Kept>> {
    let row: Option<(String, uuid::Uuid)> = idempotency_keys::table
        .filter(dsl::user_id.eq(user.as_uuid()))
        .filter(dsl::key.eq(idempotency.key.as_str()))
        .filter(dsl::expires_at.gt(now))
        .select((dsl::fingerprint, dsl::request_uuid))
        .get_result(connection)
        .await
        .optional()?;
    Ok(row.map(|(fingerprint, request)| {
        if fingerprint == idempotency.fingerprint.to_string() {
            Kept::Same(RequestId::from_uuid(request))
        } else {
            Kept::Other
        }
    }))
}

/// Deletes keys whose time is over.
pub(crate) async fn forget(store: &PgStore, now: Timestamp) -> Result<(), StoreError> {
    let mut transaction = store.begin().await?;
    // Rows that another reaper deletes, or a new submission takes over, are passed by.
    let over: Vec<i64> = idempotency_keys::table
        .filter(dsl::expires_at.le(now))
        .order(dsl::expires_at)
        .limit(BATCH)
        .select(dsl::id)
        .for_update()
        .skip_locked()
        .load(&mut *transaction)
        .await
        .map_err(store_error)?;
    if over.is_empty() {
        return transaction.rollback().await;
    }
    diesel::delete(idempotency_keys::table.filter(dsl::id.eq_any(over)))
        .execute(&mut *transaction)
        .await
        .map_err(store_error)?;
    transaction.commit().await
}
