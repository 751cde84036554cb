//! The worker's loop: claiming, several at once, several workers, draining.

use std::sync::Arc;
use std::time::Duration;

use domain::ids::RequestId;
use domain::request::{State, StateKind};
use domain::services::{ExecutionSettings, ExecutionWorker};
use testkit::builders::{at, request};
use testkit::fakes::Script;
use testkit::memory::JobState;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::execution::{Rig, patient};

/// A worker under way.
struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start(worker: ExecutionWorker) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(Arc::new(worker).run(stop.clone()));
        Self { stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("no panic");
    }
}

fn with(worker: ExecutionWorker, change: impl FnOnce(&mut ExecutionSettings)) -> ExecutionWorker {
    let mut settings = worker.settings;
    change(&mut settings);
    ExecutionWorker { settings, ..worker }
}

/// Waits until a request is over.
async fn settled(rig: &Rig, id: RequestId) -> StateKind {
    loop {
        let kind = rig.world.kind(id).await;
        if kind.is_settled() {
            return kind;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn two_workers_that_want_the_same_request_run_it_once() {
    let rig = Rig::new();
    let id = rig.approved().await;
    rig.executor.plays(Script::default().writes(1).sleeps(Duration::from_millis(50)));
    let (one, other) = (rig.worker("one:1:1"), rig.worker("other:1:1"));
    let (one, other) = tokio::join!(one.run_one(), other.run_one());
    let ran = [one.expect("the store answers"), other.expect("the store answers")];
    assert_eq!(ran.iter().filter(|ran| **ran).count(), 1);
    assert_eq!((rig.executor.executions(), rig.executor.written_rows()), (1, 1));
    assert_eq!(rig.world.kind(id).await, StateKind::Completed);
}

#[tokio::test(start_paused = true)]
async fn workers_share_the_queue_and_run_each_request_once() {
    let rig = Rig::new();
    let mut ids = vec![];
    for _ in 0..20 {
        rig.executor.plays(Script::default().writes(1).sleeps(Duration::from_millis(50)));
        ids.push(rig.approved().await);
    }
    let workers =
        ["one:1:1", "other:1:1"].map(|name| Running::start(with(rig.worker(name), |s| s.concurrency = 2)));
    for &id in &ids {
        assert_eq!(settled(&rig, id).await, StateKind::Completed);
    }
    for worker in workers {
        worker.stop().await;
    }
    assert_eq!((rig.executor.executions(), rig.executor.written_rows()), (20, 20));
    let mut names = vec![];
    for id in ids {
        names.push(rig.world.request(id).await.state.run().expect("it ran").worker.clone());
    }
    assert!(names.contains(&"one:1:1".to_owned()) && names.contains(&"other:1:1".to_owned()), "{names:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_run_at_once_than_the_settings_say() {
    let rig = Rig::new();
    for _ in 0..5 {
        rig.executor.plays(Script::default().waits_for_release());
        rig.approved().await;
    }
    let running = Running::start(with(rig.worker("host:1:1"), |s| s.concurrency = 2));
    rig.executor.started().await;
    rig.executor.started().await;
    let third = timeout(Duration::from_mins(1), rig.executor.started()).await;
    assert!(third.is_err(), "a third one has started");
    rig.executor.release();
    timeout(Duration::from_secs(1), rig.executor.started()).await.expect("the third one starts now");
    assert_eq!(rig.executor.executions(), 3);
    for _ in 0..4 {
        rig.executor.release();
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_approval_wakes_the_worker() {
    let rig = Rig::new();
    let running = Running::start(with(rig.worker("host:1:1"), |s| s.poll = Duration::from_hours(1)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begin = Instant::now();
    let id = rig.approved().await;
    assert_eq!(settled(&rig, id).await, StateKind::Completed);
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_does_not_start_before_its_earliest_time() {
    let rig = Rig::new();
    let id = rig.world.approved(request().limits(patient()).not_before(at(3_600))).await.id;
    let running = Running::start(rig.worker("host:1:1"));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(rig.world.kind(id).await, StateKind::Approved);
    rig.world.clock.set(at(3_600));
    assert_eq!(settled(&rig, id).await, StateKind::Completed);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_waits_for_a_store_that_is_away() {
    let rig = Rig::new();
    let id = rig.approved().await;
    rig.world.store.set_unavailable(true);
    let running = Running::start(rig.worker("host:1:1"));
    tokio::time::sleep(Duration::from_mins(1)).await;
    rig.world.store.set_unavailable(false);
    assert_eq!(settled(&rig, id).await, StateKind::Completed);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stopping_worker_waits_for_what_runs_and_claims_nothing_new() {
    let rig = Rig::new();
    let first = rig.approved().await;
    rig.executor.plays(Script::default().sleeps(Duration::from_secs(10)));
    let running = Running::start(rig.worker("host:1:1"));
    rig.executor.started().await;
    running.stop.cancel();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let second = rig.approved().await;
    running.stop().await;
    assert_eq!(rig.world.kind(first).await, StateKind::Completed);
    assert_eq!(rig.world.kind(second).await, StateKind::Approved);
    assert_eq!(rig.job_state(second), JobState::Queued);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_stopped_before_it_begins_claims_nothing() {
    let rig = Rig::new();
    let mut ids = vec![];
    for _ in 0..10 {
        ids.push(rig.approved().await);
    }
    let stop = CancellationToken::new();
    stop.cancel();
    Arc::new(rig.worker("host:1:1")).run(stop).await;
    for id in ids {
        assert_eq!(rig.world.kind(id).await, StateKind::Approved);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopping_worker_cancels_what_outlasts_the_draining() {
    let rig = Rig::new();
    let id = rig.approved().await;
    rig.executor.plays(Script::default().writes(1).waits_for_release());
    let running = Running::start(with(rig.worker("host:1:1"), |s| s.drain = Duration::from_secs(7)));
    rig.executor.started().await;
    let begin = Instant::now();
    running.stop().await;
    let (at_least, at_most) = (Duration::from_secs(7), Duration::from_secs(8));
    assert!((at_least..at_most).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    let State::Cancelled { asked, .. } = rig.world.state(id).await else { panic!("it was cancelled") };
    assert_eq!(asked.by, None, "the server asked in its own name");
    assert_eq!(rig.executor.written_rows(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stopping_worker_whose_store_is_away_cancels_when_it_is_back() {
    let rig = Rig::new();
    let id = rig.approved().await;
    rig.executor.plays(Script::default().writes(1).waits_for_release());
    let running = Running::start(with(rig.worker("host:1:1"), |s| s.drain = Duration::from_secs(7)));
    rig.executor.started().await;
    rig.world.store.set_unavailable(true);
    running.stop.cancel();
    tokio::time::sleep(Duration::from_mins(1)).await;
    rig.world.store.set_unavailable(false);
    timeout(Duration::from_secs(10), running.stop()).await.expect("it asks again");
    assert_eq!(rig.world.kind(id).await, StateKind::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_stops_at_once() {
    let rig = Rig::new();
    let running = Running::start(rig.worker("host:1:1"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begin = Instant::now();
    running.stop().await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_worker_with_all_its_places_taken_stops_too() {
    let rig = Rig::new();
    rig.approved().await;
    rig.executor.plays(Script::default().sleeps(Duration::from_secs(3)));
    let running = Running::start(with(rig.worker("host:1:1"), |s| s.concurrency = 1));
    rig.executor.started().await;
    let begin = Instant::now();
    running.stop().await;
    assert!(begin.elapsed() <= Duration::from_millis(3_010), "{:?}", begin.elapsed());
}
