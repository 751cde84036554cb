//! The whole app, driven over an in-memory store, fakes and real access tokens.

mod contract;
mod headers;
mod input;
mod logs;
mod openapi;
mod outages;
mod results;
mod routes;
mod support;
mod tokens;
mod tour;
