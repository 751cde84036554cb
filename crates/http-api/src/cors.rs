//! Which web pages of other origins may call the API: those that an operator names, and no other.
//!
//! Callers show who they are by a token in a header, never by a cookie, so the mode with credentials stays off. `*` is
//! refused all the same: any page that somebody inside of the network opens could then try logins from there.

use actix_cors::Cors;
use actix_web::http::Method;
use actix_web::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER,
};
use actix_web::middleware::Condition;
use url::{Host, Url};

use crate::headers::REQUEST_ID;
use crate::idempotency;
use crate::routes::events::LAST_EVENT_ID;
use crate::routes::results::TRUNCATED;

const METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
const SENT: [HeaderName; 6] =
    [ACCEPT, AUTHORIZATION, CONTENT_TYPE, idempotency::KEY, LAST_EVENT_ID, REQUEST_ID];
const EXPOSED: [HeaderName; 6] =
    [CONTENT_DISPOSITION, LOCATION, RETRY_AFTER, idempotency::REPLAYED, REQUEST_ID, TRUNCATED];

/// How long a browser may remember the answer to a preflight, in seconds.
const REMEMBERED: usize = 3_600;

/// The origins whose pages may call, as browsers write them. None by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowedOrigins(Vec<String>);

/// What was given is not an origin as browsers write it. A name or password in it is left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{given}\" is not an origin: {instead}")]
pub struct InvalidOrigin {
    given: String,
    instead: String,
}

impl AllowedOrigins {
    /// Takes `scheme://host` or `scheme://host:port`, or tells of all that are something else.
    pub fn parse(origins: &[String]) -> Result<Self, Vec<InvalidOrigin>> {
        let invalid: Vec<InvalidOrigin> = origins
            .iter()
            .filter_map(|origin| {
                invalid(origin).map(|instead| InvalidOrigin { given: without_user(origin), instead })
            })
            .collect();
        if invalid.is_empty() { Ok(Self(origins.to_vec())) } else { Err(invalid) }
    }
}

/// Why a text is no origin, and what to write instead. Browsers send lowercase letters, no usual port and no path, and
/// what they send is compared as it is.
fn invalid(text: &str) -> Option<String> {
    let url =
        Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && is_one_host(url));
    match url.map(|url| url.origin().ascii_serialization()) {
        None => {
            Some("write http:// or https:// with a host, one for each origin; * is not possible".to_owned())
        }
        Some(origin) if origin != text => Some(format!("write {origin}")),
        Some(_) => None,
    }
}

/// The parser takes more than names for a host, such as `*.example.com`: that looks like a pattern and matches nothing.
fn is_one_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'))
        }
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        None => false,
    }
}

/// What stands before an `@` may hold a password.
fn without_user(text: &str) -> String {
    text.rsplit_once('@').map_or_else(|| text.to_owned(), |(_, rest)| format!("...@{rest}"))
}

/// Without an origin nothing is added to any answer.
pub(crate) fn middleware(origins: &AllowedOrigins) -> Condition<Cors> {
    let cors = Cors::default()
        .allowed_methods(METHODS)
        .allowed_headers(SENT)
        .expose_headers(EXPOSED)
        .max_age(REMEMBERED);
    let cors = origins.0.iter().fold(cors, |cors, origin| cors.allowed_origin(origin));
    Condition::new(!origins.0.is_empty(), cors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends_and_nothing_else() {
        for good in [
            "https://console.example.com",
            "http://localhost:3000",
            "http://127.0.0.1:8081",
            "https://[2001:db8::1]:8443",
            "https://xn--bcher-kva.example",
        ] {
            assert_eq!(
                AllowedOrigins::parse(&[good.to_owned()]).unwrap(),
                AllowedOrigins(vec![good.to_owned()])
            );
        }
        for bad in [
            "",
            "*",
            "null",
            "console.example.com",
            "//a.example",
            "ftp://a.example",
            "file:///etc",
            "https://*.example.com x",
            "https://*.example.com",
            "https://*",
            "https://a{b}.example",
            "https://a_b.example",
            "https://a,b.example",
            "https://a;b.example",
            "https://(a|b).example",
            "https://a.example,https://b.example",
            "https://",
        ] {
            let errors = AllowedOrigins::parse(&[bad.to_owned()]).unwrap_err();
            assert!(errors[0].to_string().contains("write http:// or https://"), "{bad}: {errors:?}");
        }
    }

    #[test]
    fn what_is_nearly_an_origin_is_answered_with_the_origin() {
        for (given, instead) in [
            ("https://a.example/", "https://a.example"),
            ("https://a.example/path?query#fragment", "https://a.example"),
            ("https://a.example:443", "https://a.example"),
            ("http://a.example:80", "http://a.example"),
            ("HTTPS://A.example", "https://a.example"),
            ("https://user:secret@a.example", "https://a.example"),
            ("https://[2001:DB8::1]", "https://[2001:db8::1]"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            (" https://a.example", "https://a.example"),
        ] {
            let errors = AllowedOrigins::parse(&[given.to_owned()]).unwrap_err();
            assert_eq!(errors[0].instead, format!("write {instead}"));
        }
    }

    #[test]
    fn a_password_in_what_was_given_is_not_told() {
        for given in [
            "https://user:secret@a.example",
            "https://user:sec@secret@a.example",
            "https://secret@a.example/",
            "user:secret@a.example",
            "https://user:secret@",
            "https://user:secret@*.example",
            "ftp://user:secret@a.example",
        ] {
            let errors = AllowedOrigins::parse(&[given.to_owned()]).unwrap_err();
            assert!(!format!("{} {errors:?}", errors[0]).contains("secret"), "{errors:?}");
        }
        let errors = AllowedOrigins::parse(&["https://user:secret@a.example".to_owned()]).unwrap_err();
        assert_eq!(errors[0].to_string(), "\"...@a.example\" is not an origin: write https://a.example");
    }

    #[test]
    fn all_that_are_wrong_are_told_at_once() {
        let given = ["*", "https://a.example", "https://b.example/"].map(str::to_owned);
        assert_eq!(AllowedOrigins::parse(&given).unwrap_err().len(), 2);
    }
}
