//! The whole app, driven over an in-memory store, fakes and real access tokens.

mod admin_input;
mod connections;
mod contract;
mod cors;
mod head;
mod headers;
mod idempotency;
mod input;
mod instances;
mod logs;
mod openapi;
mod outages;
mod people;
mod pods;
mod results;
mod routes;
mod secrecy;
mod sessions;
mod slow_bodies;
mod socket;
mod support;
mod tokens;
mod tour;
