//! The executor against a real server. Each test has a database and a user of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod contract;
mod harness;
mod types;
