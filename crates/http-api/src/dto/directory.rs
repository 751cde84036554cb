//! Targets and PODs as everybody sees them: without where a connection leads, and without the name of a credential.

use chrono::{DateTime, Utc};
use domain::pod::Pod;
use domain::target::{Target, TargetDatabase};
use serde::Serialize;
use utoipa::ToSchema;

use super::request::LimitsView;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InstancesView {
    items: Vec<InstanceView>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InstanceView {
    id: String,
    name: String,
    #[schema(example = "postgresql")]
    database_type: &'static str,
    description: Option<String>,
    read_only: bool,
    /// Of mongodb instances: whether commands may name other databases than the one of the request.
    allow_other_databases: bool,
    /// Of mongodb instances: whether JavaScript that the database server itself runs is accepted.
    allow_server_javascript: bool,
    active: bool,
    /// Distinct approvers that a request needs.
    approvals_needed: u16,
    limits: LimitsView,
    /// PODs that may submit to this instance and decide on what is submitted.
    pod_ids: Vec<String>,
}

impl From<Vec<Target>> for InstancesView {
    fn from(targets: Vec<Target>) -> Self {
        Self { items: targets.iter().map(InstanceView::from).collect() }
    }
}

impl From<&Target> for InstanceView {
    fn from(target: &Target) -> Self {
        Self {
            id: target.id.to_string(),
            name: target.name.as_str().to_owned(),
            database_type: target.engine.as_str(),
            description: target.description.clone(),
            read_only: target.read_only,
            allow_other_databases: target.admits.other_databases,
            allow_server_javascript: target.admits.server_javascript,
            active: target.active,
            approvals_needed: target.approvals_needed,
            limits: LimitsView::from(&target.limits),
            pod_ids: target.pods.iter().map(ToString::to_string).collect(),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DatabasesView {
    items: Vec<DatabaseView>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DatabaseView {
    name: String,
    description: Option<String>,
    /// `synced` from the server or entered as `manual`.
    source: &'static str,
    active: bool,
    last_seen_at: Option<DateTime<Utc>>,
}

impl From<Vec<TargetDatabase>> for DatabasesView {
    fn from(databases: Vec<TargetDatabase>) -> Self {
        Self { items: databases.into_iter().map(DatabaseView::from).collect() }
    }
}

impl From<TargetDatabase> for DatabaseView {
    fn from(database: TargetDatabase) -> Self {
        Self {
            name: database.name.to_string(),
            description: database.description,
            source: database.source.as_str(),
            active: database.active,
            last_seen_at: database.last_seen_at,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodsView {
    items: Vec<PodView>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodView {
    id: String,
    name: String,
    manager_email: Option<String>,
    description: Option<String>,
    /// The channel in Slack in which its requests are announced.
    slack_channel: Option<String>,
    active: bool,
}

impl From<Vec<Pod>> for PodsView {
    fn from(pods: Vec<Pod>) -> Self {
        Self { items: pods.into_iter().map(PodView::from).collect() }
    }
}

impl From<Pod> for PodView {
    fn from(pod: Pod) -> Self {
        Self {
            id: pod.id.to_string(),
            name: pod.name.as_str().to_owned(),
            manager_email: pod.manager_email.map(|email| email.to_string()),
            description: pod.description,
            slack_channel: pod.slack_channel,
            active: pod.active,
        }
    }
}
