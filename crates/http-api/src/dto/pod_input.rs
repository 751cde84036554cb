//! What admins send about PODs.

#![expect(
    clippy::option_option,
    reason = "a field that is left out, one that is null and a value are three things"
)]

use domain::ids::PodId;
use domain::pod::{Pod, PodChange};
use domain::text::{DisplayName, Email};
use garde::Validate;
use serde::Deserialize;
use serde::de::IgnoredAny;
use utoipa::ToSchema;

use super::request_changes::given;
use super::request_input::is_not;
use crate::body::Fields;
use crate::error::Problem;

#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct NewPodBody {
    /// 1 to 63 of a-z, 0-9, `.`, `_`, `-`. Never changes.
    #[schema(example = "payments")]
    id: String,
    #[schema(example = "Payments")]
    name: String,
    /// Manages this POD beside the managers who belong to it; needs the role manager.
    manager_email: Option<String>,
    description: Option<String>,
    /// The channel in Slack in which the POD's requests are announced: its id, or its name.
    #[schema(example = "C0123456789")]
    slack_channel: Option<String>,
}

impl NewPodBody {
    pub(crate) fn into_pod(self) -> Result<Pod, Problem> {
        let mut fields = Fields::default();
        let id = fields.take("id", PodId::parse(&self.id).map_err(is_not));
        let name = fields.take("name", DisplayName::parse(&self.name));
        let manager_email = self.manager_email.as_deref().map(Email::parse).transpose();
        let manager_email = fields.take("managerEmail", manager_email);
        fields.finish()?;
        match (id, name, manager_email) {
            (Some(id), Some(name), Some(manager_email)) => {
                let (description, slack_channel) = (self.description, self.slack_channel);
                Ok(Pod { id, name, manager_email, description, slack_channel, active: true })
            }
            _ => unreachable!("Fields::finish reports every field that could not be taken"),
        }
    }
}

/// A field that is left out stays as it is; `null` removes what may be absent.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct ChangePodBody {
    #[schema(ignore)]
    id: Option<IgnoredAny>,
    name: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    manager_email: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    slack_channel: Option<Option<String>>,
    active: Option<bool>,
}

impl ChangePodBody {
    pub(crate) fn into_change(self) -> Result<PodChange, Problem> {
        let mut fields = Fields::default();
        let fixed = if self.id.is_some() { Err("never changes: add another POD") } else { Ok(()) };
        fields.take("id", fixed);
        let name = fields.take("name", self.name.as_deref().map(DisplayName::parse).transpose());
        let manager_email = self.manager_email.map(|email| {
            fields.take("managerEmail", email.as_deref().map(Email::parse).transpose()).flatten()
        });
        fields.finish()?;
        let change = PodChange {
            name: name.flatten(),
            manager_email,
            description: self.description,
            slack_channel: self.slack_channel,
            active: self.active,
        };
        if change == PodChange::default() {
            return Err(Problem::field(
                "body",
                "changes nothing: name name, managerEmail, description, slackChannel or active",
            ));
        }
        Ok(change)
    }
}
