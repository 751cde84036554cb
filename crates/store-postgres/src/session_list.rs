//! The logins of a person, as they see them in a list.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::dsl::exists;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::Timestamp;
use domain::auth::SessionInfo;
use domain::ids::{SessionId, UserId};
use uuid::Uuid;

use crate::schema::refresh_tokens;

/// The token of a session that is good for another rotation.
#[derive(Queryable, Selectable)]
#[diesel(table_name = refresh_tokens, check_for_backend(diesel::pg::Pg))]
struct CurrentToken {
    session_id: Uuid,
    device_info: Option<String>,
    ip_address: Option<String>,
    expires_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
}

/// Whether a session is one of this person's and was not ended: what a presented access token of it is asked, too.
pub(crate) async fn is_live(
    connection: &mut AsyncPgConnection,
    user: UserId,
    session: SessionId,
) -> QueryResult<bool> {
    let current = refresh_tokens::table
        .filter(refresh_tokens::user_id.eq(user.as_uuid()))
        .filter(refresh_tokens::session_id.eq(session.as_uuid()))
        .filter(refresh_tokens::rotated_at.is_null())
        .filter(refresh_tokens::is_revoked.eq(false));
    diesel::select(exists(current)).get_result(connection).await
}

/// The sessions with a token that is good for another rotation. A session began with the first of its tokens.
pub(crate) async fn live_sessions(
    connection: &mut AsyncPgConnection,
    user: Uuid,
    now: Timestamp,
) -> QueryResult<Vec<SessionInfo>> {
    let current: Vec<CurrentToken> = refresh_tokens::table
        .filter(refresh_tokens::user_id.eq(user))
        .filter(refresh_tokens::rotated_at.is_null())
        .filter(refresh_tokens::is_revoked.eq(false))
        .filter(refresh_tokens::expires_at.gt(now))
        .order((refresh_tokens::created_at.desc(), refresh_tokens::id.desc()))
        .select(CurrentToken::as_select())
        .load(connection)
        .await?;
    let ids: Vec<Uuid> = current.iter().map(|token| token.session_id).collect();
    let first: Vec<(Uuid, Option<DateTime<Utc>>)> = refresh_tokens::table
        .filter(refresh_tokens::session_id.eq_any(ids))
        .group_by(refresh_tokens::session_id)
        .select((refresh_tokens::session_id, diesel::dsl::min(refresh_tokens::created_at)))
        .load(connection)
        .await?;
    let started: HashMap<Uuid, DateTime<Utc>> =
        first.into_iter().filter_map(|(session, at)| Some((session, at?))).collect();
    let info = |token: CurrentToken| SessionInfo {
        id: SessionId::from_uuid(token.session_id),
        started_at: started.get(&token.session_id).copied().unwrap_or(token.created_at),
        device: token.device_info,
        ip: token.ip_address,
        refreshed_at: token.created_at,
        expires_at: token.expires_at,
    };
    Ok(current.into_iter().map(info).collect())
}
