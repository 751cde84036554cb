//! Notifications, their deliveries, and calls from Slack, as rows.

use domain::auth::TokenHash;
use domain::job::{Audience, WorkerId};
use domain::ports::{Deliveries, JobQueue, ReplayGuard, StoreError};
use domain::request::NotificationKind;
use store_postgres::{PgDeliveries, PgReplayGuard};
use testkit::builders::{at, request};

use crate::world::World;

fn worker() -> WorkerId {
    WorkerId("host:1:1".to_owned())
}

/// Queues notifications of the one request, so many seconds after its own.
fn queued(payload: &str, second: i64) -> String {
    format!(
        "INSERT INTO jobs (id, kind, request_id, payload, status, max_attempts, scheduled_at, created_at, updated_at) \
         SELECT gen_random_uuid(), 'notify', id, '{payload}', 'pending', 3, moment, moment, moment \
         FROM (SELECT id, created_at + interval '{second} seconds' AS moment FROM query_requests) r"
    )
}

#[tokio::test]
async fn what_an_earlier_version_queued_is_told_to_those_whom_it_told() {
    let world = World::peopled().await;
    let process = world.process();
    process.submit(request()).await;
    let client = world.database.client().await;
    client.batch_execute("UPDATE jobs SET payload = payload - 'audience'").await.unwrap();
    for (second, kind) in [(1, "rejected"), (2, "submitted"), (3, "completed")] {
        client.batch_execute(&queued(&format!(r#"{{"notification": "{kind}"}}"#), second)).await.unwrap();
    }
    let mut claimed = vec![];
    while let Some(job) = process.jobs.claim_notification(&worker(), at(9), at(69)).await.unwrap() {
        claimed.push((job.audience, job.kind, job.queued_at));
        if claimed.len() == 2 {
            let waiting = process.jobs.claim_notification(&worker(), at(9), at(69)).await.unwrap();
            assert_eq!(waiting, None, "in order, as what this version queues");
            client
                .batch_execute(
                    "UPDATE jobs SET status = 'completed', lease_until = NULL WHERE status = 'running'",
                )
                .await
                .unwrap();
        }
    }
    let expected = [
        (Audience::Channel, NotificationKind::Submitted, at(0)),
        (Audience::Requester, NotificationKind::Rejected, at(1)),
        (Audience::Channel, NotificationKind::Submitted, at(2)),
        (Audience::Requester, NotificationKind::Completed, at(3)),
    ];
    assert_eq!(claimed, expected);
}

#[tokio::test]
async fn notifications_that_cannot_be_read_end_and_hold_nothing_up() {
    let world = World::peopled().await;
    let process = world.process();
    let pending = process.submit(request()).await;
    let client = world.database.client().await;
    client.batch_execute("DELETE FROM jobs").await.unwrap();
    let strange = [
        r#"{"notification": "sung", "audience": "channel"}"#,
        r#"{"notification": "submitted", "audience": "everybody"}"#,
        r#"{"notification": "submitted", "audience": 7}"#,
        "{}",
    ];
    for payload in strange {
        client.batch_execute(&queued(payload, 1)).await.unwrap();
    }
    client.batch_execute(&queued(r#"{"notification": "approved", "audience": "channel"}"#, 2)).await.unwrap();
    for _ in strange {
        let error = process.jobs.claim_notification(&worker(), at(9), at(69)).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { table: "jobs", column: "payload", .. }), "{error:?}");
    }
    // Those whose kind the history knows are seen there.
    let seen = "SELECT count(*) FROM slack_notifications WHERE status = 'failed' AND notification_type = 'submitted' \
                AND error_message = 'the notification cannot be read'";
    assert_eq!(client.query_one(seen, &[]).await.unwrap().get::<_, i64>(0), 2);
    let job = process.jobs.claim_notification(&worker(), at(9), at(69)).await.unwrap().unwrap();
    assert_eq!((job.request, job.kind), (pending.id, NotificationKind::Approved));
    // One of a later version that is running when its last attempt is lost ends as well.
    client
        .batch_execute(
            r#"UPDATE jobs SET payload = '{"notification": "sung"}', attempts = 3 WHERE status = 'running'"#,
        )
        .await
        .unwrap();
    process.jobs.reap(at(100)).await.unwrap();
    let open: i64 = client
        .query_one("SELECT count(*) FROM jobs WHERE status IN ('pending', 'running')", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(open, 0);
}

#[tokio::test]
async fn what_waits_for_a_notification_is_not_due_before_it() {
    let world = World::peopled().await;
    let process = world.process();
    process.approved(request()).await;
    let client = world.database.client().await;
    let due = "SELECT count(*) FROM jobs WHERE kind = 'notify' AND status = 'pending' \
               AND scheduled_at <= (SELECT created_at + interval '29 seconds' FROM query_requests)";
    let job = process.jobs.claim_notification(&worker(), at(2), at(62)).await.unwrap().unwrap();
    assert_eq!(client.query_one(due, &[]).await.unwrap().get::<_, i64>(0), 1);
    process.jobs.fail_notification(&job.lease, "503", Some(at(30)), at(3)).await.unwrap();
    assert_eq!(client.query_one(due, &[]).await.unwrap().get::<_, i64>(0), 0, "no claim has to pass by it");
    let job = process.jobs.claim_notification(&worker(), at(30), at(90)).await.unwrap().unwrap();
    assert_eq!(job.kind, NotificationKind::Submitted);
    process.jobs.complete_notification(&job.lease, at(30)).await.unwrap();
    let job = process.jobs.claim_notification(&worker(), at(30), at(90)).await.unwrap().unwrap();
    assert_eq!(job.kind, NotificationKind::Approved);
}

#[tokio::test]
async fn a_delivery_of_a_request_that_is_not_there_is_refused() {
    let world = World::peopled().await;
    let process = world.process();
    process.submit(request()).await;
    let mut job = process.jobs.claim_notification(&worker(), at(2), at(62)).await.unwrap().unwrap();
    job.request = request().unsaved().id;
    let deliveries = PgDeliveries::new(world.database.store());
    let error = deliveries.begin(&job, "#payments", at(3)).await.unwrap_err();
    assert!(matches!(error, StoreError::Rejected { .. }), "{error:?}");
    assert_eq!(deliveries.find(job.lease.job).await.unwrap(), None);
}

#[tokio::test]
async fn calls_are_forgotten_once_their_time_is_over() {
    let world = World::empty().await;
    let guard = PgReplayGuard::new(world.database.store());
    for number in 0..100 {
        let signature = TokenHash::of(&format!("call {number}"));
        assert!(guard.first_time(&signature, at(0), at(-600)).await.unwrap());
    }
    for number in 0..10 {
        let signature = TokenHash::of(&format!("later {number}"));
        assert!(guard.first_time(&signature, at(700), at(100)).await.unwrap());
    }
    let kept =
        world.database.client().await.query_one("SELECT count(*) FROM slack_calls", &[]).await.unwrap();
    assert_eq!(kept.get::<_, i64>(0), 10);
}
