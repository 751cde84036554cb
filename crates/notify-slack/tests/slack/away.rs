//! Slack is away for long, in simulated time.

use std::time::Duration;

use chrono::TimeDelta;
use domain::job::NOTIFICATION_LIFETIME;
use testkit::builders::{at, request};
use testkit::memory::{DeliveryState, JobState};

use crate::channel::action_ids;
use crate::support::{ADA, CHANNEL, Portal};

#[tokio::test]
async fn after_an_hour_without_slack_everything_is_told_once_and_in_order() {
    let portal = Portal::new().await;
    portal.slack.away(true);
    let mut requests = vec![];
    for minute in 0..6_i64 {
        portal.deliver_until(at(minute * 600)).await;
        portal.clock.set(at(minute * 600));
        requests.push(portal.submit(request()).await);
    }
    // Some are decided meanwhile.
    portal.reject(&requests[1]).await;
    portal.approve(&requests[2]).await;
    portal.deliver_until(at(3_600)).await;
    portal.clock.set(at(3_600));
    assert!(portal.slack.messages(CHANNEL).is_empty() && portal.slack.messages_to(ADA).is_empty());
    assert!(
        portal.slack.calls().len() < 200,
        "nobody hammers at a closed door: {}",
        portal.slack.calls().len()
    );

    portal.slack.away(false);
    portal.deliver_all().await;
    let messages = portal.slack.messages(CHANNEL);
    assert_eq!(messages.len(), requests.len());
    for request in &requests {
        let about: Vec<_> = messages.iter().filter(|m| m.text.contains(&request.id.to_string())).collect();
        let [message] = about[..] else { panic!("{} is told once: {about:?}", request.id) };
        let decided = request.id == requests[1].id || request.id == requests[2].id;
        assert_eq!(action_ids(message).is_empty(), decided);
        assert_eq!(message.edits, u32::from(decided), "what was decided is told after what was submitted");
    }
    assert_eq!(portal.slack.messages_to(ADA).len(), 1);
    assert!(portal.notifications().iter().all(|job| job.state == JobState::Done));
    assert!(portal.store.delivery_rows().iter().all(|row| row.state == DeliveryState::Sent));
    // Backing off up to 10 minutes: it is over soon after Slack is back.
    assert!(portal.now() < at(3_600 + 1_300), "{}", portal.now());
}

#[tokio::test]
async fn after_a_day_without_slack_it_is_given_up_and_that_can_be_seen() {
    let portal = Portal::new().await;
    portal.slack.away(true);
    let pending = portal.submit(request().approval_ttl(Duration::from_hours(72))).await;
    portal.deliver_all().await;
    let job = portal.only_notification();
    assert_eq!(job.state, JobState::Failed);
    assert!(job.attempts > 100, "{}", job.attempts);
    let lifetime = TimeDelta::from_std(NOTIFICATION_LIFETIME).unwrap();
    assert!(portal.now() <= at(0) + lifetime && portal.now() > at(0) + lifetime - TimeDelta::minutes(11));
    let [row] = portal.store.delivery_rows().try_into().unwrap();
    assert_eq!((row.job, row.request, row.state), (job.id, pending.id, DeliveryState::Failed));
    assert!(row.error.unwrap().contains("with the status 503"));
    // Slack is back: what is said from then on is said.
    portal.slack.away(false);
    portal.approve(&pending).await;
    portal.deliver_all().await;
    let [message] = portal.slack.messages(CHANNEL).try_into().unwrap();
    assert!(action_ids(&message).is_empty());
}

#[tokio::test]
async fn after_a_day_one_that_only_waits_is_given_up_too() {
    let portal = Portal::new().await;
    portal.submit(request()).await;
    for _ in 0..30 {
        portal.slack.next("chat.postMessage", slack_stand_in::Fault::TooMany(Some(3_600)));
    }
    portal.deliver_all().await;
    let job = portal.only_notification();
    assert_eq!((job.state, job.attempts), (JobState::Failed, 1));
    assert_eq!(portal.slack.count("chat.postMessage"), 25);
}
