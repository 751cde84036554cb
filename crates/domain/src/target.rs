//! Targets: the database servers that requests run against, and the limits that hold there.

mod credentials;
mod databases;
mod mongodb;
mod slack;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::ids::{InstanceId, PodId};
use crate::text::{DatabaseName, DisplayName};

pub use credentials::{CredentialRef, CredentialSourceKind, ReferenceError, ReferenceRules};
pub use databases::{
    DatabaseChange, DatabaseSource, LastSync, SyncAttempt, SyncChanges, SyncOutcome, TargetDatabase,
};
pub use mongodb::MongoAddress;
pub use slack::SlackResults;

/// The kind of server behind a target.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Engine {
    Postgresql,
    Mongodb,
}

impl Engine {
    pub const ALL: [Self; 2] = [Self::Postgresql, Self::Mongodb];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgresql => "postgresql",
            Self::Mongodb => "mongodb",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|e| e.as_str() == text)
    }

    /// The port that a server of this kind listens on unless it is told otherwise.
    pub const fn usual_port(self) -> u16 {
        match self {
            Self::Postgresql => 5432,
            Self::Mongodb => 27017,
        }
    }

    /// Where to connect for a look at a server of which no database is known yet: every server is set up with it.
    pub fn usual_database(self) -> DatabaseName {
        let name = match self {
            Self::Postgresql => "postgres",
            Self::Mongodb => "admin",
        };
        DatabaseName::parse(name).expect("the usual name is a name")
    }
}

/// How the connection to a target is protected, in the words of PostgreSQL's `sslmode`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsMode {
    /// No TLS: the explicit statement that credentials may travel in the clear.
    Disable,
    /// TLS, without looking at the certificate.
    Require,
    /// TLS with a certificate of a known authority.
    VerifyCa,
    /// TLS with a certificate of a known authority for exactly this host. The default.
    VerifyFull,
}

impl TlsMode {
    pub const ALL: [Self; 4] = [Self::Disable, Self::Require, Self::VerifyCa, Self::VerifyFull];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.as_str() == text)
    }
}

/// What one execution may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Longest time for the whole execution.
    pub timeout: Duration,
    /// Longest wait for a lock.
    pub lock_timeout: Duration,
    /// Rows kept per request.
    pub max_rows: u64,
    /// Bytes of JSON kept per request, before compression.
    pub max_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(5),
            max_rows: 100_000,
            max_bytes: 256 * 1024 * 1024,
        }
    }
}

/// What a MongoDB target explicitly accepts beyond what every target does. Nothing by default.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Admits {
    /// Commands may name databases other than the approved one.
    pub other_databases: bool,
    /// JavaScript that the database server itself runs: `$where`, `$function`, `$accumulator`.
    pub server_javascript: bool,
}

/// One registered database server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    pub id: InstanceId,
    pub name: DisplayName,
    pub engine: Engine,
    pub description: Option<String>,
    pub host: String,
    pub port: u16,
    /// MongoDB: what else belongs to the address, as in a connection string, for example `replicaSet=rs0`.
    pub connection_options: Option<String>,
    pub tls: TlsMode,
    pub credentials: CredentialRef,
    /// Rises with every change of host, port, connection options, TLS or credential reference.
    pub connection_revision: i32,
    /// The connection revision for which an admin bound the credentials; anything else means "no credentials".
    pub bound_revision: Option<i32>,
    pub active: bool,
    pub read_only: bool,
    /// The target explicitly accepts a superuser or a role that reaches files or programs of the server.
    pub allow_privileged_role: bool,
    pub admits: Admits,
    /// `search_path` for executions; `None` leaves the database's own.
    pub search_path: Option<String>,
    pub limits: Limits,
    /// Distinct approvers that a request needs; at least 1.
    pub approvals_needed: u16,
    /// How long a request waits for its approval, and an approval for its execution.
    pub approval_ttl: Duration,
    /// The PODs that may submit to this target and decide on what is submitted.
    pub pods: Vec<PodId>,
    /// What messages in Slack show of results from here.
    pub slack_results: SlackResults,
    /// Whether people may decide by the buttons in Slack; otherwise in the portal itself only.
    pub slack_decisions: bool,
}

impl Target {
    /// Whether an admin has bound the credentials for the connection as it is now.
    pub fn credentials_bound(&self) -> bool {
        self.bound_revision == Some(self.connection_revision)
    }

    pub fn admits_pod(&self, pod: &PodId) -> bool {
        self.pods.contains(pod)
    }

    /// The target with a change. When that touches where the connection leads or with which credential, the
    /// connection's revision rises, so that the credentials are bound no longer and approvals of before are void.
    pub fn changed(&self, change: TargetChange) -> Self {
        let mut after = self.clone();
        replace(&mut after.name, change.name);
        replace(&mut after.description, change.description);
        replace(&mut after.host, change.host);
        replace(&mut after.port, change.port);
        replace(&mut after.connection_options, change.connection_options);
        replace(&mut after.tls, change.tls);
        replace(&mut after.credentials, change.credentials);
        replace(&mut after.active, change.active);
        replace(&mut after.read_only, change.read_only);
        replace(&mut after.allow_privileged_role, change.allow_privileged_role);
        replace(&mut after.admits.other_databases, change.allow_other_databases);
        replace(&mut after.admits.server_javascript, change.allow_server_javascript);
        replace(&mut after.search_path, change.search_path);
        replace(&mut after.limits.timeout, change.timeout);
        replace(&mut after.limits.lock_timeout, change.lock_timeout);
        replace(&mut after.limits.max_rows, change.max_rows);
        replace(&mut after.limits.max_bytes, change.max_bytes);
        replace(&mut after.approvals_needed, change.approvals_needed);
        replace(&mut after.approval_ttl, change.approval_ttl);
        replace(&mut after.pods, change.pods);
        replace(&mut after.slack_results, change.slack_results);
        replace(&mut after.slack_decisions, change.slack_decisions);
        after.pods.sort();
        after.pods.dedup();
        if self.connection() != after.connection() {
            after.connection_revision += 1;
        }
        after
    }

    /// Where the connection leads: hosts in lower case, each with its port.
    pub fn hosts(&self) -> BTreeSet<String> {
        match self.engine {
            Engine::Postgresql => {
                BTreeSet::from([format!("{}:{}", self.host.to_ascii_lowercase(), self.port)])
            }
            Engine::Mongodb => MongoAddress::parse(&self.host, self.port, None)
                .map(|address| address.hosts.iter().map(|host| host.to_ascii_lowercase()).collect())
                .unwrap_or_default(),
        }
    }

    fn connection(&self) -> (&str, u16, Option<&str>, TlsMode, &CredentialRef) {
        (&self.host, self.port, self.connection_options.as_deref(), self.tls, &self.credentials)
    }
}

/// What changes of a target; `None` leaves it. In the doubly optional ones `Some(None)` takes the value away.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TargetChange {
    pub name: Option<DisplayName>,
    pub description: Option<Option<String>>,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub connection_options: Option<Option<String>>,
    pub tls: Option<TlsMode>,
    pub credentials: Option<CredentialRef>,
    pub active: Option<bool>,
    pub read_only: Option<bool>,
    pub allow_privileged_role: Option<bool>,
    pub allow_other_databases: Option<bool>,
    pub allow_server_javascript: Option<bool>,
    pub search_path: Option<Option<String>>,
    pub timeout: Option<Duration>,
    pub lock_timeout: Option<Duration>,
    pub max_rows: Option<u64>,
    pub max_bytes: Option<u64>,
    pub approvals_needed: Option<u16>,
    pub approval_ttl: Option<Duration>,
    pub pods: Option<Vec<PodId>>,
    pub slack_results: Option<SlackResults>,
    pub slack_decisions: Option<bool>,
}

/// Puts the new value there, if there is one.
pub(crate) fn replace<T>(place: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *place = new;
    }
}
