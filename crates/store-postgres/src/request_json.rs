//! The parts of a request that are stored as JSON: what nobody filters or joins by.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::execution::{
    Column, DatabaseError, ExecutionReport, Failure, FailureKind, Notice, Preview, PreviewRow, ScriptPlace,
    StatementReport,
};
use domain::ids::UserId;
use domain::request::{Approver, Resolution, ResultKept};
use domain::review::{Effect, Finding, Position, Review};
use domain::text::{Email, Remark};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// A part of a request with a form in JSON.
pub(crate) trait Stored: Sized {
    type Json: Serialize + for<'de> Deserialize<'de>;
    fn to_json(&self) -> Self::Json;
    /// `None` for what no version of the portal can have written.
    fn from_json(json: Self::Json) -> Option<Self>;
}

pub(crate) fn to_value<T: Stored>(part: &T) -> Value {
    let mut value = serde_json::to_value(part.to_json()).expect("plain structs always have a form in JSON");
    without_nul(&mut value);
    value
}

pub(crate) fn from_value<T: Stored>(value: Value) -> Option<T> {
    T::from_json(serde_json::from_value(value).ok()?)
}

/// `jsonb` cannot hold U+0000, and a message from a server must not keep a request from ending.
pub(crate) fn without_nul(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('\0') => *text = text.replace('\0', "\u{fffd}"),
        Value::Array(items) => items.iter_mut().for_each(without_nul),
        Value::Object(map) => {
            if map.keys().any(|key| key.contains('\0')) {
                *map =
                    std::mem::take(map).into_iter().map(|(k, v)| (k.replace('\0', "\u{fffd}"), v)).collect();
            }
            map.values_mut().for_each(without_nul);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct PositionJson {
    line: u32,
    column: u32,
}

impl PositionJson {
    fn of(position: Position) -> Self {
        Self { line: position.line, column: position.column }
    }

    fn read(self) -> Position {
        Position { line: self.line, column: self.column }
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ReviewJson {
    effect: String,
    statements: u32,
    findings: Vec<FindingJson>,
}

#[derive(Serialize, Deserialize)]
struct FindingJson {
    code: String,
    message: String,
    position: Option<PositionJson>,
}

impl Stored for Review {
    type Json = ReviewJson;

    fn to_json(&self) -> ReviewJson {
        let finding = |f: &Finding| FindingJson {
            code: f.code.clone(),
            message: f.message.clone(),
            position: f.position.map(PositionJson::of),
        };
        ReviewJson {
            effect: self.effect.as_str().to_owned(),
            statements: self.statements,
            findings: self.findings.iter().map(finding).collect(),
        }
    }

    fn from_json(json: ReviewJson) -> Option<Self> {
        let finding = |f: FindingJson| Finding {
            code: f.code,
            message: f.message,
            position: f.position.map(PositionJson::read),
        };
        Some(Self {
            effect: Effect::parse(&json.effect)?,
            statements: json.statements,
            findings: json.findings.into_iter().map(finding).collect(),
        })
    }
}

/// The report and the first rows. A result that was lost is stored as NULL.
pub(crate) struct StoredResult {
    pub(crate) report: ExecutionReport,
    pub(crate) preview: Preview,
}

impl StoredResult {
    pub(crate) fn of(kept: &ResultKept) -> Option<Self> {
        match kept {
            ResultKept::Stored { report, preview } => {
                Some(Self { report: report.clone(), preview: preview.clone() })
            }
            ResultKept::Lost => None,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResultJson {
    statements: Vec<StatementJson>,
    notices: Vec<NoticeJson>,
    duration_seconds: u64,
    duration_nanoseconds: u32,
    preview: Vec<PreviewJson>,
}

#[derive(Serialize, Deserialize)]
struct StatementJson {
    command: String,
    columns: Option<Vec<ColumnJson>>,
    rows: u64,
    affected: Option<u64>,
    truncated: bool,
}

#[derive(Serialize, Deserialize)]
struct ColumnJson {
    name: String,
    r#type: String,
}

#[derive(Serialize, Deserialize)]
struct NoticeJson {
    severity: String,
    code: String,
    message: String,
}

/// A row stays a text: as a value of its own it would lose digits, order and repeated keys.
#[derive(Serialize, Deserialize)]
struct PreviewJson {
    statement: u32,
    json: String,
}

impl Stored for StoredResult {
    type Json = ResultJson;

    fn to_json(&self) -> ResultJson {
        let column = |c: &Column| ColumnJson { name: c.name.clone(), r#type: c.type_name.clone() };
        let statement = |s: &StatementReport| StatementJson {
            command: s.command.clone(),
            columns: s.columns.as_ref().map(|columns| columns.iter().map(column).collect()),
            rows: s.rows,
            affected: s.affected,
            truncated: s.truncated,
        };
        let notice = |n: &Notice| NoticeJson {
            severity: n.severity.clone(),
            code: n.code.clone(),
            message: n.message.clone(),
        };
        ResultJson {
            statements: self.report.statements.iter().map(statement).collect(),
            notices: self.report.notices.iter().map(notice).collect(),
            duration_seconds: self.report.duration.as_secs(),
            duration_nanoseconds: self.report.duration.subsec_nanos(),
            preview: self
                .preview
                .iter()
                .map(|row| PreviewJson { statement: row.statement, json: row.json.clone() })
                .collect(),
        }
    }

    fn from_json(json: ResultJson) -> Option<Self> {
        let column = |c: ColumnJson| Column { name: c.name, type_name: c.r#type };
        let statement = |s: StatementJson| StatementReport {
            command: s.command,
            columns: s.columns.map(|columns| columns.into_iter().map(column).collect()),
            rows: s.rows,
            affected: s.affected,
            truncated: s.truncated,
        };
        let notice = |n: NoticeJson| Notice { severity: n.severity, code: n.code, message: n.message };
        let preview = |row: PreviewJson| PreviewRow { statement: row.statement, json: row.json };
        // A whole second of nanoseconds would overflow in `Duration::new`.
        (json.duration_nanoseconds < 1_000_000_000).then(|| Self {
            report: ExecutionReport {
                statements: json.statements.into_iter().map(statement).collect(),
                notices: json.notices.into_iter().map(notice).collect(),
                duration: Duration::new(json.duration_seconds, json.duration_nanoseconds),
            },
            preview: json.preview.into_iter().map(preview).collect(),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FailureJson {
    kind: String,
    message: String,
    database_error: Option<DatabaseErrorJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    script: Option<ScriptPlaceJson>,
}

#[derive(Serialize, Deserialize)]
struct ScriptPlaceJson {
    position: Option<PositionJson>,
    stack: String,
    #[serde(default)]
    commits: u64,
}

#[derive(Serialize, Deserialize)]
struct DatabaseErrorJson {
    code: String,
    /// Rows from before there was a second kind of database have none.
    #[serde(default)]
    number: Option<i32>,
    severity: String,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    statement: Option<u32>,
    position: Option<PositionJson>,
}

impl Stored for Failure {
    type Json = FailureJson;

    fn to_json(&self) -> FailureJson {
        let database_error = |e: &DatabaseError| DatabaseErrorJson {
            code: e.code.clone(),
            number: e.number,
            severity: e.severity.clone(),
            message: e.message.clone(),
            detail: e.detail.clone(),
            hint: e.hint.clone(),
            statement: e.statement,
            position: e.position.map(PositionJson::of),
        };
        FailureJson {
            kind: self.kind.as_str().to_owned(),
            message: self.message.clone(),
            database_error: self.database_error.as_ref().map(database_error),
            script: self.script.as_ref().map(|s| ScriptPlaceJson {
                position: s.position.map(PositionJson::of),
                stack: s.stack.clone(),
                commits: s.commits,
            }),
        }
    }

    fn from_json(json: FailureJson) -> Option<Self> {
        let database_error = |e: DatabaseErrorJson| DatabaseError {
            code: e.code,
            number: e.number,
            severity: e.severity,
            message: e.message,
            detail: e.detail,
            hint: e.hint,
            statement: e.statement,
            position: e.position.map(PositionJson::read),
        };
        Some(Self {
            kind: FailureKind::parse(&json.kind)?,
            message: json.message,
            database_error: json.database_error.map(database_error),
            script: json.script.map(|s| ScriptPlace {
                position: s.position.map(PositionJson::read),
                stack: s.stack,
                commits: s.commits,
            }),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "camelCase")]
pub(crate) enum ResolutionJson {
    #[serde(rename_all = "camelCase")]
    Proof { evidence: String, at: DateTime<Utc> },
    #[serde(rename_all = "camelCase")]
    Person { user_id: Uuid, email: String, note: String, at: DateTime<Utc> },
}

impl Stored for Resolution {
    type Json = ResolutionJson;

    fn to_json(&self) -> ResolutionJson {
        match self {
            Self::Proof { evidence, at } => ResolutionJson::Proof { evidence: evidence.clone(), at: *at },
            Self::Person { by, note, at } => ResolutionJson::Person {
                user_id: by.id.as_uuid(),
                email: by.email.as_str().to_owned(),
                note: note.as_str().to_owned(),
                at: *at,
            },
        }
    }

    fn from_json(json: ResolutionJson) -> Option<Self> {
        Some(match json {
            ResolutionJson::Proof { evidence, at } => Self::Proof { evidence, at },
            ResolutionJson::Person { user_id, email, note, at } => Self::Person {
                by: Approver { id: UserId::from_uuid(user_id), email: Email::parse(&email).ok()? },
                note: Remark::parse(&note).ok()?,
                at,
            },
        })
    }
}
