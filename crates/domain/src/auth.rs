//! Sessions and tokens: what proves that a caller is somebody.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::Timestamp;
use crate::ids::{SessionId, UserId};
use crate::user::{Actor, User};

/// SHA-256 of a token; the only form in which a token is stored.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TokenHash(String);

impl TokenHash {
    pub fn of(token: &str) -> Self {
        Self(hex::encode(Sha256::digest(token.as_bytes())))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

/// What a valid access token says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessClaims {
    pub user: UserId,
    pub session: SessionId,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
}

/// An access token that was checked for signature and time, with its hash for the blacklist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PresentedToken {
    pub claims: AccessClaims,
    pub hash: TokenHash,
}

/// The password hash that a password was checked against, so that a password which changes meanwhile is noticed.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifiedHash(pub String);

impl fmt::Debug for VerifiedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifiedHash(..)")
    }
}

/// What people prove who change their own account: that they know its password, in a session of theirs. Both have to
/// hold still at the moment at which the change is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnerProof {
    /// What the password was checked against.
    pub verified: VerifiedHash,
    /// The session of the call.
    pub session: SessionId,
}

/// A login that is about to be stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewSession {
    pub session: SessionId,
    pub user: UserId,
    /// What the password was checked against.
    pub verified: VerifiedHash,
    pub refresh_hash: TokenHash,
    pub device: Option<String>,
    pub ip: Option<String>,
    pub expires_at: Timestamp,
}

/// What became of a refresh token that was presented.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rotation {
    /// The token was good; it is used up, and the new one is stored.
    Rotated { user: User, session: SessionId },
    /// The token had been used before: its whole session is revoked now.
    Reused { user: UserId, session: SessionId },
    /// Not known, expired, revoked, or its user is not active.
    Invalid,
}

/// Who is behind a presented token, as the store knows at this moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    pub user: User,
    pub actor: Actor,
}

/// A login, as its owner sees it in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionInfo {
    pub id: SessionId,
    /// The client as it named itself when it last traded its refresh token.
    pub device: Option<String>,
    pub ip: Option<String>,
    pub started_at: Timestamp,
    /// The last time that the refresh token was traded; access tokens in between leave no trace.
    pub refreshed_at: Timestamp,
    pub expires_at: Timestamp,
}
