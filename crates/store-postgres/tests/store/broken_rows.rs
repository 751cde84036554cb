//! Rows that no version of the portal can have written.

use std::sync::Arc;

use domain::job::WorkerId;
use domain::ports::{Directory, ExecutionClaim, JobQueue, RequestStore, ResultStore, ScriptLogs, StoreError};
use domain::request::{Event, State};
use domain::script::LogLimit;
use futures_util::TryStreamExt;
use store_postgres::PgScriptLogs;
use testkit::builders::{at, request, sample_failure, target};
use testkit::fakes::FakeClock;

use crate::world::{World, applied, entry};

/// Breaks a stored request with a statement, and expects the error that names what was broken.
async fn is_corrupt(breaking: &str, expected: (&str, &str)) {
    let world = World::peopled().await;
    let process = world.process();
    let stored = process.approved(request()).await;
    world.database.client().await.batch_execute(breaking).await.unwrap();
    match process.requests.find(stored.id).await.unwrap_err() {
        StoreError::Corrupt { table, column, id } => {
            assert_eq!((table, column), expected, "{breaking}");
            assert!(!id.is_empty());
        }
        other => panic!("{breaking}: {other:?}"),
    }
}

#[tokio::test]
async fn an_impossible_row_is_named_by_table_column_and_id() {
    is_corrupt("UPDATE query_requests SET review = '{}'", ("query_requests", "review")).await;
    is_corrupt("UPDATE query_requests SET approved_at = NULL", ("query_requests", "approved_at")).await;
    is_corrupt("UPDATE query_requests SET requester_email = 'nobody'", ("query_requests", "requester_email"))
        .await;
    is_corrupt("UPDATE query_requests SET query_content = ' '", ("query_requests", "query_content")).await;
    is_corrupt("UPDATE request_approvals SET approver_email = ''", ("request_approvals", "approver_email"))
        .await;
}

#[tokio::test]
async fn the_id_of_a_broken_request_is_the_one_that_people_know() {
    let world = World::peopled().await;
    let process = world.process();
    let stored = process.approved(request()).await;
    world.database.client().await.batch_execute("UPDATE query_requests SET review = '{}'").await.unwrap();
    let error = process.requests.find(stored.id).await.unwrap_err();
    assert!(error.to_string().contains(&stored.id.to_string()), "{error}");
}

#[tokio::test]
async fn one_broken_request_stops_neither_the_queue_nor_the_reaper() {
    let world = World::peopled().await;
    let process = world.process();
    let ttl = std::time::Duration::from_mins(1);
    let broken = process.approved(request().approval_ttl(ttl)).await;
    let good = process.approved(request().approval_ttl(ttl)).await;
    let stale = process.submit(request().approval_ttl(std::time::Duration::from_secs(30))).await;
    let breaking = format!("UPDATE query_requests SET review = '{{}}' WHERE uuid = '{}'", broken.id);
    world.database.client().await.batch_execute(&breaking).await.unwrap();
    let worker = WorkerId("host:1:1".to_owned());
    let first = process.jobs.claim_execution(&worker, at(10), at(70)).await;
    assert!(matches!(first, Err(StoreError::Corrupt { .. })), "{first:?}");
    assert!(process.jobs.claim_execution(&worker, at(10), at(70)).await.unwrap().is_some());
    assert_eq!(process.jobs.claim_execution(&worker, at(10), at(70)).await.unwrap(), None);
    let reaped = process.jobs.reap(at(1_000)).await.unwrap();
    assert_eq!((reaped.interrupted, reaped.expired), (vec![good.id], vec![stale.id]));
}

#[tokio::test]
async fn one_broken_instance_does_not_keep_the_others_from_being_looked_at() {
    let world = World::peopled().await;
    let process = world.process();
    let other = target("other-db").build();
    process.directory.add_target(&other, &[], &entry("instance.create")).await.unwrap();
    let breaking = "UPDATE database_instances SET name = '' WHERE id = 'orders-db'";
    world.database.client().await.batch_execute(breaking).await.unwrap();
    let mut answers = vec![];
    for _ in 0..3 {
        answers.push(process.directory.claim_due_sync(at(10), at(70)).await);
    }
    let broken = |answer: &Result<_, _>| matches!(answer, Err(StoreError::Corrupt { column: "name", .. }));
    assert_eq!(answers.iter().filter(|answer| broken(answer)).count(), 1, "{answers:?}");
    let claimed: Vec<_> = answers.into_iter().filter_map(Result::ok).flatten().collect();
    assert_eq!(claimed, [other]);
}

#[tokio::test]
async fn a_failure_that_an_older_version_wrote_is_read() {
    let world = World::peopled().await;
    let process = world.process();
    let stored = process.approved(request()).await;
    let worker = WorkerId("host:1:1".to_owned());
    let claim = process.jobs.claim_execution(&worker, at(10), at(70)).await.unwrap();
    let Some(ExecutionClaim::Started { lease, request, .. }) = claim else { panic!("{claim:?}") };
    process.jobs.finish_execution(&lease, &applied(&request, Event::Fail(sample_failure()))).await.unwrap();
    let older = "UPDATE query_requests SET execution_error = execution_error #- '{databaseError,number}'";
    let client = world.database.client().await;
    let written: String =
        client.query_one("SELECT execution_error::text FROM query_requests", &[]).await.unwrap().get(0);
    assert!(written.contains("-2147483648"), "{written}");
    client.batch_execute(older).await.unwrap();
    let now: String =
        client.query_one("SELECT execution_error::text FROM query_requests", &[]).await.unwrap().get(0);
    assert!(!now.contains("number"), "{now}");
    let found = process.requests.find(stored.id).await.unwrap().unwrap();
    let State::Failed { failure, .. } = found.state else { panic!("{:?}", found.state) };
    let mut expected = sample_failure();
    expected.database_error.as_mut().unwrap().number = None;
    assert_eq!(*failure, expected);
}

#[tokio::test]
async fn a_chunk_that_unpacks_to_another_size_is_corrupt() {
    let world = World::peopled().await;
    let process = world.process();
    let stored = process.approved(request()).await;
    for (size, data) in [(3, "28b52ffd"), (1, ""), (-0, "00"), (1_000_000_000, "")] {
        let statement = format!(
            "DELETE FROM execution_result_chunks; \
             INSERT INTO execution_result_chunks (request_id, seq, statement, row_count, byte_count, data) \
             SELECT id, 0, 0, 1, {size}, '\\x{data}' FROM query_requests"
        );
        world.database.client().await.batch_execute(&statement).await.unwrap();
        let read: Result<Vec<_>, _> = process.results.read(stored.id).try_collect().await;
        assert!(
            matches!(read, Err(StoreError::Corrupt { table: "execution_result_chunks", .. })),
            "{size}: {read:?}"
        );
    }
}

#[tokio::test]
async fn a_line_of_a_log_that_is_no_line_is_corrupt() {
    let world = World::peopled().await;
    let stored = world.process().approved(request().script("fix.js", "return 1;")).await;
    let logs = PgScriptLogs::new(world.database.store(), Arc::new(FakeClock::new()));
    let client = world.database.client().await;
    client
        .batch_execute(
            "ALTER TABLE script_log DROP CONSTRAINT script_log_entry_check, \
             DROP CONSTRAINT script_log_level_check, DROP CONSTRAINT script_log_call_kind_check",
        )
        .await
        .unwrap();
    for (values, wrong) in [
        ("'shout', 'a', NULL, NULL, NULL", "level"),
        ("'log', NULL, NULL, NULL, NULL", "text"),
        ("NULL, NULL, NULL, 'query', 1", "call_number"),
        ("NULL, NULL, 1, 'drop', 1", "call_kind"),
        ("NULL, NULL, 1, 'query', NULL", "duration_us"),
    ] {
        let statement = format!(
            "DELETE FROM script_log; \
             INSERT INTO script_log (request_id, number, at, level, text, call_number, call_kind, duration_us) \
             SELECT id, 1, now(), {values} FROM query_requests"
        );
        client.batch_execute(&statement).await.unwrap();
        match logs.read(stored.id, 0, LogLimit::NONE).await {
            Err(StoreError::Corrupt { table: "script_log", column, id }) => {
                assert_eq!((column, id), (wrong, format!("{}/1", stored.id)));
            }
            other => panic!("{values}: {other:?}"),
        }
    }
}
