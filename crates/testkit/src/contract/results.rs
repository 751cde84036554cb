//! `ResultStore` and its sink.

use bytes::Bytes;
use domain::execution::ResultChunk;
use domain::ids::RequestId;
use domain::job::Lease;
use domain::ports::SinkError;
use domain::request::Event;
use futures_util::TryStreamExt;

use super::scene::{Scene, Started};
use super::stores::Stores;
use crate::builders::{at, request, sample_report, uuid_for};

pub(super) fn chunk(statement: u32, rows: u32, ndjson: &str) -> ResultChunk {
    ResultChunk { statement, rows, ndjson: Bytes::copy_from_slice(ndjson.as_bytes()) }
}

async fn read(w: &Scene, request: RequestId) -> Vec<ResultChunk> {
    w.results.read(request).try_collect().await.expect("the store answers")
}

/// Writes chunks in the name of an execution and completes it.
async fn complete(w: &Scene, started: &Started, chunks: &[ResultChunk]) {
    let mut sink = w.results.sink(started.request.id, &started.lease);
    for chunk in chunks {
        sink.write(chunk.clone()).await.expect("the lease holds");
    }
    let (report, preview) = sample_report();
    w.finish(&started.lease, &started.request, Event::Succeed { report, preview }).await;
}

rules! { ($) __result_rules in results, stores: Stores => Scene::set_up;
    async fn chunks_come_back_in_order_and_byte_for_byte(w) {
        let started = w.started(request()).await;
        let mut chunks = vec![chunk(0, 2, "[9007199254740993,0.10]\n[\"é\\u0000 🦀\",null]\n")];
        chunks.extend((0..24).map(|n| chunk(1 + n / 20, 1, &format!("[{n}]\n"))));
        let line = format!("[\"{}\"]\n", "x".repeat(70_000));
        chunks.push(chunk(2, 30, &line.repeat(30)));
        complete(&w, &started, &chunks).await;
        assert!(read(&w, started.request.id).await == chunks, "the chunks differ");
    }

    async fn a_request_without_a_result_has_no_chunks(w) {
        let started = w.started(request()).await;
        complete(&w, &started, &[]).await;
        assert_eq!(read(&w, started.request.id).await, []);
        assert_eq!(read(&w, RequestId::from_uuid(uuid_for("nobody"))).await, []);
    }

    async fn a_result_can_be_read_again(w) {
        let started = w.started(request()).await;
        let chunks = [chunk(0, 1, "[1]\n")];
        complete(&w, &started, &chunks).await;
        assert_eq!(read(&w, started.request.id).await, chunks);
        assert_eq!(read(&w, started.request.id).await, chunks);
    }

    async fn results_of_executions_at_once_are_kept_apart(w) {
        let first = w.started(request()).await;
        let second = w.started(request()).await;
        let mut sinks = [
            w.results.sink(first.request.id, &first.lease),
            w.results.sink(second.request.id, &second.lease),
        ];
        for n in 0..3 {
            for (i, sink) in sinks.iter_mut().enumerate() {
                sink.write(chunk(0, 1, &format!("[{n},{i}]\n"))).await.expect("the lease holds");
            }
        }
        for started in [&first, &second] {
            complete(&w, started, &[]).await;
        }
        let of = |i: u32| (0..3).map(|n| chunk(0, 1, &format!("[{n},{i}]\n"))).collect::<Vec<_>>();
        assert_eq!(read(&w, first.request.id).await, of(0));
        assert_eq!(read(&w, second.request.id).await, of(1));
    }

    async fn a_sink_of_another_fence_refuses(w) {
        let started = w.started(request()).await;
        for fence in [started.lease.fence - 1, started.lease.fence + 1] {
            let other = Lease { fence, ..started.lease.clone() };
            let error = w.results.sink(started.request.id, &other).write(chunk(0, 1, "[1]\n")).await;
            assert!(matches!(error, Err(SinkError::LeaseLost)), "{error:?}");
        }
        complete(&w, &started, &[]).await;
        assert_eq!(read(&w, started.request.id).await, [], "nothing of it was kept");
    }

    async fn a_sink_refuses_once_its_lease_is_lost(w) {
        let started = w.started(request()).await;
        let mut sink = w.results.sink(started.request.id, &started.lease);
        sink.write(chunk(0, 1, "[1]\n")).await.expect("the lease holds");
        w.jobs.reap(at(100)).await.expect("the store answers");
        let error = sink.write(chunk(0, 1, "[2]\n")).await;
        assert!(matches!(error, Err(SinkError::LeaseLost)), "{error:?}");
    }

    async fn a_sink_refuses_once_its_execution_is_over(w) {
        let started = w.started(request()).await;
        let mut sink = w.results.sink(started.request.id, &started.lease);
        complete(&w, &started, &[chunk(0, 1, "[1]\n")]).await;
        let error = sink.write(chunk(0, 1, "[2]\n")).await;
        assert!(matches!(error, Err(SinkError::LeaseLost)), "{error:?}");
        assert_eq!(read(&w, started.request.id).await, [chunk(0, 1, "[1]\n")]);
    }
}
