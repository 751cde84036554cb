//! Accounts and roles, for admins. No view holds a password or what is kept of one.

#![expect(
    clippy::option_option,
    reason = "a field that is left out, one that is null and a value are three things"
)]

use chrono::{DateTime, Utc};
use domain::ids::PodId;
use domain::services::{AccountChange, NewAccount};
use domain::text::{DisplayName, Email, InvalidText, NewPassword};
use domain::user::{Role, User};
use garde::Validate;
use secrecy::SecretString;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::request_changes::given;
use super::request_input::is_not;
use crate::body::{Fields, several};
use crate::cursor;
use crate::error::Problem;

/// Longest name of a role, in bytes.
const MAX_ROLE: usize = 100;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccountsView {
    items: Vec<AccountView>,
    /// For the next part; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

impl AccountsView {
    /// Of one account more than were asked for, which says that there is a next part.
    pub(crate) fn new(mut users: Vec<User>, limit: usize) -> Self {
        let more = users.len() > limit;
        users.truncate(limit);
        let next_cursor = users.last().filter(|_| more).map(|user| cursor::encode(&user.email));
        Self { items: users.iter().map(AccountView::from).collect(), next_cursor }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccountView {
    #[schema(format = Uuid)]
    id: String,
    email: String,
    name: String,
    pod_id: Option<String>,
    roles: Vec<String>,
    active: bool,
    /// The account in Slack that it is tied to.
    #[schema(example = "U0123456789")]
    slack_user_id: Option<String>,
    last_login: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl From<&User> for AccountView {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email.to_string(),
            name: user.name.as_str().to_owned(),
            pod_id: user.pod.as_ref().map(ToString::to_string),
            roles: user.roles.clone(),
            active: user.active,
            slack_user_id: user.slack_user_id.clone(),
            last_login: user.last_login,
            created_at: user.created_at,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RolesView {
    items: Vec<RoleView>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoleView {
    #[schema(example = "developer")]
    name: String,
    description: String,
    /// `resource:action`; `*` stands for all.
    permissions: Vec<String>,
}

impl From<Vec<Role>> for RolesView {
    fn from(roles: Vec<Role>) -> Self {
        let view = |role: Role| RoleView {
            permissions: role.permissions.iter().map(str::to_owned).collect(),
            name: role.name,
            description: role.description,
        };
        Self { items: roles.into_iter().map(view).collect() }
    }
}

#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct NewAccountBody {
    /// The account's key, in lowercase. Never changes.
    #[schema(example = "dev@example.com")]
    email: String,
    #[schema(example = "Ada")]
    name: String,
    pod_id: Option<String>,
    /// At least one of GET /api/roles.
    #[schema(example = json!(["developer"]))]
    roles: Vec<String>,
    /// 12 characters at least, 71 bytes at most.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

impl NewAccountBody {
    pub(crate) fn into_account(self) -> Result<NewAccount, Problem> {
        let mut fields = Fields::default();
        let email = fields.take("email", Email::parse(&self.email));
        let name = fields.take("name", DisplayName::parse(&self.name));
        let pod = fields.take("podId", self.pod_id.as_deref().map(PodId::parse).transpose().map_err(is_not));
        let roles = fields.take("roles", several(&self.roles, role));
        let password = fields.take("password", NewPassword::parse(self.password));
        fields.finish()?;
        match (email, name, pod, roles, password) {
            (Some(email), Some(name), Some(pod), Some(roles), Some(password)) => {
                Ok(NewAccount { email, name, pod, roles, password })
            }
            _ => unreachable!("Fields::finish reports every field that could not be taken"),
        }
    }
}

/// A field that is left out stays as it is; `null` removes what may be absent.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct ChangeAccountBody {
    #[schema(ignore)]
    id: Option<IgnoredAny>,
    #[schema(ignore)]
    email: Option<IgnoredAny>,
    #[schema(ignore)]
    password: Option<IgnoredAny>,
    name: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pod_id: Option<Option<String>>,
    /// Replaces all of them.
    roles: Option<Vec<String>>,
    /// `false` ends all sessions of the account.
    active: Option<bool>,
    /// The account in Slack whose presses of buttons are this person's; `null` unties it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    slack_user_id: Option<Option<String>>,
}

impl ChangeAccountBody {
    pub(crate) fn into_change(self) -> Result<AccountChange, Problem> {
        let mut fields = Fields::default();
        let fixed = |given: Option<IgnoredAny>, why| if given.is_some() { Err(why) } else { Ok(()) };
        fields.take("id", fixed(self.id, "never changes"));
        fields.take("email", fixed(self.email, "never changes: create another account"));
        fields.take("password", fixed(self.password, "is set by POST /api/users/{id}/password"));
        let name = fields.take("name", self.name.as_deref().map(DisplayName::parse).transpose());
        let pod = self.pod_id.map(|pod| {
            fields.take("podId", pod.as_deref().map(PodId::parse).transpose().map_err(is_not)).flatten()
        });
        let roles = self.roles.as_deref().map(|roles| several(roles, role)).transpose();
        let roles = fields.take("roles", roles);
        fields.finish()?;
        let change = AccountChange {
            name: name.flatten(),
            pod,
            roles: roles.flatten(),
            active: self.active,
            slack_user_id: self.slack_user_id,
        };
        if change == AccountChange::default() {
            return Err(Problem::field(
                "body",
                "changes nothing: name name, podId, roles, active or slackUserId",
            ));
        }
        Ok(change)
    }
}

#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct SetPasswordBody {
    /// 12 characters at least, 71 bytes at most.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

impl SetPasswordBody {
    pub(crate) fn parse(self) -> Result<NewPassword, Problem> {
        NewPassword::parse(self.password).map_err(|error| Problem::field("password", error.to_string()))
    }
}

/// The form of a role's name; whether there is such a role is for the rules to say.
fn role(name: &str) -> Result<String, InvalidText> {
    if (1..=MAX_ROLE).contains(&name.len()) && !name.chars().any(char::is_control) {
        Ok(name.to_owned())
    } else {
        Err(InvalidText("must be the name of a role".to_owned()))
    }
}
