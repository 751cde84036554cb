//! What admins send about targets.

#![expect(
    clippy::option_option,
    reason = "a field that is left out, one that is null and a value are three things"
)]

use std::time::Duration;

use domain::ids::{InstanceId, PodId};
use domain::services::NewTarget;
use domain::target::{
    Admits, CredentialRef, CredentialSourceKind, DatabaseChange, Engine, Limits, SlackResults, Target,
    TargetChange, TlsMode,
};
use domain::text::{DatabaseName, DisplayName};
use garde::Validate;
use serde::Deserialize;
use serde::de::IgnoredAny;
use utoipa::ToSchema;

use super::request_changes::given;
use super::request_input::is_not;
use crate::body::{Fields, at_least_1, several};
use crate::error::Problem;

/// 72 hours.
const DEFAULT_APPROVAL_TTL: Duration = Duration::from_hours(72);

/// An instance to be. Adding it binds the credential that it names to its connection.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct NewInstanceBody {
    /// 1 to 63 of a-z, 0-9, `.`, `_`, `-`. Never changes.
    #[schema(example = "shop")]
    id: String,
    #[schema(example = "Shop")]
    name: String,
    /// `postgresql` (the default) or `mongodb`. Never changes.
    database_type: Option<String>,
    description: Option<String>,
    connection: NewConnectionBody,
    /// Databases on it, beside those that a sync finds.
    #[serde(default)]
    databases: Vec<String>,
    /// The PODs that may submit to it and decide on what is submitted; none when left out.
    #[serde(default)]
    pod_ids: Vec<String>,
    #[serde(default)]
    read_only: bool,
    /// Accept a role that is a superuser or reaches files or programs of the server.
    #[serde(default)]
    allow_privileged_role: bool,
    /// mongodb: let commands name other databases than the one of the request, and `admin`.
    #[serde(default)]
    allow_other_databases: bool,
    /// mongodb: accept JavaScript that the database server itself runs (`$where`, `$function`, `$accumulator`).
    #[serde(default)]
    allow_server_javascript: bool,
    /// postgresql: for executions. The database's own when left out.
    search_path: Option<String>,
    #[serde(default)]
    limits: LimitsBody,
    /// Distinct approvers that a request needs; 1 when left out.
    approvals_needed: Option<i64>,
    /// How long a request waits for its approval, and an approval for its execution; 72 hours when left out.
    approval_ttl_seconds: Option<i64>,
    /// What messages in Slack show of results: `preview` (numbers of rows and the first of them; the default), `counts`
    /// or `none`. With the last two an error's message, which may quote data, is left out as well.
    slack_results: Option<String>,
    /// Whether people may decide by the buttons in Slack; otherwise in the portal only.
    #[serde(default = "yes")]
    slack_decisions: bool,
}

fn yes() -> bool {
    true
}

/// Where a connection leads, and with which credential. The credential is named, never given.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewConnectionBody {
    /// postgresql: one host name or address, or the folder of a Unix socket. mongodb: one or several, separated by commas,
    /// each with a port of its own if you like, or `mongodb+srv://` with a name that DNS resolves.
    #[schema(example = "db.example.com")]
    host: String,
    /// 5432 when left out, 27017 for mongodb.
    port: Option<i64>,
    /// mongodb: what else belongs to the address, as in a connection string: `authMechanism`, `authSource`,
    /// `directConnection`, `readPreference`, `replicaSet`.
    #[schema(example = "replicaSet=rs0")]
    options: Option<String>,
    /// `verify-full` (the default), `verify-ca` (postgresql only), `require` or `disable`, which says that credentials may
    /// travel in the clear.
    tls: Option<String>,
    /// `env` (variables of the server), `aws` (AWS Secrets Manager) or `sealed` (in the portal's own database).
    #[schema(example = "env")]
    credential_source: String,
    /// For `env`: `TARGET_SHOP` stands for the variables `TARGET_SHOP_USERNAME` and `TARGET_SHOP_PASSWORD`, or for the
    /// variable `TARGET_SHOP` that holds a whole connection string. For `aws`: the name or ARN of a secret. For `sealed`: the
    /// name that was given to `query-portal credential set`. It has to begin with a prefix of the configuration.
    #[schema(example = "TARGET_SHOP")]
    credential_reference: String,
}

/// What one execution may use. What is left out stays as it is; with a new instance, it gets the default.
#[derive(Deserialize, ToSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LimitsBody {
    /// Milliseconds, at most 24 hours; 30 seconds by default.
    timeout_ms: Option<i64>,
    /// Milliseconds, at most 24 hours; 5 seconds by default.
    lock_timeout_ms: Option<i64>,
    /// Rows kept per request; 100,000 by default.
    max_rows: Option<i64>,
    /// Bytes of JSON kept per request; 256 MiB by default.
    max_bytes: Option<i64>,
}

/// A field that is left out stays as it is; `null` removes what may be absent.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct ChangeInstanceBody {
    #[schema(ignore)]
    id: Option<IgnoredAny>,
    #[schema(ignore)]
    database_type: Option<IgnoredAny>,
    name: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<String>>,
    connection: Option<ChangeConnectionBody>,
    /// Replaces all of them.
    pod_ids: Option<Vec<String>>,
    active: Option<bool>,
    read_only: Option<bool>,
    allow_privileged_role: Option<bool>,
    allow_other_databases: Option<bool>,
    allow_server_javascript: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    search_path: Option<Option<String>>,
    #[serde(default)]
    limits: LimitsBody,
    approvals_needed: Option<i64>,
    approval_ttl_seconds: Option<i64>,
    slack_results: Option<String>,
    slack_decisions: Option<bool>,
}

/// Any change here takes the credential away until it is bound again.
#[derive(Deserialize, ToSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ChangeConnectionBody {
    host: Option<String>,
    port: Option<i64>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    options: Option<Option<String>>,
    tls: Option<String>,
    /// Given together with `credentialReference`.
    credential_source: Option<String>,
    /// Given together with `credentialSource`.
    credential_reference: Option<String>,
}

#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct BindBody {
    /// `connection.revision` of the instance that you looked at.
    #[schema(example = 2)]
    pub(crate) connection_revision: i32,
}

/// What an admin says about a database. A field that is left out stays as it is; `null` removes the description. A
/// database that was not known yet is active, unless you say otherwise.
#[derive(Deserialize, Validate, ToSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct DatabaseBody {
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<String>>,
    /// Whether requests may name it.
    active: Option<bool>,
}

impl DatabaseBody {
    pub(crate) fn into_change(self, name: DatabaseName) -> DatabaseChange {
        DatabaseChange { name, description: self.description, active: self.active }
    }
}

impl NewInstanceBody {
    /// Parses all fields, so that everything that is wrong is told at once. What a value may be beside its form is
    /// for the rules to say.
    pub(crate) fn into_target(self) -> Result<NewTarget, Problem> {
        let mut fields = Fields::default();
        let id = fields.take("id", InstanceId::parse(&self.id).map_err(is_not));
        let name = fields.take("name", DisplayName::parse(&self.name));
        let engine = fields.take("databaseType", engine(self.database_type.as_deref()));
        let connection = self.connection;
        let port = fields.take("connection.port", port(connection.port));
        let tls = fields.take("connection.tls", tls(connection.tls.as_deref()));
        let source = fields.take("connection.credentialSource", source(&connection.credential_source));
        let databases = fields.take("databases", several(&self.databases, DatabaseName::parse));
        let pods = fields.take("podIds", several(&self.pod_ids, pod));
        let limits = self.limits.take(&mut fields);
        let approvals = fields.take("approvalsNeeded", at_least_1(self.approvals_needed));
        let approval_ttl = fields.take("approvalTtlSeconds", at_least_1(self.approval_ttl_seconds));
        let slack_results = fields.take("slackResults", slack_results(self.slack_results.as_deref()));
        fields.finish()?;
        let complete = (|| {
            let target = Target {
                id: id?,
                name: name?,
                engine: engine?,
                description: self.description,
                host: connection.host,
                port: port?.unwrap_or(engine?.usual_port()),
                connection_options: connection.options,
                tls: tls?.unwrap_or(TlsMode::VerifyFull),
                credentials: CredentialRef { source: source?, reference: connection.credential_reference },
                connection_revision: 1,
                bound_revision: Some(1),
                active: true,
                read_only: self.read_only,
                allow_privileged_role: self.allow_privileged_role,
                admits: Admits {
                    other_databases: self.allow_other_databases,
                    server_javascript: self.allow_server_javascript,
                },
                search_path: self.search_path,
                limits: limits?.or(Limits::default()),
                approvals_needed: approvals?.unwrap_or(1),
                approval_ttl: approval_ttl?.map_or(DEFAULT_APPROVAL_TTL, Duration::from_secs),
                pods: pods?,
                slack_results: slack_results?.unwrap_or_default(),
                slack_decisions: self.slack_decisions,
            };
            Some(NewTarget { target, databases: databases? })
        })();
        Ok(complete.expect("Fields::finish reports every field that could not be taken"))
    }
}

impl ChangeInstanceBody {
    pub(crate) fn into_change(self) -> Result<TargetChange, Problem> {
        let mut fields = Fields::default();
        for (field, given) in [("id", self.id), ("databaseType", self.database_type)] {
            let fixed = if given.is_some() { Err("never changes: add another instance") } else { Ok(()) };
            fields.take(field, fixed);
        }
        let name = fields.take("name", self.name.as_deref().map(DisplayName::parse).transpose());
        let connection = self.connection.unwrap_or_default();
        let port = fields.take("connection.port", port(connection.port));
        let tls = fields.take("connection.tls", tls(connection.tls.as_deref()));
        let credentials = connection.credentials(&mut fields);
        let pods = self.pod_ids.as_deref().map(|pods| several(pods, pod)).transpose();
        let pods = fields.take("podIds", pods);
        let limits = self.limits.take(&mut fields).unwrap_or_default();
        let approvals_needed = fields.take("approvalsNeeded", at_least_1(self.approvals_needed));
        let approval_ttl = fields.take("approvalTtlSeconds", at_least_1(self.approval_ttl_seconds));
        let slack_results = fields.take("slackResults", slack_results(self.slack_results.as_deref()));
        fields.finish()?;
        let change = TargetChange {
            name: name.flatten(),
            description: self.description,
            host: connection.host,
            port: port.flatten(),
            connection_options: connection.options,
            tls: tls.flatten(),
            credentials,
            active: self.active,
            read_only: self.read_only,
            allow_privileged_role: self.allow_privileged_role,
            allow_other_databases: self.allow_other_databases,
            allow_server_javascript: self.allow_server_javascript,
            search_path: self.search_path,
            timeout: limits.timeout,
            lock_timeout: limits.lock_timeout,
            max_rows: limits.max_rows,
            max_bytes: limits.max_bytes,
            approvals_needed: approvals_needed.flatten(),
            approval_ttl: approval_ttl.flatten().map(Duration::from_secs),
            pods: pods.flatten(),
            slack_results: slack_results.flatten(),
            slack_decisions: self.slack_decisions,
        };
        if change == TargetChange::default() {
            return Err(Problem::field("body", "changes nothing: name what shall be different"));
        }
        Ok(change)
    }
}

impl ChangeConnectionBody {
    /// A reference means nothing without its source, so they come together.
    fn credentials(&self, fields: &mut Fields) -> Option<CredentialRef> {
        let source = self.credential_source.as_deref().map(source).transpose();
        let source = fields.take("connection.credentialSource", source)?;
        match (source, self.credential_reference.clone()) {
            (Some(source), Some(reference)) => Some(CredentialRef { source, reference }),
            (None, None) => None,
            (Some(_), None) => fields.refuse("connection.credentialReference", "has to be given, too"),
            (None, Some(_)) => fields.refuse("connection.credentialSource", "has to be given, too"),
        }
    }
}

/// Limits of which some are left out.
#[derive(Default)]
struct SomeLimits {
    timeout: Option<Duration>,
    lock_timeout: Option<Duration>,
    max_rows: Option<u64>,
    max_bytes: Option<u64>,
}

impl SomeLimits {
    fn or(&self, others: Limits) -> Limits {
        Limits {
            timeout: self.timeout.unwrap_or(others.timeout),
            lock_timeout: self.lock_timeout.unwrap_or(others.lock_timeout),
            max_rows: self.max_rows.unwrap_or(others.max_rows),
            max_bytes: self.max_bytes.unwrap_or(others.max_bytes),
        }
    }
}

impl LimitsBody {
    /// `None` when one of them is noted as wrong.
    fn take(&self, fields: &mut Fields) -> Option<SomeLimits> {
        let timeout = fields.take("limits.timeoutMs", at_least_1(self.timeout_ms));
        let lock_timeout = fields.take("limits.lockTimeoutMs", at_least_1(self.lock_timeout_ms));
        let max_rows = fields.take("limits.maxRows", at_least_1(self.max_rows));
        let max_bytes = fields.take("limits.maxBytes", at_least_1(self.max_bytes));
        Some(SomeLimits {
            timeout: timeout?.map(Duration::from_millis),
            lock_timeout: lock_timeout?.map(Duration::from_millis),
            max_rows: max_rows?,
            max_bytes: max_bytes?,
        })
    }
}

fn engine(text: Option<&str>) -> Result<Engine, &'static str> {
    text.map_or(Some(Engine::Postgresql), Engine::parse).ok_or("must be postgresql or mongodb")
}

fn port(number: Option<i64>) -> Result<Option<u16>, &'static str> {
    let port = number.map(|number| u16::try_from(number).ok().filter(|port| *port > 0));
    port.map(|port| port.ok_or("must be 1 to 65535")).transpose()
}

fn tls(text: Option<&str>) -> Result<Option<TlsMode>, &'static str> {
    let mode =
        text.map(|text| TlsMode::parse(text).ok_or("must be disable, require, verify-ca or verify-full"));
    mode.transpose()
}

fn slack_results(text: Option<&str>) -> Result<Option<SlackResults>, &'static str> {
    text.map(|text| SlackResults::parse(text).ok_or("must be preview, counts or none")).transpose()
}

fn source(text: &str) -> Result<CredentialSourceKind, &'static str> {
    CredentialSourceKind::parse(text).ok_or("must be env, aws or sealed")
}

fn pod(text: &str) -> Result<PodId, String> {
    PodId::parse(text).map_err(is_not)
}
