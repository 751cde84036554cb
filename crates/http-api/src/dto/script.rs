//! Scripts as clients see them: the log of one, and where one stands.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::request::Request;
use domain::script::{LogCounts, LogEntry, LogLine};
use domain::services::LogPage;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::request::{ExecutionView, FailureView, execution, failure};
use super::request_input::parameter;

/// Lines of a log, where nobody says how many.
pub(crate) const DEFAULT_LINES: u32 = 200;

#[derive(Deserialize, Validate, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogQuery {
    /// The number of the last line that you have: the ones behind it are given. 0 when left out.
    #[garde(skip)]
    #[serde(default, deserialize_with = "after")]
    after: Option<u64>,
    /// How many at most, 1 to 1000; 200 when left out. There are fewer when they are long: together their texts have no
    /// more than 512 KiB, unless the first alone has more.
    #[garde(skip)]
    #[param(minimum = 1, maximum = 1000)]
    #[serde(default, deserialize_with = "limit")]
    limit: Option<u32>,
}

parameter!(after, "after", u64, "the number of a line, 0 or more", |_| true);
parameter!(limit, "limit", u32, "a whole number from 1 to 1000", |n| (1..=1000).contains(n));

impl LogQuery {
    /// After which line, and how many.
    pub(crate) fn page(&self) -> (u64, u32) {
        (self.after.unwrap_or(0), self.limit.unwrap_or(DEFAULT_LINES))
    }
}

/// A part of what a script said and did, in order.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogView {
    items: Vec<LogLineView>,
    /// `after` for the next part; absent when there are no more lines by now. It says alone whether there are: a part with
    /// fewer lines than asked for may have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_after: Option<u64>,
}

/// One of `console` and `call`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogLineView {
    /// Counts from 1 without gaps.
    number: u64,
    at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    console: Option<ConsoleView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<CallView>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ConsoleView {
    /// `debug`, `log`, `info`, `warn` or `error`
    level: &'static str,
    text: String,
}

/// What became of a call of the database.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallView {
    /// Counts from 1 in the order of the calls.
    number: u64,
    /// `query`, `stream`, `begin`, `commit` or `rollback`
    kind: &'static str,
    /// The statement, cut after 4 KiB, without the values of its parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    statement: Option<String>,
    /// What the server counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    affected: Option<u64>,
    /// SQLSTATE, or the code of a refusal, of a call that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Milliseconds, to the microsecond.
    duration_ms: f64,
}

impl LogLineView {
    /// The name of its event.
    pub(crate) fn kind(&self) -> &'static str {
        if self.console.is_some() { "console" } else { "call" }
    }
}

impl From<LogLine> for LogLineView {
    fn from(line: LogLine) -> Self {
        let (console, call) = match line.entry {
            LogEntry::Console { level, text } => (Some(ConsoleView { level: level.as_str(), text }), None),
            LogEntry::Call(call) => {
                let call = CallView {
                    number: call.number,
                    kind: call.kind.as_str(),
                    statement: call.statement,
                    affected: call.affected,
                    error: call.error,
                    duration_ms: milliseconds(call.duration),
                };
                (None, Some(call))
            }
        };
        Self { number: line.number, at: line.at, console, call }
    }
}

/// Divided once, so that no more than three decimals are told: a product of binary fractions has more.
#[expect(clippy::cast_precision_loss, reason = "exact for the first 285 years")]
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1_000.0
}

impl LogView {
    fn of(lines: Vec<LogLine>, more: bool) -> Self {
        let next_after = lines.last().map(|line| line.number).filter(|_| more);
        Self { items: lines.into_iter().map(LogLineView::from).collect(), next_after }
    }
}

impl From<LogPage> for LogView {
    fn from(page: LogPage) -> Self {
        Self::of(page.lines, page.more)
    }
}

/// Where a script stands. The whole request is at /api/queries/{id}.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ScriptStatusView {
    #[schema(format = Uuid)]
    id: String,
    /// pending, approved, rejected, withdrawn, expired, executing, completed, failed, cancelled, interrupted
    #[schema(example = "executing")]
    status: &'static str,
    /// Of an uploaded script.
    #[serde(skip_serializing_if = "Option::is_none")]
    script_filename: Option<String>,
    /// With the first rows of what a completed script returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    execution: Option<ExecutionView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<FailureView>,
    /// How many lines the script has written to the console.
    console_lines: u64,
    /// How many calls of the database it has made.
    database_calls: u64,
    /// The first 200 lines, and fewer when they are long: 64 KiB of text, unless the first alone has more. With `nextAfter` it goes on at /api/queries/{id}/log.
    log: LogView,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl ScriptStatusView {
    pub(crate) fn of(page: LogPage, counts: LogCounts) -> Self {
        let LogPage { request, lines, more } = page;
        let Request { id, state, created_at, updated_at, .. } = &request;
        Self {
            id: id.to_string(),
            status: state.kind().as_str(),
            script_filename: request.submission.filename.clone(),
            execution: execution(state),
            error: failure(state),
            console_lines: counts.console,
            database_calls: counts.calls,
            log: LogView::of(lines, more),
            created_at: *created_at,
            updated_at: *updated_at,
        }
    }
}
