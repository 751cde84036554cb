//! Whether the store can work.

use async_trait::async_trait;
use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use domain::ports::{Health, StoreError};
use futures_util::FutureExt;

use crate::error::rejected;
use crate::migrate;
use crate::pool::PgStore;

/// Checks that the database answers and knows every migration of this program.
#[derive(Clone, Debug)]
pub struct PgHealth {
    store: PgStore,
}

impl PgHealth {
    pub fn new(store: PgStore) -> Self {
        Self { store }
    }
}

#[derive(QueryableByName)]
struct Applied {
    #[diesel(sql_type = Text)]
    version: String,
}

#[async_trait]
impl Health for PgHealth {
    async fn check(&self) -> Result<(), StoreError> {
        let applied: Vec<Applied> = self
            .store
            .read(|connection| {
                diesel::sql_query("SELECT version::text AS version FROM __diesel_schema_migrations")
                    .load(connection)
                    .boxed()
            })
            .await?;
        let applied: Vec<String> = applied.into_iter().map(|row| row.version).collect();
        let pending = migrate::not_in(&applied);
        if pending.is_empty() {
            Ok(())
        } else {
            Err(rejected(format!("migrations are pending: {}", pending.join(", "))))
        }
    }
}
