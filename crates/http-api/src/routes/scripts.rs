//! Scripts: upload one, see where it stands, read what it said and did.

use actix_web::web::{Data, Json, Path, Payload};
use actix_web::{HttpRequest, HttpResponse, get, post};
use domain::ids::RequestId;
use domain::policy;
use domain::user::Permission;

use crate::auth::{Authenticated, origin};
use crate::body::{path_id, query};
use crate::dto::request::RequestView;
use crate::dto::script::{DEFAULT_LINES, LogQuery, LogView, ScriptStatusView};
use crate::dto::script_upload::{self, UploadForm};
use crate::error::Problem;
use crate::idempotency::{self, IdempotencyHeader};
use crate::multipart;
use crate::server::Api;

/// Submit a script as a file. It is then a request as any other: `id` is the one of /api/queries.
///
/// The form says what the JSON of POST /api/queries says, with the file `file` in place of `queryContent`.
#[utoipa::path(tag = "scripts", params(IdempotencyHeader),
    request_body(content = UploadForm, content_type = "multipart/form-data"), responses(
    (status = 201, body = RequestView, headers(
        ("location" = String, description = "The request's own address"),
        ("idempotency-replayed" = Option<bool>, description = "`true` when an earlier call with the key stored the request"),
    )),
    (status = 400, description = "`validation`, `statement_refused`, `invalid_multipart`", body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`permission`, `foreign_pod`, `pod_without_access`", body = Problem),
    (status = 409, description = "`idempotency_conflict`: the key stands for another submission", body = Problem),
    (status = 413, description = "`body_too_large`", body = Problem),
    (status = 415, description = "`not_multipart`", body = Problem),
    (status = 429, description = "`too_many_checks`: two scripts of yours are being read already; `retry-after` says when to try again", body = Problem),
))]
#[post("/scripts/upload")]
pub(crate) async fn upload(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let actor = &caller.0.actor;
    policy::permission(actor, Permission::SubmitRequests)?;
    let key = idempotency::key(&request)?;
    let parts = multipart::parts(&request, payload.into_inner(), api.body_time_limit).await?;
    let submit = script_upload::into_submit(parts)?;
    let submitted = api.submissions.submit(actor, submit, key, origin(&request)).await;
    Ok(idempotency::created(&submitted.map_err(|error| Problem::from(error).about_file())?))
}

/// Where a script stands: its status, how it ended, and the beginning of its log.
#[utoipa::path(tag = "scripts", params(("id" = String, Path, format = Uuid)), responses(
    (status = 200, body = ScriptStatusView),
    (status = 400, body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`not_visible`", body = Problem),
    (status = 404, description = "`not_found`: there is no such request, or it is a query", body = Problem),
))]
#[get("/scripts/{id}/status")]
pub(crate) async fn status(
    api: Data<Api>,
    caller: Authenticated,
    id: Path<String>,
) -> Result<Json<ScriptStatusView>, Problem> {
    let id: RequestId = path_id("id", &id)?;
    let (page, counts) = api.requests.script(&caller.0.actor, id, DEFAULT_LINES).await?;
    Ok(Json(ScriptStatusView::of(page, counts)))
}

/// What a script said on its console and did on its database, in order, also while it runs. A query has no log.
///
/// A part has `limit` lines at most and about 512 KiB of text at most, and always one line if there is one. `nextAfter` says
/// where it goes on.
#[utoipa::path(tag = "scripts", params(("id" = String, Path, format = Uuid), LogQuery), responses(
    (status = 200, body = LogView),
    (status = 400, description = "`validation`, `invalid_query`", body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`not_visible`", body = Problem),
    (status = 404, body = Problem),
))]
#[get("/queries/{id}/log")]
pub(crate) async fn log(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    id: Path<String>,
) -> Result<Json<LogView>, Problem> {
    let (after, limit) = query::<LogQuery>(&request)?.page();
    let id: RequestId = path_id("id", &id)?;
    Ok(Json(api.requests.log(&caller.0.actor, id, after, limit).await?.into()))
}
