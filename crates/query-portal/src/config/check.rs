//! What is wrong with settings that could be read.

use pg_tls::{Authorities, Check};

use super::Config;

/// In seconds. Nobody means more, and times in the far future cannot be computed with.
const TEN_YEARS: u64 = 315_360_000;

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
    if config.secrets.env_prefixes.iter().any(|prefix| reaches_own_variables(prefix)) {
        mistakes.push(format!(
            "secrets.env_prefixes must not be empty texts, nor reach the portal's own variables ({}*)",
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

/// A reference that begins with this prefix could name a variable with a secret of the portal itself.
fn reaches_own_variables(prefix: &str) -> bool {
    super::ENV_PREFIX.starts_with(prefix) || prefix.starts_with(super::ENV_PREFIX)
}
