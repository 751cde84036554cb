//! Requests as rows.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use domain::digest::Digest;
use domain::ids::{InstanceId, PodId, RequestId, UserId};
use domain::ports::StoreError;
use domain::request::{
    Approval, ExtendedJson, PodRef, Request, Requester, RunOptions, Submission, SubmissionKind, TargetRef,
};
use domain::target::{Engine, Limits};
use domain::text::{DatabaseName, DisplayName, Email, Remark, SubmissionText};
use serde_json::Value;
use uuid::Uuid;

use crate::request_json::{from_value, to_value};
use crate::request_state::{StateColumns, person};
use crate::rows::{RowReader, to_bigint, to_millis};
use crate::schema::{query_requests, request_approvals};

/// What never changes.
#[derive(Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = query_requests, check_for_backend(diesel::pg::Pg))]
pub(crate) struct OriginColumns {
    pub(crate) uuid: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) requester_email: String,
    pub(crate) requester_name: String,
    pub(crate) pod_id: String,
    pub(crate) pod_name: String,
    pub(crate) approval_ttl_ms: i64,
    pub(crate) created_at: DateTime<Utc>,
}

/// What only an edit changes. Other transitions do not write it: the text may be large.
#[derive(Debug, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = query_requests, treat_none_as_null = true, check_for_backend(diesel::pg::Pg))]
pub(crate) struct ContentColumns {
    pub(crate) database_type: String,
    pub(crate) instance_id: String,
    pub(crate) instance_name: String,
    pub(crate) connection_revision: i32,
    pub(crate) database_name: String,
    pub(crate) target_read_only: bool,
    pub(crate) target_search_path: Option<String>,
    pub(crate) submission_type: String,
    pub(crate) query_content: Option<String>,
    pub(crate) script_filename: Option<String>,
    pub(crate) script_content: Option<String>,
    pub(crate) compiled: Vec<String>,
    pub(crate) comments: Option<String>,
    pub(crate) not_before: Option<DateTime<Utc>>,
    pub(crate) extended_json: String,
    pub(crate) timeout_ms: i64,
    pub(crate) lock_timeout_ms: i64,
    pub(crate) max_rows: i64,
    pub(crate) max_bytes: i64,
    pub(crate) review: Value,
    pub(crate) approvals_needed: i32,
    pub(crate) edited: bool,
}

/// A row, whole.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = query_requests, check_for_backend(diesel::pg::Pg))]
pub(crate) struct RequestRow {
    #[diesel(embed)]
    pub(crate) origin: OriginColumns,
    #[diesel(embed)]
    pub(crate) content: ContentColumns,
    #[diesel(embed)]
    pub(crate) state: StateColumns,
}

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = request_approvals, check_for_backend(diesel::pg::Pg))]
pub(crate) struct ApprovalRow {
    pub(crate) id: i64,
    pub(crate) approver_id: Uuid,
    pub(crate) approver_email: String,
    pub(crate) digest: String,
    pub(crate) created_at: DateTime<Utc>,
}

impl OriginColumns {
    pub(crate) fn of(request: &Request) -> Result<Self, StoreError> {
        Ok(Self {
            uuid: request.id.as_uuid(),
            user_id: request.requester.id.as_uuid(),
            requester_email: request.requester.email.as_str().to_owned(),
            requester_name: request.requester.name.as_str().to_owned(),
            pod_id: request.pod.id.as_str().to_owned(),
            pod_name: request.pod.name.as_str().to_owned(),
            approval_ttl_ms: to_millis(request.approval_ttl)?,
            created_at: request.created_at,
        })
    }
}

impl ContentColumns {
    pub(crate) fn of(request: &Request) -> Result<Self, StoreError> {
        let Request { target, submission, limits, options, .. } = request;
        let text = Some(submission.text.as_str().to_owned());
        let (query_content, script_content) = match submission.kind {
            SubmissionKind::Query => (text, None),
            SubmissionKind::Script => (None, text),
        };
        Ok(Self {
            database_type: target.engine.as_str().to_owned(),
            instance_id: target.instance.as_str().to_owned(),
            instance_name: target.name.as_str().to_owned(),
            connection_revision: target.connection_revision,
            database_name: target.database.as_str().to_owned(),
            target_read_only: target.read_only,
            target_search_path: target.search_path.clone(),
            submission_type: submission.kind.as_str().to_owned(),
            query_content,
            script_filename: submission.filename.clone(),
            script_content,
            compiled: submission.compiled.clone(),
            comments: request.comments.as_ref().map(|c| c.as_str().to_owned()),
            not_before: options.not_before,
            extended_json: options.extended_json.as_str().to_owned(),
            timeout_ms: to_millis(limits.timeout)?,
            lock_timeout_ms: to_millis(limits.lock_timeout)?,
            max_rows: to_bigint(limits.max_rows)?,
            max_bytes: to_bigint(limits.max_bytes)?,
            review: to_value(&request.review),
            approvals_needed: i32::from(request.approvals_needed),
            edited: request.edited,
        })
    }
}

impl RequestRow {
    /// Rebuilds the request with the approvals that count, in the order in which they were given.
    pub(crate) fn into_request(self, approvals: Vec<ApprovalRow>) -> Result<Request, StoreError> {
        let Self { origin, content, state } = self;
        let row = RowReader::new("query_requests", origin.uuid);
        let approvals = approvals.into_iter().map(ApprovalRow::read).collect::<Result<Vec<_>, _>>()?;
        let kind = row.present("submission_type", SubmissionKind::parse(&content.submission_type))?;
        let (text_column, text) = match kind {
            SubmissionKind::Query => ("query_content", content.query_content),
            SubmissionKind::Script => ("script_content", content.script_content),
        };
        Ok(Request {
            id: RequestId::from_uuid(origin.uuid),
            version: state.version,
            requester: Requester {
                id: UserId::from_uuid(origin.user_id),
                email: row.checked("requester_email", Email::parse(&origin.requester_email))?,
                name: row.checked("requester_name", DisplayName::parse(&origin.requester_name))?,
            },
            pod: PodRef {
                id: row.checked("pod_id", PodId::parse(&origin.pod_id))?,
                name: row.checked("pod_name", DisplayName::parse(&origin.pod_name))?,
            },
            target: TargetRef {
                instance: row.checked("instance_id", InstanceId::parse(&content.instance_id))?,
                name: row.checked("instance_name", DisplayName::parse(&content.instance_name))?,
                engine: row.present("database_type", Engine::parse(&content.database_type))?,
                connection_revision: content.connection_revision,
                database: row.checked("database_name", DatabaseName::parse(&content.database_name))?,
                read_only: content.target_read_only,
                search_path: content.target_search_path,
            },
            submission: Submission {
                kind,
                text: row.checked(text_column, SubmissionText::parse(text.unwrap_or_default()))?,
                filename: content.script_filename,
                compiled: content.compiled,
            },
            options: RunOptions {
                not_before: content.not_before,
                extended_json: row.present("extended_json", ExtendedJson::parse(&content.extended_json))?,
            },
            limits: Limits {
                timeout: row.millis("timeout_ms", content.timeout_ms)?,
                lock_timeout: row.millis("lock_timeout_ms", content.lock_timeout_ms)?,
                max_rows: row.number("max_rows", content.max_rows)?,
                max_bytes: row.number("max_bytes", content.max_bytes)?,
            },
            comments: content
                .comments
                .map(|text| row.checked("comments", Remark::parse(&text)))
                .transpose()?,
            review: row.present("review", from_value(content.review))?,
            approvals_needed: row.number("approvals_needed", i64::from(content.approvals_needed))?,
            approval_ttl: row.millis("approval_ttl_ms", origin.approval_ttl_ms)?,
            edited: content.edited,
            created_at: origin.created_at,
            updated_at: state.updated_at,
            state: state.read(approvals, &row)?,
        })
    }
}

impl ApprovalRow {
    fn read(self) -> Result<Approval, StoreError> {
        let row = RowReader::new("request_approvals", self.id);
        Ok(Approval {
            by: row.present("approver_email", person(Some(self.approver_id), Some(&self.approver_email)))?,
            digest: row.present("digest", Digest::parse(&self.digest))?,
            at: self.created_at,
        })
    }
}
