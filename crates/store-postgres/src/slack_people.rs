//! Who is who in Slack.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::Timestamp;
use domain::audit::AuditEntry;
use domain::auth::Principal;
use domain::ids::UserId;
use domain::ports::{SlackContact, SlackPeople, StoreError};
use domain::text::Email;
use futures_util::FutureExt;

use crate::audit::record;
use crate::error::{store_error, violates};
use crate::pool::PgStore;
use crate::principal;
use crate::rows::RowReader;
use crate::schema::users::dsl;
use crate::sessions::lock_user;
use crate::users::ONE_SLACK_USER;

/// Accounts and their users of Slack, in PostgreSQL.
#[derive(Clone, Debug)]
pub struct PgSlackPeople {
    store: PgStore,
}

impl PgSlackPeople {
    pub fn new(store: PgStore) -> Self {
        Self { store }
    }
}

type ContactRow = (String, bool, Option<String>, Option<DateTime<Utc>>);

async fn contact(connection: &mut AsyncPgConnection, user: UserId) -> QueryResult<Option<ContactRow>> {
    dsl::users
        .find(user.as_uuid())
        .select((dsl::email, dsl::is_active, dsl::slack_user_id, dsl::slack_not_found_at))
        .get_result(connection)
        .await
        .optional()
}

/// What came of tying.
enum Tied {
    Now,
    Before,
    Not,
}

async fn tie(
    connection: &mut AsyncPgConnection,
    user: UserId,
    email: &Email,
    slack_user_id: &str,
    now: Timestamp,
) -> Result<Tied, StoreError> {
    lock_user(connection, user.as_uuid()).await?;
    // Read after the lock was given: only now nobody else changes it.
    let row = contact(connection, user).await.map_err(store_error)?;
    match row {
        Some((address, _, tied, _)) if address == email.as_str() => {
            if let Some(tied) = tied {
                return Ok(if tied == slack_user_id { Tied::Before } else { Tied::Not });
            }
        }
        Some(_) | None => return Ok(Tied::Not),
    }
    let written = diesel::update(dsl::users.find(user.as_uuid()))
        .set((
            dsl::slack_user_id.eq(slack_user_id),
            dsl::slack_not_found_at.eq(None::<Timestamp>),
            dsl::updated_at.eq(now),
        ))
        .execute(connection)
        .await;
    match written {
        Ok(_) => Ok(Tied::Now),
        Err(error) if violates(&error, ONE_SLACK_USER) => Ok(Tied::Not),
        Err(error) => Err(store_error(error)),
    }
}

#[async_trait]
impl SlackPeople for PgSlackPeople {
    async fn contact(&self, user: UserId) -> Result<Option<SlackContact>, StoreError> {
        let row =
            self.store.read(move |connection| async move { contact(connection, user).await }.boxed()).await?;
        let Some((email, active, slack_user_id, not_found_at)) = row else { return Ok(None) };
        let email = RowReader::new("users", user).checked("email", Email::parse(&email))?;
        Ok(Some(SlackContact { email, active, slack_user_id, not_found_at }))
    }

    async fn tie(
        &self,
        user: UserId,
        email: &Email,
        slack_user_id: &str,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.store.begin().await?;
        match tie(&mut transaction, user, email, slack_user_id, audit.at).await? {
            Tied::Now => {
                record(&mut transaction, audit).await?;
                transaction.commit().await?;
                Ok(true)
            }
            outcome @ (Tied::Before | Tied::Not) => {
                transaction.rollback().await?;
                Ok(matches!(outcome, Tied::Before))
            }
        }
    }

    async fn not_found(&self, user: UserId, now: Timestamp) -> Result<bool, StoreError> {
        let mut transaction = self.store.begin().await?;
        lock_user(&mut transaction, user.as_uuid()).await?;
        let row = contact(&mut transaction, user).await.map_err(store_error)?;
        let Some((_, _, None, known)) = row else {
            transaction.rollback().await?;
            return Ok(false);
        };
        diesel::update(dsl::users.find(user.as_uuid()))
            .set(dsl::slack_not_found_at.eq(now))
            .execute(&mut *transaction)
            .await
            .map_err(store_error)?;
        transaction.commit().await?;
        Ok(known.is_none())
    }

    async fn by_slack_id(&self, slack_user_id: &str) -> Result<Option<Principal>, StoreError> {
        principal::find_by_slack_id(&self.store, slack_user_id).await
    }
}
