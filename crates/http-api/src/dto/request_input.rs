//! What clients send about requests.

use std::time::Duration;

use chrono::{DateTime, Datelike as _, Utc};
use domain::digest::Digest;
use domain::ids::{InstanceId, PodId, UserId};
use domain::page::{DEFAULT_PAGE_SIZE, PageRequest};
use domain::ports::RequestFilter;
use domain::request::{ExtendedJson, RunOptions, StateKind, SubmissionKind};
use domain::services::Submit;
use domain::target::Engine;
use domain::text::{DatabaseName, Email, Remark, SubmissionText};
use garde::Validate;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::body::Fields;
use crate::cursor;
use crate::error::Problem;
use crate::formats::{Format, Header};

/// A query or script to be approved and executed.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct SubmitBody {
    /// One of GET /api/instances.
    #[schema(example = "shop")]
    pub(super) instance_id: String,
    /// One of GET /api/instances/{id}/dbs.
    #[schema(example = "shop")]
    pub(super) database_name: String,
    /// Your own POD when left out.
    pub(super) pod_id: Option<String>,
    /// `query` (the default) or `script`.
    pub(super) submission_type: Option<String>,
    /// At most 2 MiB.
    #[schema(example = "SELECT count(*) FROM users")]
    pub(super) query_content: String,
    /// For the approver: why, and what for. At most 2,000 characters.
    pub(super) comments: Option<String>,
    /// Not to be executed before this moment.
    pub(super) not_before: Option<DateTime<Utc>>,
    /// For mongodb instances: how documents are written in the result. `relaxed` (the default) or `canonical`, which keeps
    /// every type.
    pub(super) extended_json: Option<String>,
}

impl SubmitBody {
    /// Parses all fields, so that everything that is wrong is told at once.
    pub(crate) fn into_submit(self) -> Result<Submit, Problem> {
        let mut fields = Fields::default();
        let instance = fields.take("instanceId", InstanceId::parse(&self.instance_id).map_err(is_not));
        let database = fields.take("databaseName", DatabaseName::parse(&self.database_name));
        let pod = fields.take("podId", self.pod_id.as_deref().map(PodId::parse).transpose().map_err(is_not));
        let kind = self.submission_type.as_deref().unwrap_or("query");
        let kind =
            fields.take("submissionType", SubmissionKind::parse(kind).ok_or("must be query or script"));
        let text = fields.take("queryContent", SubmissionText::parse(self.query_content));
        let not_before = fields.take("notBefore", self.not_before.map(storable).transpose());
        let format = fields.take("extendedJson", extended_json(self.extended_json.as_deref()));
        let comments = self.comments.as_deref().filter(|c| !c.trim().is_empty());
        let comments = fields.take("comments", comments.map(Remark::parse).transpose());
        fields.finish()?;
        let complete = (|| {
            Some(Submit {
                instance: instance?,
                database: database?,
                pod: pod?,
                kind: kind?,
                text: text?,
                filename: None,
                comments: comments?,
                options: RunOptions { not_before: not_before?, extended_json: format?.unwrap_or_default() },
            })
        })();
        Ok(complete.expect("Fields::finish reports every field that could not be taken"))
    }
}

pub(super) fn is_not(error: domain::ids::InvalidId) -> String {
    format!("is {error}")
}

pub(super) fn extended_json(text: Option<&str>) -> Result<Option<ExtendedJson>, &'static str> {
    text.map(|text| ExtendedJson::parse(text).ok_or("must be relaxed or canonical")).transpose()
}

/// The store keeps microseconds; what is finer would make the digest differ after a reading. And its calendar
/// is shorter than ours: years of four digits are in both.
pub(super) fn storable(time: DateTime<Utc>) -> Result<DateTime<Utc>, &'static str> {
    let micros = DateTime::from_timestamp_micros(time.timestamp_micros());
    micros.filter(|time| (1..=9999).contains(&time.year())).ok_or("must be in the years 1 to 9999")
}

/// May be left out altogether.
#[derive(Deserialize, Validate, ToSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct ApproveBody {
    /// The digest of the request that you looked at: the approval fails when the request has changed since.
    digest: Option<String>,
}

impl ApproveBody {
    pub(crate) fn digest(&self) -> Result<Option<Digest>, Problem> {
        let parse = |text: &String| {
            Digest::parse(text).ok_or_else(|| Problem::field("digest", "must be 64 hexadecimal digits"))
        };
        self.digest.as_ref().map(parse).transpose()
    }
}

#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct RejectBody {
    /// For the requester: why, and what to do instead. At most 2,000 characters.
    reason: String,
}

impl RejectBody {
    pub(crate) fn reason(&self) -> Result<Remark, Problem> {
        Remark::parse(&self.reason).map_err(|error| Problem::field("reason", error.to_string()))
    }
}

#[derive(Deserialize, Validate, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WaitQuery {
    /// Seconds (0 to 60) to wait for the end of the request before answering.
    #[garde(skip)]
    #[param(maximum = 60)]
    #[serde(default, deserialize_with = "wait")]
    wait: Option<u64>,
}

impl WaitQuery {
    pub(crate) fn duration(&self) -> Option<Duration> {
        self.wait.map(Duration::from_secs)
    }
}

#[derive(Deserialize, Validate, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// How many, 1 to 200; 50 when left out.
    #[garde(skip)]
    #[param(minimum = 1, maximum = 200)]
    #[serde(default, deserialize_with = "limit")]
    limit: Option<u32>,
    /// `nextCursor` of the part before.
    #[garde(skip)]
    cursor: Option<String>,
}

impl PageQuery {
    pub(crate) fn page(&self) -> Result<PageRequest, Problem> {
        page(self.limit, self.cursor.as_deref())
    }

    /// For a list by e-mail address: behind which, and how many.
    pub(crate) fn by_email(&self) -> Result<(Option<Email>, u32), Problem> {
        let after = self.cursor.as_deref().map(cursor::email).transpose()?;
        Ok((after, self.limit.unwrap_or(DEFAULT_PAGE_SIZE)))
    }
}

#[derive(Deserialize, Validate, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
#[garde(allow_unvalidated)]
pub(crate) struct ListQuery {
    /// How many, 1 to 200; 50 when left out.
    #[garde(skip)]
    #[param(minimum = 1, maximum = 200)]
    #[serde(default, deserialize_with = "limit")]
    limit: Option<u32>,
    /// `nextCursor` of the part before.
    cursor: Option<String>,
    /// One state, or several with commas between.
    #[param(example = "pending,approved")]
    status: Option<String>,
    instance_id: Option<String>,
    pod_id: Option<String>,
    /// The requester.
    #[param(format = Uuid)]
    user_id: Option<String>,
    /// `postgresql` or `mongodb`.
    database_type: Option<String>,
    /// Submitted at this moment or later.
    #[serde(default, deserialize_with = "created_from")]
    created_from: Option<DateTime<Utc>>,
    /// Submitted before this moment.
    #[serde(default, deserialize_with = "created_before")]
    created_before: Option<DateTime<Utc>>,
}

impl ListQuery {
    pub(crate) fn page(&self) -> Result<PageRequest, Problem> {
        page(self.limit, self.cursor.as_deref())
    }

    pub(crate) fn filter(&self) -> Result<RequestFilter, Problem> {
        let mut fields = Fields::default();
        let states = self.status.iter().flat_map(|text| text.split(',')).map(|text| {
            StateKind::parse(text.trim()).ok_or("must be one or more of pending, approved, rejected, withdrawn, expired, executing, completed, failed, cancelled, interrupted")
        });
        let states = fields.take("status", states.collect::<Result<Vec<_>, _>>());
        let instance = self.instance_id.as_deref().map(InstanceId::parse).transpose();
        let instance = fields.take("instanceId", instance.map_err(is_not));
        let pod = fields.take("podId", self.pod_id.as_deref().map(PodId::parse).transpose().map_err(is_not));
        let user = self.user_id.as_deref().map(str::parse::<UserId>).transpose();
        let user = fields.take("userId", user.map_err(is_not));
        let engine =
            self.database_type.as_deref().map(|t| Engine::parse(t).ok_or("must be postgresql or mongodb"));
        let engine = fields.take("databaseType", engine.transpose());
        let created_from = fields.take("createdFrom", self.created_from.map(storable).transpose());
        let created_before = fields.take("createdBefore", self.created_before.map(storable).transpose());
        fields.finish()?;

        Ok(RequestFilter {
            states: states.unwrap_or_default(),
            instance: instance.flatten(),
            pod: pod.flatten(),
            requester: user.flatten(),
            not_requester: None,
            engine: engine.flatten(),
            created_from: created_from.flatten(),
            created_before: created_before.flatten(),
        })
    }
}

/// Reads a parameter of the query string so that the error names it.
macro_rules! parameter {
    ($name:ident, $public:literal, $of:ty, $is:literal, $accept:expr) => {
        fn $name<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<$of>, D::Error> {
            let text = <String as serde::Deserialize>::deserialize(deserializer)?;
            let value = text.parse().ok().filter($accept);
            value
                .map(Some)
                .ok_or_else(|| <D::Error as serde::de::Error>::custom(concat!($public, " has to be ", $is)))
        }
    };
}

pub(super) use parameter;

parameter!(limit, "limit", u32, "a whole number from 1 to 200", |n| (1..=200).contains(n));
parameter!(wait, "wait", u64, "a whole number from 0 to 60", |n| *n <= 60);
parameter!(created_from, "createdFrom", DateTime<Utc>, "a time as in 2026-01-31T12:00:00Z", |_| true);
parameter!(created_before, "createdBefore", DateTime<Utc>, "a time as in 2026-01-31T12:00:00Z", |_| true);

fn page(limit: Option<u32>, cursor: Option<&str>) -> Result<PageRequest, Problem> {
    Ok(PageRequest {
        limit: limit.unwrap_or(DEFAULT_PAGE_SIZE),
        after: cursor.map(cursor::number).transpose()?,
    })
}

/// The form of a result.
#[derive(Deserialize, Validate, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
#[garde(allow_unvalidated)]
pub(crate) struct ResultQuery {
    /// `json` (the default, all statements), `ndjson` or `csv` (the rows of one statement).
    format: Option<String>,
    /// For `ndjson` and `csv`: which statement, from 1. Needed when several return rows.
    pub(crate) statement: Option<u32>,
    /// For `ndjson` and `csv`: `names` (the default of `csv`), `typed` (as in `id:int4`) or `none` (the default of
    /// `ndjson`).
    header: Option<String>,
}

impl ResultQuery {
    pub(crate) fn format(&self) -> Result<Format, Problem> {
        let header = match self.header.as_deref() {
            None => None,
            Some("none") => Some(Header::None),
            Some("names") => Some(Header::Names),
            Some("typed") => Some(Header::Typed),
            Some(_) => return Err(Problem::field("header", "must be names, typed or none")),
        };
        match self.format.as_deref() {
            None | Some("json") if header.is_some() => {
                Err(Problem::field("header", "is for the formats ndjson and csv"))
            }
            None | Some("json") if self.statement.is_some() => {
                Err(Problem::field("statement", "is for the formats ndjson and csv"))
            }
            None | Some("json") => Ok(Format::Json),
            Some("ndjson") => Ok(Format::Ndjson(header.unwrap_or(Header::None))),
            Some("csv") => Ok(Format::Csv(header.unwrap_or(Header::Names))),
            Some(_) => Err(Problem::field("format", "must be json, ndjson or csv")),
        }
    }
}
