//! PODs, one at a time.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post};
use domain::ids::PodId;
use domain::pod::PodChange;
use domain::user::Permission;

use crate::auth::{Authenticated, origin};
use crate::body::{JsonBody, path_id};
use crate::dto::directory::PodView;
use crate::dto::pod_input::{ChangePodBody, NewPodBody};
use crate::error::Problem;
use crate::server::Api;

/// A POD.
#[utoipa::path(tag = "pods", params(("id" = String, Path)), responses(
    (status = 200, body = PodView),
    (status = 400, body = Problem),
    (status = 401, body = Problem),
    (status = 404, body = Problem),
))]
#[get("/pods/{id}")]
pub(crate) async fn get_pod(
    api: Data<Api>,
    caller: Authenticated,
    id: Path<String>,
) -> Result<Json<PodView>, Problem> {
    let id: PodId = path_id("id", &id)?;
    Ok(Json(api.directory.pod(&caller.0.actor, &id).await?.into()))
}

/// Add a POD.
#[utoipa::path(tag = "pods", request_body = NewPodBody, responses(
    (status = 201, body = PodView),
    (status = 400, description = "`validation`, `invalid_json`", body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`permission`, `foreign_leader`", body = Problem),
    (status = 409, description = "`exists`", body = Problem),
    (status = 415, description = "`not_json`", body = Problem),
))]
#[post("/pods")]
pub(crate) async fn add_pod(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let authority = caller.authority(Permission::ManagePods)?;
    let pod = body.parse::<NewPodBody>()?.into_pod()?;
    api.administration.add_pod(&authority, &pod, origin(&request)).await?;
    let location = format!("/api/pods/{}", pod.id);
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(PodView::from(pod)))
}

/// Change a POD.
#[utoipa::path(tag = "pods", params(("id" = String, Path)), request_body = ChangePodBody, responses(
    (status = 200, body = PodView),
    (status = 400, description = "`validation`, `invalid_json`", body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`permission`, `foreign_leader`", body = Problem),
    (status = 404, body = Problem),
    (status = 409, description = "`changed_meanwhile`", body = Problem),
    (status = 415, description = "`not_json`", body = Problem),
))]
#[patch("/pods/{id}")]
pub(crate) async fn change_pod(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    id: Path<String>,
    body: JsonBody,
) -> Result<Json<PodView>, Problem> {
    let authority = caller.authority(Permission::ManagePods)?;
    let id: PodId = path_id("id", &id)?;
    let change = body.parse::<ChangePodBody>()?.into_change()?;
    let changed = api.administration.change_pod(&authority, &id, change, origin(&request)).await?;
    Ok(Json(changed.into()))
}

/// Deactivate a POD: nothing is submitted for it, and none of its requests runs any more, what is approved included.
/// It is never deleted, since requests refer to it; `PATCH` with `{"active": true}` brings it back.
#[utoipa::path(tag = "pods", params(("id" = String, Path)), responses(
    (status = 200, body = PodView),
    (status = 400, body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`permission`, `foreign_leader`", body = Problem),
    (status = 404, body = Problem),
    (status = 409, description = "`changed_meanwhile`", body = Problem),
))]
#[delete("/pods/{id}")]
pub(crate) async fn deactivate_pod(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    id: Path<String>,
) -> Result<Json<PodView>, Problem> {
    let authority = caller.authority(Permission::ManagePods)?;
    let id: PodId = path_id("id", &id)?;
    let change = PodChange { active: Some(false), ..PodChange::default() };
    let changed = api.administration.change_pod(&authority, &id, change, origin(&request)).await?;
    Ok(Json(changed.into()))
}
