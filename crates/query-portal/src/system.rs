//! The world as the binary sees it: the clock, fresh identifiers, secrets, password hashes.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::Timestamp;
use domain::ports::{Clock, IdGenerator, PasswordHasher, SecretGenerator};
use domain::text::NewPassword;
use rand::Rng as _;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

/// The system's clock, in whole microseconds as the store keeps them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the adapter behind the Clock port")]
    fn now(&self) -> Timestamp {
        let now = Utc::now();
        DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }
}

/// Random UUIDs, version 4.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RandomIds;

impl IdGenerator for RandomIds {
    #[expect(clippy::disallowed_methods, reason = "this is the adapter behind the IdGenerator port")]
    fn new_id(&self) -> Uuid {
        Uuid::new_v4()
    }
}

/// Secrets from the operating system's random source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RandomSecrets;

impl SecretGenerator for RandomSecrets {
    fn new_token(&self) -> SecretString {
        SecretString::from(random_text(43))
    }
}

/// `length` characters of 64 kinds: 6 bits each.
pub(crate) fn random_text(length: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = vec![0_u8; length];
    rand::rng().fill_bytes(&mut bytes);
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 64)])).collect()
}

/// Password hashes by bcrypt.
#[derive(Debug, Clone)]
pub(crate) struct BcryptPasswords {
    cost: u32,
    /// Of a password that nobody knows: what a login without an account is checked against, so that it
    /// takes as long as one with an account.
    nobody: String,
}

impl BcryptPasswords {
    pub(crate) fn new(cost: u32) -> anyhow::Result<Self> {
        let nobody = bcrypt::hash(random_text(32), cost)?;
        Ok(Self { cost, nobody })
    }
}

#[async_trait]
impl PasswordHasher for BcryptPasswords {
    async fn hash(&self, password: &NewPassword) -> String {
        let (password, cost) = (password.secret().clone(), self.cost);
        let hash = move || bcrypt::non_truncating_hash(password.expose_secret(), cost);
        tokio::task::spawn_blocking(hash)
            .await
            .expect("hashing does not panic")
            .expect("a checked password and a checked cost can be hashed")
    }

    async fn verify(&self, password: &SecretString, hash: Option<String>) -> bool {
        let known = hash.is_some();
        let (password, hash) = (password.clone(), hash.unwrap_or_else(|| self.nobody.clone()));
        let verify = move || bcrypt::non_truncating_verify(password.expose_secret(), &hash).unwrap_or(false);
        tokio::task::spawn_blocking(verify).await.expect("verifying does not panic") && known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn passwords_verify_against_their_own_hash_only() {
        let passwords = BcryptPasswords::new(10).unwrap();
        let good = SecretString::from("correct horse battery".to_owned());
        let hash = passwords.hash(&NewPassword::parse(good.clone()).unwrap()).await;
        assert!(passwords.verify(&good, Some(hash.clone())).await);
        assert!(!passwords.verify(&SecretString::from("x".repeat(200)), Some(hash.clone())).await);
        assert!(!passwords.verify(&good, None).await);
        assert!(!passwords.verify(&good, Some("not a hash".to_owned())).await);
    }

    #[test]
    fn tokens_are_long_and_differ() {
        let [a, b] = [RandomSecrets.new_token(), RandomSecrets.new_token()];
        assert_eq!(a.expose_secret().len(), 43);
        assert_ne!(a.expose_secret(), b.expose_secret());
    }
}
