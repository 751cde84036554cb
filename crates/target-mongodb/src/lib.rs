//! Runs commands on MongoDB targets, and reviews them before anybody decides on them.
//!
//! This crate must not know where results, credentials or requests are kept, nor how shell syntax is evaluated: an order
//! comes in with the commands that were stored, and documents go out through a sink. It never logs a command, a value
//! or a credential.

#![expect(clippy::result_large_err, reason = "the errors are the ports', and they are rare")]

mod beside;
mod connect;
mod ejson;
mod executor;
mod inspect;
mod numbers;
mod reviewer;
mod rules;
mod run;
mod script;

pub use executor::{MongoExecutor, MongoExecutorConfig};
pub use reviewer::MongoReviewer;
