//! Keys by which a client's retry is known for what it is: one submission, however often it is sent.
//!
//! They follow draft-ietf-httpapi-idempotency-key-header, but for two things: a key is an opaque text, so that
//! quotes around it are part of it; and a retry while the first call is still being answered waits for that answer.

use std::fmt;
use std::time::Duration;

use crate::digest::Digest;
use crate::text::InvalidText;

/// How long a key stands for what it was first sent with.
pub const KEPT_FOR: Duration = Duration::from_hours(24);

/// A client's own name for one submission: 1 to 255 printable ASCII characters. Each person has their own keys.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    pub const MAX_LENGTH: usize = 255;

    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if (1..=Self::MAX_LENGTH).contains(&text.len()) && printable {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidText::new(format!(
                "must be 1 to {} printable ASCII characters, for example a new UUID",
                Self::MAX_LENGTH
            )))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key with a fingerprint of everything that was asked for under it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Idempotency {
    pub key: IdempotencyKey,
    pub fingerprint: Digest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_printable_ascii_of_a_limited_length_and_kept_as_it_is() {
        let longest = "k".repeat(255);
        for good in ["a", "8e03978e-40d5-43dd-bc93-6894a57f9324", "\"quoted\"", "two words", "~!{}", &longest]
        {
            assert_eq!(IdempotencyKey::parse(good).unwrap().as_str(), good);
        }
        let too_long = "k".repeat(256);
        for bad in ["", "a\tb", "a\nb", "\u{7f}", "é", "a\0", &too_long] {
            IdempotencyKey::parse(bad).unwrap_err();
        }
    }
}
