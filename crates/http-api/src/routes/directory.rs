//! Targets and PODs.

use actix_web::get;
use actix_web::web::{Data, Json, Path};
use domain::ids::InstanceId;

use crate::auth::Authenticated;
use crate::body::path_id;
use crate::dto::directory::{DatabasesView, InstancesView, PodsView};
use crate::error::Problem;
use crate::server::Api;

/// The instances that your PODs may use.
#[utoipa::path(tag = "instances", responses((status = 200, body = InstancesView), (status = 401, body = Problem)))]
#[get("/instances")]
pub(crate) async fn instances(api: Data<Api>, caller: Authenticated) -> Result<Json<InstancesView>, Problem> {
    Ok(Json(api.directory.targets(&caller.0.actor).await?.into()))
}

/// The databases of an instance.
#[utoipa::path(tag = "instances", params(("id" = String, Path)), responses(
    (status = 200, body = DatabasesView),
    (status = 401, body = Problem),
    (status = 404, description = "No such instance, or none that your PODs may use", body = Problem),
))]
#[get("/instances/{id}/dbs")]
pub(crate) async fn databases(
    api: Data<Api>,
    caller: Authenticated,
    id: Path<String>,
) -> Result<Json<DatabasesView>, Problem> {
    let id: InstanceId = path_id("id", &id)?;
    Ok(Json(api.directory.databases(&caller.0.actor, &id).await?.into()))
}

/// The PODs.
#[utoipa::path(tag = "pods", responses((status = 200, body = PodsView), (status = 401, body = Problem)))]
#[get("/pods")]
pub(crate) async fn pods(api: Data<Api>, caller: Authenticated) -> Result<Json<PodsView>, Problem> {
    Ok(Json(api.directory.pods(&caller.0.actor).await?.into()))
}
