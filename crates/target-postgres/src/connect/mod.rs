//! Connections to targets: TLS, login, who the login is, and sessions kept ready.

mod carrier;
mod driver;
mod failure;
mod guard;
mod session;
mod tls;
mod warm;

pub(crate) use failure::{Failure, cut};
pub(crate) use guard::TooLong;
pub(crate) use session::{ConnectSettings, Endpoint, Session, rows, timed_out, while_configuring};
pub(crate) use tls::TlsSettings;
pub(crate) use warm::{Key, Warm};
