//! A result as one JSON document, written around the rows as they come.

use std::io::Write as _;

use actix_web::web::Bytes;
use domain::execution::{ExecutionReport, ResultChunk};
use domain::ports::ResultReader;
use futures_util::StreamExt as _;
use futures_util::stream::{Stream, try_unfold};
use serde_json::json;

use super::StreamError;

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

pub(super) fn document(
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
