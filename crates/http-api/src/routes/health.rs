//! For load balancers and operators.

use actix_web::get;
use actix_web::web::{Data, Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Problem;
use crate::server::Api;

#[derive(Serialize, ToSchema)]
pub(crate) struct HealthView {
    #[schema(example = "ok")]
    status: &'static str,
}

/// The process runs.
#[utoipa::path(tag = "health", security(()), responses((status = 200, body = HealthView)))]
#[get("/health/live")]
pub(crate) async fn live() -> Json<HealthView> {
    Json(HealthView { status: "ok" })
}

/// The process can work: its database answers and has all migrations.
#[utoipa::path(tag = "health", security(()), responses((status = 200, body = HealthView)))]
#[get("/health/ready")]
pub(crate) async fn ready(api: Data<Api>) -> Result<Json<HealthView>, Problem> {
    api.health.check().await?;
    Ok(Json(HealthView { status: "ok" }))
}
