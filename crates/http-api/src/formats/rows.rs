//! The rows of one statement, line by line.

use actix_web::web::Bytes;
use domain::ports::ResultReader;
use futures_util::stream::{Stream, once};
use futures_util::{StreamExt as _, TryStreamExt as _, future};

use super::StreamError;

/// Turns NDJSON into what the format wants.
pub(super) type WriteRows = fn(Bytes) -> Result<Bytes, StreamError>;

/// The first line, then the rows of one statement.
pub(super) fn table(
    first: Vec<u8>,
    write: WriteRows,
    statement: usize,
    reader: ResultReader,
) -> impl Stream<Item = Result<Bytes, StreamError>> {
    let rows = reader
        .map_err(StreamError::from)
        .try_filter(move |chunk| future::ready(chunk.statement as usize == statement))
        .and_then(move |chunk| future::ready(write(chunk.ndjson)));
    once(future::ready(Ok(Bytes::from(first)))).chain(rows)
}

/// Rows are stored as NDJSON already.
#[expect(clippy::unnecessary_wraps, reason = "the type is that of all formats")]
pub(super) fn ndjson(chunk: Bytes) -> Result<Bytes, StreamError> {
    Ok(chunk)
}

/// The names of the columns as a first line.
pub(super) fn labels(labels: &[String]) -> Vec<u8> {
    format!("{}\n", serde_json::json!(labels)).into_bytes()
}
