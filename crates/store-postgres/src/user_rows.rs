//! People and roles as rows.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::ids::{PodId, UserId};
use domain::ports::StoreError;
use domain::text::{DisplayName, Email};
use domain::user::{PermissionSet, Role, User};
use serde_json::Value;
use uuid::Uuid;

use crate::rows::RowReader;
use crate::schema::{roles, user_roles, users};

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = users, check_for_backend(diesel::pg::Pg))]
pub(crate) struct UserRow {
    pub(crate) id: Uuid,
    pub(crate) email: String,
    pub(crate) password_hash: String,
    pub(crate) name: String,
    pub(crate) pod_id: Option<String>,
    pub(crate) slack_user_id: Option<String>,
    pub(crate) is_active: bool,
    pub(crate) last_login: Option<DateTime<Utc>>,
    pub(crate) created_at: DateTime<Utc>,
}

impl UserRow {
    pub(crate) fn read(self, mut roles: Vec<String>) -> Result<User, StoreError> {
        let row = RowReader::new("users", self.id);
        roles.sort();
        Ok(User {
            id: UserId::from_uuid(self.id),
            email: row.checked("email", Email::parse(&self.email))?,
            name: row.checked("name", DisplayName::parse(&self.name))?,
            pod: self.pod_id.map(|pod| row.checked("pod_id", PodId::parse(&pod))).transpose()?,
            slack_user_id: self.slack_user_id,
            active: self.is_active,
            roles,
            last_login: self.last_login,
            created_at: self.created_at,
        })
    }
}

/// A person with the names of their roles.
pub(crate) async fn find_user(
    connection: &mut AsyncPgConnection,
    id: Uuid,
) -> QueryResult<Option<(UserRow, Vec<String>)>> {
    let row: Option<UserRow> =
        users::table.find(id).select(UserRow::as_select()).get_result(connection).await.optional()?;
    let Some(row) = row else { return Ok(None) };
    let roles = roles_of(connection, id).await?;
    Ok(Some((row, roles)))
}

pub(crate) async fn roles_of(connection: &mut AsyncPgConnection, user: Uuid) -> QueryResult<Vec<String>> {
    user_roles::table
        .inner_join(roles::table)
        .filter(user_roles::user_id.eq(user))
        .select(roles::name)
        .load(connection)
        .await
}

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = roles, check_for_backend(diesel::pg::Pg))]
pub(crate) struct RoleRow {
    name: String,
    description: String,
    permissions: Value,
}

impl RoleRow {
    pub(crate) fn read(self) -> Result<Role, StoreError> {
        let row = RowReader::new("roles", &self.name);
        let permissions: Vec<String> =
            row.checked("permissions", serde_json::from_value(self.permissions))?;
        Ok(Role {
            name: self.name,
            description: self.description,
            permissions: PermissionSet::from_strings(permissions),
        })
    }
}
