//! The store against a real PostgreSQL: the contract that every store keeps, and what only this one can do wrong.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

// Cargo looks for the modules of a test beside it; a folder of its own keeps them out of the list of tests.
#[path = "store/broken_rows.rs"]
mod broken_rows;
#[path = "store/connections.rs"]
mod connections;
#[path = "store/contract.rs"]
mod contract;
#[path = "store/grants.rs"]
mod grants;
#[path = "store/migrations.rs"]
mod migrations;
#[path = "store/news.rs"]
mod news;
#[path = "store/races.rs"]
mod races;
#[path = "store/rows.rs"]
mod rows;
#[path = "store/world.rs"]
mod world;
