//! The HTTP API: routes, wire types, middleware, OpenAPI.
//!
//! The only crate that knows HTTP. It decides nothing: rules live in `domain`.

mod alias;
mod auth;
mod body;
mod cors;
mod cursor;
mod dto;
mod error;
mod fallback;
mod formats;
mod head;
mod headers;
mod idempotency;
mod jwt;
mod multipart;
mod openapi;
mod rate_limit;
mod routes;
mod server;

pub use body::BODY_TIME_LIMIT;
pub use cors::{AllowedOrigins, InvalidOrigin};
pub use jwt::{JwtAccessTokens, JwtSettings, WeakKey};
pub use openapi::document as openapi_document;
pub use rate_limit::RateLimits;
pub use server::{Api, ApiSettings, app, serve};
