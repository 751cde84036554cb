//! What the tables themselves guarantee, whoever writes to them.

use std::time::Duration;

use bytes::Bytes;
use domain::execution::{ExecutionReport, ResultChunk};
use domain::job::WorkerId;
use domain::ports::{AuditLog, ExecutionClaim, JobQueue, RequestStore, ResultStore};
use domain::request::{Event, StateKind};
use futures_util::TryStreamExt;
use store_postgres::PgAuditLog;
use testkit::builders::{at, request};

use crate::world::{World, applied, approval, entry};

#[tokio::test]
async fn a_request_has_one_execution_ever() {
    let world = World::peopled().await;
    let process = world.process();
    process.approved(request()).await;
    let client = world.database.client().await;
    client.batch_execute("UPDATE jobs SET status = 'dropped' WHERE kind = 'execute_request'").await.unwrap();
    let again = "INSERT INTO jobs (id, kind, request_id, status, max_attempts, scheduled_at, created_at, updated_at) \
                 SELECT gen_random_uuid(), kind, request_id, 'pending', 1, now(), now(), now() \
                 FROM jobs WHERE kind = 'execute_request'";
    let error = client.batch_execute(again).await.unwrap_err();
    assert_eq!(error.as_db_error().unwrap().constraint(), Some("jobs_one_execution"));
}

#[tokio::test]
async fn impossible_values_are_refused_by_the_tables() {
    let world = World::peopled().await;
    let process = world.process();
    process.approved(request()).await;
    let client = world.database.client().await;
    let refused = [
        "UPDATE query_requests SET status = 'PENDING'",
        "UPDATE query_requests SET status = 'executing'",
        "UPDATE query_requests SET status = 'rejected', expires_at = NULL",
        "UPDATE query_requests SET status = 'executed'",
        "UPDATE query_requests SET expires_at = NULL",
        "UPDATE query_requests SET script_content = 'x'",
        "UPDATE query_requests SET database_type = 'mysql'",
        "UPDATE query_requests SET extended_json = 'shell'",
        "UPDATE query_requests SET lost_at = now()",
        "UPDATE jobs SET status = 'running'",
        "UPDATE jobs SET attempts = 2 WHERE kind = 'execute_request'",
        "UPDATE users SET email = 'Ada@example.com'",
        "UPDATE pods SET id = 'No Slug'",
        "UPDATE database_instances SET tls_mode = 'perhaps'",
        "UPDATE roles SET permissions = '{}'",
        "UPDATE database_instances SET slack_results = 'everything'",
        "INSERT INTO slack_calls (signature_hash, received_at) VALUES ('v0=', now())",
    ];
    for statement in refused {
        let error = client.batch_execute(statement).await.expect_err(statement);
        assert_eq!(error.code().unwrap().code(), "23514", "{statement}: {error:?}");
    }
    let twice = "INSERT INTO request_approvals (request_id, approver_id, approver_email, digest, created_at) \
                 SELECT request_id, approver_id, approver_email, digest, created_at FROM request_approvals";
    let error = client.batch_execute(twice).await.unwrap_err();
    assert_eq!(error.as_db_error().unwrap().constraint(), Some("request_approvals_one_each"));
}

#[tokio::test]
async fn a_transition_that_is_no_edit_does_not_write_the_text_again() {
    let world = World::peopled().await;
    let process = world.process();
    let pending = process.submit(request()).await;
    let client = world.database.client().await;
    client.batch_execute("UPDATE query_requests SET query_content = 'SELECT 2'").await.unwrap();
    process.requests.commit(&applied(&pending, approval(&pending))).await.unwrap();
    let now = process.requests.find(pending.id).await.unwrap().unwrap();
    assert_eq!(now.submission.text.as_str(), "SELECT 2");
    // The approval was of another text, so that nothing runs.
    let claim = process.jobs.claim_execution(&WorkerId("w".to_owned()), at(10), at(70)).await.unwrap();
    assert!(matches!(claim, Some(ExecutionClaim::Refused { .. })), "{claim:?}");
}

#[tokio::test]
async fn an_entry_with_unusual_characters_still_reaches_the_trail() {
    let world = World::empty().await;
    let mut strange = entry("user.login_failed");
    strange.new_values = Some(serde_json::json!({ "email\0": "a\0b", "nested": [{ "x": "\0" }] }));
    strange.origin.user_agent = Some(format!("a\0{}", "é".repeat(5_000)));
    strange.origin.ip = Some("x".repeat(200));
    PgAuditLog::new(world.database.store()).record(strange).await.unwrap();
    let row = world
        .database
        .client()
        .await
        .query_one("SELECT new_values::text, length(user_agent), ip_address FROM audit_logs", &[])
        .await
        .unwrap();
    assert!(row.get::<_, String>(0).contains("a\u{fffd}b"));
    assert_eq!((row.get::<_, i32>(1), row.get::<_, String>(2).len()), (1_000, 64));
}

#[tokio::test]
async fn a_large_result_is_stored_small_and_comes_back_in_order() {
    let world = World::peopled().await;
    let process = world.process();
    process.approved(request()).await;
    let claim = process.jobs.claim_execution(&WorkerId("w".to_owned()), at(10), at(70)).await.unwrap();
    let Some(ExecutionClaim::Started { lease, request, .. }) = claim else { panic!("{claim:?}") };
    let mut sink = process.results.sink(request.id, &lease);
    let line = "[\"the same text in every row\",1234567890]\n";
    for number in 0..37_u32 {
        let rows = 1_000 + number;
        let ndjson = Bytes::from(line.repeat(rows as usize));
        sink.write(ResultChunk { statement: number / 10, rows, ndjson }).await.unwrap();
    }
    let done = Event::Succeed { report: ExecutionReport::default(), preview: vec![] };
    let finished = process.jobs.finish_execution(&lease, &applied(&request, done)).await.unwrap();
    assert_eq!(finished.state.kind(), StateKind::Completed);
    let chunks: Vec<ResultChunk> = process.results.read(request.id).try_collect().await.unwrap();
    let rows: Vec<u32> = chunks.iter().map(|chunk| chunk.rows).collect();
    assert_eq!(rows, (1_000..1_037).collect::<Vec<_>>());
    assert!(chunks.iter().all(|chunk| chunk.ndjson.len() == line.len() * chunk.rows as usize));
    let sizes =
        "SELECT sum(octet_length(data))::bigint, sum(byte_count)::bigint FROM execution_result_chunks";
    let sizes = world.database.client().await.query_one(sizes, &[]).await.unwrap();
    assert!(sizes.get::<_, i64>(0) * 20 < sizes.get::<_, i64>(1));
}

#[tokio::test]
async fn a_slow_reader_holds_no_connection() {
    let world = World::peopled().await;
    let mut config = world.database.config();
    config.max_connections = 1;
    config.acquire_timeout = Duration::from_millis(500);
    let process = world.process_on(store_postgres::PgStore::connect(&config).unwrap());
    process.approved(request()).await;
    let claim = process.jobs.claim_execution(&WorkerId("w".to_owned()), at(10), at(70)).await.unwrap();
    let Some(ExecutionClaim::Started { lease, request, .. }) = claim else { panic!("{claim:?}") };
    let mut sink = process.results.sink(request.id, &lease);
    for _ in 0..10 {
        let ndjson = Bytes::from_static(b"[1]\n");
        sink.write(ResultChunk { statement: 0, rows: 1, ndjson }).await.unwrap();
    }
    let mut reader = process.results.read(request.id);
    let mut count = 0;
    while reader.try_next().await.unwrap().is_some() {
        // The only connection is free between two chunks.
        process.requests.find(request.id).await.unwrap();
        count += 1;
    }
    assert_eq!(count, 10);
}
