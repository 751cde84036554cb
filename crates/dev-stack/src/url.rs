//! Connection URLs, as text: this crate links no URL parser.

use std::fmt::Write as _;

/// Encodes everything but the unreserved characters of RFC 3986.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The URL of a database of a server on the loopback address.
pub(crate) fn build(user: &str, password: &str, port: u16, database: &str) -> String {
    format!("postgres://{}:{}@127.0.0.1:{port}/{}", encode(user), encode(password), encode(database))
}

/// The same URL with another database; its parameters stay.
pub(crate) fn with_database(url: &str, database: &str) -> String {
    let (base, parameters) = match url.split_once('?') {
        Some((base, parameters)) => (base, format!("?{parameters}")),
        None => (url, String::new()),
    };
    let authority = base.find("://").map_or(0, |at| at + 3);
    let end = base[authority..].find('/').map_or(base.len(), |at| authority + at);
    format!("{}/{}{parameters}", &base[..end], encode(database))
}

/// The password and the port in a URL of a server on the loopback address.
pub(crate) fn password_and_port(url: &str) -> Option<(&str, u16)> {
    let (credentials, server) = url.split_once("://")?.1.rsplit_once("@127.0.0.1:")?;
    let port = server.split(['/', '?']).next()?.parse().ok()?;
    Some((credentials.split_once(':')?.1, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_encodes_what_has_a_meaning_in_urls() {
        assert_eq!(build("postgres", "a/b@c", 5, "d b"), "postgres://postgres:a%2Fb%40c@127.0.0.1:5/d%20b");
    }

    #[test]
    fn another_database_replaces_the_path_only() {
        assert_eq!(
            with_database("postgres://u:p@h:1/a?sslmode=disable", "b"),
            "postgres://u:p@h:1/b?sslmode=disable"
        );
        assert_eq!(with_database("postgres://u:p@h:1", "b"), "postgres://u:p@h:1/b");
    }

    #[test]
    fn the_password_and_the_port_are_found_in_a_url() {
        let url = "mongodb://root:secret@127.0.0.1:4711/?replicaSet=rs0";
        assert_eq!(password_and_port(url), Some(("secret", 4711)));
        assert_eq!(password_and_port("mongodb://127.0.0.1:4711/"), None);
    }
}
