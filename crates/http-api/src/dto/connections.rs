//! Targets as those see them who manage them, and what a look at a server gave. A response never holds a credential.

use chrono::{DateTime, Utc};
use domain::ports::{Inspection, RoleReport};
use domain::services::{Failed, SyncReport, TestReport};
use domain::target::{LastSync, SyncChanges, Target};
use domain::text::DatabaseName;
use serde::Serialize;
use utoipa::ToSchema;

use super::directory::InstanceView;

/// An instance. Who manages instances sees how the portal connects to it, too.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InstanceDetailView {
    #[serde(flatten)]
    instance: InstanceView,
    #[serde(flatten)]
    managed: Option<ManagedView>,
}

/// For those only who manage instances.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ManagedView {
    connection: ConnectionView,
    /// Whether a role is accepted that is a superuser or reaches files or programs of the server.
    allow_privileged_role: bool,
    /// `null` leaves the database's own.
    search_path: Option<String>,
    /// How long a request waits for its approval, and an approval for its execution.
    approval_ttl_seconds: u64,
    /// What messages in Slack show of results: `preview`, `counts` or `none`.
    slack_results: &'static str,
    /// Whether people may decide by the buttons in Slack.
    slack_decisions: bool,
    /// `null` when the databases were never looked up.
    last_sync: Option<LastSyncView>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectionView {
    host: String,
    port: u16,
    /// Of mongodb instances: what else belongs to the address.
    options: Option<String>,
    /// `disable`, `require`, `verify-ca` or `verify-full`.
    tls: &'static str,
    #[schema(example = "env")]
    credential_source: &'static str,
    /// The name under which the source keeps the credential.
    #[schema(example = "TARGET_SHOP")]
    credential_reference: String,
    /// Rises with every change of the connection.
    revision: i32,
    /// Whether an admin has said that the credential may go where the connection leads now. Nothing runs before.
    credentials_bound: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LastSyncView {
    at: DateTime<Utc>,
    /// `succeeded` or `failed`.
    status: &'static str,
    error: Option<String>,
}

impl InstanceDetailView {
    /// For everybody who may see the instance.
    pub(crate) fn public(target: &Target) -> Self {
        Self { instance: InstanceView::from(target), managed: None }
    }

    /// For those who manage it.
    pub(crate) fn managed(target: Target, last_sync: Option<LastSync>) -> Self {
        let instance = InstanceView::from(&target);
        let connection = ConnectionView {
            credentials_bound: target.credentials_bound(),
            host: target.host,
            port: target.port,
            options: target.connection_options,
            tls: target.tls.as_str(),
            credential_source: target.credentials.source.as_str(),
            credential_reference: target.credentials.reference,
            revision: target.connection_revision,
        };
        let managed = ManagedView {
            connection,
            allow_privileged_role: target.allow_privileged_role,
            search_path: target.search_path,
            approval_ttl_seconds: target.approval_ttl.as_secs(),
            slack_results: target.slack_results.as_str(),
            slack_decisions: target.slack_decisions,
            last_sync: last_sync.map(LastSyncView::from),
        };
        Self { instance, managed: Some(managed) }
    }
}

impl From<LastSync> for LastSyncView {
    fn from(sync: LastSync) -> Self {
        let status = if sync.error.is_none() { "succeeded" } else { "failed" };
        Self { at: sync.at, status, error: sync.error }
    }
}

/// What a try of a connection gave.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TestView {
    ok: bool,
    at: DateTime<Utc>,
    /// After a success: in the server's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "16.4")]
    server_version: Option<String>,
    /// After a success: from a small question to its answer, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 0.8)]
    latency_ms: Option<f64>,
    /// After a success: what the portal is on the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<RoleView>,
    /// After a success: what the portal's role may connect to.
    #[serde(skip_serializing_if = "Option::is_none")]
    databases: Option<Vec<String>>,
    #[serde(flatten)]
    failure: Option<FailedView>,
}

/// The portal's role on a server, in the server's words.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoleView {
    #[schema(example = "portal_reader")]
    name: String,
    /// What it may do beside what is granted on single objects, for example `superuser` or `createdb`; of mongodb the roles
    /// or actions with which somebody manages a server.
    privileges: Vec<String>,
    /// Roles that it is a member of; of mongodb, that it has.
    member_of: Vec<String>,
    /// Whether it may change data: in the database by which the portal looked, of mongodb in any. `null` where the server did
    /// not tell.
    may_write: Option<bool>,
}

impl From<RoleReport> for RoleView {
    fn from(role: RoleReport) -> Self {
        let RoleReport { name, privileges, member_of, may_write } = role;
        Self { name, privileges, member_of, may_write }
    }
}

/// Why a server could not be looked at.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FailedView {
    /// Stable, for programs: `credentials`, `credentials_rejected`, `role_not_allowed`, `unavailable`, `database` or
    /// `engine`.
    code: &'static str,
    /// A sentence for admins.
    message: String,
}

/// What a sync did to the portal's list of databases.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SyncView {
    ok: bool,
    at: DateTime<Utc>,
    /// New on the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    added: Option<Vec<String>>,
    /// Back on the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    reactivated: Option<Vec<String>>,
    /// Gone from the server, or out of reach of the portal's role.
    #[serde(skip_serializing_if = "Option::is_none")]
    deactivated: Option<Vec<String>>,
    #[serde(flatten)]
    failure: Option<FailedView>,
}

impl From<TestReport> for TestView {
    fn from(report: TestReport) -> Self {
        let at = report.at;
        match report.outcome {
            Ok(Inspection { server_version, latency, role, databases }) => Self {
                ok: true,
                at,
                server_version: Some(server_version),
                latency_ms: Some((latency.as_secs_f64() * 1e6).round() / 1e3),
                role: Some(role.into()),
                databases: Some(names(&databases)),
                failure: None,
            },
            Err(failed) => Self {
                ok: false,
                at,
                server_version: None,
                latency_ms: None,
                role: None,
                databases: None,
                failure: Some(failed.into()),
            },
        }
    }
}

impl From<SyncReport> for SyncView {
    fn from(report: SyncReport) -> Self {
        let at = report.at;
        match report.outcome {
            Ok(SyncChanges { added, reactivated, deactivated }) => Self {
                ok: true,
                at,
                added: Some(names(&added)),
                reactivated: Some(names(&reactivated)),
                deactivated: Some(names(&deactivated)),
                failure: None,
            },
            Err(failed) => Self {
                ok: false,
                at,
                added: None,
                reactivated: None,
                deactivated: None,
                failure: Some(failed.into()),
            },
        }
    }
}

impl From<Failed> for FailedView {
    fn from(failed: Failed) -> Self {
        Self { code: failed.code, message: failed.message }
    }
}

fn names(databases: &[DatabaseName]) -> Vec<String> {
    databases.iter().map(ToString::to_string).collect()
}
