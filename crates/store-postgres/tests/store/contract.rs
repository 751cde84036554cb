//! The rules that every store keeps.

use std::sync::Arc;

use domain::ports::Health;
use store_postgres::{PgHealth, PgStore, StoreConfig};
use testkit::contract::HealthHarness;

use crate::connections::closed_port;
use crate::database::TestDatabase;
use crate::world::stores;

testkit::store_contract!(stores);

/// A database, and a port where nobody listens.
struct Stores {
    database: TestDatabase,
    away: u16,
}

async fn present_and_away() -> Arc<dyn HealthHarness> {
    Arc::new(Stores { database: TestDatabase::create().await, away: closed_port() })
}

impl HealthHarness for Stores {
    fn present(&self) -> Arc<dyn Health> {
        Arc::new(PgHealth::new(self.database.store()))
    }

    fn away(&self) -> Arc<dyn Health> {
        let url = format!("postgres://nobody:secret@127.0.0.1:{}/portal", self.away);
        Arc::new(PgHealth::new(PgStore::connect(&StoreConfig::new(url.into())).unwrap()))
    }
}

testkit::health_contract!(present_and_away);
