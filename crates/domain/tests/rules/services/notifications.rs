//! Telling people what happened.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use domain::Timestamp;
use domain::audit::AuditEntry;
use domain::idempotency::Idempotency;
use domain::ids::{JobId, UserId};
use domain::job::{Audience, NOTIFICATION_ATTEMPTS, WorkerId, backoff};
use domain::lifecycle::Transition;
use domain::page::{Page, PageRequest};
use domain::policy::Visibility;
use domain::ports::{
    Change, ChangeFeed, Clock, Earlier, Notification, Notifier, NotifyError, RequestFilter, RequestStore,
    StoreError, TransitionError,
};
use domain::request::{Effect, Event, NotificationKind, Request};
use domain::services::NotificationWorker;
use testkit::builders::{approver, at, remark, request, target};
use testkit::fakes::RecordingNotifier;
use testkit::memory::{DeliveryState, JobRow, JobState};
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
            directory: self.world.store.directory(),
            notifier: self.notifier.clone(),
            changes: self.world.store.change_feed(),
            clock: self.world.clock.clone(),
            worker: WorkerId("host:1:1".to_owned()),
            poll: Duration::from_secs(5),
            concurrency: 1,
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
    for _ in 0..3 {
        assert!(post.deliver_one().await);
    }
    assert!(!post.deliver_one().await, "nothing is left");
    let to_channel = [NotificationKind::Submitted, NotificationKind::Rejected];
    assert_eq!(post.notifier.told(Audience::Channel), to_channel);
    assert_eq!(post.notifier.told(Audience::Requester), [NotificationKind::Rejected]);
    let Notification { job, request, target, pod } = &post.notifier.sent()[0];
    assert_eq!((job.attempt, job.queued_at, request.id), (1, at(0), id));
    let found = (target.as_ref().map(|t| t.id.as_str()), pod.as_ref().map(|p| p.id.as_str()));
    assert_eq!(found, (Some("orders-db"), Some("payments")), "as they are at the moment of telling");
    assert!(post.world.store.jobs().iter().all(|job| job.state == JobState::Done));
}

#[tokio::test]
async fn a_notification_that_fails_is_tried_again_after_a_growing_pause() {
    let post = Post::new();
    post.world.pending(request()).await;
    let mut due = at(0);
    for attempt in 1..=3 {
        post.fail_next();
        assert!(post.deliver_one().await);
        let job = post.job();
        due += backoff(job.id, attempt);
        assert_eq!((job.state, job.attempts, job.due_at), (JobState::Queued, attempt, due));
        assert_eq!(job.error.as_deref(), Some("the notification could not be delivered now: HTTP 503"));
        assert!(!post.deliver_one().await, "it is not due yet");
        post.world.clock.set(due);
    }
    assert!(post.deliver_one().await);
    assert_eq!(post.notifier.kinds(), [NotificationKind::Submitted]);
    assert_eq!(post.job().state, JobState::Done);
}

fn job(number: u128) -> JobId {
    JobId::from_uuid(uuid::Uuid::from_u128(number))
}

#[test]
fn the_pause_between_two_tries_doubles_up_to_ten_minutes_less_up_to_a_half_of_it() {
    let longest = [2, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600];
    for (attempt, seconds) in (0..).zip(longest).chain([(u32::MAX, 600)]) {
        let longest = Duration::from_secs(seconds);
        for number in 0..200 {
            let pause = backoff(job(number), attempt);
            assert!((longest / 2..=longest).contains(&pause), "{pause:?} at attempt {attempt}");
            assert_eq!(pause, backoff(job(number), attempt), "what is stored can be told again");
        }
    }
}

#[test]
fn jobs_that_failed_together_do_not_come_back_together() {
    let pauses: BTreeSet<Duration> = (0..100).map(|number| backoff(job(number), 9)).collect();
    assert!(pauses.len() > 50, "{} different pauses for 100 jobs", pauses.len());
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
    let (queue, mut now) = (post.world.store.job_queue(), post.world.clock.now());
    let lost = WorkerId("host:2:2".to_owned());
    for _ in 1..NOTIFICATION_ATTEMPTS {
        let claimed = queue.claim_notification(&lost, now, now).await.expect("the store answers");
        assert!(claimed.is_some(), "a worker that is lost at once");
        now += Duration::from_millis(1);
        queue.reap(now).await.expect("the store answers");
    }
    post.world.clock.set(now);
    post.fail_next();
    assert!(post.deliver_one().await);
    let job = post.job();
    assert_eq!((job.state, job.attempts), (JobState::Failed, NOTIFICATION_ATTEMPTS));
    post.world.clock.advance(Duration::from_mins(10));
    assert!(!post.deliver_one().await);
}

#[tokio::test]
async fn a_notification_is_tried_for_a_day_and_then_ends_as_failed() {
    let post = Post::new();
    post.world.pending(request()).await;
    let (day, mut last) = (at(24 * 3600), at(0));
    while post.job().state == JobState::Queued {
        last = post.job().due_at;
        post.world.clock.set(last);
        post.fail_next();
        assert!(post.deliver_one().await);
    }
    let job = post.job();
    assert_eq!(job.state, JobState::Failed);
    assert!(day - last <= TimeDelta::minutes(10), "the last try was at {last}, and there was time for more");
    assert!(last <= day, "the last try was at {last}");
    assert!(job.attempts < NOTIFICATION_ATTEMPTS, "time ended it, and not the number of tries");
    assert_eq!(job.error.as_deref(), Some("the notification could not be delivered now: HTTP 503"));
    post.world.clock.advance(Duration::from_hours(24));
    assert!(!post.deliver_one().await);
    assert_eq!(post.notifier.kinds(), []);
    let [row] = &post.world.store.delivery_rows()[..] else { panic!("one delivery is on record") };
    assert_eq!((row.state, row.audience), (DeliveryState::Failed, Audience::Channel), "people can see that");
}

#[tokio::test]
async fn a_notification_that_has_to_wait_comes_back_as_if_it_had_not_been_tried() {
    let post = Post::new();
    post.world.pending(request()).await;
    for turn in 1..=20 {
        post.notifier.fail_next(NotifyError::Later { after: Duration::from_secs(30) });
        assert!(post.deliver_one().await);
        let job = post.job();
        assert_eq!((job.state, job.attempts, job.error), (JobState::Queued, 0, None));
        assert_eq!(job.due_at, at(30 * turn));
        assert!(!post.deliver_one().await, "it is not its turn yet");
        post.world.clock.set(job.due_at);
    }
    assert!(post.deliver_one().await);
    let sent = post.notifier.sent();
    assert_eq!(sent.iter().map(|told| told.job.attempt).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn a_notification_does_not_wait_for_longer_than_a_day() {
    let post = Post::new();
    post.world.pending(request()).await;
    post.world.clock.set(at(23 * 3600));
    post.notifier.fail_next(NotifyError::Later { after: Duration::from_hours(1) });
    assert!(post.deliver_one().await);
    assert_eq!(post.job().state, JobState::Queued, "a day is not over yet");
    post.world.clock.set(at(24 * 3600));
    post.notifier.fail_next(NotifyError::Later { after: Duration::from_secs(1) });
    assert!(post.deliver_one().await);
    let job = post.job();
    assert_eq!((job.state, job.error.as_deref()), (JobState::Failed, Some("the notification has to wait")));
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

#[tokio::test(start_paused = true)]
async fn what_has_to_wait_for_its_turn_is_looked_for_at_that_moment() {
    let post = Post::new();
    post.world.pending(request()).await;
    post.notifier.fail_next(NotifyError::Later { after: Duration::from_secs(3) });
    let worker = NotificationWorker { changes: Arc::new(ClosedFeed), ..post.worker() };
    let running = tokio::spawn(async move { worker.run(CancellationToken::new()).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(post.job().due_at, at(3));
    post.world.clock.set(at(3));
    tokio::time::sleep(Duration::from_millis(1_990)).await;
    assert_eq!(post.notifier.kinds(), [], "its turn is in a hundredth of a second");
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(post.notifier.kinds().len(), 1, "the next poll is two seconds away");
    running.abort();
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

/// Never comes to an end with the first notification that it is given.
#[derive(Default)]
struct Hanging {
    begun: AtomicBool,
    others: RecordingNotifier,
}

#[async_trait]
impl Notifier for Hanging {
    async fn notify(&self, notification: &Notification) -> Result<(), NotifyError> {
        if self.begun.swap(true, Ordering::Relaxed) {
            return self.others.notify(notification).await;
        }
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_hangs_does_not_hold_up_the_others() {
    for (concurrency, delivered) in [(1, 0), (2, 3)] {
        let post = Post::new();
        for _ in 0..4 {
            post.world.pending(request()).await;
        }
        let hanging = Arc::new(Hanging::default());
        let worker = NotificationWorker { notifier: hanging.clone(), concurrency, ..post.worker() };
        let running = tokio::spawn(async move { worker.run(CancellationToken::new()).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(hanging.others.kinds().len(), delivered, "{concurrency} at the same time");
        running.abort();
    }
}

/// The first delivery panics, and no other.
#[derive(Default)]
struct Panicking(Hanging);

#[async_trait]
impl Notifier for Panicking {
    async fn notify(&self, notification: &Notification) -> Result<(), NotifyError> {
        assert!(self.0.begun.swap(true, Ordering::Relaxed), "a defect");
        self.0.others.notify(notification).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_panics_does_not_end_the_others_and_is_tried_again() {
    let post = Post::new();
    for _ in 0..3 {
        post.world.pending(request()).await;
    }
    let panicking = Arc::new(Panicking::default());
    let worker = NotificationWorker { notifier: panicking.clone(), concurrency: 1, ..post.worker() };
    let running = tokio::spawn(async move { worker.run(CancellationToken::new()).await });
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(panicking.0.others.kinds().len(), 2);
    post.world.clock.advance(Duration::from_mins(5));
    post.world.store.job_queue().reap(post.world.clock.now()).await.expect("the store answers");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(panicking.0.others.kinds().len(), 3);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_told_to_stop_ends_all_of_its_deliveries() {
    let post = Post::new();
    let worker = NotificationWorker { concurrency: 3, ..post.worker() };
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let running = tokio::spawn(async move { worker.run(stopped).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.cancel();
    running.await.expect("no panic");
}

#[tokio::test]
async fn a_target_or_a_pod_that_is_gone_is_told_without() {
    let post = Post::new();
    let gone = target("gone-db").pods(&["gone"]).build();
    post.world.pending(request().target(&gone).pod("gone")).await;
    assert!(post.deliver_one().await);
    let sent = post.notifier.sent();
    assert_eq!((&sent[0].target, &sent[0].pod), (&None, &None));
}

/// A store that has lost all of its requests.
struct EmptyStore;

#[async_trait]
impl RequestStore for EmptyStore {
    async fn insert<'a>(
        &self,
        _: &Request,
        _: &AuditEntry,
        _: &[Effect],
        _: Option<&'a Idempotency>,
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
