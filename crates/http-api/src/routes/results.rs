//! Results.

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, get};
use domain::execution::ExecutionReport;
use domain::ids::RequestId;
use domain::request::{Request, ResultKept, State};

use crate::auth::Authenticated;
use crate::body::{path_id, query};
use crate::dto::request_input::ResultQuery;
use crate::error::Problem;
use crate::formats;
use crate::server::Api;

/// `true` when rows are missing because of a limit, in every format.
pub(crate) const TRUNCATED: HeaderName = HeaderName::from_static("x-result-truncated");

/// The whole result of a completed request, streamed.
///
/// As `json`: `{"truncated", "statements": [{"command", "columns", "rowCount", "affected", "truncated", "rows":
/// [[...], ...]}, ...]}`. Rows are arrays in the order of the columns, so that columns of the same name survive.
/// As `ndjson` and `csv`: the rows of one statement. In CSV, NULL is an empty field and an empty text is `""`; a text
/// that a spreadsheet would take for a formula gets an apostrophe in front. The header `x-result-truncated` says in every
/// format whether rows are missing because of a limit. An answer that breaks off is an error: the
/// connection is closed before its end.
#[utoipa::path(tag = "queries", params(("id" = String, Path, format = Uuid), ResultQuery), responses(
    (status = 200, description = "The result", content_type = "application/json"),
    (status = 400, description = "`validation`, `invalid_query`", body = Problem),
    (status = 401, body = Problem),
    (status = 403, description = "`not_visible`", body = Problem),
    (status = 404, body = Problem),
    (status = 409, description = "`no_result`", body = Problem),
))]
#[get("/queries/{id}/result")]
pub(crate) async fn result(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let wanted: ResultQuery = query(&request)?;
    let format = wanted.format()?;
    let id: RequestId = path_id("id", &id)?;
    let (request, reader) = api.requests.result(&caller.0.actor, id).await?;
    let document = formats::document(format, wanted.statement, report_of(request), reader)?;
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, format.content_type()));
    response.insert_header((TRUNCATED, document.truncated.to_string()));
    if let Some(extension) = format.extension() {
        let disposition = format!("attachment; filename=\"{id}.{extension}\"");
        response.insert_header((CONTENT_DISPOSITION, disposition));
    }
    Ok(response.streaming(document.body))
}

fn report_of(request: Request) -> ExecutionReport {
    match request.state {
        State::Completed { completion, .. } => match completion.result {
            ResultKept::Stored { report, .. } => report,
            ResultKept::Lost => ExecutionReport::default(),
        },
        State::Pending { .. }
        | State::Approved { .. }
        | State::Rejected { .. }
        | State::Withdrawn { .. }
        | State::Expired { .. }
        | State::Executing { .. }
        | State::Failed { .. }
        | State::Cancelled { .. }
        | State::Interrupted { .. } => ExecutionReport::default(),
    }
}
