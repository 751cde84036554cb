//! End-to-end tests: the real binary, a real portal database, real targets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod changes;
mod crash;
mod demo;
mod harness;
mod outages;
mod races;
mod setup;
mod tour;
