//! Wire types: camelCase JSON, made from domain types and parsed into them.

pub(crate) mod accounts;
pub(crate) mod auth;
pub(crate) mod connections;
pub(crate) mod directory;
pub(crate) mod instance_input;
pub(crate) mod pod_input;
pub(crate) mod request;
pub(crate) mod request_changes;
pub(crate) mod request_input;
pub(crate) mod request_list;
pub(crate) mod script;
pub(crate) mod script_upload;
pub(crate) mod sessions;
