//! Connections to targets: TLS, login, who the login is, and sessions kept ready.

mod driver;
mod failure;
mod session;
mod tls;
mod warm;

pub(crate) use failure::{chain, cut};
pub(crate) use session::{Endpoint, Session, while_configuring};
pub(crate) use tls::TlsSettings;
pub(crate) use warm::{Key, Warm};
