//! Executions that are told to stop: by a person, or because their lease was lost.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::execution::{Column, ExecutionOrder, ExecutionReport, ResultChunk, StatementReport};
use domain::ports::{ExecutionError, ResultSink, TargetExecutor};
use domain::request::{Event, NotificationKind, State, StateKind};
use domain::services::{ExecutionWorker, Housekeeper};
use domain::target::Engine;
use testkit::builders::approver;
use testkit::fakes::Script;
use testkit::memory::JobState;
use tokio_util::sync::CancellationToken;

use super::OvertakenStore;
use super::execution::Rig;

fn report(command: &str) -> ExecutionReport {
    let statement = StatementReport {
        command: command.to_owned(),
        columns: Some(vec![Column { name: "a".to_owned(), type_name: "int4".to_owned() }]),
        rows: 0,
        affected: Some(1),
        truncated: false,
    };
    ExecutionReport { statements: vec![statement], ..ExecutionReport::default() }
}

/// What an executor does once it is told to stop.
enum AfterCancel {
    /// Its commit was faster.
    Commits,
    /// It goes on writing its result.
    Writes,
    /// It hangs.
    Nothing,
}

#[async_trait]
impl TargetExecutor for AfterCancel {
    fn engine(&self) -> Engine {
        Engine::Postgresql
    }

    async fn execute(
        &self,
        _order: &ExecutionOrder,
        sink: &mut (dyn ResultSink + 'static),
        cancel: CancellationToken,
    ) -> Result<ExecutionReport, ExecutionError> {
        cancel.cancelled().await;
        match self {
            Self::Commits => Ok(report("UPDATE")),
            Self::Writes => {
                let chunk = ResultChunk { statement: 0, rows: 1, ndjson: "[1]\n".into() };
                sink.write(chunk).await.map_err(ExecutionError::Sink)?;
                Ok(report("SELECT"))
            }
            Self::Nothing => std::future::pending().await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_running_request_that_is_asked_to_stop_is_cancelled() {
    let rig = Rig::new();
    let id = rig.approved().await;
    rig.executor.plays(Script::rows(["[1]"]).writes(1).waits_for_release());
    let running = rig.begin().await;
    assert_eq!(rig.world.kind(id).await, StateKind::Executing);
    rig.world.ask_to_cancel(id).await;
    let begin = tokio::time::Instant::now();
    running.await.expect("no panic");
    let State::Cancelled { asked, .. } = rig.world.state(id).await else { panic!("it was cancelled") };
    assert_eq!(asked.by, Some(approver("ada")));
    assert_eq!(begin.elapsed(), Duration::ZERO, "the news stopped it, not a poll");
    assert_eq!(rig.executor.written_rows(), 0);
    assert_eq!(rig.job_state(id), JobState::Done);
    assert_eq!(rig.notified(id).last(), Some(&NotificationKind::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn a_cancel_whose_news_was_lost_is_seen_when_the_lease_is_renewed() {
    let rig = Rig::new();
    let id = rig.approved().await;
    rig.executor.plays(Script::default().waits_for_release());
    let running = rig.begin().await;
    // As another process does it whose announcement never arrives.
    let asked = rig.world.request(id).await;
    let version = asked.version + 1;
    let (asked, _) =
        asked.apply(Event::RequestCancel { by: None }, testkit::builders::at(1)).expect("it runs");
    rig.world.store.put_request(&domain::request::Request { version, ..asked });
    running.await.expect("no panic");
    assert_eq!(rig.world.kind(id).await, StateKind::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_was_faster_than_the_cancel_completes_the_request() {
    let rig = Rig::new();
    let id = rig.approved().await;
    let worker = rig.worker_with(AfterCancel::Commits);
    let running = tokio::spawn(async move { worker.run_one().await.map_err(|e| e.to_string()) });
    tokio::time::sleep(Duration::from_secs(1)).await;
    rig.world.ask_to_cancel(id).await;
    running.await.expect("no panic").expect("the store answers");
    assert_eq!(rig.world.kind(id).await, StateKind::Completed);
    let trail = rig.world.trail(id);
    assert_eq!(trail[3..], ["request.request_cancel", "request.succeed"]);
}

#[tokio::test]
async fn a_cancel_that_arrives_while_the_end_is_written_changes_nothing_about_the_end() {
    let rig = Rig::new();
    let id = rig.approved().await;
    let overtaken = OvertakenStore {
        inner: rig.world.store.clone(),
        clock: rig.world.clock.clone(),
        events: Mutex::new([Event::RequestCancel { by: Some(approver("ada")) }].into()),
    };
    let worker = ExecutionWorker { requests: Arc::new(overtaken), ..rig.worker("host:1:1") };
    worker.run_one().await.expect("the store answers");
    assert_eq!(rig.world.kind(id).await, StateKind::Completed);
    assert_eq!(rig.world.trail(id)[3..], ["request.request_cancel", "request.succeed"]);
}

/// Lets the lease run out and the reaper take the request away.
async fn lose_the_lease(rig: &Rig) {
    rig.world.clock.advance(Duration::from_secs(31));
    let housekeeper = Housekeeper {
        queue: rig.world.store.job_queue(),
        clock: rig.world.clock.clone(),
        every: Duration::from_secs(1),
    };
    housekeeper.tidy().await.expect("the store answers");
}

#[tokio::test(start_paused = true)]
async fn who_has_lost_the_lease_stops_and_writes_nothing() {
    let rig = Rig::new();
    let id = rig.approved().await;
    rig.executor.plays(Script::rows(["[1]"]).writes(1).waits_for_release());
    let running = rig.begin().await;
    lose_the_lease(&rig).await;
    let lost = rig.world.request(id).await;
    assert_eq!(lost.state.kind(), StateKind::Interrupted);
    let begin = tokio::time::Instant::now();
    running.await.expect("no panic");
    assert!(
        begin.elapsed() < Duration::from_secs(6),
        "it was told at the next renewal: {:?}",
        begin.elapsed()
    );
    assert_eq!(rig.world.request(id).await, lost, "nothing was written after the lease was lost");
    assert_eq!(rig.executor.written_rows(), 0, "the execution was told to stop");
    assert_eq!(rig.world.trail(id).last().map(String::as_str), Some("request.lose_contact"));
}

#[tokio::test(start_paused = true)]
async fn rows_that_come_after_the_lease_was_lost_are_not_kept() {
    let rig = Rig::new();
    let id = rig.approved().await;
    let worker = rig.worker_with(AfterCancel::Writes);
    let running = tokio::spawn(async move { worker.run_one().await.map_err(|e| e.to_string()) });
    tokio::time::sleep(Duration::from_secs(1)).await;
    lose_the_lease(&rig).await;
    let lost = rig.world.request(id).await;
    running.await.expect("no panic").expect("the store answers");
    assert_eq!(rig.world.request(id).await, lost);
    assert_eq!(rig.stored_lines(id).await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_does_not_stop_is_dropped_a_minute_after_its_lease_was_lost() {
    let rig = Rig::new();
    let id = rig.approved().await;
    let worker = rig.worker_with(AfterCancel::Nothing);
    let running = tokio::spawn(async move { worker.run_one().await.map_err(|e| e.to_string()) });
    tokio::time::sleep(Duration::from_secs(1)).await;
    lose_the_lease(&rig).await;
    let begin = tokio::time::Instant::now();
    running.await.expect("no panic").expect("the store answers");
    let (at_least, at_most) = (Duration::from_mins(1), Duration::from_secs(66));
    assert!((at_least..at_most).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    assert_eq!(rig.world.kind(id).await, StateKind::Interrupted);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_renewed_in_time_is_not_lost_however_long_it_takes() {
    let rig = Rig::new();
    let id = rig.approved().await;
    rig.executor.plays(Script::rows(["[1]"]).sleeps(Duration::from_mins(5)));
    let running = rig.begin().await;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_secs(6)).await;
        rig.world.clock.advance(Duration::from_secs(6));
        rig.world
            .store
            .job_queue()
            .reap(domain::ports::Clock::now(&*rig.world.clock))
            .await
            .expect("it answers");
    }
    running.await.expect("no panic");
    assert_eq!(rig.world.kind(id).await, StateKind::Completed);
}
