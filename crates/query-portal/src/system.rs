//! The world as the binary sees it: the clock, fresh identifiers, secrets, password hashes.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::Timestamp;
use domain::ports::{Clock, IdGenerator, PasswordHasher, SecretGenerator};
use domain::text::NewPassword;
use rand::TryRng as _;
use rand::rngs::SysRng;
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

/// `length` characters of 64 kinds: 6 bits each, from the operating system's random source.
pub(crate) fn random_text(length: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = vec![0_u8; length];
    SysRng.try_fill_bytes(&mut bytes).expect("the operating system has random bytes");
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
    use std::collections::HashSet;
    use std::sync::Arc;

    use super::*;

    /// The lowest work factor that the configuration allows.
    async fn bcrypt_passwords() -> Arc<dyn PasswordHasher> {
        Arc::new(BcryptPasswords::new(10).unwrap())
    }

    testkit::password_contract!(bcrypt_passwords);

    async fn random_secrets() -> Arc<dyn SecretGenerator> {
        Arc::new(RandomSecrets)
    }

    testkit::secret_contract!(random_secrets);

    async fn random_ids() -> Arc<dyn IdGenerator> {
        Arc::new(RandomIds)
    }

    testkit::id_contract!(random_ids);

    async fn system_clock() -> Arc<dyn Clock> {
        Arc::new(SystemClock)
    }

    testkit::clock_contract!(system_clock);

    #[tokio::test]
    async fn two_hashes_of_one_password_differ_and_show_nothing_of_it() {
        let passwords = bcrypt_passwords().await;
        let password = NewPassword::parse("correct horse battery".into()).unwrap();
        let (one, other) = (passwords.hash(&password).await, passwords.hash(&password).await);
        assert_ne!(one, other);
        assert!(one.starts_with("$2b$10$") && !one.contains("horse"), "{one}");
    }

    #[tokio::test]
    async fn hashes_of_other_work_factors_verify_too() {
        let password = NewPassword::parse("correct horse battery".into()).unwrap();
        let older = BcryptPasswords::new(5).unwrap().hash(&password).await;
        assert!(bcrypt_passwords().await.verify(password.secret(), Some(older)).await);
    }

    #[test]
    fn every_place_of_a_secret_takes_every_kind_of_character() {
        let secrets: Vec<_> = (0..2_000).map(|_| RandomSecrets.new_token()).collect();
        for place in 0..43 {
            let kinds: HashSet<u8> = secrets.iter().map(|s| s.expose_secret().as_bytes()[place]).collect();
            assert_eq!(kinds.len(), 64, "at {place}");
        }
    }

    #[test]
    fn every_bit_of_an_id_that_can_vary_does() {
        let ids: Vec<_> = (0..200).map(|_| RandomIds.new_id()).collect();
        assert!(ids.iter().all(|id| id.get_version_num() == 4));
        let always = ids.iter().fold(u128::MAX, |bits, id| bits & id.as_u128());
        let never = ids.iter().fold(u128::MAX, |bits, id| bits & !id.as_u128());
        // Four bits for the version and two for the variant are fixed (RFC 9562 §5.4).
        assert_eq!((always | never).count_ones(), 6);
    }

    #[test]
    fn the_clock_shows_the_time_of_the_system() {
        let [before, after] =
            [std::time::SystemTime::now(), std::time::SystemTime::now()].map(chrono::DateTime::<Utc>::from);
        let slack = std::time::Duration::from_secs(5);
        assert!((before - slack..after + slack).contains(&SystemClock.now()));
    }
}
