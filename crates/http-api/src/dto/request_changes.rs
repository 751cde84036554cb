//! What clients send about requests that are there already, and about texts that are not submitted yet.

#![expect(
    clippy::option_option,
    reason = "a field that is left out, one that is null and a value are three things"
)]

use chrono::{DateTime, Utc};
use domain::ids::InstanceId;
use domain::request::SubmissionKind;
use domain::review::Refusal;
use domain::services::{Changes, Looked};
use domain::text::{DatabaseName, Remark, SubmissionText};
use garde::Validate;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::request::{FindingView, ReviewView};
use super::request_input::{extended_json, is_not, storable};
use crate::body::Fields;
use crate::error::Problem;

/// A field that is left out stays as it is; `null` removes what may be absent.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct EditBody {
    database_name: Option<String>,
    /// At most 2 MiB.
    query_content: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    comments: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<DateTime<Utc>>)]
    not_before: Option<Option<DateTime<Utc>>>,
    /// `relaxed` or `canonical`.
    extended_json: Option<String>,
}

/// Tells `null` from a field that is left out.
pub(super) fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

impl EditBody {
    pub(crate) fn into_changes(self) -> Result<Changes, Problem> {
        let mut fields = Fields::default();
        let database = self.database_name.as_deref().map(DatabaseName::parse).transpose();
        let database = fields.take("databaseName", database).flatten();
        let text =
            fields.take("queryContent", self.query_content.map(SubmissionText::parse).transpose()).flatten();
        let comments = self.comments.map(|text| {
            let text = text.filter(|text| !text.trim().is_empty());
            fields.take("comments", text.as_deref().map(Remark::parse).transpose()).flatten()
        });
        let not_before =
            self.not_before.map(|time| fields.take("notBefore", time.map(storable).transpose()).flatten());
        let format = fields.take("extendedJson", extended_json(self.extended_json.as_deref())).flatten();
        fields.finish()?;
        let changes = Changes { database, text, comments, not_before, extended_json: format };
        if changes == Changes::default() {
            let detail =
                "changes nothing: name databaseName, queryContent, comments, notBefore or extendedJson";
            return Err(Problem::field("body", detail));
        }
        Ok(changes)
    }
}

/// What was found out about an interrupted request.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct ResolveBody {
    /// `completed` when its changes took effect, `failed` when nothing did.
    #[schema(example = "failed")]
    outcome: String,
    /// How that was found out. At most 2,000 characters.
    note: String,
}

impl ResolveBody {
    /// Whether it took effect, and the note.
    pub(crate) fn parse(&self) -> Result<(bool, Remark), Problem> {
        let mut fields = Fields::default();
        let committed = match self.outcome.as_str() {
            "completed" => Ok(true),
            "failed" => Ok(false),
            _ => Err("must be completed or failed"),
        };
        let committed = fields.take("outcome", committed);
        let note = fields.take("note", Remark::parse(&self.note));
        fields.finish()?;
        match (committed, note) {
            (Some(committed), Some(note)) => Ok((committed, note)),
            _ => unreachable!("Fields::finish reports every field that could not be taken"),
        }
    }
}

/// A text to look at without submitting it.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct CheckBody {
    /// One of GET /api/instances.
    #[schema(example = "shop")]
    instance_id: String,
    /// One of GET /api/instances/{id}/dbs. What a text for a mongodb instance comes to may depend on it.
    database_name: Option<String>,
    /// `query` (the default) or `script`.
    submission_type: Option<String>,
    /// At most 2 MiB.
    #[schema(example = "DELETE FROM users")]
    query_content: String,
}

impl CheckBody {
    pub(crate) fn parse(self) -> Result<Asked, Problem> {
        let mut fields = Fields::default();
        let instance = fields.take("instanceId", InstanceId::parse(&self.instance_id).map_err(is_not));
        let database = self.database_name.as_deref().map(DatabaseName::parse).transpose();
        let database = fields.take("databaseName", database);
        let kind = SubmissionKind::parse(self.submission_type.as_deref().unwrap_or("query"));
        let kind = fields.take("submissionType", kind.ok_or("must be query or script"));
        let text = fields.take("queryContent", SubmissionText::parse(self.query_content));
        fields.finish()?;
        match (instance, database, kind, text) {
            (Some(instance), Some(database), Some(kind), Some(text)) => {
                Ok(Asked { instance, database, kind, text })
            }
            _ => unreachable!("Fields::finish reports every field that could not be taken"),
        }
    }
}

/// A text to look at, parsed.
pub(crate) struct Asked {
    pub(crate) instance: InstanceId,
    pub(crate) database: Option<DatabaseName>,
    pub(crate) kind: SubmissionKind,
    pub(crate) text: SubmissionText,
}

/// What a submission of the text would be told.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CheckView {
    /// Whether the text could be submitted.
    accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    review: Option<ReviewView>,
    /// What would run, where the text is accepted: as in the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    commands: Option<Vec<String>>,
    /// Why the text can never run.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<FindingView>,
}

impl From<Looked> for CheckView {
    fn from(looked: Looked) -> Self {
        let Looked { submission, review } = looked;
        let review = Some(ReviewView::from(&review));
        Self { accepted: true, review, commands: Some(submission.compiled), refusal: None }
    }
}

impl From<Refusal> for CheckView {
    fn from(refusal: Refusal) -> Self {
        let refusal = Some(FindingView::from(&refusal));
        Self { accepted: false, review: None, commands: None, refusal }
    }
}
