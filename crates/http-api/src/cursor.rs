//! Cursors of lists: opaque to clients, so that what they are may change.

use std::fmt::Display;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::text::Email;

use crate::error::Problem;

const PREFIX: &str = "v1:";

pub(crate) fn encode(position: impl Display) -> String {
    URL_SAFE_NO_PAD.encode(format!("{PREFIX}{position}"))
}

/// The position in a list of rows that are numbered.
pub(crate) fn number(cursor: &str) -> Result<i64, Problem> {
    decode(cursor, |text| text.parse().ok().filter(|position| *position > 0))
}

/// The position in a list by e-mail address.
pub(crate) fn email(cursor: &str) -> Result<Email, Problem> {
    decode(cursor, |text| Email::parse(text).ok())
}

fn decode<T>(cursor: &str, position: impl Fn(&str) -> Option<T>) -> Result<T, Problem> {
    let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let position = text.and_then(|text| position(text.strip_prefix(PREFIX)?));
    position.ok_or_else(|| Problem::field("cursor", "is not a cursor of this list; start again without one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_and_others_are_refused() {
        let ada = Email::parse("ada@example.com").unwrap();
        assert_eq!(number(&encode(42)).unwrap(), 42);
        assert_eq!(email(&encode(&ada)).unwrap(), ada);
        // One of another list, too.
        for bad in ["", "42", "djE6", "djE6LTE", "djI6NDI", "é", &"A".repeat(9999), &encode(&ada)] {
            assert!(number(bad).is_err(), "{bad}");
        }
        for bad in ["", "ada@example.com", "djE6", &encode("a@b@c"), &encode("a\0@b"), &encode(42)] {
            assert!(email(bad).is_err(), "{bad}");
        }
    }
}
