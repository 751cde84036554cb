//! Reads a login from a text, whichever source keeps the text. No error holds any part of it.
//!
//! Two shapes are known:
//!
//! - A connection string of PostgreSQL or MongoDB. User name and password count, and so do the hosts: they are handed on
//!   with the login, so that it is used for no other server. Database and options are the target's own business and
//!   ignored.
//! - A JSON object with the strings `username` and `password`, as Amazon RDS writes it into Secrets Manager. Its other
//!   fields (`host`, `port`, `engine`, `dbname`, ...) are ignored on purpose: the secret of a cluster is shared by its
//!   replicas and proxies, which are found under other names than the one in it.

use std::collections::BTreeSet;

use domain::execution::Credentials;
use domain::ports::CredentialError;
use domain::target::MongoAddress;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::hosts::SRV;
use crate::malformed;

/// The schemes of connection strings, each with the port that a host without one has.
const SCHEMES: [(&str, u16); 4] =
    [("postgres://", 5432), ("postgresql://", 5432), ("mongodb://", 27017), (SRV, 27017)];

#[derive(Deserialize)]
struct Fields {
    username: SecretString,
    password: SecretString,
}

/// Blanks and line breaks around the text do not count: editors leave them there.
pub(crate) fn parse(text: &str) -> Result<Credentials, CredentialError> {
    let text = text.trim();
    if text.starts_with('{') {
        return parse_object(text);
    }
    let scheme = SCHEMES.iter().find(|(scheme, _)| text.starts_with(scheme));
    let Some((scheme, port)) = scheme else {
        return Err(malformed(
            "it is neither a connection string (postgresql://, mongodb:// or mongodb+srv://) nor a JSON object",
        ));
    };
    parse_connection_string(scheme, *port, &text[scheme.len()..])
}

/// A login must name a user, and no target of the portal lets one in without a password.
pub(crate) fn login(username: &str, password: SecretString) -> Result<Credentials, CredentialError> {
    if username.is_empty() || password.expose_secret().is_empty() {
        return Err(malformed("the user name or the password is empty"));
    }
    Ok(Credentials::new(username, password))
}

fn parse_object(text: &str) -> Result<Credentials, CredentialError> {
    // What serde_json says may quote the text.
    let fields: Fields = serde_json::from_str(text).map_err(|_| {
        malformed("it begins as a JSON object and is none that has `username` and `password`, both strings, once each")
    })?;
    login(fields.username.expose_secret(), fields.password)
}

fn parse_connection_string(scheme: &str, port: u16, rest: &str) -> Result<Credentials, CredentialError> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((user_info, hosts)) = authority.split_once('@') else {
        return Err(malformed("the connection string has no user name and password before an @"));
    };
    if hosts.contains('@') {
        return Err(malformed(
            "the connection string has several @: in a user name or password it is written %40",
        ));
    }
    let (username, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let (username, password) = (decode(username)?, decode(password)?);
    let hosts = hosts_of_string(scheme, hosts, port)?;
    Ok(Credentials { hosts: Some(hosts), ..login(username.expose_secret(), password)? })
}

fn decode(text: &str) -> Result<SecretString, CredentialError> {
    let wrong =
        || malformed("the connection string's user name or password has a % that stands for no character");
    let is_escape = |after: &str| after.len() >= 2 && after.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    if !text.split('%').skip(1).all(is_escape) {
        return Err(wrong());
    }
    // With room for all of it from the start nothing is moved, and no copy stays behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    bytes.extend(percent_decode_str(text));
    std::str::from_utf8(&bytes).map(SecretString::from).map_err(|_| wrong())
}

/// As [`Target::hosts`](domain::target::Target::hosts) writes them: in lower case, each with its port, and of a name
/// that DNS resolves the name alone.
fn hosts_of_string(scheme: &str, hosts: &str, port: u16) -> Result<BTreeSet<String>, CredentialError> {
    let prefixed = if scheme == SRV { format!("{SRV}{hosts}") } else { hosts.to_owned() };
    let address = MongoAddress::parse(&prefixed, port, None)
        .map_err(|_| malformed("the connection string does not name its servers as host or host:port"))?;
    let unbracketed = |host: String| match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, port)) if scheme.starts_with("postgres") => format!("{v6}{port}"),
        _ => host,
    };
    Ok(address.hosts.into_iter().map(|host| unbracketed(host.to_ascii_lowercase())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, String, Vec<String>) {
        let found = parse(text).unwrap_or_else(|error| panic!("{error}"));
        let hosts = found.hosts.into_iter().flatten().collect();
        (found.username, found.password.expose_secret().to_owned(), hosts)
    }

    fn reason(text: &str) -> String {
        match parse(text) {
            Err(CredentialError::Malformed { reason }) => reason,
            other => panic!("{text} gave {other:?}"),
        }
    }

    fn owned(username: &str, password: &str, hosts: &[&str]) -> (String, String, Vec<String>) {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        (username.to_owned(), password.to_owned(), hosts)
    }

    #[test]
    fn a_connection_string_gives_the_login_and_the_servers_that_it_is_for() {
        let shop = owned("app", "pass", &["db.example:5432"]);
        assert_eq!(read("postgres://app:pass@db.example"), shop);
        assert_eq!(read("postgresql://app:pass@DB.Example:5432/shop?sslmode=require#x"), shop);
        assert_eq!(read(" \npostgresql://app:pass@db.example/a@b\n"), shop);
        assert_eq!(read("mongodb://app:pass@b:1,A/"), owned("app", "pass", &["a:27017", "b:1"]));
        assert_eq!(
            read("mongodb+srv://app:pass@Cluster.Example/x"),
            owned("app", "pass", &["cluster.example"])
        );
    }

    #[test]
    fn addresses_of_ipv6_are_written_as_the_engine_s_targets_write_them() {
        assert_eq!(read("postgres://a:b@[FE80::1]").2, ["fe80::1:5432"]);
        assert_eq!(read("mongodb://a:b@[::1]:3").2, ["[::1]:3"]);
    }

    #[test]
    fn user_name_and_password_are_percent_decoded_and_a_colon_belongs_to_the_password() {
        let expected = owned("a@b/ü", "p:%?#é", &["h:5432"]);
        assert_eq!(read("postgres://a%40b%2f%C3%BC:p:%25%3F%23é@h"), expected);
    }

    #[test]
    fn a_json_object_gives_its_login_and_nothing_else() {
        let rds = r#"{"username": "app", "password": "p\"\u00e4", "engine": "postgres", "host": "db.example",
            "port": 5432, "dbname": "shop", "dbInstanceIdentifier": "x"}"#;
        assert_eq!(read(rds), owned("app", "p\"ä", &[]));
        assert!(parse(rds).unwrap().hosts.is_none());
    }

    #[test]
    fn what_is_no_login_is_told_apart_without_quoting_it() {
        let secret = "zx81Qj";
        for (text, expected) in [
            ("", "neither"),
            ("zx81Qj", "neither"),
            ("\"zx81Qj\"", "neither"),
            ("mysql://u:zx81Qj@h", "neither"),
            ("{zx81Qj", "JSON object"),
            (r#"{"username": "zx81Qj"}"#, "JSON object"),
            (r#"{"username": "u", "password": 81}"#, "JSON object"),
            (r#"{"username": "u", "password": ["zx81Qj"]}"#, "JSON object"),
            (r#"{"username": "u", "password": "a", "password": "zx81Qj"}"#, "JSON object"),
            (r#"{"username": "u", "password": "zx81Qj"} zx81Qj"#, "JSON object"),
            (r#"{"username": "", "password": "zx81Qj"}"#, "empty"),
            (r#"{"username": "zx81Qj", "password": ""}"#, "empty"),
            ("postgres://zx81Qj/db", "no user name"),
            ("postgres://u:zx81Qj", "no user name"),
            ("postgres://u:zx81Qj/@h", "no user name"),
            ("postgres://u:zx81Qj@x@h", "several @"),
            ("postgres://u:zx81Qj%@h", "stands for no character"),
            ("postgres://u:zx81Qj%4@h", "stands for no character"),
            ("postgres://u:zx81Qj%zz@h", "stands for no character"),
            ("postgres://u:zx81Qj%ff@h", "stands for no character"),
            ("postgres://u@zx81Qj", "empty"),
            ("postgres://zx81Qj:@h", "empty"),
            ("postgres://:zx81Qj@h", "empty"),
            ("postgres://u:zx81Qj@", "servers"),
            ("postgres://u:zx81Qj@/db?host=/tmp", "servers"),
            ("postgres://u:zx81Qj@%2Ftmp", "servers"),
            ("postgres://u:zx81Qj@h:0", "servers"),
            ("mongodb+srv://u:zx81Qj@a,b", "servers"),
            ("mongodb+srv://u:zx81Qj@a:1", "servers"),
        ] {
            let reason = reason(text);
            assert!(reason.contains(expected), "{text}: {reason}");
            assert!(!reason.contains(secret), "{text}: {reason}");
        }
    }
}
