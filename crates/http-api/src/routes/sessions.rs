//! One's own sessions and password.

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse, delete, get, post};
use domain::ids::SessionId;

use crate::auth::{Authenticated, origin};
use crate::body::{JsonBody, path_id};
use crate::dto::sessions::{ChangePasswordBody, SessionsView};
use crate::error::Problem;
use crate::server::Api;

/// Your live sessions.
#[utoipa::path(tag = "auth", responses((status = 200, body = SessionsView), (status = 401, body = Problem)))]
#[get("/auth/sessions")]
pub(crate) async fn list_sessions(
    api: Data<Api>,
    caller: Authenticated,
) -> Result<Json<SessionsView>, Problem> {
    let sessions = api.authentication.sessions(&caller.0).await?;
    Ok(Json(SessionsView::new(sessions, caller.0.token.claims.session)))
}

/// End one of your sessions, by every portal process and at once.
#[utoipa::path(tag = "auth", params(("id" = String, Path, format = Uuid)), responses(
    (status = 204),
    (status = 400, body = Problem),
    (status = 401, body = Problem),
    (status = 404, description = "You have no such session", body = Problem),
))]
#[delete("/auth/sessions/{id}")]
pub(crate) async fn end_session(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let id: SessionId = path_id("id", &id)?;
    api.authentication.end_session(&caller.0, id, &origin(&request)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Change your password, which ends all of your sessions, this one too: log in again.
#[utoipa::path(tag = "auth", request_body = ChangePasswordBody, responses(
    (status = 204),
    (status = 400, description = "`validation`, `invalid_json`", body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`wrong_password`", body = Problem),
    (status = 415, description = "`not_json`", body = Problem),
    (status = 429, description = "`rate_limited`", body = Problem),
))]
#[post("/auth/password")]
pub(crate) async fn change_password(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let (current, new) = body.parse::<ChangePasswordBody>()?.parse()?;
    api.authentication.change_password(&caller.0, &current, &new, &origin(&request)).await?;
    Ok(HttpResponse::NoContent().finish())
}
