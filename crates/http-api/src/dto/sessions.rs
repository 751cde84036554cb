//! One's own sessions and password.

use chrono::{DateTime, Utc};
use domain::auth::SessionInfo;
use domain::ids::SessionId;
use domain::text::NewPassword;
use garde::Validate;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::password_length;
use crate::body::Fields;
use crate::error::Problem;

/// Your live sessions, the one that was used last first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionsView {
    items: Vec<SessionView>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionView {
    #[schema(format = Uuid)]
    id: String,
    /// Whether it is the one that asks.
    current: bool,
    /// The client as it named itself.
    device: Option<String>,
    ip: Option<String>,
    started_at: DateTime<Utc>,
    /// When its refresh token was traded last.
    refreshed_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

impl SessionsView {
    pub(crate) fn new(sessions: Vec<SessionInfo>, current: SessionId) -> Self {
        let view = |session: SessionInfo| SessionView {
            id: session.id.to_string(),
            current: session.id == current,
            device: session.device,
            ip: session.ip,
            started_at: session.started_at,
            refreshed_at: session.refreshed_at,
            expires_at: session.expires_at,
        };
        Self { items: sessions.into_iter().map(view).collect() }
    }
}

#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct ChangePasswordBody {
    #[schema(value_type = String, format = Password)]
    current_password: SecretString,
    /// 12 characters at least, 71 bytes at most.
    #[schema(value_type = String, format = Password)]
    new_password: SecretString,
}

impl ChangePasswordBody {
    /// The current password and the new one.
    pub(crate) fn parse(self) -> Result<(SecretString, NewPassword), Problem> {
        let mut fields = Fields::default();
        fields.take("currentPassword", password_length(&self.current_password, &()));
        let new = fields.take("newPassword", NewPassword::parse(self.new_password));
        fields.finish()?;
        let new = new.expect("Fields::finish reports every field that could not be taken");
        Ok((self.current_password, new))
    }
}
