//! Sessions.

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse, get, post};
use domain::services::AuthError;
use domain::text::Email;
use secrecy::ExposeSecret;

use crate::auth::{Authenticated, origin};
use crate::body::JsonBody;
use crate::dto::auth::{LoginBody, MeView, RefreshBody, TokensView};
use crate::error::Problem;
use crate::server::Api;

/// Log in with e-mail address and password.
#[utoipa::path(tag = "auth", request_body = LoginBody, security(()), responses(
    (status = 200, body = TokensView),
    (status = 401, description = "`wrong_login`", body = Problem),
    (status = 429, description = "`rate_limited`", body = Problem),
))]
#[post("/api/auth/login")]
pub(crate) async fn login(
    api: Data<Api>,
    request: HttpRequest,
    body: JsonBody,
) -> Result<Json<TokensView>, Problem> {
    let body: LoginBody = body.parse()?;
    // What cannot be an address cannot be an account: the same answer as for a wrong password.
    let Ok(email) = Email::parse(&body.email) else { return Err(AuthError::WrongLogin.into()) };
    let tokens = api.authentication.login(&email, &body.password, &origin(&request)).await?;
    Ok(Json(tokens.into()))
}

/// Trade a refresh token for new tokens. A refresh token works once; using it again ends the session.
#[utoipa::path(tag = "auth", request_body = RefreshBody, security(()), responses(
    (status = 200, body = TokensView),
    (status = 401, description = "`refresh_invalid` or `refresh_reused`", body = Problem),
))]
#[post("/api/auth/refresh")]
pub(crate) async fn refresh(api: Data<Api>, body: JsonBody) -> Result<Json<TokensView>, Problem> {
    let body: RefreshBody = body.parse()?;
    let tokens = api.authentication.refresh(body.refresh_token.expose_secret()).await?;
    Ok(Json(tokens.into()))
}

/// End this session. The access token is refused from now on, by every portal process.
#[utoipa::path(tag = "auth", responses((status = 204), (status = 401, body = Problem)))]
#[post("/auth/logout")]
pub(crate) async fn logout(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
) -> Result<HttpResponse, Problem> {
    api.authentication.logout(&caller.0, &origin(&request)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// End all of your sessions.
#[utoipa::path(tag = "auth", responses((status = 204), (status = 401, body = Problem)))]
#[post("/auth/logout-all")]
pub(crate) async fn logout_all(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
) -> Result<HttpResponse, Problem> {
    api.authentication.logout_all(&caller.0, &origin(&request)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Who am I, and what may I do?
#[utoipa::path(tag = "auth", responses((status = 200, body = MeView), (status = 401, body = Problem)))]
#[get("/auth/me")]
pub(crate) async fn me(caller: Authenticated) -> Json<MeView> {
    Json(MeView::new(&caller.0.user, &caller.0.actor))
}
