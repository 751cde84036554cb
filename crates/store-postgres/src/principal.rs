//! Who is behind an access token: asked for every call, so one query, prepared once per connection. And who is behind a
//! user of Slack, which is asked in the same words.
//!
//! A token's `issued_at` has whole seconds, while "log out everywhere" happens at a microsecond. A token is refused
//! here when it was issued in a second before that of the invalidation. Within that one second the rows of
//! the sessions decide, and they are exact: the invalidation revoked every session that existed, so that an
//! older token finds its session revoked, and a login right afterwards has a session of its own and works.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::auth::{PresentedToken, Principal};
use domain::ids::{PodId, SessionId};
use domain::ports::StoreError;
use domain::user::{Actor, PermissionSet};
use futures_util::FutureExt;
use uuid::Uuid;

use crate::pool::PgStore;
use crate::rows::RowReader;
use crate::user_rows::UserRow;

/// Everything about a person that the rules look at, as it is now.
const PERSON: &str = "SELECT u.id, u.email, u.name, u.pod_id, u.slack_user_id, u.is_active, u.last_login, u.created_at, \
    ARRAY(SELECT r.name::text FROM user_roles ur JOIN roles r ON r.id = ur.role_id WHERE ur.user_id = u.id), \
    ARRAY(SELECT DISTINCT p.permission FROM user_roles ur JOIN roles r ON r.id = ur.role_id \
          CROSS JOIN LATERAL jsonb_array_elements_text(r.permissions) AS p (permission) WHERE ur.user_id = u.id), \
    ARRAY(SELECT l.id::text FROM pods l WHERE l.manager_email = u.email AND l.is_active) FROM users u WHERE ";

type PersonColumns = (
    SqlUuid,
    Text,
    Text,
    Nullable<Text>,
    Nullable<Text>,
    Bool,
    Nullable<Timestamptz>,
    Timestamptz,
    Array<Text>,
    Array<Text>,
    Array<Text>,
);

#[derive(Debug, Clone)]
struct PrincipalQuery {
    user: Uuid,
    session: Uuid,
    token_hash: String,
    issued_at: DateTime<Utc>,
}

impl QueryFragment<Pg> for PrincipalQuery {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(PERSON);
        out.push_sql("u.is_active AND u.id = ");
        out.push_bind_param::<SqlUuid, _>(&self.user)?;
        out.push_sql(
            " AND EXISTS (SELECT FROM refresh_tokens t WHERE t.user_id = u.id AND t.rotated_at IS NULL \
                          AND NOT t.is_revoked AND t.session_id = ",
        );
        out.push_bind_param::<SqlUuid, _>(&self.session)?;
        out.push_sql(") AND NOT EXISTS (SELECT FROM access_token_blacklist b WHERE b.token_hash = ");
        out.push_bind_param::<Text, _>(&self.token_hash)?;
        out.push_sql(
            ") AND NOT EXISTS (SELECT FROM user_token_invalidation i WHERE i.user_id = u.id \
                               AND date_trunc('second', i.invalidated_at) > ",
        );
        out.push_bind_param::<Timestamptz, _>(&self.issued_at)?;
        out.push_sql(")");
        Ok(())
    }
}

impl QueryId for PrincipalQuery {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for PrincipalQuery {
    type SqlType = PersonColumns;
}

#[derive(Debug, Clone)]
struct SlackPersonQuery {
    slack_user_id: String,
}

impl QueryFragment<Pg> for SlackPersonQuery {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(PERSON);
        out.push_sql("u.slack_user_id = ");
        out.push_bind_param::<Text, _>(&self.slack_user_id)
    }
}

impl QueryId for SlackPersonQuery {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for SlackPersonQuery {
    type SqlType = PersonColumns;
}

#[derive(Queryable)]
struct PrincipalRow {
    id: Uuid,
    email: String,
    name: String,
    pod_id: Option<String>,
    slack_user_id: Option<String>,
    is_active: bool,
    last_login: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    roles: Vec<String>,
    permissions: Vec<String>,
    led: Vec<String>,
}

pub(crate) async fn find(store: &PgStore, token: &PresentedToken) -> Result<Option<Principal>, StoreError> {
    let claims = &token.claims;
    let query = PrincipalQuery {
        user: claims.user.as_uuid(),
        session: claims.session.as_uuid(),
        token_hash: token.hash.as_str().to_owned(),
        issued_at: claims.issued_at,
    };
    let row: Option<PrincipalRow> = store
        .read(move |connection| {
            let query = query.clone();
            async move { query.get_result(connection).await.optional() }.boxed()
        })
        .await?;
    row.map(|row| row.read(Some(claims.session))).transpose()
}

/// Whose account is tied to a user of Slack, active or not. There is no session.
pub(crate) async fn find_by_slack_id(
    store: &PgStore,
    slack_user_id: &str,
) -> Result<Option<Principal>, StoreError> {
    let query = SlackPersonQuery { slack_user_id: slack_user_id.to_owned() };
    let row: Option<PrincipalRow> = store
        .read(move |connection| {
            let query = query.clone();
            async move { query.get_result(connection).await.optional() }.boxed()
        })
        .await?;
    row.map(|row| row.read(None)).transpose()
}

impl PrincipalRow {
    fn read(self, session: Option<SessionId>) -> Result<Principal, StoreError> {
        let reader = RowReader::new("pods", self.id);
        let user = UserRow {
            id: self.id,
            email: self.email,
            password_hash: String::new(),
            name: self.name,
            pod_id: self.pod_id,
            slack_user_id: self.slack_user_id,
            is_active: self.is_active,
            last_login: self.last_login,
            created_at: self.created_at,
        };
        let user = user.read(self.roles)?;
        let actor = Actor {
            user: user.id,
            email: user.email.clone(),
            name: user.name.clone(),
            pod: user.pod.clone(),
            roles: user.roles.clone(),
            permissions: PermissionSet::from_strings(self.permissions),
            pods_by_email: self
                .led
                .iter()
                .map(|pod| reader.checked("id", PodId::parse(pod)))
                .collect::<Result<_, _>>()?,
            session,
        };
        Ok(Principal { user, actor })
    }
}
