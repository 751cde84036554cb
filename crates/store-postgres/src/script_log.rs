//! Where the logs of scripts are kept: a row for each line.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::dsl::count;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::ids::RequestId;
use domain::job::Lease;
use domain::ports::{Change, Clock, ScriptLog, ScriptLogs, SinkError, StoreError};
use domain::script::{CallKind, CallRecord, ConsoleLevel, LogCounts, LogEntry, LogLimit, LogLine, LogPart};
use futures_util::FutureExt;
use uuid::Uuid;

use crate::error::{rejected, store_error};
use crate::pool::PgStore;
use crate::rows::{RowReader, to_bigint};
use crate::schema::{query_requests, script_log};

/// The logs of scripts in PostgreSQL.
#[derive(Clone)]
pub struct PgScriptLogs {
    store: PgStore,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for PgScriptLogs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PgScriptLogs").finish_non_exhaustive()
    }
}

impl PgScriptLogs {
    /// The clock tells when a line came.
    pub fn new(store: PgStore, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }
}

#[async_trait]
impl ScriptLogs for PgScriptLogs {
    fn writer(&self, request: RequestId, lease: &Lease) -> Box<dyn ScriptLog> {
        Box::new(PgScriptLog { logs: self.clone(), request, lease: lease.clone() })
    }

    async fn read(&self, request: RequestId, after: u64, limit: LogLimit) -> Result<LogPart, StoreError> {
        // No line has a larger number than the store can count to.
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let (rows, more) =
            self.store.read(move |connection| lines(connection, request, after, limit).boxed()).await?;
        let lines = rows.into_iter().map(LineRow::read).collect::<Result<_, _>>()?;
        Ok(LogPart { lines, more })
    }

    async fn count(&self, request: RequestId) -> Result<LogCounts, StoreError> {
        let (console, calls): (i64, i64) = self
            .store
            .read(move |connection| {
                script_log::table
                    .inner_join(query_requests::table)
                    .filter(query_requests::uuid.eq(request.as_uuid()))
                    .select((count(script_log::level), count(script_log::call_number)))
                    .first(connection)
                    .boxed()
            })
            .await?;
        let row = RowReader::new("script_log", request);
        Ok(LogCounts { console: row.number("level", console)?, calls: row.number("call_number", calls)? })
    }
}

define_sql_function! {
    /// Of a text that is stored apart from its row too, PostgreSQL knows this without reading it.
    fn octet_length(text: Nullable<Text>) -> Nullable<Integer>;
}

/// Asks for the sizes of lines first, and then for those that fit: what does not is never in this process's memory.
/// Between the two a log can only grow behind them.
async fn lines(
    connection: &mut AsyncPgConnection,
    request: RequestId,
    after: i64,
    limit: LogLimit,
) -> QueryResult<(Vec<LineRow>, bool)> {
    let lines = || {
        script_log::table
            .inner_join(query_requests::table)
            .filter(query_requests::uuid.eq(request.as_uuid()))
            .filter(script_log::number.gt(after))
            .order(script_log::number)
    };
    let sizes: Vec<Sizes> = lines()
        // One more tells whether there are more.
        .limit(i64::from(limit.lines) + 1)
        .select((
            octet_length(script_log::text),
            octet_length(script_log::statement),
            octet_length(script_log::error),
        ))
        .load(connection)
        .await?;
    let fitting = limit.fitting(sizes.iter().map(text_bytes));
    if fitting == 0 {
        return Ok((vec![], !sizes.is_empty()));
    }
    let wanted = i64::try_from(fitting).unwrap_or(i64::MAX);
    let rows = lines().limit(wanted).select(LineRow::as_select()).load(connection).await?;
    Ok((rows, sizes.len() > fitting))
}

/// Bytes of the texts of a line.
type Sizes = (Option<i32>, Option<i32>, Option<i32>);

fn text_bytes(&(text, statement, error): &Sizes) -> usize {
    [text, statement, error].into_iter().flatten().filter_map(|size| usize::try_from(size).ok()).sum()
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = script_log)]
struct LineRow {
    #[diesel(select_expression = query_requests::uuid)]
    request: Uuid,
    number: i64,
    at: DateTime<Utc>,
    level: Option<String>,
    text: Option<String>,
    call_number: Option<i64>,
    call_kind: Option<String>,
    statement: Option<String>,
    affected: Option<i64>,
    error: Option<String>,
    duration_us: Option<i64>,
}

impl LineRow {
    fn read(self) -> Result<LogLine, StoreError> {
        let row = RowReader::new("script_log", format!("{}/{}", self.request, self.number));
        let number = row.number("number", self.number)?;
        let entry = match self.level {
            Some(level) => LogEntry::Console {
                level: row.present("level", ConsoleLevel::parse(&level))?,
                text: row.present("text", self.text)?,
            },
            None => LogEntry::Call(CallRecord {
                number: row.number("call_number", row.present("call_number", self.call_number)?)?,
                kind: row
                    .present("call_kind", self.call_kind.as_deref().map(CallKind::parse))?
                    .ok_or_else(|| row.corrupt("call_kind"))?,
                statement: self.statement,
                affected: self.affected.map(|affected| row.number("affected", affected)).transpose()?,
                error: self.error,
                duration: Duration::from_micros(
                    row.number("duration_us", row.present("duration_us", self.duration_us)?)?,
                ),
            }),
        };
        Ok(LogLine { number, at: self.at, entry })
    }
}

/// Writes the log of one execution.
struct PgScriptLog {
    logs: PgScriptLogs,
    request: RequestId,
    lease: Lease,
}

#[async_trait]
impl ScriptLog for PgScriptLog {
    async fn write(&mut self, entries: Vec<LogEntry>) -> Result<(), SinkError> {
        if entries.is_empty() {
            return Ok(());
        }
        let insert = FencedInsert {
            job: self.lease.job.as_uuid(),
            fence: self.lease.fence,
            request: self.request.as_uuid(),
            at: self.logs.clock.now(),
            columns: Columns::of(entries)?,
        };
        let mut transaction = self.logs.store.begin().await?;
        let inserted = insert.execute(&mut *transaction).await.map_err(store_error)?;
        if inserted == 0 {
            transaction.rollback().await?;
            return Err(SinkError::LeaseLost);
        }
        // Unlike a part of a result this is read at once, and it tells what cannot be taken back on the target: it is on
        // the disk before the script goes on.
        Ok(transaction.commit_and_announce(&[Change::Log(self.request)]).await?)
    }
}

/// The lines of one write, column by column.
#[derive(Debug, Default)]
struct Columns {
    level: Vec<Option<&'static str>>,
    text: Vec<Option<String>>,
    call_number: Vec<Option<i64>>,
    call_kind: Vec<Option<&'static str>>,
    statement: Vec<Option<String>>,
    affected: Vec<Option<i64>>,
    error: Vec<Option<String>>,
    duration_us: Vec<Option<i64>>,
}

impl Columns {
    fn of(entries: Vec<LogEntry>) -> Result<Self, StoreError> {
        let mut columns = Self::default();
        for entry in entries {
            match entry {
                LogEntry::Console { level, text } => columns.push_console(level, &text),
                LogEntry::Call(call) => columns.push_call(&call)?,
            }
        }
        Ok(columns)
    }

    fn push_console(&mut self, level: ConsoleLevel, text: &str) {
        self.level.push(Some(level.as_str()));
        self.text.push(Some(storable(text)));
        self.call_number.push(None);
        self.call_kind.push(None);
        self.statement.push(None);
        self.affected.push(None);
        self.error.push(None);
        self.duration_us.push(None);
    }

    fn push_call(&mut self, call: &CallRecord) -> Result<(), StoreError> {
        let micros = i64::try_from(call.duration.as_micros())
            .map_err(|_| rejected("a duration is too long to be stored"))?;
        self.level.push(None);
        self.text.push(None);
        self.call_number.push(Some(to_bigint(call.number)?));
        self.call_kind.push(Some(call.kind.as_str()));
        self.statement.push(call.statement.as_deref().map(storable));
        self.affected.push(call.affected.map(to_bigint).transpose()?);
        self.error.push(call.error.as_deref().map(storable));
        self.duration_us.push(Some(micros));
        Ok(())
    }
}

/// PostgreSQL's texts have no NUL; the symbol for it shows that there was one.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{2400}")
}

/// Inserts lines behind those that are there, as long as the lease holds. The lock on the job makes the end of the
/// execution wait, so that no line comes after it.
#[derive(Debug)]
struct FencedInsert {
    job: Uuid,
    fence: i64,
    request: Uuid,
    at: DateTime<Utc>,
    columns: Columns,
}

impl QueryFragment<Pg> for FencedInsert {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH lease AS (SELECT request_id FROM jobs WHERE status = 'running' AND id = ");
        out.push_bind_param::<SqlUuid, _>(&self.job)?;
        out.push_sql(" AND fence = ");
        out.push_bind_param::<BigInt, _>(&self.fence)?;
        out.push_sql(
            " FOR SHARE), \
             request AS (SELECT r.id, (SELECT coalesce(max(number), 0) FROM script_log WHERE request_id = r.id) AS last \
             FROM lease JOIN query_requests r ON r.id = lease.request_id WHERE r.uuid = ",
        );
        out.push_bind_param::<SqlUuid, _>(&self.request)?;
        out.push_sql(
            ") INSERT INTO script_log (request_id, number, at, level, text, call_number, call_kind, statement, \
             affected, error, duration_us) SELECT request.id, request.last + line.place, ",
        );
        out.push_bind_param::<Timestamptz, _>(&self.at)?;
        out.push_sql(
            ", line.level, line.text, line.call_number, line.call_kind, line.statement, line.affected, line.error, \
             line.duration_us FROM request CROSS JOIN unnest(",
        );
        let columns = &self.columns;
        out.push_bind_param::<Array<Nullable<Text>>, _>(&columns.level)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&columns.text)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<BigInt>>, _>(&columns.call_number)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&columns.call_kind)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&columns.statement)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<BigInt>>, _>(&columns.affected)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&columns.error)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<BigInt>>, _>(&columns.duration_us)?;
        out.push_sql(
            ") WITH ORDINALITY AS line (level, text, call_number, call_kind, statement, affected, error, \
             duration_us, place)",
        );
        Ok(())
    }
}

impl QueryId for FencedInsert {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for FencedInsert {
    type SqlType = diesel::sql_types::Untyped;
}
