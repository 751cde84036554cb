//! Runs SQL on PostgreSQL targets, and reviews SQL before anybody decides on it.
//!
//! This crate must not know where results, credentials or requests are kept: an order comes in with everything
//! that a run needs, and rows go out through a sink. It never logs a text, a value or a credential.

mod connect;
mod executor;
mod inspect;
mod reviewer;
mod run;
mod script;
mod sql;
mod value;

pub use executor::{PostgresExecutor, PostgresExecutorConfig};
pub use reviewer::PostgresReviewer;
