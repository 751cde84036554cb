//! End-to-end tests: the real binary, a real portal database, real targets.

mod crash;
mod demo;
mod harness;
mod outages;
mod races;
mod setup;
mod tour;
