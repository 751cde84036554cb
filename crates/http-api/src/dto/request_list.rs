//! Requests in lists.

use chrono::{DateTime, Utc};
use domain::page::Page;
use domain::request::RequestSummary;
use serde::Serialize;
use utoipa::ToSchema;

use super::request::PersonView;
use crate::cursor;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RequestsView {
    items: Vec<RequestSummaryView>,
    /// For the next part; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// The whole of a request, with its digest and review, is at /api/queries/{id}.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RequestSummaryView {
    #[schema(format = Uuid)]
    id: String,
    #[schema(example = "pending")]
    status: &'static str,
    submission_type: &'static str,
    instance_id: String,
    instance_name: String,
    database_type: &'static str,
    database_name: String,
    read_only: bool,
    pod_id: String,
    pod_name: String,
    requester: PersonView,
    /// The first 200 characters.
    query_content: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_filename: Option<String>,
    comments: Option<String>,
    /// `read`, `write` or `administrative`: the most that the text would do.
    effect: &'static str,
    approvals_needed: u16,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Page<RequestSummary>> for RequestsView {
    fn from(page: Page<RequestSummary>) -> Self {
        Self {
            items: page.items.into_iter().map(RequestSummaryView::from).collect(),
            next_cursor: page.next.map(cursor::encode),
        }
    }
}

impl From<RequestSummary> for RequestSummaryView {
    fn from(request: RequestSummary) -> Self {
        Self {
            id: request.id.to_string(),
            status: request.state.as_str(),
            submission_type: request.kind.as_str(),
            instance_id: request.instance.to_string(),
            instance_name: request.instance_name.as_str().to_owned(),
            database_type: request.engine.as_str(),
            database_name: request.database.to_string(),
            read_only: request.read_only,
            pod_id: request.pod.id.to_string(),
            pod_name: request.pod.name.as_str().to_owned(),
            requester: PersonView::from(&request.requester),
            query_content: request.text_start,
            script_filename: request.filename,
            comments: request.comments.map(|text| text.as_str().to_owned()),
            effect: request.effect.as_str(),
            approvals_needed: request.approvals_needed,
            created_at: request.created_at,
            updated_at: request.updated_at,
        }
    }
}
