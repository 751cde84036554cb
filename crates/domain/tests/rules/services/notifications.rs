//! Telling people what happened.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::Timestamp;
use domain::audit::AuditEntry;
use domain::idempotency::Idempotency;
use domain::ids::UserId;
use domain::job::{NOTIFICATION_ATTEMPTS, WorkerId, backoff};
use domain::lifecycle::Transition;
use domain::page::{Page, PageRequest};
use domain::policy::Visibility;
use domain::ports::{
    Change, ChangeFeed, Earlier, NotifyError, RequestFilter, RequestStore, StoreError, TransitionError,
};
use domain::request::{Effect, Event, NotificationKind, Request};
use domain::services::NotificationWorker;
use testkit::builders::{approver, at, remark, request};
use testkit::fakes::RecordingNotifier;
use testkit::memory::{JobRow, JobState};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::World;

struct Post {
    world: World,
    notifier: Arc<RecordingNotifier>,
}

impl Post {
    fn new() -> Self {
        Self { world: World::new(), notifier: Arc::default() }
    }

    fn worker(&self) -> NotificationWorker {
        NotificationWorker {
            queue: self.world.store.job_queue(),
            requests: self.world.store.request_store(),
            notifier: self.notifier.clone(),
            changes: self.world.store.change_feed(),
            clock: self.world.clock.clone(),
            worker: WorkerId("host:1:1".to_owned()),
            poll: Duration::from_secs(5),
        }
    }

    async fn deliver_one(&self) -> bool {
        self.worker().deliver_one().await.expect("the store answers")
    }

    /// The one notification there is.
    fn job(&self) -> JobRow {
        let jobs = self.world.store.jobs();
        let [job] = &jobs[..] else { panic!("one job, not {jobs:?}") };
        job.clone()
    }

    fn fail_next(&self) {
        self.notifier.fail_next(NotifyError::Retry { source: "HTTP 503".into() });
    }
}

#[tokio::test]
async fn notifications_are_delivered_once_each_in_order() {
    let post = Post::new();
    let pending = post.world.pending(request()).await;
    let id = pending.id;
    post.world.commit(pending, Event::Reject { by: approver("grace"), reason: remark("No.") }).await;
    assert!(post.deliver_one().await);
    assert!(post.deliver_one().await);
    assert!(!post.deliver_one().await, "nothing is left");
    assert_eq!(post.notifier.kinds(), [NotificationKind::Submitted, NotificationKind::Rejected]);
    let (job, told) = &post.notifier.sent()[0];
    assert_eq!((job.attempt, told.id), (1, id));
    assert!(post.world.store.jobs().iter().all(|job| job.state == JobState::Done));
}

#[tokio::test]
async fn a_notification_that_fails_is_tried_again_after_a_growing_pause() {
    let post = Post::new();
    post.world.pending(request()).await;
    let mut due = 0;
    for (attempt, pause) in [(1, 2), (2, 4), (3, 8)] {
        post.fail_next();
        assert!(post.deliver_one().await);
        due += pause;
        let job = post.job();
        assert_eq!((job.state, job.attempts, job.due_at), (JobState::Queued, attempt, at(due)));
        assert_eq!(job.error.as_deref(), Some("the notification could not be delivered now: HTTP 503"));
        assert!(!post.deliver_one().await, "it is not due yet");
        post.world.clock.set(at(due));
    }
    assert!(post.deliver_one().await);
    assert_eq!(post.notifier.kinds(), [NotificationKind::Submitted]);
    assert_eq!(post.job().state, JobState::Done);
}

#[test]
fn the_pause_between_two_tries_doubles_up_to_ten_minutes() {
    let pauses: Vec<u64> = (0..13).map(|attempt| backoff(attempt).as_secs()).collect();
    assert_eq!(pauses, [2, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600]);
    assert_eq!(backoff(u32::MAX), Duration::from_mins(10));
}

#[tokio::test]
async fn a_notification_that_can_never_be_delivered_is_given_up() {
    let post = Post::new();
    post.world.pending(request()).await;
    post.notifier.fail_next(NotifyError::Permanent { reason: "the channel does not exist".to_owned() });
    assert!(post.deliver_one().await);
    let job = post.job();
    assert_eq!((job.state, job.attempts), (JobState::Failed, 1));
    let expected = "the notification can never be delivered: the channel does not exist";
    assert_eq!(job.error.as_deref(), Some(expected));
    post.world.clock.advance(Duration::from_hours(48));
    assert!(!post.deliver_one().await);
}

#[tokio::test]
async fn a_notification_is_given_up_after_its_last_try() {
    let post = Post::new();
    post.world.pending(request()).await;
    for attempt in 1..=NOTIFICATION_ATTEMPTS {
        post.fail_next();
        assert!(post.deliver_one().await, "attempt {attempt}");
        post.world.clock.advance(Duration::from_mins(10));
    }
    assert_eq!(post.job().state, JobState::Failed);
    assert!(!post.deliver_one().await);
}

#[tokio::test]
async fn one_notification_that_fails_does_not_hold_up_the_others() {
    let post = Post::new();
    post.world.pending(request()).await;
    post.world.pending(request()).await;
    post.fail_next();
    assert!(post.deliver_one().await);
    assert!(post.deliver_one().await);
    assert_eq!(post.notifier.kinds().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn news_wakes_the_worker_and_a_failing_store_does_not_end_it() {
    let post = Post::new();
    let (stop, worker) = (CancellationToken::new(), post.worker());
    let stopped = stop.clone();
    let running = tokio::spawn(async move { worker.run(stopped).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    post.world.pending(request()).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(post.notifier.kinds().len(), 1, "the worker did not wait for its poll");
    post.world.store.set_unavailable(true);
    tokio::time::sleep(Duration::from_secs(20)).await;
    post.world.store.set_unavailable(false);
    post.world.pending(request()).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(post.notifier.kinds().len(), 2);
    stop.cancel();
    running.await.expect("no panic");
}

/// News that end at once, as they do when their source has died.
struct ClosedFeed;

impl ChangeFeed for ClosedFeed {
    fn subscribe(&self) -> broadcast::Receiver<Change> {
        broadcast::channel(1).1
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_news_has_ended_polls_and_does_not_spin() {
    let post = Post::new();
    let worker = NotificationWorker { changes: Arc::new(ClosedFeed), ..post.worker() };
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let running = tokio::spawn(async move { worker.run(stopped).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    post.world.pending(request()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(post.notifier.kinds(), [], "it looks only every five seconds");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(post.notifier.kinds().len(), 1);
    stop.cancel();
    running.await.expect("no panic");
}

/// A store that has lost all of its requests.
struct EmptyStore;

#[async_trait]
impl RequestStore for EmptyStore {
    async fn insert(
        &self,
        _: &Request,
        _: &AuditEntry,
        _: &[Effect],
        _: Option<&Idempotency>,
    ) -> Result<Option<Earlier>, StoreError> {
        Ok(None)
    }

    async fn find_by_key(
        &self,
        _: UserId,
        _: &Idempotency,
        _: Timestamp,
    ) -> Result<Option<Earlier>, StoreError> {
        Ok(None)
    }

    async fn find(&self, _: domain::ids::RequestId) -> Result<Option<Request>, StoreError> {
        Ok(None)
    }

    async fn list(
        &self,
        _: &Visibility,
        _: &RequestFilter,
        _: &PageRequest,
    ) -> Result<Page<domain::request::RequestSummary>, StoreError> {
        Ok(Page { items: vec![], next: None })
    }

    async fn commit(&self, _: &Transition) -> Result<Request, TransitionError> {
        Err(TransitionError::NotFound)
    }
}

#[tokio::test]
async fn a_notification_about_a_request_that_is_gone_is_given_up() {
    let post = Post::new();
    post.world.pending(request()).await;
    let worker = NotificationWorker { requests: Arc::new(EmptyStore), ..post.worker() };
    assert!(worker.deliver_one().await.expect("the store answers"));
    assert_eq!(post.job().state, JobState::Failed);
    assert_eq!(post.notifier.kinds(), []);
}
