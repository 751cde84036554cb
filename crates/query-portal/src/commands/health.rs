//! Asks a running server whether it can work. An image without a shell or curl has nothing else to ask with.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::commands::say;

/// Longer than the server waits for a connection to its database, so that its own answer arrives first.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the server that listens where this configuration says.
pub(crate) fn health(listen: SocketAddr) -> anyhow::Result<()> {
    let address = reachable(listen);
    let status = ask(address).with_context(|| format!("no server answers on {address}"))?;
    if status != "200" {
        bail!("the server on {address} is not ready (HTTP {status}): its log says why");
    }
    say("ready")
}

fn ask(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET /health/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut status_line = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut status_line)?;
    let status = std::str::from_utf8(&status_line).ok().and_then(|line| line.strip_prefix("HTTP/1.1 "));
    Ok(status.context("what answers does not speak HTTP/1.1")?.to_owned())
}

/// A server that listens on every address is asked on the loopback one.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let address = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        given => given,
    };
    SocketAddr::new(address, listen.port())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers one call with these bytes.
    fn server(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut call = vec![];
            while !call.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                call.push(byte[0]);
            }
            assert!(call.starts_with(b"GET /health/ready HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn a_server_that_is_ready_is_healthy() {
        health(server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).unwrap();
    }

    #[test]
    fn every_other_answer_is_told() {
        let cases = [
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "not ready (HTTP 503)"),
            ("SSH-2.0-OpenSSH_9.2p1\r\n", "does not speak HTTP"),
            ("HTTP", "no server answers"),
        ];
        for (answer, expected) in cases {
            let error = format!("{:#}", health(server(answer)).unwrap_err());
            assert!(error.contains(expected), "{expected} in {error}");
        }
    }

    #[test]
    fn nobody_listening_is_told_with_the_address() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = health(address).unwrap_err().to_string();
        assert!(error.contains(&address.to_string()), "{error}");
    }

    #[test]
    fn a_server_on_every_address_is_asked_on_the_loopback_one() {
        for (listen, asked) in
            [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("192.0.2.1:80", "192.0.2.1:80")]
        {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), asked);
        }
    }
}
