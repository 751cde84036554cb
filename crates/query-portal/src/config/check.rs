//! What is wrong with settings that could be read.

use pg_tls::{Authorities, Check};
use secrecy::ExposeSecret as _;
use secrets::SealingKeys;
use url::Url;

use super::settings::{Config, Secrets, Slack};

/// In seconds. Nobody means more, and times in the far future cannot be computed with.
const TEN_YEARS: u64 = 315_360_000;

/// In seconds.
const A_DAY: u64 = 86_400;

/// In minutes.
const A_YEAR: u64 = 525_600;

/// Values that make no sense, by themselves or beside each other.
pub(super) fn mistakes(config: &Config) -> Vec<String> {
    let (server, database, auth) = (&config.server, &config.database, &config.auth);
    let (execution, script) = (&config.execution, &config.script);
    let renewed_in_time =
        execution.renew_seconds > 0 && execution.renew_seconds.saturating_mul(2) <= execution.lease_seconds;
    let rules = [
        (server.workers > 0, "server.workers must be at least 1"),
        (database.max_connections > 0, "database.max_connections must be at least 1"),
        (database.acquire_timeout_seconds > 0, "database.acquire_timeout_seconds must be at least 1"),
        (!auth.issuer.trim().is_empty(), "auth.issuer must not be empty"),
        (!auth.audience.trim().is_empty(), "auth.audience must not be empty"),
        (
            (1..=auth.session_ttl_seconds).contains(&auth.access_ttl_seconds),
            "auth.access_ttl_seconds must be at least 1 and at most auth.session_ttl_seconds",
        ),
        ((10..=16).contains(&auth.bcrypt_cost), "auth.bcrypt_cost must be from 10 to 16"),
        (
            renewed_in_time,
            "execution.renew_seconds must be at least 1 and at most half of execution.lease_seconds",
        ),
        (execution.poll_seconds > 0, "execution.poll_seconds must be at least 1"),
        (execution.reap_seconds > 0, "execution.reap_seconds must be at least 1"),
        ((1..=1024).contains(&script.max_processes), "script.max_processes must be from 1 to 1024"),
        (
            script.warm_processes <= script.max_processes || script.max_processes == 0,
            "script.warm_processes must be at most script.max_processes",
        ),
        ((64..=16_384).contains(&script.memory_mib), "script.memory_mib must be from 64 to 16384"),
        ((1..=1_000_000).contains(&script.max_calls), "script.max_calls must be from 1 to 1000000"),
        (config.secrets.cache_seconds <= A_DAY, "secrets.cache_seconds must be at most 86400"),
        (config.sync.every_minutes <= A_YEAR, "sync.every_minutes must be at most 525600"),
    ];
    let mut mistakes: Vec<String> =
        rules.into_iter().filter(|(holds, _)| !holds).map(|(_, rule)| rule.to_owned()).collect();
    for (key, seconds) in [
        ("database.acquire_timeout_seconds", database.acquire_timeout_seconds),
        ("auth.session_ttl_seconds", auth.session_ttl_seconds),
        ("execution.lease_seconds", execution.lease_seconds),
        ("execution.drain_seconds", execution.drain_seconds),
        ("execution.poll_seconds", execution.poll_seconds),
        ("execution.reap_seconds", execution.reap_seconds),
    ] {
        if seconds > TEN_YEARS {
            mistakes.push(format!("{key} must be at most {TEN_YEARS}"));
        }
    }
    mistakes.extend(authorities(config));
    mistakes.extend(config.cors().err().map(|error| error.to_string()));
    mistakes.extend(sealed(&config.secrets));
    mistakes.extend(slack(&config.slack));
    mistakes.extend(config.aws_settings().err().map(|error| format!("{error:#}")));
    mistakes.extend(prefixes(&config.secrets));
    if config.secrets.env_prefixes.iter().any(|prefix| reaches_own_variables(prefix)) {
        mistakes.push(format!(
            "secrets.env_prefixes must not be blank texts, nor reach the portal's own variables ({}*)",
            super::ENV_PREFIX
        ));
    }
    mistakes
}

/// Files are read to see whether they can be. The system may have no authorities where no target asks for them.
fn authorities(config: &Config) -> Vec<String> {
    let known = config.target_authorities();
    if known.is_empty() {
        return vec!["targets.tls_authorities must name a file, or be [\"system\"]".to_owned()];
    }
    let files = known.into_iter().filter(|known| matches!(known, Authorities::File(_)));
    files
        .filter_map(|file| pg_tls::connector(&Check::Authority(vec![file])).err())
        .map(|error| format!("targets.tls_authorities: {error}"))
        .collect()
}

/// What admits everything, or so much that nobody can have meant it.
fn prefixes(secrets: &Secrets) -> Vec<String> {
    let mut mistakes = vec![];
    for (key, prefixes) in
        [("aws_prefixes", &secrets.aws_prefixes), ("sealed_prefixes", &secrets.sealed_prefixes)]
    {
        if prefixes.iter().any(is_blank) {
            mistakes.push(format!("secrets.{key} must not hold blank texts: they would admit everything"));
        }
    }
    if secrets.aws_prefixes.iter().filter(|prefix| !is_blank(prefix)).any(|prefix| is_wide_arn(prefix)) {
        mistakes.push(
            "secrets.aws_prefixes: an ARN must reach beyond :secret:, as \
             arn:aws:secretsmanager:eu-west-1:123456789012:secret:portal/; a shorter one would admit all secrets"
                .to_owned(),
        );
    }
    mistakes
}

#[expect(clippy::ptr_arg, reason = "it is what an iterator over texts hands out")]
fn is_blank(prefix: &String) -> bool {
    prefix.trim().is_empty()
}

/// Whether it is the beginning of ARNs, and says nothing of the secret's name.
fn is_wide_arn(prefix: &str) -> bool {
    let names_something = || prefix.split_once(":secret:").is_some_and(|(_, name)| !name.trim().is_empty());
    "arn:".starts_with(prefix) || (prefix.starts_with("arn:") && !names_something())
}

/// Keys without prefixes seal nothing and harm nobody.
fn sealed(secrets: &Secrets) -> Option<String> {
    match &secrets.sealed_keys {
        Some(keys) => SealingKeys::parse(keys).err().map(|error| format!("secrets.sealed_keys: {error}")),
        // What is wrong with the prefixes is told already.
        None if secrets.sealed_prefixes.iter().any(is_blank) || secrets.sealed_prefixes.is_empty() => None,
        None => Some("secrets.sealed_keys must be set where secrets.sealed_prefixes is".to_owned()),
    }
}

fn slack(slack: &Slack) -> Vec<String> {
    let mut mistakes = vec![];
    match (&slack.bot_token, &slack.signing_secret) {
        (Some(_), Some(_)) | (None, None) => {}
        (Some(_), None) => {
            mistakes.push("slack.signing_secret must be set where slack.bot_token is".to_owned());
        }
        (None, Some(_)) => {
            mistakes.push("slack.bot_token must be set where slack.signing_secret is".to_owned());
        }
    }
    for (key, secret) in [("bot_token", &slack.bot_token), ("signing_secret", &slack.signing_secret)] {
        if secret.as_ref().is_some_and(|secret| secret.expose_secret().trim().is_empty()) {
            mistakes.push(format!("slack.{key} must not be empty"));
        }
    }
    if let Err(error) = super::safe_url(&slack.api_url) {
        mistakes.push(format!("slack.api_url: {error}"));
    }
    let is_page = |link: &str| Url::parse(link).is_ok_and(|url| matches!(url.scheme(), "https" | "http"));
    let link = &slack.request_link;
    let fits = link.is_empty() || (is_page(link) && link.contains("{id}"));
    if !fits {
        let example = "https://portal.example.com/requests/{id}";
        mistakes
            .push(format!("slack.request_link must be the URL of a page with {{id}} in it, as {example}"));
    }
    mistakes
}

/// A reference that begins with this prefix could name a variable with a secret of the portal itself.
fn reaches_own_variables(prefix: &str) -> bool {
    prefix.trim().is_empty() || super::ENV_PREFIX.starts_with(prefix) || prefix.starts_with(super::ENV_PREFIX)
}
