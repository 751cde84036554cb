//! What can be set, and what holds when nothing is.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// Keys whose values are never shown. They have no defaults.
pub(super) const SECRETS: [&str; 6] = [
    "database.url",
    "database.owner_url",
    "auth.signing_key",
    "secrets.sealed_keys",
    "slack.bot_token",
    "slack.signing_secret",
];

/// Everything that can be set. Secrets never print.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) server: Server,
    pub(crate) database: Database,
    pub(crate) auth: Auth,
    pub(crate) approvals: Approvals,
    pub(crate) execution: Execution,
    pub(crate) script: Script,
    pub(crate) secrets: Secrets,
    pub(crate) targets: Targets,
    pub(crate) sync: Sync,
    pub(crate) slack: Slack,
    pub(crate) rate_limit: RateLimit,
    pub(crate) log: Log,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    /// Address and port to listen on.
    pub(crate) listen: SocketAddr,
    /// HTTP worker threads.
    pub(crate) workers: usize,
    /// Origins whose web pages may call, as `https://console.example.com`.
    pub(crate) cors_allowed_origins: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Database {
    /// `postgres://` URL of the portal's database, for the server's own role. It may hold libpq's `sslmode` and
    /// `sslrootcert`.
    pub(crate) url: Option<SecretString>,
    /// The same for the owner of the tables; used by `migrate` only.
    pub(crate) owner_url: Option<SecretString>,
    pub(crate) max_connections: usize,
    pub(crate) acquire_timeout_seconds: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Auth {
    /// Signs access tokens: 32 bytes at least, the same for all processes.
    pub(crate) signing_key: Option<SecretString>,
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) access_ttl_seconds: u64,
    pub(crate) session_ttl_seconds: u64,
    /// Work factor of password hashes, 10 to 16; each step doubles the time.
    pub(crate) bcrypt_cost: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approvals {
    /// Every approval has to name the digest that the approver saw.
    pub(crate) require_digest: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Execution {
    /// Executions at the same time in one process; 0 makes a process that executes nothing.
    pub(crate) concurrency: usize,
    pub(crate) lease_seconds: u64,
    pub(crate) renew_seconds: u64,
    pub(crate) drain_seconds: u64,
    pub(crate) poll_seconds: u64,
    pub(crate) reap_seconds: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Script {
    /// Take scripts, and run them.
    pub(crate) enabled: bool,
    /// Processes that are kept ready.
    pub(crate) warm_processes: usize,
    /// Most processes at the same time, those that only read a submission among them.
    pub(crate) max_processes: usize,
    /// Most memory of one process, in MiB.
    pub(crate) memory_mib: u64,
    /// Most database calls of one script.
    pub(crate) max_calls: u64,
    /// Refuse to serve where the host lacks a layer of isolation.
    pub(crate) require_full_isolation: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Secrets {
    /// Credential references of the source `env` have to start with one of these.
    pub(crate) env_prefixes: Vec<String>,
    /// The same for `aws`; none switches AWS Secrets Manager off.
    pub(crate) aws_prefixes: Vec<String>,
    /// Empty: as the SDK finds it, for example in `AWS_REGION`.
    pub(crate) aws_region: String,
    /// Empty: the service's own.
    pub(crate) aws_endpoint_url: String,
    /// The same for `sealed`; none switches it off.
    pub(crate) sealed_prefixes: Vec<String>,
    /// `id:base64,id:base64`: the first seals, all open.
    pub(crate) sealed_keys: Option<SecretString>,
    /// How long what `aws` and `sealed` gave is used again; 0 asks each time.
    pub(crate) cache_seconds: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slack {
    /// Of the app in Slack. Without it nothing is told in Slack.
    pub(crate) bot_token: Option<SecretString>,
    /// With it Slack signs what people press.
    pub(crate) signing_secret: Option<SecretString>,
    pub(crate) api_url: String,
    /// Where requests of PODs without a channel of their own are announced; empty for nowhere.
    pub(crate) default_channel: String,
    /// A page about a request, with `{id}` in the place of its id; empty where there is none.
    pub(crate) request_link: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Targets {
    /// Who may sign the certificates of targets: files in PEM, and `system` for the authorities of the system.
    pub(crate) tls_authorities: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sync {
    /// Between two looks at the list of databases of an instance; 0 for none but those that somebody asks for.
    pub(crate) every_minutes: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RateLimit {
    /// Calls per second and client address; bursts of ten times as many.
    pub(crate) per_second: NonZeroU32,
    /// Logins, refreshes and changes of one's own password, per minute and client address.
    pub(crate) logins_per_minute: NonZeroU32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    /// A filter like `info` or `info,domain=debug`.
    pub(crate) level: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Json,
    Text,
}

/// What holds when nothing is set.
pub(super) fn defaults() -> serde_json::Value {
    serde_json::json!({
        "server": { "listen": "127.0.0.1:8080", "workers": 2, "cors_allowed_origins": [] },
        "database": { "max_connections": 20, "acquire_timeout_seconds": 5 },
        "auth": {
            "issuer": "query-portal", "audience": "query-portal", "access_ttl_seconds": 900,
            "session_ttl_seconds": 604_800, "bcrypt_cost": 12,
        },
        "approvals": { "require_digest": false },
        "execution": {
            "concurrency": 8, "lease_seconds": 30, "renew_seconds": 5, "drain_seconds": 30, "poll_seconds": 2,
            "reap_seconds": 5,
        },
        "script": {
            "enabled": true, "warm_processes": 2, "max_processes": 16, "memory_mib": 256, "max_calls": 10_000,
            "require_full_isolation": false,
        },
        "secrets": {
            "env_prefixes": ["TARGET_"], "aws_prefixes": [], "aws_region": "", "aws_endpoint_url": "",
            "sealed_prefixes": [], "cache_seconds": 300,
        },
        "targets": { "tls_authorities": ["system"] },
        "sync": { "every_minutes": 60 },
        "slack": { "api_url": "https://slack.com/api", "default_channel": "", "request_link": "" },
        "rate_limit": { "per_second": 50, "logins_per_minute": 30 },
        "log": { "format": "json", "level": "info" },
    })
}
