//! Credentials in environment variables: the reference `TARGET_SHOP` stands for `TARGET_SHOP_USERNAME`
//! and `TARGET_SHOP_PASSWORD`.

use std::collections::HashMap;
use std::fmt;

use async_trait::async_trait;
use domain::execution::Credentials;
use domain::ports::{CredentialError, CredentialSource};
use domain::target::{CredentialRef, CredentialSourceKind};
use secrecy::{ExposeSecret, SecretString};

/// Reads credentials that were taken from the environment once, at start.
///
/// Only variables under the configured prefixes are taken: the portal's own secrets may be in the same
/// environment, and a reference must not reach those.
pub struct EnvCredentialSource {
    variables: HashMap<String, SecretString>,
    prefixes: Vec<String>,
}

impl fmt::Debug for EnvCredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvCredentialSource")
            .field("prefixes", &self.prefixes)
            .field("variables", &self.variables.len())
            .finish()
    }
}

impl EnvCredentialSource {
    /// Keeps those of `variables` whose name starts with one of `prefixes`. An empty prefix admits nothing.
    pub fn new(prefixes: Vec<String>, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let admitted = |name: &str| is_admitted(&prefixes, name);
        let variables = variables
            .into_iter()
            .filter(|(name, _)| admitted(name))
            .map(|(name, value)| (name, SecretString::from(value)))
            .collect();
        Self { variables, prefixes }
    }

    fn variable(&self, name: &str) -> Option<&SecretString> {
        self.variables.get(name)
    }
}

fn is_admitted(prefixes: &[String], name: &str) -> bool {
    prefixes.iter().any(|prefix| !prefix.is_empty() && name.starts_with(prefix))
}

#[async_trait]
impl CredentialSource for EnvCredentialSource {
    fn kind(&self) -> CredentialSourceKind {
        CredentialSourceKind::Env
    }

    async fn fetch(&self, reference: &CredentialRef) -> Result<Credentials, CredentialError> {
        let name = &reference.reference;
        if !is_admitted(&self.prefixes, name) {
            return Err(CredentialError::Forbidden);
        }
        let username = self.variable(&format!("{name}_USERNAME")).ok_or(CredentialError::NotFound)?;
        let password = self.variable(&format!("{name}_PASSWORD")).ok_or(CredentialError::NotFound)?;
        if username.expose_secret().is_empty() || password.expose_secret().is_empty() {
            return Err(CredentialError::Malformed {
                reason: "the user name or the password is empty".to_owned(),
            });
        }
        Ok(Credentials { username: username.expose_secret().to_owned(), password: password.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> EnvCredentialSource {
        let variables = [
            ("TARGET_SHOP_USERNAME", "portal"),
            ("TARGET_SHOP_PASSWORD", "s3cret"),
            ("TARGET_HALF_USERNAME", "portal"),
            ("TARGET_EMPTY_USERNAME", ""),
            ("TARGET_EMPTY_PASSWORD", ""),
            ("OTHER_USERNAME", "root"),
            ("OTHER_PASSWORD", "root"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        EnvCredentialSource::new(vec!["TARGET_".to_owned(), String::new()], variables)
    }

    async fn fetch(reference: &str) -> Result<Credentials, CredentialError> {
        let reference = CredentialRef { source: CredentialSourceKind::Env, reference: reference.to_owned() };
        source().fetch(&reference).await
    }

    #[tokio::test]
    async fn a_reference_stands_for_two_variables() {
        let credentials = fetch("TARGET_SHOP").await.unwrap();
        assert_eq!(credentials.username, "portal");
        assert_eq!(credentials.password.expose_secret(), "s3cret");
    }

    #[tokio::test]
    async fn a_reference_outside_of_the_prefixes_is_forbidden_even_when_the_variables_exist() {
        assert!(matches!(fetch("OTHER").await, Err(CredentialError::Forbidden)));
        assert!(matches!(fetch("").await, Err(CredentialError::Forbidden)));
    }

    #[tokio::test]
    async fn missing_and_empty_credentials_are_told_apart() {
        assert!(matches!(fetch("TARGET_HALF").await, Err(CredentialError::NotFound)));
        assert!(matches!(fetch("TARGET_NONE").await, Err(CredentialError::NotFound)));
        assert!(matches!(fetch("TARGET_EMPTY").await, Err(CredentialError::Malformed { .. })));
    }

    #[test]
    fn nothing_is_printed_of_what_is_held() {
        let printed = format!("{:?}", source());
        assert!(!printed.contains("s3cret") && !printed.contains("portal"), "{printed}");
    }
}
