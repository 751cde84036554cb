//! Where a MongoDB deployment is found: one host, several, or a name that DNS resolves, with what belongs to them.

use crate::text::InvalidText;

/// What a target's host, port and connection options say, in the words of MongoDB's connection strings
/// (<https://www.mongodb.com/docs/manual/reference/connection-string/>).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MongoAddress {
    /// The hosts, each with its port; of a name that DNS resolves the name alone.
    pub hosts: Vec<String>,
    /// Whether DNS tells the hosts (`mongodb+srv`).
    pub srv: bool,
    /// Names and values, in the order in which they were given. Each name once.
    pub options: Vec<(&'static str, String)>,
}

const SRV: &str = "mongodb+srv://";

const READ_PREFERENCES: &[&str] =
    &["primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest"];

/// What may be given as an option, and its values; none means that any plain word is one. Everything else is the
/// portal's to decide: TLS, retries, timeouts, pools.
const OPTIONS: &[(&str, &[&str])] = &[
    ("authMechanism", &["SCRAM-SHA-1", "SCRAM-SHA-256"]),
    ("authSource", &[]),
    ("directConnection", &["true", "false"]),
    ("readPreference", READ_PREFERENCES),
    ("replicaSet", &[]),
];

const MOST_HOSTS: usize = 50;

impl MongoAddress {
    /// Reads the three parts of an address. The error speaks of the part that is wrong.
    pub fn parse(host: &str, port: u16, options: Option<&str>) -> Result<Self, InvalidText> {
        let (srv, names) = match host.strip_prefix(SRV) {
            Some(name) => (true, name),
            None => (false, host),
        };
        let hosts = names
            .split(',')
            .map(|name| if srv { plain(name) } else { with_port(name, port) })
            .collect::<Option<Vec<_>>>()
            .filter(|hosts| (1..=if srv { 1 } else { MOST_HOSTS }).contains(&hosts.len()))
            .ok_or_else(|| {
                InvalidText::new(
                    "must be a host name, several separated by commas (each may have its own port, as in \
                     a.example:27017,b.example:27018), or mongodb+srv://name; nothing else of a connection string \
                     belongs here",
                )
            })?;
        Ok(Self { hosts, srv, options: read_options(options.unwrap_or_default())? })
    }

    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

fn plain(name: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    ((1..=253).contains(&name.len()) && name.chars().all(fits)).then(|| name.to_owned())
}

/// `name`, `name:port`, `[v6]` or `[v6]:port`.
fn with_port(text: &str, port: u16) -> Option<String> {
    let (name, own) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (format!("[{address}]"), after.strip_prefix(':').or((!after.is_empty()).then_some("-")))
        }
        None => match text.split_once(':') {
            Some((name, own)) => (plain(name)?, Some(own)),
            None => (plain(text)?, None),
        },
    };
    let port = match own {
        Some(own) => own.parse::<u16>().ok().filter(|port| *port > 0)?,
        None => port,
    };
    Some(format!("{name}:{port}"))
}

fn read_options(text: &str) -> Result<Vec<(&'static str, String)>, InvalidText> {
    let mut found: Vec<(&'static str, String)> = vec![];
    for part in text.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let Some((known, values)) = OPTIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
            let known: Vec<&str> = OPTIONS.iter().map(|(known, _)| *known).collect();
            return Err(InvalidText::new(format!(
                "may hold the options {}, joined by &; TLS, time limits and the rest are the instance's own settings",
                known.join(", ")
            )));
        };
        if found.iter().any(|(there, _)| there == known) {
            return Err(InvalidText::new(format!("holds {known} twice")));
        }
        if !values.is_empty() && !values.contains(&value) {
            return Err(InvalidText::new(format!("has {known}, which is one of {}", values.join(", "))));
        }
        if plain(value).is_none() {
            return Err(InvalidText::new(format!(
                "has {known} with a value that is no plain word of letters, digits, dots, hyphens and underscores"
            )));
        }
        found.push((known, value.to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(host: &str) -> Option<Vec<String>> {
        MongoAddress::parse(host, 27017, None).ok().map(|address| address.hosts)
    }

    #[test]
    fn hosts_are_one_or_several_each_with_a_port() {
        assert_eq!(hosts("db.example").unwrap(), ["db.example:27017"]);
        assert_eq!(hosts("a:1,b,[::1]:5,[::2]").unwrap(), ["a:1", "b:27017", "[::1]:5", "[::2]:27017"]);
        assert_eq!(hosts("mongodb+srv://cluster0.example").unwrap(), ["cluster0.example"]);
        for wrong in [
            "",
            ",",
            "a,,b",
            "a b",
            "user:pw@host",
            "u@h",
            "host/db",
            "a:0",
            "a:65536",
            "a:x",
            "mongodb://a",
            "[::1",
            "[a]",
            "[::1]5",
            "mongodb+srv://a,b",
            "mongodb+srv://a:1",
            "host?tls=false",
            "host\n",
            "*",
            "a;b",
        ] {
            assert_eq!(hosts(wrong), None, "{wrong:?}");
        }
        assert!(MongoAddress::parse("mongodb+srv://a", 1, None).unwrap().srv);
    }

    #[test]
    fn options_are_those_of_the_address_and_no_others() {
        let read = |text| MongoAddress::parse("a", 1, Some(text));
        let address = read("replicaset=rs0&authSource=admin&readPreference=nearest").unwrap();
        assert_eq!(address.option("replicaSet"), Some("rs0"));
        assert_eq!(address.option("readPreference"), Some("nearest"));
        assert_eq!(address.option("authMechanism"), None);
        assert!(read("").unwrap().options.is_empty());
        for wrong in [
            "tls=false",
            "tlsInsecure=true",
            "retryWrites=true",
            "replicaSet",
            "replicaSet=a&replicaSet=b",
            "readPreference=best",
            "authMechanism=PLAIN",
            "authSource=a b",
            "authSource=%24external",
            "x=y",
            "=",
        ] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
