//! Requests: submit, look, decide.

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse, get, post};
use domain::ids::RequestId;
use domain::policy;
use domain::request::Request;
use domain::user::{Actor, Permission};

use crate::auth::{Authenticated, origin};
use crate::body::{JsonBody, path_id, query};
use crate::dto::request::RequestView;
use crate::dto::request_input::{ApproveBody, ListQuery, PageQuery, RejectBody, SubmitBody, WaitQuery};
use crate::dto::request_list::RequestsView;
use crate::error::Problem;
use crate::idempotency::{self, IdempotencyHeader};
use crate::server::Api;

/// Submit a query. It waits for a manager of the POD. Sent again with the same `Idempotency-Key`, it is still one.
#[utoipa::path(tag = "queries", params(IdempotencyHeader), request_body = SubmitBody, responses(
    (status = 201, body = RequestView, headers(
        ("location" = String, description = "The request's own address"),
        ("idempotency-replayed" = Option<bool>, description = "`true` when an earlier call with the key stored the request"),
    )),
    (status = 400, description = "`validation`, `statement_refused`, `invalid_json`", body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`permission`, `foreign_pod`, `pod_without_access`", body = Problem),
    (status = 409, description = "`idempotency_conflict`: the key stands for another submission", body = Problem),
    (status = 413, description = "`body_too_large`", body = Problem),
    (status = 415, description = "`not_json`", body = Problem),
    (status = 429, description = "`too_many_checks`: two scripts or mongodb queries of yours are being read already; `retry-after` says when to try again", body = Problem),
))]
#[post("/queries")]
pub(crate) async fn submit(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let actor = &caller.0.actor;
    policy::permission(actor, Permission::SubmitRequests)?;
    let key = idempotency::key(&request)?;
    let submit = body.parse::<SubmitBody>()?.into_submit()?;
    let submitted = api.submissions.submit(actor, submit, key, origin(&request)).await?;
    Ok(idempotency::created(&submitted))
}

/// The requests that you may see, newest first: your own, those of PODs that you manage, all for admins.
#[utoipa::path(tag = "queries", params(ListQuery), responses(
    (status = 200, body = RequestsView),
    (status = 400, description = "`validation`, `invalid_query`", body = Problem),
    (status = 401, body = Problem),
))]
#[get("/queries")]
pub(crate) async fn list(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
) -> Result<Json<RequestsView>, Problem> {
    let wanted: ListQuery = query(&request)?;
    let page = api.requests.list(&caller.0.actor, &wanted.filter()?, &wanted.page()?).await?;
    Ok(Json(page.into()))
}

/// The requests that wait for your decision.
#[utoipa::path(tag = "queries", params(PageQuery), responses(
    (status = 200, body = RequestsView),
    (status = 400, body = Problem),
    (status = 401, body = Problem),
))]
#[get("/queries/pending")]
pub(crate) async fn pending(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
) -> Result<Json<RequestsView>, Problem> {
    let wanted: PageQuery = query(&request)?;
    Ok(Json(api.requests.pending(&caller.0.actor, &wanted.page()?).await?.into()))
}

/// One request. With `wait`, the answer comes when the request is over, or after so many seconds.
#[utoipa::path(tag = "queries", params(("id" = String, Path, format = Uuid), WaitQuery), responses(
    (status = 200, body = RequestView),
    (status = 400, body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`not_visible`", body = Problem),
    (status = 404, body = Problem),
))]
#[get("/queries/{id}")]
pub(crate) async fn get(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    id: Path<String>,
) -> Result<Json<RequestView>, Problem> {
    let wanted: WaitQuery = query(&request)?;
    let id: RequestId = path_id("id", &id)?;
    let actor = &caller.0.actor;
    let found = match wanted.duration() {
        None => api.requests.get(actor, id).await?,
        Some(wait) => api.requests.wait(actor, id, wait, true).await?,
    };
    Ok(Json(RequestView::from(&found)))
}

/// Approve. With the last approval that is needed, the request is executed.
/// With `wait`, the answer comes when the execution is over, or after so many seconds.
#[utoipa::path(tag = "queries", params(("id" = String, Path, format = Uuid), WaitQuery),
    request_body(content = Option<ApproveBody>), responses(
    (status = 200, body = RequestView),
    (status = 400, body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`own_request`, `not_decider`, `not_visible`", body = Problem),
    (status = 404, body = Problem),
    (status = 409, description = "`invalid_state`, `conflict`, `already_approved`, `digest_mismatch`, `digest_required`", body = Problem),
))]
#[post("/queries/{id}/approve")]
pub(crate) async fn approve(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    id: Path<String>,
    body: JsonBody,
) -> Result<Json<RequestView>, Problem> {
    let wanted: WaitQuery = query(&request)?;
    let id: RequestId = path_id("id", &id)?;
    let actor = &caller.0.actor;
    let digest = body.parse_or_default::<ApproveBody>()?.digest()?;
    let approved = api.requests.approve(actor, id, digest, origin(&request)).await?;
    after_waiting(&api, actor, approved, &wanted).await
}

/// Reject, with a reason for the requester.
#[utoipa::path(tag = "queries", params(("id" = String, Path, format = Uuid)), request_body = RejectBody, responses(
    (status = 200, body = RequestView),
    (status = 400, body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`own_request`, `not_decider`, `not_visible`", body = Problem),
    (status = 404, body = Problem),
    (status = 409, description = "`invalid_state`, `conflict`", body = Problem),
))]
#[post("/queries/{id}/reject")]
pub(crate) async fn reject(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    id: Path<String>,
    body: JsonBody,
) -> Result<Json<RequestView>, Problem> {
    let id: RequestId = path_id("id", &id)?;
    let reason = body.parse::<RejectBody>()?.reason()?;
    let rejected = api.requests.reject(&caller.0.actor, id, reason, origin(&request)).await?;
    Ok(Json(RequestView::from(&rejected)))
}

/// Take your own request back, as long as it has not started.
#[utoipa::path(tag = "queries", params(("id" = String, Path, format = Uuid)), responses(
    (status = 200, body = RequestView),
    (status = 401, body = Problem),
    (status = 403, description = "`not_requester`, `not_visible`", body = Problem),
    (status = 404, body = Problem),
    (status = 409, description = "`invalid_state`, `conflict`", body = Problem),
))]
#[post("/queries/{id}/withdraw")]
pub(crate) async fn withdraw(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    id: Path<String>,
) -> Result<Json<RequestView>, Problem> {
    let id: RequestId = path_id("id", &id)?;
    let withdrawn = api.requests.withdraw(&caller.0.actor, id, origin(&request)).await?;
    Ok(Json(RequestView::from(&withdrawn)))
}

/// The request once it is over, when the client wants to wait for that; else as it is.
pub(super) async fn after_waiting(
    api: &Api,
    actor: &Actor,
    request: Request,
    wanted: &WaitQuery,
) -> Result<Json<RequestView>, Problem> {
    let request = match wanted.duration() {
        None => request,
        Some(wait) => api.requests.wait(actor, request.id, wait, false).await?,
    };
    Ok(Json(RequestView::from(&request)))
}
