//! The routes, one module per noun.

pub(crate) mod auth;
pub(crate) mod changes;
pub(crate) mod directory;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod instances;
pub(crate) mod pods;
pub(crate) mod requests;
pub(crate) mod results;
pub(crate) mod scripts;
pub(crate) mod sessions;
pub(crate) mod slack;
pub(crate) mod users;
