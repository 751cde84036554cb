//! The one message about a request in its POD's channel.

use domain::request::Event;
use notify_slack::{APPROVE, REJECT};
use serde_json::Value;
use slack_stand_in::{Message, buttons};
use testkit::builders::{edit_of, pod, request};
use testkit::memory::{DeliveryState, JobState};

use crate::support::{ADA, CHANNEL, Portal, config};

pub(crate) fn action_ids(message: &Message) -> Vec<Value> {
    buttons(&message.blocks).into_iter().map(|button| button["action_id"].clone()).collect()
}

fn said(message: &Message, text: &str) -> bool {
    Value::from(message.blocks.clone()).to_string().contains(text)
}

#[tokio::test]
async fn a_submission_is_announced_in_the_channel_of_its_pod() {
    let portal = Portal::new().await;
    let request = portal.submit(request().text("SELECT 42")).await;
    portal.deliver().await;
    let [message] = portal.slack.messages(CHANNEL).try_into().unwrap();
    assert_eq!(action_ids(&message), [APPROVE, REJECT]);
    assert!(said(&message, "SELECT 42"));
    assert_eq!(message.text, format!("A request waits for approval: request {}", request.id));
    let [row] = portal.store.delivery_rows().try_into().unwrap();
    assert_eq!((row.state, row.delivery.recipient.as_str()), (DeliveryState::Sent, CHANNEL));
    assert_eq!(row.delivery.message.unwrap().ts, message.ts);
}

#[tokio::test]
async fn the_message_is_kept_up_to_date_and_loses_its_buttons() {
    let portal = Portal::new().await;
    let request = portal.submit(request()).await;
    portal.deliver_all().await;
    let approved = portal.approve(&request).await;
    portal.deliver_all().await;
    let [message] = portal.slack.messages(CHANNEL).try_into().unwrap();
    assert!(
        action_ids(&message).is_empty()
            && said(&message, "Approved by")
            && said(&message, "grace@example.com")
    );
    portal.execute().await;
    portal.deliver_all().await;
    let [message] = portal.slack.messages(CHANNEL).try_into().unwrap();
    assert_eq!(message.edits, 2);
    assert_eq!(message.text, format!("A request is completed: request {}", approved.id));
    let [direct] = portal.slack.messages_to(ADA).try_into().unwrap();
    assert!(said(&direct, "9007199254740993"), "{direct:?}");
    assert!(portal.store.delivery_rows().iter().all(|row| row.state == DeliveryState::Sent));
}

#[tokio::test]
async fn an_edited_request_can_be_approved_as_it_is_now() {
    let portal = Portal::new().await;
    let request = portal.submit(request().text("SELECT 1")).await;
    portal.deliver_all().await;
    let edited = portal.commit(&request, Event::Edit(Box::new(edit_of(&request, "SELECT 2")))).await;
    portal.deliver_all().await;
    let [message] = portal.slack.messages(CHANNEL).try_into().unwrap();
    assert!(said(&message, "SELECT 2") && !said(&message, "SELECT 1"));
    assert!(said(&message, &edited.digest().to_string()));
}

#[tokio::test]
async fn a_message_that_was_taken_away_is_posted_again_while_somebody_has_to_decide() {
    let portal = Portal::new().await;
    let request = portal.submit(request()).await;
    portal.deliver_all().await;
    let [message] = portal.slack.messages(CHANNEL).try_into().unwrap();
    portal.slack.delete_message(CHANNEL, &message.ts);
    let edited = portal.commit(&request, Event::Edit(Box::new(edit_of(&request, "SELECT 2")))).await;
    portal.deliver_all().await;
    let [message] = portal.slack.messages(CHANNEL).try_into().unwrap();
    assert_eq!(action_ids(&message), [APPROVE, REJECT]);
    // The next change finds the new one.
    portal.approve(&edited).await;
    portal.deliver_all().await;
    let [message] = portal.slack.messages(CHANNEL).try_into().unwrap();
    assert!(action_ids(&message).is_empty());
}

#[tokio::test]
async fn a_message_that_was_taken_away_is_not_posted_again_when_all_is_decided() {
    let portal = Portal::new().await;
    let request = portal.submit(request()).await;
    portal.deliver_all().await;
    let [message] = portal.slack.messages(CHANNEL).try_into().unwrap();
    portal.slack.delete_message(CHANNEL, &message.ts);
    portal.approve(&request).await;
    portal.deliver_all().await;
    assert!(portal.slack.messages(CHANNEL).is_empty());
    let row = portal.store.delivery_rows().pop().unwrap();
    assert_eq!(row.state, DeliveryState::Failed);
    assert!(row.error.unwrap().contains("not there any more"));
    assert_eq!(portal.notifications().pop().unwrap().state, JobState::Done);
}

#[tokio::test]
async fn a_message_in_a_channel_that_was_left_is_posted_anew_where_the_pod_is_now() {
    for code in ["is_inactive", "is_archived", "channel_not_found", "not_in_channel"] {
        let portal = Portal::new().await;
        portal.slack.add_channel("C0PAYMENTS2", "payments-2");
        let (pending, decided) = (portal.submit(request()).await, portal.submit(request()).await);
        portal.deliver_all().await;
        portal.store.put_pod(&pod("payments").slack_channel("C0PAYMENTS2").build());
        portal.slack.always("chat.update", Some(code));
        let edited = portal.commit(&pending, Event::Edit(Box::new(edit_of(&pending, "SELECT 2")))).await;
        portal.approve(&decided).await;
        portal.deliver_all().await;
        let [message] = portal.slack.messages("C0PAYMENTS2").try_into().unwrap();
        assert!(said(&message, "SELECT 2") && said(&message, &edited.digest().to_string()), "{code}");
        assert!(portal.notifications().iter().all(|job| job.state == JobState::Done), "{code}");
        // From now on it is the new one that is kept up to date.
        portal.slack.always("chat.update", None);
        portal.approve(&edited).await;
        portal.deliver_all().await;
        let [message] = portal.slack.messages("C0PAYMENTS2").try_into().unwrap();
        assert!(action_ids(&message).is_empty(), "{code}");
    }
}

#[tokio::test]
async fn a_message_in_a_channel_that_is_still_the_pods_waits_until_somebody_mends_it() {
    for code in ["is_archived", "channel_not_found", "not_in_channel"] {
        let portal = Portal::new().await;
        let pending = portal.submit(request()).await;
        portal.deliver_all().await;
        portal.slack.always("chat.update", Some(code));
        portal.approve(&pending).await;
        portal.deliver_until(portal.now() + chrono::TimeDelta::hours(2)).await;
        portal.slack.always("chat.update", None);
        portal.deliver_all().await;
        let [message] = portal.slack.messages(CHANNEL).try_into().unwrap();
        assert!(action_ids(&message).is_empty() && message.edits == 1, "{code}");
    }
}

#[tokio::test]
async fn pods_without_a_channel_use_the_default_one_or_are_not_announced() {
    let mut portal = Portal::new().await;
    portal.store.put_pod(&pod("payments").build());
    portal.submit(request()).await;
    portal.deliver_all().await;
    assert_eq!(portal.only_notification().state, JobState::Done);
    assert!(portal.slack.calls().is_empty());

    portal.slack.add_channel("C0DEFAULT", "requests");
    let defaults = config(&portal.slack, std::time::Duration::from_secs(10));
    portal.restart_with(notify_slack::SlackConfig {
        default_channel: Some("#requests".to_owned()),
        ..defaults
    });
    portal.submit(request()).await;
    portal.deliver_all().await;
    assert_eq!(portal.slack.messages("C0DEFAULT").len(), 1);
}

#[tokio::test]
async fn a_channel_gets_one_message_a_second_in_order_and_waiting_is_no_failed_try() {
    let portal = Portal::new().await;
    let mut ids = vec![];
    for _ in 0..5 {
        ids.push(portal.submit(request()).await.id);
    }
    for posted in 1..=5 {
        portal.deliver().await;
        assert_eq!(portal.slack.messages(CHANNEL).len(), posted);
        portal.advance(1);
    }
    for (message, id) in portal.slack.messages(CHANNEL).iter().zip(&ids) {
        assert!(message.text.ends_with(&id.to_string()));
    }
    for job in portal.notifications() {
        assert_eq!((job.state, job.attempts), (JobState::Done, 1));
    }
    assert_eq!(portal.slack.count("chat.postMessage"), 5);
}

#[tokio::test]
async fn links_are_not_unfolded_and_names_not_linked() {
    let portal = Portal::new().await;
    let pending = portal.submit(request()).await;
    portal.deliver_all().await;
    portal.approve(&pending).await;
    portal.deliver_all().await;
    for call in portal.slack.calls() {
        let body: Value = serde_json::from_str(&call.body).unwrap();
        assert_eq!((&body["link_names"], &body["parse"]), (&false.into(), &"none".into()), "{}", call.method);
        if call.method == "chat.postMessage" {
            assert_eq!((&body["unfurl_links"], &body["unfurl_media"]), (&false.into(), &false.into()));
        }
    }
}
