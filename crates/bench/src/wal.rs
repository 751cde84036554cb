//! Counts commits by what they leave in the write-ahead log.
//!
//! PostgreSQL's own counters count every reading statement as a commit. What costs is a commit that waits for the
//! disk: one of a transaction that has written something, which its records in the log show. `NOTIFY` alone writes a
//! commit record and nothing else, and does not wait.

use anyhow::Context as _;

use crate::bare::Bare;

const COUNT: &str = "SELECT count(*) FROM (SELECT xid FROM pg_get_wal_records_info('{from}', '{to}')
     WHERE xid <> '0'::xid GROUP BY xid
     HAVING bool_or(resource_manager = 'Transaction' AND record_type LIKE 'COMMIT%')
        AND bool_or(resource_manager <> 'Transaction')) AS durable";

/// Where a count begins.
#[derive(Debug)]
pub(crate) struct Mark(String);

pub(crate) async fn prepare(database: &Bare) -> anyhow::Result<()> {
    database.run("CREATE EXTENSION IF NOT EXISTS pg_walinspect").await.context(
        "counting commits needs the extension pg_walinspect: PostgreSQL 15 or newer with its contrib modules",
    )
}

pub(crate) async fn mark(database: &Bare) -> anyhow::Result<Mark> {
    Ok(Mark(database.value("SELECT pg_current_wal_insert_lsn()").await?))
}

/// The commits of the whole server since then that had something to keep.
pub(crate) async fn commits_since(database: &Bare, mark: &Mark) -> anyhow::Result<i64> {
    // A commit without waiting reaches the log later than the others; a record of our own pushes it there.
    database.run("SELECT pg_logical_emit_message(true, 'bench', 'flush')").await?;
    let now = database.value("SELECT pg_current_wal_flush_lsn()").await?;
    if now == mark.0 {
        return Ok(0);
    }
    let counted = database.number(&COUNT.replace("{from}", &mark.0).replace("{to}", &now)).await?;
    // The message above is one of them.
    Ok(counted - 1)
}
