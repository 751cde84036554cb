//! Configuration: a TOML file and `QUERY_PORTAL_*` variables, typed, checked at start.
//!
//! `QUERY_PORTAL_DATABASE__URL` sets `url` in `[database]`: two underscores stand for the dot.

mod check;
mod read;
mod settings;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use domain::services::{AuthSettings, ExecutionSettings};
use domain::target::{CredentialSourceKind, ReferenceRules};
use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use http_api::{AllowedOrigins, JwtAccessTokens, JwtSettings};
use notify_slack::SlackConfig;
use percent_encoding::percent_decode_str;
use pg_tls::Authorities;
use secrecy::{ExposeSecret, SecretString};
use secrets::{AwsConfig, SealingKeys};
use store_postgres::StoreConfig;
use url::Url;

use self::read::Draft;
pub(crate) use self::settings::{Config, Log, LogFormat, Slack};
use self::settings::{SECRETS, Secrets, defaults};

const ENV_PREFIX: &str = "QUERY_PORTAL_";

/// Longest time for one fetch from AWS, all of its tries together.
const AWS_TIMEOUT: Duration = Duration::from_secs(10);

impl Config {
    /// Reads defaults, then the file when one is named, then the environment. All mistakes are told at once.
    pub(crate) fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        Self::read(&Self::sources(file)?)?.without_mistakes(vec![])
    }

    /// The same for `serve`, which needs more than other commands do.
    pub(crate) fn load_for_serving(file: Option<&Path>) -> anyhow::Result<Self> {
        let draft = Self::read(&Self::sources(file)?)?;
        let more = draft.config.mistakes_for_serving();
        draft.without_mistakes(more)
    }

    fn sources(file: Option<&Path>) -> anyhow::Result<Figment> {
        // The variable that names the file itself is no setting.
        let env = Env::prefixed(ENV_PREFIX).ignore(&["config"]).split("__");
        Ok(Self::with_file(file)?.merge(env))
    }

    fn with_file(file: Option<&Path>) -> anyhow::Result<Figment> {
        let defaults = Figment::from(Serialized::defaults(defaults()));
        match file {
            Some(file) if file.is_file() => Ok(defaults.merge(Toml::file_exact(file))),
            Some(file) => bail!("there is no configuration file {}", file.display()),
            None => Ok(defaults),
        }
    }

    fn read(figment: &Figment) -> anyhow::Result<Draft> {
        let mut draft = read::read(figment)?;
        draft.mistakes.extend(check::mistakes(&draft.config));
        Ok(draft)
    }

    /// The defaults alone.
    pub(crate) fn builtin() -> anyhow::Result<Self> {
        Ok(Figment::from(Serialized::defaults(defaults())).extract()?)
    }

    /// What `serve` needs beside settings that can be read: all that is missing or wrong.
    fn mistakes_for_serving(&self) -> Vec<String> {
        let mut mistakes = vec![];
        let mut note =
            |outcome: anyhow::Result<()>| mistakes.extend(outcome.err().map(|error| format!("{error:#}")));
        note(self.database_url().map(drop));
        note(self.migration().map(drop));
        note(self.access_tokens().map(drop));
        note(crate::telemetry::filter(&self.log).map(drop));
        mistakes.dedup();
        mistakes
    }

    pub(crate) fn access_tokens(&self) -> anyhow::Result<JwtAccessTokens> {
        let settings = JwtSettings {
            key: self.signing_key()?.clone(),
            issuer: self.auth.issuer.clone(),
            audience: self.auth.audience.clone(),
        };
        JwtAccessTokens::new(settings).context("auth.signing_key")
    }

    pub(crate) fn database_url(&self) -> anyhow::Result<&SecretString> {
        let url = self.database.url.as_ref().context(
            "database.url is not set: set QUERY_PORTAL_DATABASE__URL to the postgres:// URL of the portal's database",
        )?;
        check_url(url).context("database.url")?;
        Ok(url)
    }

    /// Whom `migrate` connects as, and whom it grants the server's rights to, where that is somebody else.
    pub(crate) fn migration(&self) -> anyhow::Result<(&SecretString, Option<String>)> {
        let server = self.database_url()?;
        let Some(owner) = &self.database.owner_url else { return Ok((server, None)) };
        check_url(owner).context("database.owner_url")?;
        let role = user_of(server).context("database.url names no user")?;
        let own = user_of(owner).context("database.owner_url names no user")?;
        Ok((owner, (role != own).then_some(role)))
    }

    fn signing_key(&self) -> anyhow::Result<&SecretString> {
        self.auth.signing_key.as_ref().context(
            "auth.signing_key is not set: set QUERY_PORTAL_AUTH__SIGNING_KEY, for example to the output of: openssl rand -base64 48",
        )
    }

    pub(crate) fn cors(&self) -> anyhow::Result<AllowedOrigins> {
        AllowedOrigins::parse(&self.server.cors_allowed_origins).map_err(|invalid| {
            let invalid: Vec<String> = invalid.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("server.cors_allowed_origins: {}", invalid.join("; "))
        })
    }

    /// In the words of libpq's `sslrootcert`.
    pub(crate) fn target_authorities(&self) -> Vec<Authorities> {
        let named = self.targets.tls_authorities.iter();
        named
            .map(|name| match name.as_str() {
                "system" => Authorities::System,
                file => Authorities::File(file.into()),
            })
            .collect()
    }

    /// The sources of credentials that are set up, and what may be named there.
    pub(crate) fn reference_rules(&self) -> ReferenceRules {
        ReferenceRules::new([
            (CredentialSourceKind::Env, self.secrets.env_prefixes.clone()),
            (CredentialSourceKind::Aws, self.secrets.aws_prefixes.clone()),
            (CredentialSourceKind::Sealed, self.secrets.sealed_prefixes.clone()),
        ])
    }

    /// `None` when the source `sealed` is not set up.
    pub(crate) fn sealing_keys(&self) -> anyhow::Result<Option<SealingKeys>> {
        let keys = self.secrets.sealed_keys.as_ref().filter(|_| !self.secrets.sealed_prefixes.is_empty());
        keys.map(SealingKeys::parse).transpose().context("secrets.sealed_keys")
    }

    /// `None` when the source `aws` is not set up. What is wrong with the endpoint is told either way.
    pub(crate) fn aws_settings(&self) -> anyhow::Result<Option<AwsConfig>> {
        let Secrets { aws_prefixes, aws_region, aws_endpoint_url, .. } = &self.secrets;
        let given = |text: &String| Some(text).filter(|text| !text.is_empty()).cloned();
        // As a URL is written, and not as somebody has typed it.
        let url = |text: String| safe_url(&text).map(|url| url.to_string());
        let settings = AwsConfig {
            prefixes: aws_prefixes.clone(),
            region: given(aws_region),
            endpoint_url: given(aws_endpoint_url).map(url).transpose().context("secrets.aws_endpoint_url")?,
            timeout: AWS_TIMEOUT,
        };
        settings.check().context("secrets.aws_endpoint_url")?;
        Ok((!aws_prefixes.is_empty()).then_some(settings))
    }

    /// `None` when nothing is told in Slack.
    pub(crate) fn slack_settings(&self) -> anyhow::Result<Option<SlackConfig>> {
        let Slack { bot_token: Some(token), signing_secret: Some(secret), .. } = &self.slack else {
            return Ok(None);
        };
        let given = |text: &String| Some(text).filter(|text| !text.is_empty()).cloned();
        Ok(Some(SlackConfig {
            api_url: safe_url(&self.slack.api_url).context("slack.api_url")?,
            default_channel: given(&self.slack.default_channel),
            request_link: given(&self.slack.request_link),
            ..SlackConfig::new(token.clone(), secret.clone())
        }))
    }

    /// Between two syncs of an instance.
    pub(crate) fn sync_period(&self) -> Option<Duration> {
        (self.sync.every_minutes > 0).then(|| Duration::from_mins(self.sync.every_minutes))
    }

    pub(crate) fn auth_settings(&self) -> AuthSettings {
        AuthSettings {
            access_ttl: Duration::from_secs(self.auth.access_ttl_seconds),
            session_ttl: Duration::from_secs(self.auth.session_ttl_seconds),
        }
    }

    pub(crate) fn execution_settings(&self) -> ExecutionSettings {
        ExecutionSettings {
            concurrency: self.execution.concurrency,
            lease: Duration::from_secs(self.execution.lease_seconds),
            renew_every: Duration::from_secs(self.execution.renew_seconds),
            poll: Duration::from_secs(self.execution.poll_seconds),
            drain: Duration::from_secs(self.execution.drain_seconds),
        }
    }
}

impl Draft {
    fn without_mistakes(self, more: Vec<String>) -> anyhow::Result<Config> {
        let mut mistakes = self.mistakes;
        mistakes.extend(more);
        if mistakes.is_empty() {
            return Ok(self.config);
        }
        bail!("the configuration has mistakes:\n  {}", mistakes.join("\n  "))
    }
}

/// A URL to which secrets may go: with TLS, or on this machine.
pub(crate) fn safe_url(text: &str) -> anyhow::Result<Url> {
    let url = Url::parse(text).context("must be a URL")?;
    let local = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    match url.scheme() {
        "https" => Ok(url),
        "http" if local => Ok(url),
        _ => bail!("must begin with https://; http:// is for this machine only"),
    }
}

/// Reads a URL of the portal's database as the store will. The message holds no part of a login.
fn check_url(url: &SecretString) -> anyhow::Result<()> {
    Ok(StoreConfig::new(url.clone()).check()?)
}

fn user_of(url: &SecretString) -> Option<String> {
    let (_, rest) = url.expose_secret().split_once("://")?;
    let (login, _) = rest.split_once('@')?;
    let user = percent_decode_str(login.split(':').next()?).decode_utf8().ok()?;
    (!user.is_empty()).then(|| user.into_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn load(toml: &str) -> anyhow::Result<Config> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("portal.toml");
        std::fs::write(&file, toml).unwrap();
        Config::read(&Config::with_file(Some(&file))?)?.without_mistakes(vec![])
    }

    #[test]
    fn defaults_are_complete_and_the_file_overrides_them() {
        let config = load("[server]\nlisten = \"0.0.0.0:9000\"\n").unwrap();
        assert_eq!(config.server.listen.port(), 9000);
        assert_eq!(config.execution.lease_seconds, 30);
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_named() {
        let error = load("[server]\nlissten = \"x\"\n").unwrap_err().to_string();
        assert!(error.contains("lissten"), "{error}");
        let error = load("[execution]\nconcurrency = \"many\"\n").unwrap_err().to_string();
        assert!(error.contains("concurrency"), "{error}");
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let error =
            load("[execution]\nrenew_seconds = 0\n[auth]\nbcrypt_cost = 4\n").unwrap_err().to_string();
        assert!(error.contains("renew_seconds") && error.contains("bcrypt_cost"), "{error}");
    }

    #[test]
    fn origins_that_no_browser_sends_are_mistakes_and_all_are_told() {
        let good =
            "[server]\ncors_allowed_origins = [\"https://console.example.com\", \"http://localhost:3000\"]\n";
        assert_eq!(load(good).unwrap().server.cors_allowed_origins.len(), 2);
        let error =
            load("[server]\ncors_allowed_origins = [\"*\", \"https://a.example/app\"]\nworkers = 0\n")
                .unwrap_err()
                .to_string();
        for part in [
            "server.cors_allowed_origins",
            "\"*\" is not an origin",
            "write https://a.example",
            "server.workers",
        ] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn an_endpoint_of_aws_is_used_as_it_was_checked() {
        let settings = |toml: &str| load(&format!("[secrets]\n{toml}\n"))?.aws_settings();
        let found =
            settings("aws_prefixes = ['a/']\naws_endpoint_url = 'HTTPS://Vault.Example'").unwrap().unwrap();
        assert_eq!(found.endpoint_url.as_deref(), Some("https://vault.example/"));
        found.check().unwrap();
        assert!(settings("aws_endpoint_url = 'HTTPS://Vault.Example'").unwrap().is_none());
        for wrong in ["HTTP://vault.example", "http://user@localhost", "vault.example"] {
            let error = settings(&format!("aws_endpoint_url = '{wrong}'")).unwrap_err().to_string();
            assert!(error.contains("secrets.aws_endpoint_url: "), "{error}");
        }
    }

    #[test]
    fn secrets_do_not_print() {
        let config =
            load("[database]\nurl = \"postgres://u:hunter2@h/d\"\n[auth]\nsigning_key = \"hunter3\"\n")
                .unwrap();
        let printed = format!("{config:?}");
        assert!(!printed.contains("hunter"), "{printed}");
    }

    #[test]
    fn the_documentation_lists_every_key_and_no_other() {
        let documented: BTreeSet<String> = include_str!("../../../docs/configuration.md")
            .lines()
            .skip_while(|line| !line.starts_with("| key |"))
            .take_while(|line| line.starts_with('|'))
            .filter_map(|line| line.strip_prefix("| `")?.split(" |").next())
            .flat_map(|keys| keys.split(", ").map(|key| key.trim_matches('`').to_owned()))
            .collect();
        let required = SECRETS.map(str::to_owned);
        let defaults = defaults();
        let sections = defaults.as_object().unwrap();
        let known = sections.iter().flat_map(|(section, keys)| {
            keys.as_object().unwrap().keys().map(move |key| format!("{section}.{key}"))
        });
        assert_eq!(documented, known.chain(required).collect::<BTreeSet<_>>());
    }

    #[test]
    fn what_serving_needs_is_told_all_at_once() {
        let config = load("[log]\nlevel = \"no such=filter=\"\n[auth]\nsigning_key = \"short\"\n").unwrap();
        let mistakes = config.mistakes_for_serving().join("\n");
        for expected in ["database.url", "auth.signing_key", "log.level"] {
            assert!(mistakes.contains(expected), "{expected} in {mistakes}");
        }
    }

    #[test]
    fn the_server_role_is_the_user_of_the_url() {
        let config = load(
            "[database]\nurl = \"postgres://the%20server:x@h/d\"\nowner_url = \"postgres://owner:y@h/d\"\n",
        )
        .unwrap();
        assert_eq!(config.migration().unwrap().1.as_deref(), Some("the server"));
    }
}
