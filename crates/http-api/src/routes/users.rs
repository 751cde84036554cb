//! Accounts and roles.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post};
use domain::ids::UserId;
use domain::services::AccountChange;
use domain::user::Permission;

use crate::auth::{Authenticated, origin};
use crate::body::{JsonBody, path_id, query};
use crate::dto::accounts::{
    AccountView, AccountsView, ChangeAccountBody, NewAccountBody, RolesView, SetPasswordBody,
};
use crate::dto::request_input::PageQuery;
use crate::error::Problem;
use crate::server::Api;

/// The accounts, by e-mail address.
#[utoipa::path(tag = "users", params(PageQuery), responses(
    (status = 200, body = AccountsView),
    (status = 400, description = "`validation`, `invalid_query`", body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`permission`", body = Problem),
))]
#[get("/users")]
pub(crate) async fn list_users(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
) -> Result<Json<AccountsView>, Problem> {
    let authority = caller.authority(Permission::ManageUsers)?;
    let (after, limit) = query::<PageQuery>(&request)?.by_email()?;
    let users = api.administration.users(&authority, after, limit + 1).await?;
    Ok(Json(AccountsView::new(users, limit as usize)))
}

/// An account.
#[utoipa::path(tag = "users", params(("id" = String, Path, format = Uuid)), responses(
    (status = 200, body = AccountView),
    (status = 400, body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`permission`", body = Problem),
    (status = 404, body = Problem),
))]
#[get("/users/{id}")]
pub(crate) async fn get_user(
    api: Data<Api>,
    caller: Authenticated,
    id: Path<String>,
) -> Result<Json<AccountView>, Problem> {
    let authority = caller.authority(Permission::ManageUsers)?;
    let id: UserId = path_id("id", &id)?;
    Ok(Json(AccountView::from(&api.administration.user(&authority, id).await?)))
}

/// Create an account. Nobody hands out permissions that they do not have.
#[utoipa::path(tag = "users", request_body = NewAccountBody, responses(
    (status = 201, body = AccountView),
    (status = 400, description = "`validation`, `invalid_json`", body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`permission`, `stronger_account`", body = Problem),
    (status = 409, description = "`email_taken`", body = Problem),
    (status = 415, description = "`not_json`", body = Problem),
))]
#[post("/users")]
pub(crate) async fn add_user(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let authority = caller.authority(Permission::ManageUsers)?;
    let account = body.parse::<NewAccountBody>()?.into_account()?;
    let user = api.administration.create_user(&authority, account, origin(&request)).await?;
    let location = format!("/api/users/{}", user.id);
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(AccountView::from(&user)))
}

/// Change an account. It acts on the person's next call. Nobody changes their own roles, POD or activity.
#[utoipa::path(tag = "users", params(("id" = String, Path, format = Uuid)), request_body = ChangeAccountBody, responses(
    (status = 200, body = AccountView),
    (status = 400, description = "`validation`, `invalid_json`", body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`permission`, `own_account`, `stronger_account`", body = Problem),
    (status = 404, body = Problem),
    (status = 409, description = "`changed_meanwhile`", body = Problem),
    (status = 415, description = "`not_json`", body = Problem),
))]
#[patch("/users/{id}")]
pub(crate) async fn change_user(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    id: Path<String>,
    body: JsonBody,
) -> Result<Json<AccountView>, Problem> {
    let authority = caller.authority(Permission::ManageUsers)?;
    let id: UserId = path_id("id", &id)?;
    let change = body.parse::<ChangeAccountBody>()?.into_change()?;
    let changed = api.administration.change_user(&authority, id, change, origin(&request)).await?;
    Ok(Json(AccountView::from(&changed)))
}

/// Deactivate an account: all of its sessions end at once. It is never deleted, since requests and the audit trail
/// refer to it; `PATCH` with `{"active": true}` brings it back.
#[utoipa::path(tag = "users", params(("id" = String, Path, format = Uuid)), responses(
    (status = 200, body = AccountView),
    (status = 400, body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`permission`, `own_account`, `stronger_account`", body = Problem),
    (status = 404, body = Problem),
    (status = 409, description = "`changed_meanwhile`", body = Problem),
))]
#[delete("/users/{id}")]
pub(crate) async fn deactivate_user(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    id: Path<String>,
) -> Result<Json<AccountView>, Problem> {
    let authority = caller.authority(Permission::ManageUsers)?;
    let id: UserId = path_id("id", &id)?;
    let change = AccountChange { active: Some(false), ..AccountChange::default() };
    let changed = api.administration.change_user(&authority, id, change, origin(&request)).await?;
    Ok(Json(AccountView::from(&changed)))
}

/// Set somebody's password, which ends all of their sessions. Your own is set by POST /api/auth/password.
#[utoipa::path(tag = "users", params(("id" = String, Path, format = Uuid)), request_body = SetPasswordBody, responses(
    (status = 204),
    (status = 400, description = "`validation`, `invalid_json`", body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`permission`, `own_account`, `stronger_account`", body = Problem),
    (status = 404, body = Problem),
    (status = 409, description = "`changed_meanwhile`", body = Problem),
    (status = 415, description = "`not_json`", body = Problem),
))]
#[post("/users/{id}/password")]
pub(crate) async fn set_password(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    id: Path<String>,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let authority = caller.authority(Permission::ManageUsers)?;
    let id: UserId = path_id("id", &id)?;
    let password = body.parse::<SetPasswordBody>()?.parse()?;
    api.administration.set_password(&authority, id, &password, origin(&request)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The roles that an account can have.
#[utoipa::path(tag = "users", responses(
    (status = 200, body = RolesView),
    (status = 401, body = Problem),
    (status = 403, description = "`permission`", body = Problem),
))]
#[get("/roles")]
pub(crate) async fn list_roles(api: Data<Api>, caller: Authenticated) -> Result<Json<RolesView>, Problem> {
    let authority = caller.authority(Permission::ManageUsers)?;
    Ok(Json(api.administration.roles(&authority).await?.into()))
}
