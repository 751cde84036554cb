//! Checked texts: what a value of these types holds has been looked at once, at the edge.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// Why a text was not accepted. The message is a sentence fragment for the person who typed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidText(pub String);

impl InvalidText {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// An e-mail address in lowercase, as the key of an account: at most 254 bytes (RFC 5321 §4.5.3.1.3).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Email(String);

impl Email {
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        let text = text.trim().to_lowercase();
        let well_formed = text
            .split_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'));
        let clean = text.chars().all(|c| !c.is_whitespace() && !c.is_control());
        if text.len() <= 254 && well_formed && clean {
            Ok(Self(text))
        } else {
            Err(InvalidText::new("must be an e-mail address of at most 254 bytes"))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a database on a target: 1 to 63 bytes (PostgreSQL's identifier limit), no control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DatabaseName(String);

impl DatabaseName {
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        if (1..=63).contains(&text.len()) && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidText::new("must be a database name of 1 to 63 bytes without control characters"))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text of a query or script: not blank, at most [`SubmissionText::MAX_BYTES`], no NUL
/// (PostgreSQL's protocol ends a text at a NUL).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubmissionText(String);

impl SubmissionText {
    /// 2 MiB.
    pub const MAX_BYTES: usize = 2 * 1024 * 1024;

    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidText> {
        let text = text.into();
        if text.trim().is_empty() {
            Err(InvalidText::new("must not be empty"))
        } else if text.len() > Self::MAX_BYTES {
            Err(InvalidText::new(format!("must be at most {} bytes long", Self::MAX_BYTES)))
        } else if text.contains('\0') {
            Err(InvalidText::new("must not contain a NUL character"))
        } else {
            Ok(Self(text))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A free remark by a person (comment, reason, note): trimmed, 1 to 2,000 characters, no NUL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remark(String);

impl Remark {
    pub const MAX_CHARS: usize = 2_000;

    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        let text = text.trim();
        if text.is_empty() {
            Err(InvalidText::new("must not be empty"))
        } else if text.chars().count() > Self::MAX_CHARS {
            Err(InvalidText::new(format!("must be at most {} characters long", Self::MAX_CHARS)))
        } else if text.contains('\0') {
            Err(InvalidText::new("must not contain a NUL character"))
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A display name: trimmed, 1 to 120 characters, no control characters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DisplayName(String);

impl DisplayName {
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        let text = text.trim();
        let length = text.chars().count();
        if (1..=120).contains(&length) && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidText::new("must be a name of 1 to 120 characters without control characters"))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A new password: 12 characters at least, 71 bytes at most (bcrypt reads no more than 72 with its terminator).
#[derive(Clone, Debug)]
pub struct NewPassword(SecretString);

impl NewPassword {
    pub const MIN_CHARS: usize = 12;
    pub const MAX_BYTES: usize = 71;

    pub fn parse(text: SecretString) -> Result<Self, InvalidText> {
        let plain = text.expose_secret();
        if plain.chars().count() < Self::MIN_CHARS {
            Err(InvalidText::new(format!("must have at least {} characters", Self::MIN_CHARS)))
        } else if plain.len() > Self::MAX_BYTES {
            Err(InvalidText::new(format!("must be at most {} bytes long", Self::MAX_BYTES)))
        } else if plain.contains('\0') {
            Err(InvalidText::new("must not contain a NUL character"))
        } else {
            Ok(Self(text))
        }
    }

    pub fn secret(&self) -> &SecretString {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_is_lowercased_and_needs_both_sides() {
        assert_eq!(Email::parse(" Ada@Example.COM ").unwrap().as_str(), "ada@example.com");
        for bad in ["", "@", "a@", "@b", "a@b@c", "a b@c", "a\0@c"] {
            assert!(Email::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_submission_is_neither_blank_nor_huge_nor_holds_nul() {
        assert!(SubmissionText::parse("select 1").is_ok());
        assert!(SubmissionText::parse(" \n\t").is_err());
        assert!(SubmissionText::parse("select '\0'").is_err());
        assert!(SubmissionText::parse("x".repeat(SubmissionText::MAX_BYTES)).is_ok());
        assert!(SubmissionText::parse("x".repeat(SubmissionText::MAX_BYTES + 1)).is_err());
    }

    #[test]
    fn a_password_longer_than_bcrypt_reads_is_refused() {
        let of = |n: usize| NewPassword::parse(SecretString::from("x".repeat(n)));
        assert!(of(11).is_err());
        assert!(of(12).is_ok());
        assert!(of(71).is_ok());
        assert!(of(72).is_err());
    }
}
