//! Targets, one at a time: looking, setting up, trying.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, put};
use domain::ids::InstanceId;
use domain::services::Authority;
use domain::target::{Target, TargetChange};
use domain::text::DatabaseName;
use domain::user::Permission;

use crate::auth::{Authenticated, origin};
use crate::body::{JsonBody, path_id};
use crate::dto::connections::{InstanceDetailView, SyncView, TestView};
use crate::dto::directory::DatabaseView;
use crate::dto::instance_input::{BindBody, ChangeInstanceBody, DatabaseBody, NewInstanceBody};
use crate::error::Problem;
use crate::server::Api;

/// An instance that your PODs may use. Who manages instances sees how the portal connects to it, too.
#[utoipa::path(tag = "instances", params(("id" = String, Path)), responses(
    (status = 200, body = InstanceDetailView),
    (status = 400, body = Problem),
    (status = 401, body = Problem),
    (status = 404, description = "No such instance, or none that your PODs may use", body = Problem),
))]
#[get("/instances/{id}")]
pub(crate) async fn get_instance(
    api: Data<Api>,
    caller: Authenticated,
    id: Path<String>,
) -> Result<Json<InstanceDetailView>, Problem> {
    let id: InstanceId = path_id("id", &id)?;
    let target = api.directory.target(&caller.0.actor, &id).await?;
    Ok(Json(match caller.authority(Permission::ManageTargets) {
        Ok(authority) => detail(&api, &authority, target).await?,
        Err(_) => InstanceDetailView::public(&target),
    }))
}

/// Add an instance. Its credential is named, never given, and by adding it you say that this credential may go where
/// the connection leads.
#[utoipa::path(tag = "instances", request_body = NewInstanceBody, responses(
    (status = 201, body = InstanceDetailView),
    (status = 400, description = "`validation`, `invalid_json`", body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`permission`", body = Problem),
    (status = 409, description = "`exists`", body = Problem),
    (status = 413, description = "`body_too_large`", body = Problem),
    (status = 415, description = "`not_json`", body = Problem),
))]
#[post("/instances")]
pub(crate) async fn add_instance(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let authority = caller.authority(Permission::ManageTargets)?;
    let new = body.parse::<NewInstanceBody>()?.into_target()?;
    api.administration.add_target(&authority, &new, origin(&request)).await?;
    let location = format!("/api/instances/{}", new.target.id);
    let view = detail(&api, &authority, new.target).await?;
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(view))
}

/// Change an instance. A change of its connection (host, port, TLS, credential) takes the credential away until it is
/// bound again, and approvals of before are void.
#[utoipa::path(tag = "instances", params(("id" = String, Path)), request_body = ChangeInstanceBody, responses(
    (status = 200, body = InstanceDetailView),
    (status = 400, description = "`validation`, `invalid_json`", body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`permission`", body = Problem),
    (status = 404, body = Problem),
    (status = 409, description = "`changed_meanwhile`", body = Problem),
    (status = 413, description = "`body_too_large`", body = Problem),
    (status = 415, description = "`not_json`", body = Problem),
))]
#[patch("/instances/{id}")]
pub(crate) async fn change_instance(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    id: Path<String>,
    body: JsonBody,
) -> Result<Json<InstanceDetailView>, Problem> {
    let authority = caller.authority(Permission::ManageTargets)?;
    let id: InstanceId = path_id("id", &id)?;
    let change = body.parse::<ChangeInstanceBody>()?.into_change()?;
    let changed = api.administration.change_target(&authority, &id, change, origin(&request)).await?;
    Ok(Json(detail(&api, &authority, changed).await?))
}

/// Deactivate an instance: nothing is submitted to it or runs on it any more, what is approved included. It is never
/// deleted, since requests refer to it; `PATCH` with `{"active": true}` brings it back.
#[utoipa::path(tag = "instances", params(("id" = String, Path)), responses(
    (status = 200, body = InstanceDetailView),
    (status = 400, body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`permission`", body = Problem),
    (status = 404, body = Problem),
    (status = 409, description = "`changed_meanwhile`", body = Problem),
))]
#[delete("/instances/{id}")]
pub(crate) async fn deactivate_instance(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    id: Path<String>,
) -> Result<Json<InstanceDetailView>, Problem> {
    let authority = caller.authority(Permission::ManageTargets)?;
    let id: InstanceId = path_id("id", &id)?;
    let change = TargetChange { active: Some(false), ..TargetChange::default() };
    let changed = api.administration.change_target(&authority, &id, change, origin(&request)).await?;
    Ok(Json(detail(&api, &authority, changed).await?))
}

/// Say that the credential which the instance names may go where its connection leads. Name the revision of the
/// connection that you looked at.
#[utoipa::path(tag = "instances", params(("id" = String, Path)), request_body = BindBody, responses(
    (status = 200, body = InstanceDetailView),
    (status = 400, description = "`validation`, `invalid_json`", body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`permission`", body = Problem),
    (status = 404, body = Problem),
    (status = 409, description = "`connection_changed`, `changed_meanwhile`", body = Problem),
    (status = 415, description = "`not_json`", body = Problem),
))]
#[post("/instances/{id}/bind")]
pub(crate) async fn bind_credentials(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    id: Path<String>,
    body: JsonBody,
) -> Result<Json<InstanceDetailView>, Problem> {
    let authority = caller.authority(Permission::ManageTargets)?;
    let id: InstanceId = path_id("id", &id)?;
    let revision = body.parse::<BindBody>()?.connection_revision;
    let bound = api.administration.bind_credentials(&authority, &id, revision, origin(&request)).await?;
    Ok(Json(detail(&api, &authority, bound).await?))
}

/// Connect to an instance as an execution would, and say what came of it. A failed try is an answer, too: `ok` is
/// false then.
#[utoipa::path(tag = "instances", params(("id" = String, Path)), responses(
    (status = 200, body = TestView),
    (status = 400, body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`permission`", body = Problem),
    (status = 404, body = Problem),
    (status = 409, description = "`credentials_not_bound`", body = Problem),
))]
#[post("/instances/{id}/test")]
pub(crate) async fn test_instance(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    id: Path<String>,
) -> Result<Json<TestView>, Problem> {
    let authority = caller.authority(Permission::ManageTargets)?;
    let id: InstanceId = path_id("id", &id)?;
    let report = api.connections.test(&authority, &id, origin(&request)).await?;
    Ok(Json(report.into()))
}

/// Bring the list of databases up to date with the server's. Databases that were entered by hand stay as they are, and
/// all of them when the connection was changed or a later look was faster.
#[utoipa::path(tag = "instances", params(("id" = String, Path)), responses(
    (status = 200, body = SyncView),
    (status = 400, body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`permission`", body = Problem),
    (status = 404, body = Problem),
    (status = 409, description = "`credentials_not_bound`, `changed_meanwhile`", body = Problem),
))]
#[post("/instances/{id}/sync")]
pub(crate) async fn sync_databases(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    id: Path<String>,
) -> Result<Json<SyncView>, Problem> {
    let authority = caller.authority(Permission::ManageTargets)?;
    let id: InstanceId = path_id("id", &id)?;
    let report = api.connections.sync(&authority, &id, origin(&request)).await?;
    Ok(Json(report.into()))
}

/// Enter a database by hand, or change what is known of one. A sync leaves it as it is from then on.
#[utoipa::path(tag = "instances", params(("id" = String, Path), ("name" = String, Path)), request_body = DatabaseBody,
    responses(
        (status = 200, body = DatabaseView),
        (status = 400, description = "`validation`, `invalid_json`", body = Problem),
        (status = 401, body = Problem),
        (status = 403, description = "`permission`", body = Problem),
        (status = 404, body = Problem),
        (status = 409, description = "`changed_meanwhile`", body = Problem),
        (status = 415, description = "`not_json`", body = Problem),
))]
#[put("/instances/{id}/dbs/{name}")]
pub(crate) async fn put_database(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    path: Path<(String, String)>,
    body: JsonBody,
) -> Result<Json<DatabaseView>, Problem> {
    let authority = caller.authority(Permission::ManageTargets)?;
    let id: InstanceId = path_id("id", &path.0)?;
    let name = DatabaseName::parse(&path.1).map_err(|error| Problem::field("name", error.to_string()))?;
    let change = body.parse_or_default::<DatabaseBody>()?.into_change(name);
    let stored = api.administration.put_database(&authority, &id, change, origin(&request)).await?;
    Ok(Json(stored.into()))
}

/// With what is known of its databases, for those who manage it.
async fn detail(api: &Api, authority: &Authority<'_>, target: Target) -> Result<InstanceDetailView, Problem> {
    let last_sync = api.administration.last_sync(authority, &target.id).await?;
    Ok(InstanceDetailView::managed(target, last_sync))
}
