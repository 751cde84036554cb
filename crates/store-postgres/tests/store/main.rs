//! The store against a real PostgreSQL: the contract that every store keeps, and what only this one can do wrong.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod broken_rows;
mod connections;
mod contract;
mod database;
mod encryption;
mod grants;
mod migrations;
mod news;
mod races;
mod rows;
mod telling;
mod world;
