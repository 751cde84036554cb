//! The in-memory store passes the contract that real stores pass.

use testkit::InMemoryStore;
use testkit::contract::Stores;

async fn fresh_world() -> Stores {
    InMemoryStore::new().into()
}

testkit::store_contract!(fresh_world);
