//! Credentials in environment variables: the reference `TARGET_SHOP` stands for `TARGET_SHOP_USERNAME` and
//! `TARGET_SHOP_PASSWORD`, or for the variable `TARGET_SHOP`, which holds a whole login as `login` reads it. Of both,
//! `TARGET_SHOP_HOSTS` says for which servers it is.

use std::collections::HashMap;
use std::fmt;

use async_trait::async_trait;
use domain::execution::Credentials;
use domain::ports::{CredentialError, CredentialSource};
use domain::target::{CredentialRef, CredentialSourceKind, ReferenceRules};
use secrecy::{ExposeSecret, SecretString};

use crate::{admit, login, malformed, parse_hosts, rules};

/// Reads credentials that were taken from the environment once, at start.
///
/// Only variables under the configured prefixes are taken: the portal's own secrets may be in the same
/// environment, and a reference must not reach those.
pub struct EnvCredentialSource {
    variables: HashMap<String, SecretString>,
    rules: ReferenceRules,
}

impl fmt::Debug for EnvCredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvCredentialSource")
            .field("rules", &self.rules)
            .field("variables", &self.variables.len())
            .finish()
    }
}

impl EnvCredentialSource {
    /// Keeps those of `variables` whose name starts with one of `prefixes`. An empty prefix admits nothing.
    pub fn new(prefixes: Vec<String>, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let rules = rules(CredentialSourceKind::Env, prefixes);
        let admitted = |name: &str| {
            let reference = CredentialRef { source: CredentialSourceKind::Env, reference: name.to_owned() };
            rules.check(&reference).is_ok()
        };
        let variables = variables
            .into_iter()
            .filter(|(name, _)| admitted(name))
            .map(|(name, value)| (name, SecretString::from(value)))
            .collect();
        Self { variables, rules }
    }

    fn variable(&self, name: &str) -> Option<&SecretString> {
        self.variables.get(name)
    }

    /// With the servers that the variable for them names. What cannot be read there must not set the login free.
    fn bound(&self, name: &str, found: Credentials) -> Result<Credentials, CredentialError> {
        let name = format!("{name}_HOSTS");
        let Some(text) = self.variable(&name) else { return Ok(found) };
        if found.hosts.is_some() {
            return Err(malformed(format!("the connection string names its servers already; remove {name}")));
        }
        let hosts =
            parse_hosts(text.expose_secret()).map_err(|error| malformed(format!("{name}: {error}")))?;
        Ok(Credentials { hosts: Some(hosts), ..found })
    }
}

#[async_trait]
impl CredentialSource for EnvCredentialSource {
    fn kind(&self) -> CredentialSourceKind {
        CredentialSourceKind::Env
    }

    async fn fetch(&self, reference: &CredentialRef) -> Result<Credentials, CredentialError> {
        admit(&self.rules, reference)?;
        let name = &reference.reference;
        let username = self.variable(&format!("{name}_USERNAME"));
        let password = self.variable(&format!("{name}_PASSWORD"));
        let found = match (self.variable(name), username, password) {
            (Some(whole), None, None) => login::parse(whole.expose_secret())?,
            // Which of the two is meant nobody can know, and the wrong one may be a login with more rights.
            (Some(_), _, _) => {
                return Err(malformed(format!(
                    "both {name} and {name}_USERNAME or {name}_PASSWORD are set; set either the one or the other two"
                )));
            }
            (None, Some(username), Some(password)) => {
                login::login(username.expose_secret(), password.clone())?
            }
            (None, _, _) => return Err(CredentialError::NotFound),
        };
        self.bound(name, found)
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
            ("TARGET_URL", "postgresql://portal:s3cret@db.example/shop"),
            ("TARGET_TWICE", "postgresql://portal:s3cret@db.example/shop"),
            ("TARGET_TWICE_PASSWORD", "s3cret"),
            ("TARGET_TIED_USERNAME", "portal"),
            ("TARGET_TIED_PASSWORD", "s3cret"),
            ("TARGET_TIED_HOSTS", "DB1:5432, db2:5432"),
            ("TARGET_JSON", r#"{"username": "portal", "password": "s3cret"}"#),
            ("TARGET_JSON_HOSTS", "db1:5432"),
            ("TARGET_LOOSE_USERNAME", "portal"),
            ("TARGET_LOOSE_PASSWORD", "s3cret"),
            ("TARGET_LOOSE_HOSTS", "s3cret"),
            ("TARGET_BLANK_USERNAME", "portal"),
            ("TARGET_BLANK_PASSWORD", "s3cret"),
            ("TARGET_BLANK_HOSTS", ""),
            ("TARGET_NAMED", "postgresql://portal:s3cret@db.example/shop"),
            ("TARGET_NAMED_HOSTS", "db1:5432"),
            ("OTHER", "postgresql://root:root@db.example/shop"),
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
        assert!(credentials.hosts.is_none(), "two variables say nothing of servers");
    }

    #[tokio::test]
    async fn a_reference_names_a_variable_with_a_connection_string() {
        let credentials = fetch("TARGET_URL").await.unwrap();
        assert_eq!(credentials.username, "portal");
        assert_eq!(credentials.password.expose_secret(), "s3cret");
        assert_eq!(credentials.hosts.unwrap().into_iter().collect::<Vec<_>>(), ["db.example:5432"]);
    }

    #[tokio::test]
    async fn a_login_that_is_given_in_both_ways_is_refused_by_the_variables_names() {
        let error = fetch("TARGET_TWICE").await.unwrap_err().to_string();
        assert!(
            error.contains("both TARGET_TWICE and TARGET_TWICE_USERNAME or TARGET_TWICE_PASSWORD"),
            "{error}"
        );
        assert!(!error.contains("s3cret"), "{error}");
    }

    #[tokio::test]
    async fn a_variable_beside_the_login_says_for_which_servers_it_is() {
        let hosts =
            async |name: &str| fetch(name).await.unwrap().hosts.unwrap().into_iter().collect::<Vec<_>>();
        assert_eq!(hosts("TARGET_TIED").await, ["db1:5432", "db2:5432"]);
        assert_eq!(hosts("TARGET_JSON").await, ["db1:5432"]);
        for (name, said) in [
            ("TARGET_LOOSE", "TARGET_LOOSE_HOSTS: a server is named as host:port"),
            ("TARGET_BLANK", "TARGET_BLANK_HOSTS: a server is named as host:port"),
            ("TARGET_NAMED", "names its servers already; remove TARGET_NAMED_HOSTS"),
        ] {
            let error = fetch(name).await.unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("s3cret"), "{error}");
        }
        assert!(matches!(fetch("TARGET_TIED_HOSTS").await, Err(CredentialError::Malformed { .. })));
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
