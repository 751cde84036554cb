//! The servers that somebody says a login is for, beside a login whose own text does not name them.

use std::collections::BTreeSet;

/// DNS knows the hosts and ports behind such a name.
pub(crate) const SRV: &str = "mongodb+srv://";

/// A text that does not name a server. Such a text may be anything, so it is not repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a server is named as host:port, as the instance has it, or as mongodb+srv://name")]
pub struct HostError;

/// Reads servers, separated by commas, and writes them as [`Target::hosts`](domain::target::Target::hosts) does.
pub fn parse_hosts(text: &str) -> Result<BTreeSet<String>, HostError> {
    text.split(',').map(|host| parse(host.trim())).collect()
}

fn parse(text: &str) -> Result<String, HostError> {
    let text = text.to_ascii_lowercase();
    let fits = |host: &str| {
        let forbidden = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '?' | '#');
        !host.is_empty() && !host.contains(forbidden) && !host.contains("//")
    };
    if let Some(name) = text.strip_prefix(SRV) {
        return if fits(name) && !name.contains([':', '/']) { Ok(name.to_owned()) } else { Err(HostError) };
    }
    let (host, port) = text.rsplit_once(':').ok_or(HostError)?;
    let is_port = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    // Of a socket the host is a folder; elsewhere a slash begins something else.
    let is_host = fits(host) && (host.starts_with('/') || !host.contains('/'));
    if is_port && is_host && !port.starts_with('0') { Ok(text) } else { Err(HostError) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_with_their_ports_and_written_in_lower_case() {
        let read = |text: &str| parse_hosts(text).unwrap().into_iter().collect::<Vec<_>>();
        assert_eq!(read("DB1.Example:5432"), ["db1.example:5432"]);
        assert_eq!(read("b:2, a:1,b:2"), ["a:1", "b:2"]);
        assert_eq!(read("fe80::1:5432,[FE80::1]:27017"), ["[fe80::1]:27017", "fe80::1:5432"]);
        assert_eq!(read("mongodb+srv://Cluster.Example"), ["cluster.example"]);
        assert_eq!(read("/run/postgresql:5432"), ["/run/postgresql:5432"]);
    }

    #[test]
    fn what_names_no_server_is_refused_and_no_list_is_empty() {
        for wrong in [
            "",
            " ",
            ",",
            "a:1,",
            "a",
            "a:",
            ":1",
            "a:0",
            "a:01",
            "a:+1",
            "a:65536",
            "a b:1",
            "a:1\nb:2",
            "u:p@a:1",
            "postgres://a:1",
            "a/x:1",
            "a:1/x",
            "mongodb+srv://",
            "mongodb+srv://a:1",
            "mongodb+srv://a/x",
        ] {
            assert_eq!(parse_hosts(wrong), Err(HostError), "{wrong:?}");
        }
    }
}
