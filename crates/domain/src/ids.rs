//! Identifiers: one type each, so that a user's id cannot be passed for a request's.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(s).map(Self).map_err(|_| InvalidId { what: "UUID" })
            }
        }
    };
}

uuid_id!(
    /// A request, as clients know it.
    RequestId
);
uuid_id!(
    /// A person with an account.
    UserId
);
uuid_id!(
    /// A unit of background work.
    JobId
);
uuid_id!(
    /// A login on one device; every refresh token of the login belongs to it.
    SessionId
);

/// The text is not an identifier of that kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {what}")]
pub struct InvalidId {
    pub what: &'static str,
}

macro_rules! slug_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// 1 to 63 characters: lowercase ASCII letters, digits, `.`, `_` and `-`, starting with a letter or digit.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(String);

        impl $name {
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                is_slug(text).then(|| Self(text.to_owned())).ok_or(InvalidId { what: $what })
            }
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                Self::parse(s)
            }
        }
    };
}

slug_id!(
    /// A team.
    PodId,
    "POD id (1 to 63 of a-z, 0-9, '.', '_', '-')"
);
slug_id!(
    /// A target: one registered database server.
    InstanceId,
    "instance id (1 to 63 of a-z, 0-9, '.', '_', '-')"
);

fn is_slug(text: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'_' | b'-');
    let starts_well = text.bytes().next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    text.len() <= 63 && starts_well && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_short_lowercase_and_start_with_a_letter_or_digit() {
        assert!(PodId::parse("payments").is_ok());
        assert!(PodId::parse("0-a.b_c").is_ok());
        for bad in ["", "-a", "A", "a b", "é", "a/b", "a\0", &"x".repeat(64)] {
            assert!(PodId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
