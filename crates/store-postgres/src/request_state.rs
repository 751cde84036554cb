//! The state of a request and its columns. A column that does not belong to the state is NULL.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use domain::ids::{JobId, UserId};
use domain::ports::StoreError;
use domain::request::{
    Approval, Approver, CancelAsked, Completion, Decision, Request, ResultKept, Run, State, StateKind,
};
use domain::text::{Email, Remark};
use serde_json::Value;
use uuid::Uuid;

use crate::request_json::{StoredResult, from_value, to_value};
use crate::rows::RowReader;
use crate::schema::query_requests;

/// What every transition writes.
#[derive(Debug, Default, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = query_requests, treat_none_as_null = true, check_for_backend(diesel::pg::Pg))]
pub(crate) struct StateColumns {
    pub(crate) version: i64,
    pub(crate) status: String,
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) approver_id: Option<Uuid>,
    pub(crate) approver_email: Option<String>,
    pub(crate) approved_at: Option<DateTime<Utc>>,
    pub(crate) rejection_reason: Option<String>,
    pub(crate) rejected_at: Option<DateTime<Utc>>,
    pub(crate) withdrawn_at: Option<DateTime<Utc>>,
    pub(crate) expired_at: Option<DateTime<Utc>>,
    pub(crate) run_job_id: Option<Uuid>,
    pub(crate) run_worker: Option<String>,
    pub(crate) execution_started_at: Option<DateTime<Utc>>,
    pub(crate) cancel_asked_at: Option<DateTime<Utc>>,
    pub(crate) cancel_asked_by: Option<Uuid>,
    pub(crate) cancel_asked_by_email: Option<String>,
    pub(crate) lost_at: Option<DateTime<Utc>>,
    pub(crate) execution_completed_at: Option<DateTime<Utc>>,
    pub(crate) execution_result: Option<Value>,
    pub(crate) execution_error: Option<Value>,
    pub(crate) resolution: Option<Value>,
    pub(crate) updated_at: DateTime<Utc>,
}

impl StateColumns {
    pub(crate) fn of(request: &Request, version: i64) -> Self {
        let state = &request.state;
        let mut columns = Self {
            version,
            status: state.kind().as_str().to_owned(),
            updated_at: request.updated_at,
            ..Self::default()
        };
        // For people who read the table: who decided last, and when. The approvals have a table of their own.
        if let Some(last) = state.approvals().last() {
            columns.decided_by(&last.by);
            columns.approved_at = (state.kind() != StateKind::Pending).then_some(last.at);
        }
        if let Some(run) = state.run() {
            columns.run_job_id = Some(run.job.as_uuid());
            columns.run_worker = Some(run.worker.clone());
            columns.execution_started_at = Some(run.started_at);
        }
        match state {
            State::Pending { approvals: _, expires_at } => columns.expires_at = Some(*expires_at),
            State::Approved { approvals: _, approved_at, expires_at } => {
                columns.approved_at = Some(*approved_at);
                columns.expires_at = Some(*expires_at);
            }
            State::Rejected { decision } => {
                columns.decided_by(&decision.by);
                columns.rejection_reason = Some(decision.reason.as_str().to_owned());
                columns.rejected_at = Some(decision.at);
            }
            State::Withdrawn { at } => columns.withdrawn_at = Some(*at),
            State::Expired { at } => columns.expired_at = Some(*at),
            State::Executing { approvals: _, run: _, cancel } => columns.cancel_asked(cancel.as_ref()),
            State::Completed { approvals: _, run: _, completion } => {
                columns.execution_completed_at = Some(completion.finished_at);
                columns.execution_result = StoredResult::of(&completion.result).as_ref().map(to_value);
                columns.resolution = completion.resolution.as_ref().map(to_value);
            }
            State::Failed { approvals: _, run: _, failure, finished_at, resolution } => {
                columns.execution_completed_at = Some(*finished_at);
                columns.execution_error = Some(to_value(&**failure));
                columns.resolution = resolution.as_ref().map(to_value);
            }
            State::Cancelled { approvals: _, run: _, asked, finished_at } => {
                columns.cancel_asked(Some(asked));
                columns.execution_completed_at = Some(*finished_at);
            }
            State::Interrupted { approvals: _, run: _, cancel, lost_at } => {
                columns.cancel_asked(cancel.as_ref());
                columns.lost_at = Some(*lost_at);
            }
        }
        columns
    }

    fn decided_by(&mut self, by: &Approver) {
        self.approver_id = Some(by.id.as_uuid());
        self.approver_email = Some(by.email.as_str().to_owned());
    }

    fn cancel_asked(&mut self, asked: Option<&CancelAsked>) {
        self.cancel_asked_at = asked.map(|a| a.at);
        let by = asked.and_then(|a| a.by.as_ref());
        self.cancel_asked_by = by.map(|b| b.id.as_uuid());
        self.cancel_asked_by_email = by.map(|b| b.email.as_str().to_owned());
    }

    pub(crate) fn read(self, approvals: Vec<Approval>, row: &RowReader) -> Result<State, StoreError> {
        let kind = row.present("status", StateKind::parse(&self.status))?;
        Ok(match kind {
            StateKind::Pending => {
                State::Pending { approvals, expires_at: row.present("expires_at", self.expires_at)? }
            }
            StateKind::Approved => State::Approved {
                approvals,
                approved_at: row.present("approved_at", self.approved_at)?,
                expires_at: row.present("expires_at", self.expires_at)?,
            },
            StateKind::Rejected => State::Rejected {
                decision: Decision {
                    by: row
                        .present("approver_id", person(self.approver_id, self.approver_email.as_deref()))?,
                    reason: row.checked(
                        "rejection_reason",
                        Remark::parse(self.rejection_reason.as_deref().unwrap_or_default()),
                    )?,
                    at: row.present("rejected_at", self.rejected_at)?,
                },
            },
            StateKind::Withdrawn => State::Withdrawn { at: row.present("withdrawn_at", self.withdrawn_at)? },
            StateKind::Expired => State::Expired { at: row.present("expired_at", self.expired_at)? },
            StateKind::Executing => {
                State::Executing { approvals, run: self.run(row)?, cancel: self.cancel(row)? }
            }
            StateKind::Completed => State::Completed {
                approvals,
                run: self.run(row)?,
                completion: Box::new(Completion {
                    finished_at: row.present("execution_completed_at", self.execution_completed_at)?,
                    result: match self.execution_result {
                        None => ResultKept::Lost,
                        Some(value) => {
                            let kept: StoredResult = row.present("execution_result", from_value(value))?;
                            ResultKept::Stored { report: kept.report, preview: kept.preview }
                        }
                    },
                    resolution: optional(row, "resolution", self.resolution)?,
                }),
            },
            StateKind::Failed => State::Failed {
                approvals,
                run: if self.run_job_id.is_some() { Some(self.run(row)?) } else { None },
                failure: Box::new(row.present("execution_error", self.execution_error.and_then(from_value))?),
                finished_at: row.present("execution_completed_at", self.execution_completed_at)?,
                resolution: optional(row, "resolution", self.resolution)?,
            },
            StateKind::Cancelled => State::Cancelled {
                approvals,
                run: self.run(row)?,
                asked: row.present("cancel_asked_at", self.cancel(row)?)?,
                finished_at: row.present("execution_completed_at", self.execution_completed_at)?,
            },
            StateKind::Interrupted => State::Interrupted {
                approvals,
                run: self.run(row)?,
                cancel: self.cancel(row)?,
                lost_at: row.present("lost_at", self.lost_at)?,
            },
        })
    }

    fn run(&self, row: &RowReader) -> Result<Run, StoreError> {
        Ok(Run {
            job: JobId::from_uuid(row.present("run_job_id", self.run_job_id)?),
            worker: row.present("run_worker", self.run_worker.clone())?,
            started_at: row.present("execution_started_at", self.execution_started_at)?,
        })
    }

    fn cancel(&self, row: &RowReader) -> Result<Option<CancelAsked>, StoreError> {
        let Some(at) = self.cancel_asked_at else { return Ok(None) };
        let by = match (self.cancel_asked_by, self.cancel_asked_by_email.as_deref()) {
            (None, None) => None,
            (id, email) => Some(row.present("cancel_asked_by", person(id, email))?),
        };
        Ok(Some(CancelAsked { by, at }))
    }
}

pub(crate) fn person(id: Option<Uuid>, email: Option<&str>) -> Option<Approver> {
    Some(Approver { id: UserId::from_uuid(id?), email: Email::parse(email?).ok()? })
}

fn optional<T: crate::request_json::Stored>(
    row: &RowReader,
    column: &'static str,
    value: Option<Value>,
) -> Result<Option<T>, StoreError> {
    value.map(|value| row.present(column, from_value(value))).transpose()
}
