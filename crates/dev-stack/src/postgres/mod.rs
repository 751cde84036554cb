//! PostgreSQL.

mod cluster;
mod ephemeral;
mod programs;
mod server;

pub use ephemeral::{EphemeralPostgres, TEST_POSTGRES_URL, TestPostgres, test_postgres};
pub use server::{PostgresOptions, PostgresServer, postgres_program};
