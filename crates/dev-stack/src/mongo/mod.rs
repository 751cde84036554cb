//! MongoDB.

mod ephemeral;
mod home;
mod program;
mod replica_set;
mod server;
mod wire;

pub use ephemeral::{EphemeralMongo, TEST_MONGO_URL, TestMongo, test_mongo};
pub use program::mongod_is_there;
pub use server::{MongoOptions, MongoServer, MongoTls};
