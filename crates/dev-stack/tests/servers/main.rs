//! Real servers, started and stopped, and killed.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod mongo;
mod postgres;
mod support;
mod with_servers;
