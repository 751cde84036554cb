//! How the portal database is reached: encrypted as `sslmode` and `sslrootcert` in its URL say, which are libpq's.
//!
//! libpq's `allow` and `prefer` (its default) fall back to clear text without a word, so they are refused here, and
//! without `sslmode` another host's certificate has to be good: a password never travels in the clear unless the URL
//! says so.

use std::borrow::Cow;
use std::net::IpAddr;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use pg_tls::{Authorities, Check, MakeRustlsConnect};
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, Connection, Socket};

use crate::config::InvalidStoreConfig;

/// The system's authorities, in the word of libpq's `sslrootcert`.
const SYSTEM: &str = "system";

/// How a URL says that its connections are protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Disable,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Opens connections to the portal database. What it knows of passwords never prints: it has no `Debug`.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) config: Config,
    /// Not used where the configuration says "no TLS".
    tls: MakeRustlsConnect,
    /// The URL leaves the mode to us.
    by_default: bool,
}

impl Connector {
    /// Reads a URL and the file of authorities that it names. No message holds a part of the URL but the values of
    /// these two parameters.
    pub(crate) fn of(url: &SecretString) -> Result<Self, InvalidStoreConfig> {
        let Parameters { rest, mode, authorities } = Parameters::of(url.expose_secret())?;
        let mut config: Config =
            rest.expose_secret().parse().map_err(|error| invalid(crate::pool::chain(&error)))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(invalid("it names no host"));
        }
        let by_default = mode.is_none();
        let check = check(&config, mode, authorities)?;
        config.ssl_mode(if check.is_some() { SslMode::Require } else { SslMode::Disable });
        let tls = pg_tls::connector(&check.unwrap_or(Check::Nothing)).map_err(invalid)?;
        Ok(Self { config, tls, by_default })
    }

    /// Opens a connection. The error is for a log or a terminal.
    pub(crate) async fn connect(&self) -> Result<(Client, Connection<Socket, pg_tls::Stream>), String> {
        self.config.connect(self.tls.clone()).await.map_err(|error| {
            let mut text = crate::pool::chain(&error);
            if self.by_default && text.contains("TLS handshake") {
                text.push_str(
                    " (its URL has no sslmode, which means verify-full; sslrootcert=FILE names the authority that \
                     has signed the server's certificate, and sslmode=disable does without TLS)",
                );
            }
            text
        })
    }
}

/// What is looked at in the server's certificate; `None` is a connection without TLS.
fn check(
    config: &Config,
    mode: Option<Mode>,
    authorities: Option<Authorities>,
) -> Result<Option<Check>, InvalidStoreConfig> {
    // As libpq does it: what never leaves the machine through a socket's file has no TLS, whatever the mode.
    if only_sockets(config) {
        return Ok(None);
    }
    let mode = match mode {
        Some(mode) => mode,
        None if authorities.is_none() && stays_here(config) => Mode::Disable,
        None => Mode::VerifyFull,
    };
    let check = match (mode, authorities) {
        (Mode::Disable, None) => return Ok(None),
        (Mode::Disable, Some(_)) => {
            return Err(invalid("sslrootcert has no use with sslmode=disable: leave one of them out"));
        }
        (Mode::Require | Mode::VerifyCa, Some(Authorities::System)) => {
            return Err(invalid(
                "sslrootcert=system needs sslmode=verify-full: anybody can have a certificate of those authorities",
            ));
        }
        (Mode::Require, None) => Check::Nothing,
        // libpq takes `require` with a file of authorities for `verify-ca`.
        (Mode::Require | Mode::VerifyCa, Some(known)) => Check::Authority(vec![known]),
        (Mode::VerifyCa, None) => Check::Authority(vec![Authorities::System]),
        (Mode::VerifyFull, known) => Check::AuthorityAndHost(vec![known.unwrap_or(Authorities::System)]),
    };
    Ok(Some(check))
}

fn only_sockets(config: &Config) -> bool {
    config.get_hostaddrs().is_empty() && config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)))
}

/// Whether nothing that is sent can be read on the way.
fn stays_here(config: &Config) -> bool {
    if !config.get_hostaddrs().is_empty() {
        return config.get_hostaddrs().iter().all(IpAddr::is_loopback);
    }
    config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        }
    })
}

/// A URL, and what was taken out of it because the driver does not know it.
struct Parameters {
    rest: SecretString,
    mode: Option<Mode>,
    authorities: Option<Authorities>,
}

impl Parameters {
    fn of(url: &str) -> Result<Self, InvalidStoreConfig> {
        let scheme = ["postgres://", "postgresql://"].into_iter().find(|scheme| url.starts_with(scheme));
        let after = scheme.ok_or_else(|| invalid("it does not begin with postgres://"))?.len();
        if url.matches('@').count() > 1 {
            // Part of a password would be taken for a host or a parameter, and would be in messages.
            return Err(invalid("it holds more than one @; write %40 for one inside of a password"));
        }
        if url[after..].split_once('@').is_some_and(|(login, _)| login.contains(['/', '?', '#'])) {
            // Readers of URLs differ in where such a login ends.
            return Err(invalid(
                "before its @ it holds /, ? or #; write %2F, %3F, %23, and %40 for an @ further on",
            ));
        }
        let Some(question) = url.find('?') else {
            return Ok(Self { rest: url.into(), mode: None, authorities: None });
        };
        let (mut mode, mut authorities, mut others) = (None, None, vec![]);
        for parameter in url[question + 1..].split('&') {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match &*decoded(key)? {
                "sslmode" => mode = Some(Mode::parse(&decoded(value)?)?),
                "sslrootcert" => authorities = Some(authorities_of(&decoded(value)?)?),
                // An & in it would cut it, and what follows would be told as a parameter that nobody knows.
                "password" => {
                    return Err(invalid("the password belongs before the @, not among the parameters"));
                }
                other if other.starts_with("ssl") || other == "requiressl" => {
                    return Err(invalid(format!(
                        "the parameter {other} is not supported; sslmode and sslrootcert are"
                    )));
                }
                _ => others.push(parameter),
            }
        }
        let rest = format!("{}?{}", &url[..question], others.join("&"));
        Ok(Self { rest: rest.into(), mode, authorities })
    }
}

impl Mode {
    fn parse(text: &str) -> Result<Self, InvalidStoreConfig> {
        match text {
            "disable" => Ok(Self::Disable),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            "allow" | "prefer" => Err(invalid(format!(
                "sslmode={text} may send the password in the clear without saying so; \
                 choose disable, require, verify-ca or verify-full"
            ))),
            other => Err(invalid(format!(
                "sslmode={} is unknown; choose disable, require, verify-ca or verify-full",
                other.escape_debug()
            ))),
        }
    }
}

fn authorities_of(text: &str) -> Result<Authorities, InvalidStoreConfig> {
    match text {
        "" => Err(invalid("sslrootcert is empty; it names a file in PEM, or is the word system")),
        SYSTEM => Ok(Authorities::System),
        file => Ok(Authorities::File(PathBuf::from(file))),
    }
}

fn decoded(text: &str) -> Result<Cow<'_, str>, InvalidStoreConfig> {
    percent_decode_str(text).decode_utf8().map_err(|_| invalid("a parameter of it is not in UTF-8"))
}

fn invalid(message: impl std::fmt::Display) -> InvalidStoreConfig {
    InvalidStoreConfig(format!("the URL of the portal database: {message}"))
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
