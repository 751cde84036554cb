//! Results, streamed: memory stays flat whatever their size.

use std::io::Write as _;

use actix_web::http::header::ContentType;
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse, get};
use domain::execution::{ExecutionReport, ResultChunk};
use domain::ids::RequestId;
use domain::ports::{ResultReader, StoreError};
use domain::request::{Request, ResultKept, State};
use futures_util::StreamExt as _;
use futures_util::stream::{Stream, try_unfold};
use serde_json::json;

use crate::auth::Authenticated;
use crate::body::{path_id, query};
use crate::dto::request_input::ResultQuery;
use crate::error::Problem;
use crate::server::Api;

/// The whole result of a completed request: `{"statements": [{"command", "columns", "rowCount", "affected",
/// "truncated", "rows": [[...], ...]}, ...], "truncated"}`. Rows are arrays in the order of the columns, so that
/// columns of the same name survive. An answer that breaks off is an error: it has no end.
#[utoipa::path(tag = "queries", params(("id" = String, Path, format = Uuid), ResultQuery), responses(
    (status = 200, description = "The result", content_type = "application/json"),
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
    query::<ResultQuery>(&request)?.check()?;
    let id: RequestId = path_id("id", &id)?;
    let (request, reader) = api.requests.result(&caller.0.actor, id).await?;
    let stream = json_document(report_of(request), reader);
    Ok(HttpResponse::Ok().insert_header(ContentType::json()).streaming(stream))
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

/// Writes the document around the rows as they come.
struct JsonDocument {
    report: ExecutionReport,
    reader: ResultReader,
    /// Statements whose opening was written.
    opened: usize,
    rows_in_statement: bool,
    begun: bool,
    done: bool,
}

fn json_document(
    report: ExecutionReport,
    reader: ResultReader,
) -> impl Stream<Item = Result<Bytes, StreamError>> {
    let document =
        JsonDocument { report, reader, opened: 0, rows_in_statement: false, begun: false, done: false };
    try_unfold(document, |mut document| async move {
        if document.done {
            return Ok(None);
        }
        let mut out = Vec::new();
        if !document.begun {
            document.begun = true;
            write_all(
                &mut out,
                format_args!("{{\"truncated\":{},\"statements\":[", document.report.truncated()),
            );
        }
        match document.reader.next().await {
            Some(chunk) => document.rows(&mut out, &chunk.map_err(StreamError::from)?),
            None => document.end(&mut out),
        }
        Ok(Some((Bytes::from(out), document)))
    })
}

impl JsonDocument {
    fn rows(&mut self, out: &mut Vec<u8>, chunk: &ResultChunk) {
        while self.opened <= chunk.statement as usize && self.opened < self.report.statements.len() {
            self.open_next(out);
        }
        for line in chunk.ndjson.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            if self.rows_in_statement {
                out.push(b',');
            }
            self.rows_in_statement = true;
            out.push(b'\n');
            out.extend_from_slice(line);
        }
    }

    fn open_next(&mut self, out: &mut Vec<u8>) {
        if self.opened > 0 {
            out.extend_from_slice(b"]},\n");
        }
        let statement = &self.report.statements[self.opened];
        let columns = statement.columns.as_ref().map(|columns| {
            columns.iter().map(|c| json!({ "name": c.name, "type": c.type_name })).collect::<Vec<_>>()
        });
        write_all(
            out,
            format_args!(
                "{{\"command\":{},\"columns\":{},\"rowCount\":{},\"affected\":{},\"truncated\":{},\"rows\":[",
                json!(statement.command),
                json!(columns),
                statement.rows,
                json!(statement.affected),
                statement.truncated
            ),
        );
        self.opened += 1;
        self.rows_in_statement = false;
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        while self.opened < self.report.statements.len() {
            self.open_next(out);
        }
        if self.opened > 0 {
            out.extend_from_slice(b"]}");
        }
        out.extend_from_slice(b"]}\n");
        self.done = true;
    }
}

fn write_all(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing into memory works");
}

/// The answer has begun, so all that is left is to break it off; the cause is logged here.
#[derive(Debug, thiserror::Error)]
#[error("the result could not be read to its end")]
struct StreamError;

impl From<StoreError> for StreamError {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = %domain::services::error_chain(&error), "a result broke off");
        Self
    }
}
