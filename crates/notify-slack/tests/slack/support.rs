//! A portal with everything but a database and people: a store in memory, the worker that delivers, and Slack's stand-in.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use domain::Timestamp;
use domain::job::WorkerId;
use domain::lifecycle;
use domain::ports::{ExecutionClaim, JobQueue as _, Notifier, RequestStore, SlackPeople};
use domain::request::{Effect, Event, NotificationKind, Request};
use domain::services::NotificationWorker;
use domain::user::Origin;
use notify_slack::{Slack, SlackConfig, SlackNotifier};
use slack_stand_in::{BOT_TOKEN, Person, SIGNING_SECRET, SlackStandIn};
use testkit::builders::{
    RequestBuilder, approver, database, epoch, pod, sample_report, target, target_database, user,
};
use testkit::fakes::FakeClock;
use testkit::memory::{InMemoryStore, JobKind, JobRow, JobState};

/// The channel of the POD `payments`.
pub(crate) const CHANNEL: &str = "C0PAYMENTS";
/// The requester.
pub(crate) const ADA: &str = "U0ADA";

pub(crate) struct Portal {
    pub(crate) slack: SlackStandIn,
    pub(crate) store: InMemoryStore,
    pub(crate) clock: Arc<FakeClock>,
    timeout: Duration,
    pub(crate) worker: NotificationWorker,
}

pub(crate) fn config(slack: &SlackStandIn, timeout: Duration) -> SlackConfig {
    SlackConfig {
        api_url: slack.api_url().parse().unwrap(),
        default_channel: None,
        request_link: Some("https://portal.example.com/requests/{id}".to_owned()),
        timeout,
        ..SlackConfig::new(BOT_TOKEN.into(), SIGNING_SECRET.into())
    }
}

impl Portal {
    pub(crate) async fn new() -> Self {
        Self::with_timeout(Duration::from_secs(10)).await
    }

    /// For tests in which calls hang.
    pub(crate) async fn impatient() -> Self {
        Self::with_timeout(Duration::from_secs(1)).await
    }

    async fn with_timeout(timeout: Duration) -> Self {
        let slack = SlackStandIn::start().await;
        slack.add_channel(CHANNEL, "payments");
        slack.add_person(Person::new(ADA, "ada@example.com"));
        let store = InMemoryStore::new();
        store.put_user(&user("ada").build(), "password");
        store.put_pod(&pod("payments").slack_channel(CHANNEL).build());
        let server = target("orders-db").build();
        store.put_target(&server);
        store.put_database(&server.id, &target_database(database().as_str()));
        let clock = Arc::new(FakeClock::new());
        let worker = worker(&store, &clock, notifier(&store, &clock, config(&slack, timeout)));
        Self { slack, store, clock, timeout, worker }
    }

    /// Another process takes over: it remembers nothing.
    pub(crate) fn restart(&mut self) {
        self.restart_with(config(&self.slack, self.timeout));
    }

    pub(crate) fn restart_with(&mut self, config: SlackConfig) {
        let notifier = notifier(&self.store, &self.clock, config);
        self.worker = worker(&self.store, &self.clock, notifier);
    }

    /// As [`Self::restart`], with other word on who is who.
    pub(crate) fn restart_among(&mut self, people: Arc<dyn SlackPeople>) {
        let slack = Slack::new(config(&self.slack, self.timeout)).unwrap();
        let notifier = SlackNotifier::new(slack, self.store.deliveries(), people, self.clock.clone());
        self.worker = worker(&self.store, &self.clock, Arc::new(notifier));
    }

    pub(crate) async fn submit(&self, request: RequestBuilder) -> Request {
        let now = self.now();
        let request = request.created_at(now).unsaved();
        let audit = lifecycle::submission_audit(&request, Origin::default());
        let effects = [Effect::Notify(NotificationKind::Submitted)];
        self.store.insert(&request, &audit, &effects, None).await.unwrap();
        self.stored(&request).await
    }

    /// The request as it is now.
    pub(crate) async fn stored(&self, request: &Request) -> Request {
        RequestStore::find(&self.store, request.id).await.unwrap().unwrap()
    }

    pub(crate) async fn commit(&self, request: &Request, event: Event) -> Request {
        let stored = self.stored(request).await;
        let transition = lifecycle::transition(stored, event, None, Origin::default(), self.now()).unwrap();
        self.store.commit(&transition).await.unwrap()
    }

    pub(crate) async fn approve(&self, request: &Request) -> Request {
        let event = Event::Approve { by: approver("grace"), digest: Some(request.digest()) };
        self.commit(request, event).await
    }

    pub(crate) async fn reject(&self, request: &Request) -> Request {
        let reason = testkit::builders::remark("Please add a WHERE clause.");
        self.commit(request, Event::Reject { by: approver("grace"), reason }).await
    }

    /// Runs the next execution that is due, well.
    pub(crate) async fn execute(&self) -> Request {
        let now = self.now();
        let lease_until = now + TimeDelta::minutes(1);
        let claim =
            self.store.claim_execution(&WorkerId("w".to_owned()), now, lease_until).await.unwrap().unwrap();
        let ExecutionClaim::Started { lease, request, .. } = claim else { panic!("{claim:?}") };
        let (report, preview) = sample_report();
        let event = Event::Succeed { report, preview };
        let transition = lifecycle::transition(*request, event, None, Origin::default(), now).unwrap();
        self.store.finish_execution(&lease, &transition).await.unwrap()
    }

    /// Delivers until nothing is due at this moment.
    pub(crate) async fn deliver(&self) {
        self.slack.set_time(self.now().timestamp());
        while self.worker.deliver_one().await.unwrap() {}
    }

    /// Delivers until nothing waits any more, or until `end`; time jumps to where something is due.
    pub(crate) async fn deliver_until(&self, end: Timestamp) {
        loop {
            self.deliver().await;
            let waiting = self.notifications().into_iter().filter(|job| job.state == JobState::Queued);
            // What is due and was not taken waits for another one of its request.
            let due = waiting.map(|job| job.due_at).filter(|due| *due > self.now()).min();
            match due {
                Some(due) if due <= end => self.clock.set(due),
                _ => return,
            }
        }
    }

    /// Delivers everything, however long it takes.
    pub(crate) async fn deliver_all(&self) {
        self.deliver_until(self.now() + TimeDelta::days(2)).await;
    }

    pub(crate) fn notifications(&self) -> Vec<JobRow> {
        self.store.jobs().into_iter().filter(|job| matches!(job.kind, JobKind::Notification(_))).collect()
    }

    /// The one notification there is.
    pub(crate) fn only_notification(&self) -> JobRow {
        let [job] = self.notifications().try_into().unwrap();
        job
    }

    pub(crate) fn now(&self) -> Timestamp {
        domain::ports::Clock::now(&*self.clock)
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn seconds(&self) -> i64 {
        (self.now() - epoch()).num_seconds()
    }
}

pub(crate) fn notifier(
    store: &InMemoryStore,
    clock: &Arc<FakeClock>,
    config: SlackConfig,
) -> Arc<dyn Notifier> {
    let slack = Slack::new(config).unwrap();
    Arc::new(SlackNotifier::new(slack, store.deliveries(), store.slack_people(), clock.clone()))
}

fn worker(store: &InMemoryStore, clock: &Arc<FakeClock>, notifier: Arc<dyn Notifier>) -> NotificationWorker {
    NotificationWorker {
        queue: store.job_queue(),
        requests: store.request_store(),
        directory: store.directory(),
        notifier,
        changes: store.change_feed(),
        clock: clock.clone(),
        worker: WorkerId("host:1:1".to_owned()),
        poll: Duration::from_secs(1),
        concurrency: 1,
    }
}
