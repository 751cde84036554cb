//! Passwords, tokens and credentials in the clear, for tests only.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use chrono::DateTime;
use domain::Timestamp;
use domain::auth::{AccessClaims, TokenHash};
use domain::execution::Credentials;
use domain::ports::{AccessTokens, CredentialError, CredentialSource, InvalidToken, PasswordHasher};
use domain::target::{CredentialRef, CredentialSourceKind};
use domain::text::NewPassword;
use secrecy::{ExposeSecret, SecretString};

use super::lock;

/// "Hashes" a password by putting `plain:` before it.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainPasswords;

#[async_trait]
impl PasswordHasher for PlainPasswords {
    async fn hash(&self, password: &NewPassword) -> String {
        format!("plain:{}", password.secret().expose_secret())
    }

    async fn verify(&self, password: &SecretString, hash: Option<String>) -> bool {
        hash.as_deref().and_then(|hash| hash.strip_prefix("plain:")) == Some(password.expose_secret())
    }
}

/// Writes the claims into the token as they are: `fake.<user>.<session>.<issued>.<expires>.<check>`, times in
/// microseconds. The check tells makers of different names apart and texts that were changed, but there is no
/// secret in it: anybody can forge one.
#[derive(Clone, Debug, Default)]
pub struct FakeTokens {
    name: String,
}

impl FakeTokens {
    pub fn new() -> Self {
        Self::default()
    }

    /// A maker whose tokens only makers of the same name accept.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    fn check(&self, payload: &str) -> String {
        TokenHash::of(&format!("{}/{payload}", self.name)).as_str()[..16].to_owned()
    }

    fn read(&self, token: &str) -> Option<AccessClaims> {
        let moment = |text: &str| DateTime::from_timestamp_micros(text.parse().ok()?);
        let (payload, check) = token.rsplit_once('.')?;
        let parts: Vec<&str> = payload.split('.').collect();
        let ["fake", user, session, issued, expires] = parts[..] else { return None };
        let claims = AccessClaims {
            user: user.parse().ok()?,
            session: session.parse().ok()?,
            issued_at: moment(issued)?,
            expires_at: moment(expires)?,
        };
        (check == self.check(payload)).then_some(claims)
    }
}

impl AccessTokens for FakeTokens {
    fn sign(&self, claims: &AccessClaims) -> SecretString {
        let AccessClaims { user, session, issued_at, expires_at } = claims;
        let (issued, expires) = (issued_at.timestamp_micros(), expires_at.timestamp_micros());
        let payload = format!("fake.{user}.{session}.{issued}.{expires}");
        format!("{payload}.{}", self.check(&payload)).into()
    }

    fn verify(&self, token: &str, now: Timestamp) -> Result<AccessClaims, InvalidToken> {
        let claims = self.read(token).ok_or(InvalidToken::Invalid)?;
        if claims.expires_at <= now { Err(InvalidToken::Expired) } else { Ok(claims) }
    }
}

/// A credential source that knows what it was told. A login without a user name or a password is malformed.
#[derive(Debug)]
pub struct FakeCredentials {
    kind: CredentialSourceKind,
    prefixes: Vec<String>,
    known: Mutex<HashMap<String, Credentials>>,
    failures: Mutex<Vec<CredentialError>>,
    fetched: Mutex<Vec<String>>,
}

impl FakeCredentials {
    pub fn new(kind: CredentialSourceKind) -> Self {
        Self {
            kind,
            prefixes: vec![],
            known: Mutex::default(),
            failures: Mutex::default(),
            fetched: Mutex::default(),
        }
    }

    /// Keeps a login under a reference.
    pub fn with(self, reference: &str, username: &str, password: &str) -> Self {
        let credentials = Credentials::new(username, password.into());
        lock(&self.known).insert(reference.to_owned(), credentials);
        self
    }

    /// Admits references with this prefix, and no longer those with any.
    pub fn admits(mut self, prefix: &str) -> Self {
        self.prefixes.push(prefix.to_owned());
        self
    }

    /// The references that were asked for, oldest first.
    pub fn fetched(&self) -> Vec<String> {
        lock(&self.fetched).clone()
    }

    /// The next fetch fails with this. Several failures are used up in the order in which they were given.
    pub fn fail_next(&self, error: CredentialError) {
        lock(&self.failures).push(error);
    }
}

impl Default for FakeCredentials {
    fn default() -> Self {
        Self::new(CredentialSourceKind::Env)
    }
}

#[async_trait]
impl CredentialSource for FakeCredentials {
    fn kind(&self) -> CredentialSourceKind {
        self.kind
    }

    async fn fetch(&self, reference: &CredentialRef) -> Result<Credentials, CredentialError> {
        lock(&self.fetched).push(reference.reference.clone());
        let mut failures = lock(&self.failures);
        if !failures.is_empty() {
            return Err(failures.remove(0));
        }
        let admitted = |prefix: &String| reference.reference.starts_with(prefix);
        if !self.prefixes.is_empty() && !self.prefixes.iter().any(admitted) {
            return Err(CredentialError::Forbidden);
        }
        let found = lock(&self.known).get(&reference.reference).cloned().ok_or(CredentialError::NotFound)?;
        if found.username.is_empty() || found.password.expose_secret().is_empty() {
            return Err(CredentialError::Malformed { reason: "a part of the login is empty".to_owned() });
        }
        Ok(found)
    }
}
