//! Ports on the loopback address.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use crate::error::DevStackError;

/// A port on 127.0.0.1 that nobody listened on a moment ago.
///
/// Somebody else can take it before the caller does, so a caller that starts a server must be ready to try again.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Whether somebody listens on this port of the loopback address (or of every address).
pub(crate) fn is_busy(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

/// Somebody is unlucky with a free port once, not three times in a row.
const ATTEMPTS: usize = 3;

/// Tries again when the port, or the log of what should listen there, says that it went to somebody else in the meantime.
pub(crate) fn retry_when_port_is_taken<T>(
    may_retry: bool,
    attempt: impl Fn() -> Result<T, DevStackError>,
) -> Result<T, DevStackError> {
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(DevStackError::NotReady { log, .. }) if may_retry && says_port_is_taken(&log) => {}
            Err(DevStackError::PortBusy { .. }) if may_retry => {}
            outcome => return outcome,
        }
    }
    attempt()
}

fn says_port_is_taken(log: &str) -> bool {
    // PostgreSQL's words, and MongoDB's.
    ["could not bind", "Address already in use"].iter().any(|words| log.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_can_be_listened_on_and_is_busy_afterwards() {
        let port = free_port().unwrap();
        assert!(!is_busy(port));
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!(is_busy(port));
    }
}
