//! The forms of a result. All are streamed: memory stays flat whatever the size.

mod csv;
mod json;
mod rows;

use actix_web::web::Bytes;
use domain::execution::{ExecutionReport, StatementReport};
use domain::ports::{ResultReader, StoreError};
use futures_util::StreamExt as _;
use futures_util::stream::LocalBoxStream;

use crate::error::Problem;

/// The parts of an answer's body.
pub(crate) type Body = LocalBoxStream<'static, Result<Bytes, StreamError>>;

/// The first line of the formats that are a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    None,
    Names,
    /// Names with the server's name of the type, as in `id:int4`.
    Typed,
}

/// What a client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// All statements in one document.
    Json,
    /// The rows of one statement, a JSON array a line.
    Ndjson(Header),
    /// The rows of one statement, by RFC 4180.
    Csv(Header),
}

impl Format {
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson(_) => "application/x-ndjson",
            Self::Csv(_) => "text/csv; charset=utf-8",
        }
    }

    /// Of the file that a browser saves; JSON is shown instead.
    pub(crate) const fn extension(self) -> Option<&'static str> {
        match self {
            Self::Json => None,
            Self::Ndjson(_) => Some("ndjson"),
            Self::Csv(_) => Some("csv"),
        }
    }
}

/// A result in the form that was asked for.
pub(crate) struct Document {
    pub(crate) body: Body,
    /// Rows were left out because of a limit. Tables have no place to say it themselves.
    pub(crate) truncated: bool,
}

/// Writes a result. `statement` counts from 1; without it the table formats take the only statement with rows.
pub(crate) fn document(
    format: Format,
    statement: Option<u32>,
    report: ExecutionReport,
    reader: ResultReader,
) -> Result<Document, Problem> {
    let (header, write): (Header, rows::WriteRows) = match format {
        Format::Json => {
            let truncated = report.truncated();
            return Ok(Document { body: json::document(report, reader).boxed_local(), truncated });
        }
        Format::Ndjson(header) => (header, rows::ndjson),
        Format::Csv(header) => (header, csv::rows),
    };
    let index = chosen(&report, statement)?;
    let columns = report.statements[index].columns.clone().unwrap_or_default();
    let labels: Vec<String> = match header {
        Header::None => vec![],
        Header::Names => columns.iter().map(|c| c.name.clone()).collect(),
        Header::Typed => columns.iter().map(|c| format!("{}:{}", c.name, c.type_name)).collect(),
    };
    let first = match (header, format) {
        (Header::None, _) => vec![],
        (_, Format::Csv(_)) => csv::labels(&labels),
        (_, Format::Json | Format::Ndjson(_)) => rows::labels(&labels),
    };
    let truncated = report.statements[index].truncated;
    Ok(Document { body: rows::table(first, write, index, reader).boxed_local(), truncated })
}

fn chosen(report: &ExecutionReport, statement: Option<u32>) -> Result<usize, Problem> {
    let has_rows = |s: &StatementReport| s.columns.is_some();
    let with_rows: Vec<usize> =
        (0..report.statements.len()).filter(|i| has_rows(&report.statements[*i])).collect();
    match statement {
        Some(number) => {
            let index = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
            index.filter(|index| with_rows.contains(index)).ok_or_else(|| {
                Problem::field("statement", format!("must be one with rows: {}", numbers(&with_rows)))
            })
        }
        None => match with_rows.as_slice() {
            [only] => Ok(*only),
            [] => Err(Problem::field(
                "format",
                "must be json, because no statement of this request returns rows",
            )),
            several => {
                let message =
                    format!("is needed, because several statements have rows: {}", numbers(several));
                Err(Problem::field("statement", message))
            }
        },
    }
}

fn numbers(indexes: &[usize]) -> String {
    if indexes.is_empty() {
        return "there is none".to_owned();
    }
    indexes.iter().map(|index| (index + 1).to_string()).collect::<Vec<_>>().join(", ")
}

/// The answer has begun, so all that is left is to break it off; the cause is logged here.
#[derive(Debug, thiserror::Error)]
#[error("the result could not be read to its end")]
pub(crate) struct StreamError;

impl From<StoreError> for StreamError {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = %domain::services::error_chain(&error), "a result broke off");
        Self
    }
}
