//! Private database servers for the demo and for tests.
//!
//! [`PostgresServer`] runs a PostgreSQL cluster in a folder, on the loopback address only, and stops it with
//! its owner, even when the owner is killed with SIGKILL. [`EphemeralPostgres`] is one in a folder that is
//! removed at the end, and [`test_postgres`] gives a test process the server that the test run shares.
//!
//! This crate starts and stops programs. It must not know the portal's schema, and it links no database client.

mod account;
mod ephemeral;
mod error;
mod folder;
mod guardian;
mod net;
mod programs;
mod server;
mod url;

pub use ephemeral::{EphemeralPostgres, TEST_POSTGRES_URL, TestPostgres, test_postgres};
pub use error::DevStackError;
pub use net::free_port;
pub use server::{Durability, PostgresOptions, PostgresServer, postgres_program};
