//! A request as clients see it.

use chrono::{DateTime, Utc};
use domain::execution::{
    Column, DatabaseError, ExecutionReport, Failure, Notice, PreviewRow, StatementReport,
};
use domain::lifecycle::expires_at;
use domain::request::{
    Approval, Approver, CancelAsked, Completion, Request, Requester, Resolution, ResultKept, State,
};
use domain::review::{Finding, Refusal, Review};
use domain::target::Limits;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RequestView {
    #[schema(format = Uuid)]
    id: String,
    /// pending, approved, rejected, withdrawn, expired, executing, completed, failed, cancelled, interrupted
    #[schema(example = "pending")]
    status: &'static str,
    submission_type: &'static str,
    instance_id: String,
    instance_name: String,
    database_type: &'static str,
    database_name: String,
    pod_id: String,
    pod_name: String,
    requester: PersonView,
    query_content: String,
    /// What runs, where the text is evaluated before: commands of MongoDB, each in canonical Extended JSON. None for SQL,
    /// which runs as it is, and for scripts, which decide while they run.
    #[schema(example = json!([]))]
    commands: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_filename: Option<String>,
    comments: Option<String>,
    /// What an approval binds to: SHA-256 over everything that decides what runs and where.
    digest: String,
    edited: bool,
    review: ReviewView,
    limits: LimitsView,
    read_only: bool,
    not_before: Option<DateTime<Utc>>,
    /// How documents of MongoDB are written in the result: `relaxed` or `canonical`.
    extended_json: &'static str,
    approvals_needed: u16,
    approvals: Vec<ApprovalView>,
    /// When a waiting request expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejection: Option<RejectionView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution: Option<ExecutionView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<FailureView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_requested: Option<CancelView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolution: Option<ResolutionView>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PersonView {
    #[schema(format = Uuid)]
    id: String,
    email: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReviewView {
    /// `read`, `write` or `administrative`: the most that the text would do.
    effect: &'static str,
    statements: u32,
    findings: Vec<FindingView>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FindingView {
    code: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
}

/// What one execution may use.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LimitsView {
    /// Milliseconds.
    timeout_ms: u64,
    /// Milliseconds.
    lock_timeout_ms: u64,
    /// Rows kept per request.
    max_rows: u64,
    /// Bytes of JSON kept per request.
    max_bytes: u64,
}

impl From<&Limits> for LimitsView {
    fn from(limits: &Limits) -> Self {
        let ms = |d: std::time::Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Self {
            timeout_ms: ms(limits.timeout),
            lock_timeout_ms: ms(limits.lock_timeout),
            max_rows: limits.max_rows,
            max_bytes: limits.max_bytes,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApprovalView {
    by: PersonView,
    at: DateTime<Utc>,
    digest: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RejectionView {
    by: PersonView,
    reason: String,
    at: DateTime<Utc>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExecutionView {
    started_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<DateTime<Utc>>,
    /// Milliseconds on the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    /// The changes took effect, but the result was lost with the process that held it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    result_lost: bool,
    /// Rows were left out of the result because of a limit.
    truncated: bool,
    statements: Vec<StatementView>,
    notices: Vec<NoticeView>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatementView {
    #[schema(example = "SELECT")]
    command: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<ColumnView>>,
    /// Rows kept in the result.
    row_count: u64,
    /// What the server counted.
    affected: Option<u64>,
    truncated: bool,
    /// The first rows (100 per request, 256 KiB at most); the whole is at /result.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Vec<serde_json::Value>>)]
    preview: Vec<Box<RawValue>>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ColumnView {
    name: String,
    /// The server's name of the type.
    #[serde(rename = "type")]
    type_name: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct NoticeView {
    severity: String,
    code: String,
    message: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FailureView {
    /// `refused`, `credentials`, `target_unavailable`, `database`, `timed_out`, `internal`, `resolved`; of scripts also
    /// `script`, `out_of_memory`, `policy_violation`, `crashed`, `stopped`
    kind: &'static str,
    message: String,
    /// SQLSTATE where a PostgreSQL server reported the error, `codeName` where a MongoDB server did.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// MongoDB's number of the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// Counts from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    statement: Option<u32>,
    /// In the submitted text, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    /// In characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
    /// Of a script: the calls that led to the error, a line each.
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<String>,
    /// Of a script: transactions that had been committed before and stay in effect, mere reads not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    commits: Option<u64>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CancelView {
    /// Absent when a stopping server asked.
    by: Option<PersonView>,
    at: DateTime<Utc>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResolutionView {
    /// Absent when the target itself gave the proof.
    by: Option<PersonView>,
    note: String,
    at: DateTime<Utc>,
}

impl From<&Request> for RequestView {
    fn from(request: &Request) -> Self {
        let state = &request.state;
        Self {
            id: request.id.to_string(),
            status: state.kind().as_str(),
            submission_type: request.submission.kind.as_str(),
            instance_id: request.target.instance.to_string(),
            instance_name: request.target.name.as_str().to_owned(),
            database_type: request.target.engine.as_str(),
            database_name: request.target.database.to_string(),
            pod_id: request.pod.id.to_string(),
            pod_name: request.pod.name.as_str().to_owned(),
            requester: PersonView::from(&request.requester),
            query_content: request.submission.text.as_str().to_owned(),
            commands: request.submission.compiled.clone(),
            script_filename: request.submission.filename.clone(),
            comments: request.comments.as_ref().map(|c| c.as_str().to_owned()),
            digest: request.digest().to_string(),
            edited: request.edited,
            review: ReviewView::from(&request.review),
            limits: LimitsView::from(&request.limits),
            read_only: request.target.read_only,
            not_before: request.options.not_before,
            extended_json: request.options.extended_json.as_str(),
            approvals_needed: request.approvals_needed,
            approvals: state.approvals().iter().map(ApprovalView::from).collect(),
            expires_at: expires_at(request),
            rejection: rejection(state),
            execution: execution(state),
            error: failure(state),
            cancel_requested: cancel(state),
            resolution: resolution(state),
            created_at: request.created_at,
            updated_at: request.updated_at,
        }
    }
}

impl From<&Requester> for PersonView {
    fn from(requester: &Requester) -> Self {
        Self {
            id: requester.id.to_string(),
            email: requester.email.to_string(),
            name: Some(requester.name.as_str().to_owned()),
        }
    }
}

impl From<&Approver> for PersonView {
    fn from(approver: &Approver) -> Self {
        Self { id: approver.id.to_string(), email: approver.email.to_string(), name: None }
    }
}

impl From<&Approval> for ApprovalView {
    fn from(approval: &Approval) -> Self {
        Self { by: PersonView::from(&approval.by), at: approval.at, digest: approval.digest.to_string() }
    }
}

impl From<&Refusal> for FindingView {
    fn from(refusal: &Refusal) -> Self {
        Self {
            code: refusal.code.clone(),
            message: refusal.message.clone(),
            line: refusal.position.map(|p| p.line),
            column: refusal.position.map(|p| p.column),
        }
    }
}

impl From<&Review> for ReviewView {
    fn from(review: &Review) -> Self {
        let finding = |f: &Finding| FindingView {
            code: f.code.clone(),
            message: f.message.clone(),
            line: f.position.map(|p| p.line),
            column: f.position.map(|p| p.column),
        };
        Self {
            effect: review.effect.as_str(),
            statements: review.statements,
            findings: review.findings.iter().map(finding).collect(),
        }
    }
}

fn rejection(state: &State) -> Option<RejectionView> {
    let State::Rejected { decision } = state else { return None };
    Some(RejectionView {
        by: PersonView::from(&decision.by),
        reason: decision.reason.as_str().to_owned(),
        at: decision.at,
    })
}

pub(super) fn execution(state: &State) -> Option<ExecutionView> {
    let run = state.run()?;
    let (finished_at, completion) = match state {
        State::Completed { completion, .. } => (Some(completion.finished_at), Some(completion.as_ref())),
        State::Failed { finished_at, .. } | State::Cancelled { finished_at, .. } => {
            (Some(*finished_at), None)
        }
        State::Interrupted { .. }
        | State::Executing { .. }
        | State::Pending { .. }
        | State::Approved { .. }
        | State::Rejected { .. }
        | State::Withdrawn { .. }
        | State::Expired { .. } => (None, None),
    };
    let (statements, notices, duration_ms, truncated, result_lost) = match completion.map(|c| &c.result) {
        Some(ResultKept::Stored { report, preview }) => (
            statements(report, preview),
            report.notices.iter().map(NoticeView::from).collect(),
            u64::try_from(report.duration.as_millis()).ok(),
            report.truncated(),
            false,
        ),
        Some(ResultKept::Lost) => (vec![], vec![], None, false, true),
        None => (vec![], vec![], None, false, false),
    };
    Some(ExecutionView {
        started_at: run.started_at,
        finished_at,
        duration_ms,
        result_lost,
        truncated,
        statements,
        notices,
    })
}

fn statements(report: &ExecutionReport, preview: &[PreviewRow]) -> Vec<StatementView> {
    let rows_of = |index: usize| {
        preview.iter().filter(move |row| row.statement as usize == index).filter_map(|row| {
            // The row was written as JSON by the executor; one that is none is left out rather than passed on.
            RawValue::from_string(row.json.clone()).ok()
        })
    };
    report
        .statements
        .iter()
        .enumerate()
        .map(|(index, statement)| StatementView { preview: rows_of(index).collect(), ..statement.into() })
        .collect()
}

impl From<&StatementReport> for StatementView {
    fn from(statement: &StatementReport) -> Self {
        Self {
            command: statement.command.clone(),
            columns: statement.columns.as_ref().map(|columns| columns.iter().map(ColumnView::from).collect()),
            row_count: statement.rows,
            affected: statement.affected,
            truncated: statement.truncated,
            preview: vec![],
        }
    }
}

impl From<&Column> for ColumnView {
    fn from(column: &Column) -> Self {
        Self { name: column.name.clone(), type_name: column.type_name.clone() }
    }
}

impl From<&Notice> for NoticeView {
    fn from(notice: &Notice) -> Self {
        Self { severity: notice.severity.clone(), code: notice.code.clone(), message: notice.message.clone() }
    }
}

pub(super) fn failure(state: &State) -> Option<FailureView> {
    let State::Failed { failure, .. } = state else { return None };
    Some(FailureView::from(failure.as_ref()))
}

impl From<&Failure> for FailureView {
    fn from(failure: &Failure) -> Self {
        let error: Option<&DatabaseError> = failure.database_error.as_ref();
        // A place in a statement of a script is no place in the submitted text.
        let position = match &failure.script {
            Some(script) => script.position,
            None => error.and_then(|e| e.position),
        };
        Self {
            kind: failure.kind.as_str(),
            message: failure.message.clone(),
            code: error.map(|e| e.code.clone()),
            number: error.and_then(|e| e.number),
            severity: error.map(|e| e.severity.clone()),
            detail: error.and_then(|e| e.detail.clone()),
            hint: error.and_then(|e| e.hint.clone()),
            statement: error.and_then(|e| e.statement).map(|s| s + 1),
            line: position.map(|p| p.line),
            column: position.map(|p| p.column),
            stack: failure.script.as_ref().map(|s| s.stack.clone()).filter(|stack| !stack.is_empty()),
            commits: failure.script.as_ref().map(|s| s.commits),
        }
    }
}

fn cancel(state: &State) -> Option<CancelView> {
    let asked: &CancelAsked = match state {
        State::Executing { cancel, .. } | State::Interrupted { cancel, .. } => cancel.as_ref()?,
        State::Cancelled { asked, .. } => asked,
        State::Pending { .. }
        | State::Approved { .. }
        | State::Rejected { .. }
        | State::Withdrawn { .. }
        | State::Expired { .. }
        | State::Completed { .. }
        | State::Failed { .. } => return None,
    };
    Some(CancelView { by: asked.by.as_ref().map(PersonView::from), at: asked.at })
}

fn resolution(state: &State) -> Option<ResolutionView> {
    let resolution: &Resolution = match state {
        State::Completed { completion, .. } => {
            let Completion { resolution, .. } = completion.as_ref();
            resolution.as_ref()?
        }
        State::Failed { resolution, .. } => resolution.as_ref()?,
        State::Pending { .. }
        | State::Approved { .. }
        | State::Rejected { .. }
        | State::Withdrawn { .. }
        | State::Expired { .. }
        | State::Executing { .. }
        | State::Cancelled { .. }
        | State::Interrupted { .. } => return None,
    };
    Some(match resolution {
        Resolution::Proof { evidence, at } => ResolutionView { by: None, note: evidence.clone(), at: *at },
        Resolution::Person { by, note, at } => {
            ResolutionView { by: Some(PersonView::from(by)), note: note.as_str().to_owned(), at: *at }
        }
    })
}
