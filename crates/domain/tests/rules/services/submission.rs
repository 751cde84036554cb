//! Submitting.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::RequestId;
use domain::policy::Denied;
use domain::ports::{StoreError, SubmissionReviewer};
use domain::request::{NotificationKind, Request, RunOptions, State, SubmissionKind};
use domain::services::{ScriptChecks, Submissions, Submit, SubmitError};
use domain::target::{Engine, Limits};
use domain::text::SubmissionText;
use domain::user::{Actor, Origin, Permission, roles};
use testkit::builders::{
    actor, at, database, database_name, instance_id, pod_id, remark, target, target_database,
};
use testkit::fakes::{FakeReviewer, SequentialIds};
use testkit::memory::{JobKind, JobRow};

use super::World;

pub(super) struct Desk {
    pub(super) world: World,
    pub(super) reviewer: Arc<FakeReviewer>,
    pub(super) submissions: Submissions,
}

impl Desk {
    pub(super) fn new() -> Self {
        let world = World::new();
        let reviewer = Arc::new(FakeReviewer::default());
        let reviewers =
            HashMap::from([(Engine::Postgresql, reviewer.clone() as Arc<dyn SubmissionReviewer>)]);
        let submissions = Submissions {
            requests: world.store.request_store(),
            directory: world.store.directory(),
            reviewers,
            scripts: None,
            checks: ScriptChecks::default(),
            clock: world.clock.clone(),
            ids: Arc::new(SequentialIds::new()),
        };
        Self { world, reviewer, submissions }
    }

    pub(super) async fn submit(&self, actor: &Actor, submit: Submit) -> Result<Request, SubmitError> {
        Ok(self.submissions.submit(actor, submit, None, Origin::default()).await?.request)
    }

    /// The fields that were refused, each with its message.
    pub(super) async fn field_errors(&self, actor: &Actor, submit: Submit) -> Vec<String> {
        let error = self.submit(actor, submit).await.expect_err("it does not fit");
        let SubmitError::Fields(errors) = error else { panic!("not about fields: {error:?}") };
        assert!(self.world.store.audit_entries().is_empty(), "nothing was stored");
        errors.into_iter().map(|error| format!("{} {}", error.field, error.message)).collect()
    }
}

pub(super) fn query() -> Submit {
    Submit {
        instance: instance_id("orders-db"),
        database: database(),
        pod: None,
        kind: SubmissionKind::Query,
        text: SubmissionText::parse("SELECT 1").expect("the text is valid"),
        filename: None,
        comments: None,
        options: RunOptions::default(),
    }
}

#[tokio::test]
async fn a_submission_is_stored_as_pending_with_its_audit_entry_and_a_notification() {
    let desk = Desk::new();
    let ada = actor("ada").build();
    let submit = Submit {
        comments: Some(remark("Please.")),
        options: RunOptions { not_before: Some(at(60)), ..RunOptions::default() },
        ..query()
    };
    let request = desk.submit(&ada, submit).await.expect("it fits");
    assert_eq!(request, desk.world.request(request.id).await, "the answer is what is stored");
    assert_eq!(request.id, RequestId::from_uuid(SequentialIds::nth(1)));
    assert_eq!((request.version, request.requester.id, &request.pod.id), (1, ada.user, &pod_id("payments")));
    let expires_at = at(0) + chrono::TimeDelta::hours(24);
    assert_eq!(request.state, State::Pending { approvals: vec![], expires_at });
    assert_eq!(request.options.not_before, Some(at(60)));
    assert_eq!(desk.world.trail(request.id), ["request.submit"]);
    assert_eq!(desk.world.store.audit_entries()[0].user, Some(ada.user));
    let jobs: Vec<JobKind> = desk.world.store.jobs().iter().map(|job: &JobRow| job.kind).collect();
    assert_eq!(jobs, [JobKind::Notification(NotificationKind::Submitted)]);
}

#[tokio::test]
async fn a_submission_takes_over_what_holds_for_its_target() {
    let desk = Desk::new();
    let limits = Limits { timeout: Duration::from_secs(7), ..Limits::default() };
    let strict = target("orders-db")
        .limits(limits)
        .approvals_needed(2)
        .approval_ttl(Duration::from_mins(5))
        .read_only()
        .search_path("app");
    desk.world.store.put_target(&strict.build());
    let request = desk.submit(&actor("ada").build(), query()).await.expect("it fits");
    assert_eq!((request.limits, request.approvals_needed), (limits, 2));
    assert_eq!(domain::lifecycle::expires_at(&request), Some(at(300)));
    assert!(request.target.read_only);
    assert_eq!(request.target.search_path.as_deref(), Some("app"));
}

#[tokio::test]
async fn a_submitter_may_name_a_pod_that_they_lead() {
    let desk = Desk::new();
    let ada = actor("ada").leads("orders").build();
    let submit = Submit { pod: Some(pod_id("orders")), instance: instance_id("ledger-db"), ..query() };
    let request = desk.submit(&ada, submit).await.expect("it fits");
    assert_eq!(request.pod.id, pod_id("orders"));
}

#[tokio::test]
async fn all_fields_that_do_not_fit_are_told_at_once() {
    let desk = Desk::new();
    let missing = Submit { instance: instance_id("no-such-db"), ..query() };
    insta::assert_snapshot!(desk.field_errors(&actor("ada").no_pod().build(), missing).await.join("\n"), @r"
    instanceId is not an instance that your PODs may use; GET /api/instances lists those
    podId is needed, because you belong to no POD
    ");
    let submit = Submit { database: database_name("nothing"), pod: Some(pod_id("no-such-pod")), ..query() };
    insta::assert_snapshot!(desk.field_errors(&actor("ada").build(), submit).await.join("\n"), @r"
    databaseName is not an active database of this instance; GET /api/instances/{id}/dbs lists those
    podId is not an active POD; GET /api/pods lists those
    ");
}

#[tokio::test]
async fn what_is_inactive_takes_no_submissions() {
    let desk = Desk::new();
    let ada = actor("ada").build();
    let store = &desk.world.store;
    store.set_database_active(&instance_id("orders-db"), &database(), false);
    store.set_pod_active(&pod_id("payments"), false);
    insta::assert_snapshot!(desk.field_errors(&ada, query()).await.join("\n"), @r"
    databaseName is not an active database of this instance; GET /api/instances/{id}/dbs lists those
    podId is not an active POD; GET /api/pods lists those
    ");
    store.put_target(&target("orders-db").inactive().build());
    insta::assert_snapshot!(desk.field_errors(&ada, query()).await.join("\n"), @r"
    instanceId is not active; ask an admin
    podId is not an active POD; GET /api/pods lists those
    ");
}

#[tokio::test]
async fn a_target_that_may_not_be_seen_is_told_from_a_missing_one_by_nothing() {
    let desk = Desk::new();
    let ada = actor("ada").build();
    let invisible = Submit { instance: instance_id("ledger-db"), ..query() };
    let missing = Submit { instance: instance_id("no-such-db"), ..query() };
    let answer = desk.field_errors(&ada, missing).await;
    assert_eq!(desk.field_errors(&ada, invisible.clone()).await, answer);
    desk.world.store.put_target(&target("ledger-db").pods(&["orders"]).inactive().build());
    assert_eq!(desk.field_errors(&ada, invisible.clone()).await, answer);
    let nowhere = Submit { database: database_name("nothing"), ..invisible };
    assert_eq!(desk.field_errors(&ada, nowhere).await, answer);
}

#[tokio::test]
async fn a_pod_without_access_to_the_target_is_denied() {
    let desk = Desk::new();
    let ada = actor("ada").leads("orders").build();
    let submit = Submit { pod: Some(pod_id("orders")), ..query() };
    let error = desk.submit(&ada, submit.clone()).await.expect_err("orders has no access to orders-db");
    assert!(matches!(error, SubmitError::Denied(Denied::PodWithoutAccess)), "{error:?}");
    let admin = actor("root").role(roles::ADMIN).build();
    let error = desk.submit(&admin, submit).await.expect_err("not even for an admin");
    assert!(matches!(error, SubmitError::Denied(Denied::PodWithoutAccess)), "{error:?}");
}

#[tokio::test]
async fn nobody_submits_for_somebody_elses_pod_but_an_admin() {
    let desk = Desk::new();
    desk.world.store.put_target(&target("orders-db").pods(&["payments", "orders"]).build());
    let submit = Submit { pod: Some(pod_id("orders")), ..query() };
    let error = desk.submit(&actor("ada").build(), submit.clone()).await.expect_err("it is not ada's POD");
    assert!(matches!(error, SubmitError::Denied(Denied::ForeignPod)), "{error:?}");
    let admin = actor("root").role(roles::ADMIN).no_pod().build();
    desk.submit(&admin, submit).await.expect("an admin may");
}

#[tokio::test]
async fn who_may_not_submit_learns_nothing_else() {
    let desk = Desk::new();
    let viewer = actor("vera").role(roles::VIEWER).build();
    let submit = Submit { instance: instance_id("no-such-db"), ..query() };
    let error = desk.submit(&viewer, submit).await.expect_err("a viewer submits nothing");
    let expected = Denied::Permission(Permission::SubmitRequests);
    assert!(matches!(error, SubmitError::Denied(denied) if denied == expected));
}

#[tokio::test]
async fn a_text_that_can_never_run_is_not_stored() {
    let desk = Desk::new();
    desk.reviewer.refuses("transaction-control", "COMMIT is not allowed here.");
    let error = desk.submit(&actor("ada").build(), query()).await.expect_err("the reviewer refuses");
    let SubmitError::Refused(refusal) = error else { panic!("not refused: {error:?}") };
    assert_eq!(refusal.message, "COMMIT is not allowed here.");
    assert!(desk.world.store.audit_entries().is_empty());
    assert!(desk.world.store.jobs().is_empty());
}

#[tokio::test]
async fn a_target_whose_engine_nobody_reviews_takes_no_submissions() {
    let desk = Desk::new();
    let mongo = target("events-db").engine(Engine::Mongodb).build();
    desk.world.store.put_target(&mongo);
    desk.world.store.put_database(&mongo.id, &target_database(database().as_str()));
    let submit = Submit { instance: mongo.id, ..query() };
    let errors = desk.field_errors(&actor("ada").build(), submit).await;
    assert_eq!(errors, ["instanceId is a mongodb instance, which this portal cannot run yet"]);
}

#[tokio::test]
async fn a_submission_fails_while_the_store_is_away() {
    let desk = Desk::new();
    desk.world.store.set_unavailable(true);
    let error = desk.submit(&actor("ada").build(), query()).await.expect_err("the store is away");
    assert!(matches!(error, SubmitError::Store(StoreError::Unavailable { .. })), "{error:?}");
}
