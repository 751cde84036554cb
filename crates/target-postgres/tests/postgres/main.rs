//! The executor against a real server. Each test has a database and a role of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod cancelling;
mod connecting;
mod contract;
mod ending;
mod harness;
mod hostile;
mod inspecting;
mod large;
mod rules;
mod running;
mod scripts;
mod scripts_closing;
mod scripts_committed;
mod scripts_ending;
mod scripts_hostile;
mod scripts_parameters;
mod scripts_streams;
mod statements;
mod tls;
mod told;
mod values;
