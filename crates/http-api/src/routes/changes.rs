//! Requests that are there already: change, submit again, stop, resolve. And texts that are not submitted yet.

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse, patch, post};
use domain::ids::RequestId;
use domain::policy;
use domain::services::SubmitError;
use domain::user::Permission;

use crate::auth::{Authenticated, origin};
use crate::body::{JsonBody, path_id, query};
use crate::dto::request::RequestView;
use crate::dto::request_changes::{Asked, CheckBody, CheckView, EditBody, ResolveBody};
use crate::dto::request_input::WaitQuery;
use crate::error::Problem;
use crate::idempotency::{self, IdempotencyHeader};
use crate::routes::requests::after_waiting;
use crate::server::Api;

/// Change your own pending request. Approvals that it had do not count any more, and the next ones have to name the
/// new digest.
#[utoipa::path(tag = "queries", params(("id" = String, Path, format = Uuid)), request_body = EditBody, responses(
    (status = 200, body = RequestView),
    (status = 400, description = "`validation`, `statement_refused`, `invalid_json`", body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`not_requester`, `not_visible`, `pod_without_access`", body = Problem),
    (status = 404, body = Problem),
    (status = 409, description = "`invalid_state`, `conflict`, `expired`", body = Problem),
    (status = 413, description = "`body_too_large`", body = Problem),
    (status = 415, description = "`not_json`", body = Problem),
    (status = 429, description = "`too_many_checks`: two scripts or mongodb queries of yours are being read already; `retry-after` says when to try again", body = Problem),
))]
#[patch("/queries/{id}")]
pub(crate) async fn edit(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    id: Path<String>,
    body: JsonBody,
) -> Result<Json<RequestView>, Problem> {
    let id: RequestId = path_id("id", &id)?;
    let changes = body.parse::<EditBody>()?.into_changes()?;
    let edited = api.submissions.edit(&caller.0.actor, id, changes, origin(&request)).await?;
    Ok(Json(RequestView::from(&edited)))
}

/// Submit one of your requests once more, as a new one, to the instance as it is now. Asked again with the same
/// `Idempotency-Key`, there is still one new request.
#[utoipa::path(tag = "queries", params(("id" = String, Path, format = Uuid), IdempotencyHeader), responses(
    (status = 201, body = RequestView, headers(
        ("location" = String, description = "The new request's own address"),
        ("idempotency-replayed" = Option<bool>, description = "`true` when an earlier call with the key stored the request"),
    )),
    (status = 400, description = "`validation`, `statement_refused`: what was fine then is not now", body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`not_requester`, `not_visible`, `permission`, `pod_without_access`", body = Problem),
    (status = 404, body = Problem),
    (status = 409, description = "`idempotency_conflict`: the key stands for another submission", body = Problem),
    (status = 429, description = "`too_many_checks`: two scripts or mongodb queries of yours are being read already; `retry-after` says when to try again", body = Problem),
))]
#[post("/queries/{id}/clone")]
pub(crate) async fn submit_again(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let id: RequestId = path_id("id", &id)?;
    let key = idempotency::key(&request)?;
    let submitted = api.submissions.submit_again(&caller.0.actor, id, key, origin(&request)).await?;
    Ok(idempotency::created(&submitted))
}

/// Stop a running execution. It is `cancelled` once the rollback is certain; a commit that was faster completes it.
/// With `wait`, the answer comes when the request is over, or after so many seconds.
#[utoipa::path(tag = "queries", params(("id" = String, Path, format = Uuid), WaitQuery), responses(
    (status = 200, body = RequestView),
    (status = 400, body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`not_decider`, `not_visible`", body = Problem),
    (status = 404, body = Problem),
    (status = 409, description = "`invalid_state`: it is not running", body = Problem),
))]
#[post("/queries/{id}/cancel")]
pub(crate) async fn cancel(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    id: Path<String>,
) -> Result<Json<RequestView>, Problem> {
    let wanted: WaitQuery = query(&request)?;
    let id: RequestId = path_id("id", &id)?;
    let actor = &caller.0.actor;
    let cancelled = api.requests.cancel(actor, id, origin(&request)).await?;
    after_waiting(&api, actor, cancelled, &wanted).await
}

/// Say of an interrupted request whether its changes took effect, after having looked. Never for your own.
#[utoipa::path(tag = "queries", params(("id" = String, Path, format = Uuid)), request_body = ResolveBody, responses(
    (status = 200, body = RequestView),
    (status = 400, body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`own_request`, `not_decider`, `not_visible`", body = Problem),
    (status = 404, body = Problem),
    (status = 409, description = "`invalid_state`: it is not interrupted", body = Problem),
))]
#[post("/queries/{id}/resolve")]
pub(crate) async fn resolve(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    id: Path<String>,
    body: JsonBody,
) -> Result<Json<RequestView>, Problem> {
    let id: RequestId = path_id("id", &id)?;
    let (committed, note) = body.parse::<ResolveBody>()?.parse()?;
    let resolved = api.requests.resolve(&caller.0.actor, id, committed, note, origin(&request)).await?;
    Ok(Json(RequestView::from(&resolved)))
}

/// What would a submission of this text be told? Nothing is stored, and the instance is not asked.
#[utoipa::path(tag = "queries", request_body = CheckBody, responses(
    (status = 200, body = CheckView),
    (status = 400, description = "`validation`, `invalid_json`", body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`permission`", body = Problem),
    (status = 429, description = "`too_many_checks`: two scripts or mongodb queries of yours are being read already; `retry-after` says when to try again", body = Problem),
))]
#[post("/queries/check")]
pub(crate) async fn check(
    api: Data<Api>,
    caller: Authenticated,
    body: JsonBody,
) -> Result<Json<CheckView>, Problem> {
    let actor = &caller.0.actor;
    policy::permission(actor, Permission::SubmitRequests)?;
    let Asked { instance, database, kind, text } = body.parse::<CheckBody>()?.parse()?;
    match api.submissions.check(actor, &instance, database, kind, text).await {
        Ok(looked) => Ok(Json(CheckView::from(looked))),
        Err(SubmitError::Refused(refusal)) => Ok(Json(CheckView::from(refusal))),
        Err(error) => Err(error.into()),
    }
}
