//! What was delivered to Slack, and what was not: one entry for each notification, whatever becomes of it.
//!
//! An entry whose message has arrived does not change any more: nobody is told twice because of what came after.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::Timestamp;
use domain::ids::{JobId, RequestId};
use domain::job::{Audience, NotificationJob};
use domain::ports::{Deliveries, Delivery, SlackMessage, StoreError};
use domain::request::NotificationKind;
use futures_util::FutureExt;
use uuid::Uuid;

use crate::audit::{shortened, text};
use crate::error::{rejected, store_error};
use crate::notifications::audience_of;
use crate::pool::PgStore;
use crate::schema::query_requests;
use crate::schema::slack_notifications::dsl;

/// The history of messages in PostgreSQL.
#[derive(Clone, Debug)]
pub struct PgDeliveries {
    store: PgStore,
}

impl PgDeliveries {
    pub fn new(store: PgStore) -> Self {
        Self { store }
    }

    /// Answers with the moment that is kept, if one is.
    async fn put(&self, job: &NotificationJob, entry: Entry<'_>) -> Result<Option<Timestamp>, StoreError> {
        let mut transaction = self.store.begin().await?;
        let written = put(&mut transaction, job, &entry).await.map_err(store_error)?;
        if written.is_none() && find(&mut transaction, job.lease.job).await.map_err(store_error)?.is_none() {
            return Err(rejected("a delivery is about a request that does not exist"));
        }
        transaction.commit().await?;
        Ok(written.and_then(|kept| kept.unclear_since))
    }
}

#[derive(QueryableByName)]
struct Kept {
    #[diesel(sql_type = Nullable<Timestamptz>)]
    unclear_since: Option<Timestamp>,
}

#[derive(Queryable)]
struct DeliveryRow {
    recipient: String,
    unclear_since: Option<DateTime<Utc>>,
    channel: Option<String>,
    ts: Option<String>,
}

impl DeliveryRow {
    fn read(self) -> Delivery {
        let message = self.channel.zip(self.ts).map(|(channel, ts)| SlackMessage { channel, ts });
        Delivery { recipient: self.recipient, unclear_since: self.unclear_since, message }
    }
}

async fn find(connection: &mut AsyncPgConnection, job: JobId) -> QueryResult<Option<DeliveryRow>> {
    dsl::slack_notifications
        .filter(dsl::job_id.eq(job.as_uuid()))
        .select((dsl::recipient, dsl::unclear_since, dsl::channel_id, dsl::message_ts))
        .get_result(connection)
        .await
        .optional()
}

/// What an entry says before its message has arrived.
struct Entry<'a> {
    recipient: &'a str,
    status: &'static str,
    error: Option<&'a str>,
    /// Kept from before when there was one; `None` takes it away.
    unclear_since: Option<Timestamp>,
    now: Timestamp,
}

async fn put(
    connection: &mut AsyncPgConnection,
    job: &NotificationJob,
    entry: &Entry<'_>,
) -> QueryResult<Option<Kept>> {
    diesel::sql_query(
        "INSERT INTO slack_notifications (request_id, notification_type, channel_type, recipient, status, \
         error_message, created_at, job_id, unclear_since) \
         SELECT r.id, $2, $3, $4, $5, $6, $7, $8, $9 FROM query_requests r WHERE r.uuid = $1 \
         ON CONFLICT (job_id) DO UPDATE SET recipient = excluded.recipient, status = excluded.status, \
         error_message = excluded.error_message, unclear_since = CASE WHEN excluded.unclear_since IS NOT NULL \
         THEN COALESCE(slack_notifications.unclear_since, excluded.unclear_since) END \
         WHERE slack_notifications.message_ts IS NULL RETURNING unclear_since",
    )
    .bind::<SqlUuid, _>(job.request.as_uuid())
    .bind::<Text, _>(job.kind.as_str())
    .bind::<Text, _>(channel_type(job.audience))
    .bind::<Text, _>(shortened(&text(entry.recipient), 254))
    .bind::<Text, _>(entry.status)
    .bind::<Nullable<Text>, _>(entry.error.map(for_operators))
    .bind::<Timestamptz, _>(entry.now)
    .bind::<SqlUuid, _>(job.lease.job.as_uuid())
    .bind::<Nullable<Timestamptz>, _>(entry.unclear_since)
    .get_result(connection)
    .await
    .optional()
}

/// Notes that a notification was given up, in the transaction that gives it up, whether Slack was ever reached or not.
pub(crate) async fn fail_delivery(
    connection: &mut AsyncPgConnection,
    job: Uuid,
    error: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let audience = audience_of("j");
    diesel::sql_query(format!(
        "INSERT INTO slack_notifications (request_id, notification_type, channel_type, recipient, status, \
         error_message, created_at, job_id) \
         SELECT j.request_id, j.payload->>'notification', \
         CASE {audience} WHEN 'channel' THEN 'channel' ELSE 'dm' END, '', 'failed', $2, $3, j.id \
         FROM jobs j WHERE j.id = $1 AND j.payload->>'notification' = ANY($4) \
         ON CONFLICT (job_id) DO UPDATE SET status = 'failed', error_message = excluded.error_message \
         WHERE slack_notifications.message_ts IS NULL"
    ))
    .bind::<SqlUuid, _>(job)
    .bind::<Text, _>(for_operators(error))
    .bind::<Timestamptz, _>(now)
    // The table would refuse the kinds of a later version, and the job could never end.
    .bind::<Array<Text>, _>(NotificationKind::ALL.map(NotificationKind::as_str).to_vec())
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// For operators: enough to act on, without letting a long answer of a server fill the table.
pub(crate) fn for_operators(error: &str) -> String {
    shortened(&text(error), 2_000)
}

const fn channel_type(audience: Audience) -> &'static str {
    match audience {
        Audience::Channel => "channel",
        Audience::Requester => "dm",
    }
}

#[async_trait]
impl Deliveries for PgDeliveries {
    async fn find(&self, job: JobId) -> Result<Option<Delivery>, StoreError> {
        let row =
            self.store.read(move |connection| async move { find(connection, job).await }.boxed()).await?;
        Ok(row.map(DeliveryRow::read))
    }

    async fn begin(
        &self,
        job: &NotificationJob,
        recipient: &str,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        let entry = Entry { recipient, status: "pending", error: None, unclear_since: Some(now), now };
        Ok(self.put(job, entry).await?.unwrap_or(now))
    }

    async fn refused(&self, job: JobId, since: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.store.begin().await?;
        let own = dsl::job_id.eq(job.as_uuid()).and(dsl::unclear_since.eq(since));
        diesel::update(dsl::slack_notifications.filter(own))
            .set(dsl::unclear_since.eq(None::<Timestamp>))
            .execute(&mut *transaction)
            .await
            .map_err(store_error)?;
        transaction.commit().await
    }

    async fn sent(&self, job: JobId, message: &SlackMessage, now: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.store.begin().await?;
        let noted = diesel::update(dsl::slack_notifications.filter(dsl::job_id.eq(job.as_uuid())))
            .set((
                dsl::status.eq("sent"),
                dsl::channel_id.eq(&message.channel),
                dsl::message_ts.eq(&message.ts),
                dsl::unclear_since.eq(None::<Timestamp>),
                dsl::error_message.eq(None::<String>),
                dsl::sent_at.eq(now),
            ))
            .execute(&mut *transaction)
            .await
            .map_err(store_error)?;
        if noted == 0 {
            transaction.rollback().await?;
            return Err(rejected("a message was sent whose delivery did not begin"));
        }
        transaction.commit().await
    }

    async fn nobody(
        &self,
        job: &NotificationJob,
        recipient: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let entry = Entry { recipient, status: "failed", error: Some(reason), unclear_since: None, now };
        self.put(job, entry).await.map(drop)
    }

    async fn channel_message(&self, request: RequestId) -> Result<Option<SlackMessage>, StoreError> {
        let row: Option<(Option<String>, Option<String>)> = self
            .store
            .read(move |connection| {
                let last = dsl::slack_notifications
                    .inner_join(query_requests::table)
                    .filter(query_requests::uuid.eq(request.as_uuid()))
                    .filter(dsl::channel_type.eq("channel"))
                    .filter(dsl::message_ts.is_not_null())
                    .order((dsl::sent_at.desc(), dsl::id.desc()))
                    .select((dsl::channel_id, dsl::message_ts));
                async move { last.first(connection).await.optional() }.boxed()
            })
            .await?;
        Ok(row.and_then(|(channel, ts)| Some(SlackMessage { channel: channel?, ts: ts? })))
    }
}
