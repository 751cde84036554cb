//! End-to-end tests: the real binary, a real portal database, real targets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod administration;
mod changes;
mod config_mistakes;
mod crash;
mod demo;
mod example_config;
mod harness;
mod http;
mod mongodb;
mod outages;
mod races;
mod scripts;
mod secrecy;
mod setup;
mod size;
mod slack;
mod sources;
mod syncs;
mod tour;
