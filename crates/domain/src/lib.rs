//! The rules of the Query Portal: the request life cycle, who may do what, and the ports
//! through which the rules reach the world.
//!
//! This crate must not know any adapter: no SQL, no HTTP, no wire format. Time and new
//! identifiers come in through arguments or ports.

pub mod audit;
pub mod auth;
pub mod concurrency;
pub mod digest;
pub mod ending;
pub mod execution;
pub mod idempotency;
pub mod ids;
pub mod job;
pub mod lifecycle;
pub mod page;
pub mod pod;
pub mod policy;
pub mod ports;
pub mod request;
pub mod review;
pub mod rows;
pub mod script;
pub mod services;
pub mod target;
pub mod text;
pub mod user;
pub mod watch;

/// A moment in UTC. Stored times have a resolution of one microsecond, so the [`ports::Clock`]
/// never hands out a finer one.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
