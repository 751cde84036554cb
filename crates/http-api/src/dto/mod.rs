//! Wire types: camelCase JSON, made from domain types and parsed into them.

pub(crate) mod auth;
pub(crate) mod directory;
pub(crate) mod request;
pub(crate) mod request_changes;
pub(crate) mod request_input;
pub(crate) mod request_list;
