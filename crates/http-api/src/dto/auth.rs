//! Logins and people.

use chrono::{DateTime, Utc};
use domain::services::LoggedIn;
use domain::user::{Actor, User};
use garde::Validate;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LoginBody {
    #[garde(length(bytes, min = 3, max = 254))]
    #[schema(example = "dev@example.com")]
    pub(crate) email: String,
    /// At most 1,024 bytes are looked at.
    #[garde(custom(password_length))]
    #[schema(value_type = String, format = Password)]
    pub(crate) password: SecretString,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "garde calls it like this")]
pub(super) fn password_length(password: &SecretString, _: &()) -> garde::Result {
    if (1..=1024).contains(&password.expose_secret().len()) {
        Ok(())
    } else {
        Err(garde::Error::new("must have 1 to 1,024 bytes"))
    }
}

#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RefreshBody {
    #[garde(custom(password_length))]
    #[schema(value_type = String)]
    pub(crate) refresh_token: SecretString,
}

/// Tokens. Keep them like passwords.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokensView {
    access_token: String,
    /// For `Authorization: Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds until the access token expires.
    #[schema(example = 900)]
    expires_in: u64,
    /// Good for one POST /api/auth/refresh.
    refresh_token: String,
    user: UserView,
}

impl From<LoggedIn> for TokensView {
    fn from(tokens: LoggedIn) -> Self {
        Self {
            access_token: tokens.access_token.expose_secret().to_owned(),
            token_type: "Bearer",
            expires_in: tokens.access_ttl.as_secs(),
            refresh_token: tokens.refresh_token.expose_secret().to_owned(),
            user: UserView::from(&tokens.user),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserView {
    #[schema(format = Uuid)]
    id: String,
    email: String,
    name: String,
    pod_id: Option<String>,
    roles: Vec<String>,
    last_login: Option<DateTime<Utc>>,
}

impl From<&User> for UserView {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email.to_string(),
            name: user.name.as_str().to_owned(),
            pod_id: user.pod.as_ref().map(ToString::to_string),
            roles: user.roles.clone(),
            last_login: user.last_login,
        }
    }
}

/// The caller, with what they may do.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MeView {
    #[serde(flatten)]
    user: UserView,
    /// `resource:action`.
    permissions: Vec<&'static str>,
    /// The PODs that the caller belongs to or leads.
    pod_ids: Vec<String>,
}

impl MeView {
    pub(crate) fn new(user: &User, actor: &Actor) -> Self {
        let permissions = domain::user::Permission::ALL.into_iter().filter(|p| actor.may(*p));
        Self {
            user: UserView::from(user),
            permissions: permissions.map(domain::user::Permission::as_str).collect(),
            pod_ids: actor.pods().iter().map(ToString::to_string).collect(),
        }
    }
}
