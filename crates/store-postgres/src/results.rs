//! Where results are kept: NDJSON in compressed chunks.

use async_trait::async_trait;
use bytes::Bytes;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Binary, Integer, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::execution::ResultChunk;
use domain::ids::RequestId;
use domain::job::Lease;
use domain::ports::{ResultReader, ResultSink, ResultStore, SinkError, StoreError};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use crate::error::{rejected, store_error};
use crate::pool::PgStore;
use crate::rows::RowReader;
use crate::schema::{execution_result_chunks, query_requests};

/// Fast, and small enough: rows compress well at any level.
const LEVEL: i32 = 3;
/// Chunks fetched at once.
const READ_AHEAD: i64 = 4;
/// No chunk that a sink was given is larger than this, so a stored one that claims to be is not ours.
const MAX_CHUNK_BYTES: usize = 512 * 1024 * 1024;

/// Results in PostgreSQL.
#[derive(Clone, Debug)]
pub struct PgResultStore {
    store: PgStore,
}

impl PgResultStore {
    pub fn new(store: PgStore) -> Self {
        Self { store }
    }
}

impl ResultStore for PgResultStore {
    fn sink(&self, request: RequestId, lease: &Lease) -> Box<dyn ResultSink> {
        Box::new(PgResultSink { store: self.store.clone(), request, lease: lease.clone(), next: 0 })
    }

    fn read(&self, request: RequestId) -> ResultReader {
        let store = self.store.clone();
        // Each page is a query of its own: a slow reader holds no connection and no transaction.
        stream::try_unfold(Some(-1), move |after: Option<i32>| {
            let store = store.clone();
            async move {
                let Some(after) = after else { return Ok::<_, StoreError>(None) };
                let rows = page(&store, request, after).await?;
                let full = i64::try_from(rows.len()).is_ok_and(|count| count == READ_AHEAD);
                let next = rows.last().map(|row| row.seq).filter(|_| full);
                let chunks = stream::iter(rows).then(ChunkRow::read);
                Ok(Some((chunks, next)))
            }
        })
        .try_flatten()
        .boxed()
    }
}

#[derive(Queryable)]
struct ChunkRow {
    request: Uuid,
    seq: i32,
    statement: i64,
    row_count: i64,
    byte_count: i64,
    data: Vec<u8>,
}

async fn page(store: &PgStore, request: RequestId, after: i32) -> Result<Vec<ChunkRow>, StoreError> {
    store
        .read(move |connection| {
            execution_result_chunks::table
                .inner_join(query_requests::table)
                .filter(query_requests::uuid.eq(request.as_uuid()))
                .filter(execution_result_chunks::seq.gt(after))
                .order(execution_result_chunks::seq)
                .limit(READ_AHEAD)
                .select((
                    query_requests::uuid,
                    execution_result_chunks::seq,
                    execution_result_chunks::statement,
                    execution_result_chunks::row_count,
                    execution_result_chunks::byte_count,
                    execution_result_chunks::data,
                ))
                .load(connection)
                .boxed()
        })
        .await
}

impl ChunkRow {
    async fn read(self) -> Result<ResultChunk, StoreError> {
        let row = RowReader::new("execution_result_chunks", format!("{}/{}", self.request, self.seq));
        let statement = row.number("statement", self.statement)?;
        let rows = row.number("row_count", self.row_count)?;
        let size: usize = row.number("byte_count", self.byte_count)?;
        if size > MAX_CHUNK_BYTES {
            return Err(row.corrupt("byte_count"));
        }
        let data = self.data;
        // The stored size is the bound: a frame that holds more is refused instead of filling the memory.
        let ndjson = tokio::task::spawn_blocking(move || zstd::bulk::decompress(&data, size))
            .await
            .map_err(rejected)?
            .ok()
            .filter(|ndjson| ndjson.len() == size);
        Ok(ResultChunk { statement, rows, ndjson: Bytes::from(row.present("data", ndjson)?) })
    }
}

/// Writes the chunks of one execution.
struct PgResultSink {
    store: PgStore,
    request: RequestId,
    lease: Lease,
    next: i32,
}

#[async_trait]
impl ResultSink for PgResultSink {
    async fn write(&mut self, chunk: ResultChunk) -> Result<(), SinkError> {
        let ResultChunk { statement, rows, ndjson } = chunk;
        let byte_count = i64::try_from(ndjson.len()).map_err(|e| SinkError::Store(rejected(e)))?;
        if ndjson.len() > MAX_CHUNK_BYTES {
            return Err(SinkError::Store(rejected("a part of a result is too large")));
        }
        let data = tokio::task::spawn_blocking(move || zstd::bulk::compress(&ndjson, LEVEL))
            .await
            .map_err(|e| SinkError::Store(rejected(e)))?
            .map_err(|e| SinkError::Store(rejected(e)))?;
        let insert = FencedInsert {
            job: self.lease.job.as_uuid(),
            fence: self.lease.fence,
            request: self.request.as_uuid(),
            seq: self.next,
            statement: i64::from(statement),
            row_count: i64::from(rows),
            byte_count,
            data,
        };
        let mut transaction = self.store.begin().await?;
        let inserted = insert.execute(&mut *transaction).await.map_err(store_error)?;
        transaction.commit().await?;
        if inserted == 0 {
            return Err(SinkError::LeaseLost);
        }
        self.next += 1;
        Ok(())
    }
}

/// Inserts a chunk as long as the lease holds. The lock on the job makes the end of the execution, which may
/// delete the chunks, wait until this one is there to be deleted.
#[derive(Debug)]
struct FencedInsert {
    job: Uuid,
    fence: i64,
    request: Uuid,
    seq: i32,
    statement: i64,
    row_count: i64,
    byte_count: i64,
    data: Vec<u8>,
}

impl QueryFragment<Pg> for FencedInsert {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // Nobody reads a chunk before the execution has completed, and that commit waits for the disk, for everything
        // before it too. When the server is lost earlier, so is the execution, whose chunks are dropped then.
        out.push_sql(
            "WITH lease AS (SELECT request_id, set_config('synchronous_commit', 'off', true) \
             FROM jobs WHERE status = 'running' AND id = ",
        );
        out.push_bind_param::<SqlUuid, _>(&self.job)?;
        out.push_sql(" AND fence = ");
        out.push_bind_param::<BigInt, _>(&self.fence)?;
        out.push_sql(
            " FOR SHARE) INSERT INTO execution_result_chunks \
             (request_id, seq, statement, row_count, byte_count, data) SELECT r.id, ",
        );
        out.push_bind_param::<Integer, _>(&self.seq)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&self.statement)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&self.row_count)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&self.byte_count)?;
        out.push_sql(", ");
        out.push_bind_param::<Binary, _>(&self.data)?;
        out.push_sql(" FROM lease JOIN query_requests r ON r.id = lease.request_id WHERE r.uuid = ");
        out.push_bind_param::<SqlUuid, _>(&self.request)?;
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
