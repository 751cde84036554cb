//! Rows of lists: the large columns stay in the database.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::Text;
use domain::ids::{InstanceId, PodId, RequestId, UserId};
use domain::ports::StoreError;
use domain::request::{PodRef, RequestSummary, Requester, StateKind, SubmissionKind};
use domain::target::Engine;
use domain::text::{DatabaseName, DisplayName, Email, Remark};
use serde_json::Value;
use uuid::Uuid;

use crate::request_json::from_value;
use crate::rows::RowReader;
use crate::schema::query_requests;

/// The 200 is [`RequestSummary::TEXT_CHARS`]; the contract suite compares the two.
fn text_start() -> SqlLiteral<Text> {
    sql("left(coalesce(query_content, script_content, ''), 200)")
}

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = query_requests, check_for_backend(diesel::pg::Pg))]
pub(crate) struct SummaryRow {
    pub(crate) id: i64,
    uuid: Uuid,
    user_id: Uuid,
    requester_email: String,
    requester_name: String,
    pod_id: String,
    pod_name: String,
    instance_id: String,
    instance_name: String,
    database_type: String,
    database_name: String,
    target_read_only: bool,
    submission_type: String,
    script_filename: Option<String>,
    #[diesel(select_expression = text_start(), select_expression_type = SqlLiteral<Text>)]
    text_start: String,
    comments: Option<String>,
    review: Value,
    approvals_needed: i32,
    status: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl SummaryRow {
    pub(crate) fn into_summary(self) -> Result<RequestSummary, StoreError> {
        let row = RowReader::new("query_requests", self.uuid);
        let review: domain::review::Review = row.present("review", from_value(self.review))?;
        Ok(RequestSummary {
            id: RequestId::from_uuid(self.uuid),
            requester: Requester {
                id: UserId::from_uuid(self.user_id),
                email: row.checked("requester_email", Email::parse(&self.requester_email))?,
                name: row.checked("requester_name", DisplayName::parse(&self.requester_name))?,
            },
            pod: PodRef {
                id: row.checked("pod_id", PodId::parse(&self.pod_id))?,
                name: row.checked("pod_name", DisplayName::parse(&self.pod_name))?,
            },
            instance: row.checked("instance_id", InstanceId::parse(&self.instance_id))?,
            instance_name: row.checked("instance_name", DisplayName::parse(&self.instance_name))?,
            engine: row.present("database_type", Engine::parse(&self.database_type))?,
            database: row.checked("database_name", DatabaseName::parse(&self.database_name))?,
            read_only: self.target_read_only,
            kind: row.present("submission_type", SubmissionKind::parse(&self.submission_type))?,
            filename: self.script_filename,
            text_start: self.text_start,
            comments: self.comments.map(|text| row.checked("comments", Remark::parse(&text))).transpose()?,
            effect: review.effect,
            approvals_needed: row.number("approvals_needed", i64::from(self.approvals_needed))?,
            state: row.present("status", StateKind::parse(&self.status))?,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}
