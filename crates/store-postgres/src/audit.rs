//! The audit trail. Entries are written in the transaction of the change that they record.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::audit::AuditEntry;
use domain::ports::{AuditLog, StoreError};
use serde_json::Value;

use crate::error::store_error;
use crate::pool::PgStore;
use crate::request_json::without_nul;
use crate::schema::audit_logs;

/// Adds an entry, in whatever transaction the connection is in.
pub(crate) async fn record(connection: &mut AsyncPgConnection, entry: &AuditEntry) -> Result<(), StoreError> {
    diesel::insert_into(audit_logs::table)
        .values((
            audit_logs::user_id.eq(entry.user.map(domain::ids::UserId::as_uuid)),
            audit_logs::action.eq(text(&entry.action)),
            audit_logs::entity_type.eq(entry.entity.kind.as_str()),
            audit_logs::entity_id.eq(text(&entry.entity.id)),
            audit_logs::old_values.eq(entry.old_values.clone().map(clean)),
            audit_logs::new_values.eq(entry.new_values.clone().map(clean)),
            audit_logs::ip_address.eq(entry.origin.ip.as_deref().map(|ip| shortened(&text(ip), 64))),
            audit_logs::user_agent.eq(entry
                .origin
                .user_agent
                .as_deref()
                .map(|agent| shortened(&text(agent), 1_000))),
            audit_logs::channel.eq(entry.origin.channel.as_str()),
            audit_logs::created_at.eq(entry.at),
        ))
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}

/// What a caller sends must not keep an entry off the trail: PostgreSQL stores no NUL.
pub(crate) fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn clean(mut value: Value) -> Value {
    without_nul(&mut value);
    value
}

/// The beginning of a text.
pub(crate) fn shortened(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

/// Entries that do not belong to another change.
#[derive(Clone, Debug)]
pub struct PgAuditLog {
    store: PgStore,
}

impl PgAuditLog {
    pub fn new(store: PgStore) -> Self {
        Self { store }
    }
}

#[async_trait]
impl AuditLog for PgAuditLog {
    async fn record(&self, entry: AuditEntry) -> Result<(), StoreError> {
        // A transaction even for one statement, so that a connection that broke while idle is replaced.
        let mut transaction = self.store.begin().await?;
        record(&mut transaction, &entry).await?;
        transaction.commit().await?;
        Ok(())
    }
}
