//! Logins and their refresh tokens.
//!
//! Whatever changes sessions locks the row of the person first. So a token that is rotated while the session is
//! being revoked cannot leave a successor behind that the revocation did not see.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::Timestamp;
use domain::audit::{AuditEntry, Entity, EntityKind};
use domain::auth::{NewSession, PresentedToken, Principal, Rotation, SessionInfo, TokenHash};
use domain::ids::{SessionId, UserId};
use domain::ports::{SessionStore, StoreError};
use domain::user::Origin;
use futures_util::FutureExt;
use serde_json::json;
use uuid::Uuid;

use crate::audit::record;
use crate::error::store_error;
use crate::pool::PgStore;
use crate::principal;
use crate::schema::{access_token_blacklist, refresh_tokens, user_token_invalidation, users};
use crate::session_list::live_sessions;
use crate::user_rows::find_user;

/// Sessions in PostgreSQL.
#[derive(Clone, Debug)]
pub struct PgSessionStore {
    store: PgStore,
}

impl PgSessionStore {
    pub fn new(store: PgStore) -> Self {
        Self { store }
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = refresh_tokens, check_for_backend(diesel::pg::Pg))]
struct TokenRow {
    id: i64,
    session_id: Uuid,
    user_id: Uuid,
    device_info: Option<String>,
    ip_address: Option<String>,
    expires_at: DateTime<Utc>,
    rotated_at: Option<DateTime<Utc>>,
    is_revoked: bool,
}

#[async_trait]
impl SessionStore for PgSessionStore {
    async fn open(&self, session: &NewSession, audit: &AuditEntry) -> Result<bool, StoreError> {
        let mut transaction = self.store.begin().await?;
        let verified = users::table
            .find(session.user.as_uuid())
            .filter(users::is_active)
            .filter(users::password_hash.eq(&session.verified.0));
        let noted = diesel::update(verified)
            .set(users::last_login.eq(audit.at))
            .execute(&mut *transaction)
            .await
            .map_err(store_error)?;
        if noted == 0 {
            transaction.rollback().await?;
            return Ok(false);
        }
        let ip: Option<String> = session.ip.as_ref().map(|ip| ip.chars().take(64).collect());
        diesel::insert_into(refresh_tokens::table)
            .values((
                refresh_tokens::session_id.eq(session.session.as_uuid()),
                refresh_tokens::user_id.eq(session.user.as_uuid()),
                refresh_tokens::token_hash.eq(session.refresh_hash.as_str()),
                refresh_tokens::device_info.eq(session.device.as_ref()),
                refresh_tokens::ip_address.eq(ip),
                refresh_tokens::expires_at.eq(session.expires_at),
                refresh_tokens::created_at.eq(audit.at),
            ))
            .execute(&mut *transaction)
            .await
            .map_err(store_error)?;
        record(&mut transaction, audit).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn rotate(
        &self,
        presented: &TokenHash,
        next: &TokenHash,
        now: Timestamp,
    ) -> Result<Rotation, StoreError> {
        let mut transaction = self.store.begin().await?;
        let Some(seen) = find_token(&mut transaction, presented).await? else {
            transaction.rollback().await?;
            return Ok(Rotation::Invalid);
        };
        lock_user(&mut transaction, seen.user_id).await?;
        // Read again: only now nobody else changes it.
        let token = find_token(&mut transaction, presented).await?;
        let Some(token) = token.filter(|token| !token.is_revoked && token.expires_at > now) else {
            transaction.rollback().await?;
            return Ok(Rotation::Invalid);
        };
        let (user, session) = (UserId::from_uuid(token.user_id), SessionId::from_uuid(token.session_id));
        if token.rotated_at.is_some() {
            revoke_session(&mut transaction, token.user_id, token.session_id, now).await?;
            record(&mut transaction, &reuse_detected(user, session, now)).await?;
            transaction.commit().await?;
            return Ok(Rotation::Reused { user, session });
        }
        let owner = find_user(&mut transaction, token.user_id).await.map_err(store_error)?;
        let Some((owner, roles)) = owner.filter(|(owner, _)| owner.is_active) else {
            transaction.rollback().await?;
            return Ok(Rotation::Invalid);
        };
        let user = owner.read(roles)?;
        replace(&mut transaction, token, next, now).await?;
        transaction.commit().await?;
        Ok(Rotation::Rotated { user, session })
    }

    async fn close(
        &self,
        token: &PresentedToken,
        now: Timestamp,
        audit: &AuditEntry,
    ) -> Result<(), StoreError> {
        let claims = &token.claims;
        let mut transaction = self.store.begin().await?;
        lock_user(&mut transaction, claims.user.as_uuid()).await?;
        diesel::insert_into(access_token_blacklist::table)
            .values((
                access_token_blacklist::token_hash.eq(token.hash.as_str()),
                access_token_blacklist::user_id.eq(claims.user.as_uuid()),
                access_token_blacklist::expires_at.eq(claims.expires_at),
                access_token_blacklist::revoked_at.eq(now),
                access_token_blacklist::reason.eq("logout"),
            ))
            .on_conflict_do_nothing()
            .execute(&mut *transaction)
            .await
            .map_err(store_error)?;
        revoke_session(&mut transaction, claims.user.as_uuid(), claims.session.as_uuid(), now).await?;
        record(&mut transaction, audit).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn close_all(&self, user: UserId, now: Timestamp, audit: &AuditEntry) -> Result<(), StoreError> {
        let mut transaction = self.store.begin().await?;
        lock_user(&mut transaction, user.as_uuid()).await?;
        end_sessions(&mut transaction, user.as_uuid(), now).await?;
        record(&mut transaction, audit).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn list(&self, user: UserId, now: Timestamp) -> Result<Vec<SessionInfo>, StoreError> {
        self.store.read(move |connection| live_sessions(connection, user.as_uuid(), now).boxed()).await
    }

    async fn close_one(
        &self,
        user: UserId,
        session: SessionId,
        now: Timestamp,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.store.begin().await?;
        lock_user(&mut transaction, user.as_uuid()).await?;
        let live: i64 = refresh_tokens::table
            .filter(refresh_tokens::user_id.eq(user.as_uuid()))
            .filter(refresh_tokens::session_id.eq(session.as_uuid()))
            .filter(refresh_tokens::is_revoked.eq(false))
            .filter(refresh_tokens::expires_at.gt(now))
            .count()
            .get_result(&mut *transaction)
            .await
            .map_err(store_error)?;
        if live == 0 {
            transaction.rollback().await?;
            return Ok(false);
        }
        revoke_session(&mut transaction, user.as_uuid(), session.as_uuid(), now).await?;
        record(&mut transaction, audit).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn principal(&self, token: &PresentedToken) -> Result<Option<Principal>, StoreError> {
        principal::find(&self.store, token).await
    }
}

/// Locks a person until the end of the transaction. False when there is no such person.
pub(crate) async fn lock_user(connection: &mut AsyncPgConnection, user: Uuid) -> Result<bool, StoreError> {
    let found: Option<Uuid> = users::table
        .find(user)
        .select(users::id)
        .for_no_key_update()
        .get_result(connection)
        .await
        .optional()
        .map_err(store_error)?;
    Ok(found.is_some())
}

/// Ends all sessions of a person, who is locked: no token issued before `now` is good any more.
pub(crate) async fn end_sessions(
    connection: &mut AsyncPgConnection,
    user: Uuid,
    now: Timestamp,
) -> Result<(), StoreError> {
    diesel::update(refresh_tokens::table)
        .filter(refresh_tokens::user_id.eq(user))
        .filter(refresh_tokens::is_revoked.eq(false))
        .set((refresh_tokens::is_revoked.eq(true), refresh_tokens::revoked_at.eq(now)))
        .execute(connection)
        .await
        .map_err(store_error)?;
    let known: Option<DateTime<Utc>> = user_token_invalidation::table
        .find(user)
        .select(user_token_invalidation::invalidated_at)
        .get_result(connection)
        .await
        .optional()
        .map_err(store_error)?;
    // The clocks of two processes may differ; the moment never moves back.
    let moment = known.map_or(now, |known| known.max(now));
    diesel::insert_into(user_token_invalidation::table)
        .values((
            user_token_invalidation::user_id.eq(user),
            user_token_invalidation::invalidated_at.eq(moment),
        ))
        .on_conflict(user_token_invalidation::user_id)
        .do_update()
        .set(user_token_invalidation::invalidated_at.eq(moment))
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}

async fn revoke_session(
    connection: &mut AsyncPgConnection,
    user: Uuid,
    session: Uuid,
    now: Timestamp,
) -> Result<(), StoreError> {
    diesel::update(refresh_tokens::table)
        .filter(refresh_tokens::user_id.eq(user))
        .filter(refresh_tokens::session_id.eq(session))
        .filter(refresh_tokens::is_revoked.eq(false))
        .set((refresh_tokens::is_revoked.eq(true), refresh_tokens::revoked_at.eq(now)))
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}

async fn find_token(
    connection: &mut AsyncPgConnection,
    hash: &TokenHash,
) -> Result<Option<TokenRow>, StoreError> {
    refresh_tokens::table
        .filter(refresh_tokens::token_hash.eq(hash.as_str()))
        .select(TokenRow::as_select())
        .get_result(connection)
        .await
        .optional()
        .map_err(store_error)
}

/// Uses up a token and stores its successor in the same session, which ends when it was to end.
async fn replace(
    connection: &mut AsyncPgConnection,
    token: TokenRow,
    next: &TokenHash,
    now: Timestamp,
) -> Result<(), StoreError> {
    diesel::update(refresh_tokens::table.find(token.id))
        .set(refresh_tokens::rotated_at.eq(now))
        .execute(connection)
        .await
        .map_err(store_error)?;
    diesel::insert_into(refresh_tokens::table)
        .values((
            refresh_tokens::session_id.eq(token.session_id),
            refresh_tokens::user_id.eq(token.user_id),
            refresh_tokens::token_hash.eq(next.as_str()),
            refresh_tokens::device_info.eq(token.device_info),
            refresh_tokens::ip_address.eq(token.ip_address),
            refresh_tokens::expires_at.eq(token.expires_at),
            refresh_tokens::created_at.eq(now),
        ))
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}

fn reuse_detected(user: UserId, session: SessionId, now: Timestamp) -> AuditEntry {
    AuditEntry {
        user: Some(user),
        action: "session.reuse_detected".to_owned(),
        entity: Entity::new(EntityKind::Session, session),
        old_values: None,
        new_values: Some(json!({ "revoked": true })),
        origin: Origin::system(),
        at: now,
    }
}
