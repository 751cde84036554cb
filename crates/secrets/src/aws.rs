//! Credentials in AWS Secrets Manager: the reference is the name or the ARN of a secret, whose text is read by `login`.
//!
//! The portal's own login to AWS comes from where the AWS SDK looks for it: environment variables, a profile (also one
//! that assumes a role), a web identity, the container's or the instance's role. AWS's single sign-on and programs that
//! print a login are left out; they are for people's own machines.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::SharedCredentialsProvider;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use domain::execution::Credentials;
use domain::ports::{CredentialError, CredentialSource};
use domain::target::{CredentialRef, CredentialSourceKind, ReferenceRules};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use crate::aws_error::{AwsFailure, explain};
use crate::{admit, login, malformed, rules};

/// Tries of one fetch, as the SDK's standard retries have it; each gets its share of the time.
const ATTEMPTS: u32 = 3;

/// How to reach Secrets Manager.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AwsConfig {
    /// What the names or ARNs of secrets begin with. An empty prefix admits nothing.
    pub prefixes: Vec<String>,
    /// Else the SDK's own settings tell it.
    pub region: Option<String>,
    /// Else the region's public endpoint. Without TLS on the loopback address only.
    pub endpoint_url: Option<String>,
    /// For one fetch with all of its tries.
    pub timeout: Duration,
}

impl AwsConfig {
    /// Whether a source can be made of it.
    pub fn check(&self) -> Result<(), AwsConfigError> {
        if self.endpoint_url.as_deref().is_some_and(|url| !is_protected(url)) {
            return Err(AwsConfigError::Endpoint);
        }
        Ok(())
    }
}

/// Why Secrets Manager cannot be used as it is configured.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AwsConfigError {
    #[error(
        "the endpoint of Secrets Manager must begin with https:// (http:// is for the loopback address only)"
    )]
    Endpoint,
}

/// Reads secrets from AWS Secrets Manager. Nothing is sent before the first fetch.
pub struct AwsCredentialSource {
    config: AwsConfig,
    rules: ReferenceRules,
    /// Instead of where the SDK looks.
    own_login: Option<SharedCredentialsProvider>,
    client: OnceCell<Client>,
}

impl fmt::Debug for AwsCredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsCredentialSource").field("config", &self.config).finish_non_exhaustive()
    }
}

impl AwsCredentialSource {
    pub fn new(config: AwsConfig) -> Result<Self, AwsConfigError> {
        config.check()?;
        let rules = rules(CredentialSourceKind::Aws, config.prefixes.clone());
        Ok(Self { config, rules, own_login: None, client: OnceCell::new() })
    }

    /// With a login to AWS from `provider` instead of the SDK's usual places.
    #[must_use]
    pub fn with_own_login(self, provider: SharedCredentialsProvider) -> Self {
        Self { own_login: Some(provider), client: OnceCell::new(), ..self }
    }

    /// The client, made at the first fetch: finding the region may ask the instance's metadata service.
    async fn client(&self) -> Result<&Client, AwsFailure> {
        self.client.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<Client, AwsFailure> {
        let https = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::rustls(CryptoMode::Ring))
            .build_https();
        let timeouts =
            TimeoutConfig::builder().operation_attempt_timeout(self.config.timeout / ATTEMPTS).build();
        let mut loader =
            aws_config::defaults(BehaviorVersion::latest()).http_client(https).timeout_config(timeouts);
        if let Some(region) = &self.config.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(url) = &self.config.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let Some(provider) = &self.own_login {
            loader = loader.credentials_provider(provider.clone());
        }
        let config = loader.load().await;
        if config.region().is_none() {
            return Err(AwsFailure::NoRegion);
        }
        // The SDK's own settings may have told it.
        if config.endpoint_url().is_some_and(|url| !is_protected(url)) {
            return Err(AwsFailure::Endpoint);
        }
        Ok(Client::new(&config))
    }

    async fn read(&self, name: &str) -> Result<Credentials, CredentialError> {
        let client = self.client().await?;
        let answer = client.get_secret_value().secret_id(name).send().await.map_err(explain)?;
        // What is handed on here is wiped; the SDK's own buffers of the answer cannot be.
        match (answer.secret_string, answer.secret_binary) {
            (Some(text), _) => login::parse(&Zeroizing::new(text)),
            (None, Some(bytes)) => {
                drop(Zeroizing::new(bytes.into_inner()));
                Err(malformed("it is a binary secret; keep the login as text"))
            }
            (None, None) => Err(malformed("the secret is empty")),
        }
    }
}

#[async_trait]
impl CredentialSource for AwsCredentialSource {
    fn kind(&self) -> CredentialSourceKind {
        CredentialSourceKind::Aws
    }

    async fn fetch(&self, reference: &CredentialRef) -> Result<Credentials, CredentialError> {
        admit(&self.rules, reference)?;
        tokio::time::timeout(self.config.timeout, self.read(&reference.reference))
            .await
            .unwrap_or_else(|_| Err(AwsFailure::NoAnswer.into()))
    }
}

/// Whether nobody on the way can read what the endpoint answers.
fn is_protected(url: &str) -> bool {
    if url.starts_with("https://") {
        return true;
    }
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    !authority.contains('@')
        && (host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(endpoint_url: &str) -> AwsConfig {
        AwsConfig {
            prefixes: vec!["targets/".to_owned()],
            region: None,
            endpoint_url: Some(endpoint_url.to_owned()),
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn an_endpoint_has_tls_or_is_on_the_loopback_address() {
        for url in [
            "https://vpce-1.secretsmanager.eu-west-1.vpce.amazonaws.com",
            "http://localhost:4566",
            "http://127.0.0.1:5000/",
            "http://127.1.2.3",
            "http://[::1]:5000",
        ] {
            assert!(AwsCredentialSource::new(config(url)).is_ok(), "{url}");
        }
        for url in [
            "",
            "localhost:4566",
            "ftp://localhost",
            "http://",
            "http://secretsmanager.eu-west-1.amazonaws.com",
            "http://localhost.example",
            "http://localhost@vault.example",
            "http://127.0.0.1:80@vault.example",
            "http://10.0.0.1",
            "http://[fe80::1]",
        ] {
            assert_eq!(AwsCredentialSource::new(config(url)).unwrap_err(), AwsConfigError::Endpoint, "{url}");
        }
    }
}
