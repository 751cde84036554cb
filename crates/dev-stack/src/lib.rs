//! Private database servers for the demo and for tests.
//!
//! [`PostgresServer`] runs a PostgreSQL cluster in a folder, on the loopback address only, and stops it with
//! its owner, even when the owner is killed with SIGKILL. [`EphemeralPostgres`] is one in a folder that is
//! removed at the end, and [`test_postgres`] gives a test process the server that the test run shares.
//! [`MongoServer`], [`EphemeralMongo`] and [`test_mongo`] are the same for MongoDB, as a replica set of one member
//! that asks for a password. [`test_moto`] gives a test process what answers as AWS Secrets Manager.
//!
//! This crate starts and stops programs. It must not know the portal's schema, and it links no database client: the
//! three commands that a new replica set takes are sent as they are.

mod account;
mod durability;
mod error;
mod folder;
mod guardian;
mod mongo;
mod moto;
mod net;
mod postgres;
mod url;

pub use durability::Durability;
pub use error::DevStackError;
pub use mongo::{
    EphemeralMongo, MongoOptions, MongoServer, MongoTls, TEST_MONGO_URL, TestMongo, mongod_is_there,
    test_mongo,
};
pub use moto::test_moto;
pub use net::free_port;
pub use postgres::{
    EphemeralPostgres, PostgresOptions, PostgresServer, TEST_POSTGRES_URL, TestPostgres, postgres_program,
    test_postgres,
};
