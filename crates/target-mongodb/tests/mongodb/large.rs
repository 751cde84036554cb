//! Results that are larger than the memory they may take.

use async_trait::async_trait;
use bson::{bson, doc};
use domain::execution::ResultChunk;
use domain::ports::{ResultSink, SinkError, TargetExecutor as _};
use tokio_util::sync::CancellationToken;

use super::harness::Db;

const DOCUMENTS: u64 = 200_000;

/// What an execution may take beside what the process has, in KiB.
const GROWTH: u64 = 32 * 1024;

#[derive(Default)]
struct Counting {
    rows: u64,
    bytes: u64,
}

#[async_trait]
impl ResultSink for Counting {
    async fn write(&mut self, chunk: ResultChunk) -> Result<(), SinkError> {
        self.rows += u64::from(chunk.rows);
        self.bytes += chunk.ndjson.len() as u64;
        Ok(())
    }
}

/// A line of the process's own status, in KiB.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Each test has a process of its own in this project's runs, so that its greatest memory is this test's.
#[tokio::test]
async fn two_hundred_thousand_documents_pass_in_a_little_memory() {
    let db = Db::new().await;
    let ids = bson!({ "$map": { "input": { "$range": [0, i64::try_from(DOCUMENTS).unwrap()] }, "in": { "_id": "$$this" } } });
    let fields = doc! {
        "name": { "$concat": ["user number ", { "$toString": "$_id" }] }, "at": { "$toDate": { "$toLong": "$_id" } },
        "tags": ["a", "b", { "c": "$_id" }], "text": "x".repeat(600),
    };
    let pipeline = vec![doc! { "$documents": ids }, doc! { "$set": fields }, doc! { "$out": "c" }];
    db.database().aggregate(pipeline).await.unwrap();
    let mut order = db.order(r#"{"find": "c"}"#).await;
    order.limits.max_rows = DOCUMENTS;
    db.run(r#"{"ping": 1}"#).await.report();
    // Where the kernel lets us, the greatest so far is forgotten.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = memory("VmRSS:");
    let mut sink = Counting::default();
    let report = db.executor.execute(&order, &mut sink, CancellationToken::new()).await.unwrap();
    let grown = memory("VmHWM:").saturating_sub(before);
    assert_eq!(sink.rows, DOCUMENTS);
    assert_eq!(report.statements[0].rows, DOCUMENTS);
    assert!(sink.bytes > 100 << 20, "{}", sink.bytes);
    assert!(grown < GROWTH, "{grown} KiB");
}
