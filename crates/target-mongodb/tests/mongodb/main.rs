//! The executor against a real server. Each test has a database and a user of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod bad_input;
mod connecting;
mod contract;
mod ending;
mod harness;
mod inspecting;
mod large;
mod rules;
mod tls;
mod types;
