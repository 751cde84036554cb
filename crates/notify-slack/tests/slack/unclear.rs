//! Nobody knows whether a message was sent: it is looked for before it is sent again.

use std::time::Duration;

use chrono::TimeDelta;
use domain::ports::JobQueue as _;
use slack_stand_in::Fault;
use testkit::builders::{pod, request};
use testkit::memory::JobState;

use crate::support::{ADA, CHANNEL, Portal};

const POST: &str = "chat.postMessage";
const HISTORY: &str = "conversations.history";

#[tokio::test]
async fn a_message_that_was_taken_without_an_answer_is_found_and_not_sent_again() {
    for fault in [Fault::TakeAndHang, Fault::TakeAndStatus(502)] {
        let portal = Portal::impatient().await;
        portal.slack.next(POST, fault);
        let pending = portal.submit(request()).await;
        portal.deliver_all().await;
        assert_eq!((portal.slack.count(POST), portal.slack.count(HISTORY)), (1, 1));
        let [message] = portal.slack.messages(CHANNEL).try_into().unwrap();
        let job = portal.only_notification();
        assert_eq!((job.state, job.attempts), (JobState::Done, 2));
        // It is the one that is brought up to date.
        portal.approve(&pending).await;
        portal.deliver_all().await;
        let [updated] = portal.slack.messages(CHANNEL).try_into().unwrap();
        assert_eq!((updated.ts, updated.edits), (message.ts, 1));
    }
}

#[tokio::test]
async fn a_message_that_was_not_taken_is_sent_again() {
    let portal = Portal::impatient().await;
    portal.slack.next(POST, Fault::Hang);
    portal.slack.next(POST, Fault::Status(500));
    portal.submit(request()).await;
    portal.deliver_all().await;
    assert_eq!((portal.slack.count(POST), portal.slack.count(HISTORY)), (3, 2));
    assert_eq!(portal.slack.messages(CHANNEL).len(), 1);
}

#[tokio::test]
async fn a_direct_message_is_looked_for_as_well() {
    let portal = Portal::impatient().await;
    let pending = portal.submit(request()).await;
    portal.deliver().await;
    portal.advance(5);
    portal.reject(&pending).await;
    portal.slack.next(POST, Fault::TakeAndHang);
    portal.deliver_all().await;
    assert_eq!(portal.slack.messages_to(ADA).len(), 1);
    assert_eq!((portal.slack.count(POST), portal.slack.count(HISTORY)), (2, 1));
}

#[tokio::test]
async fn a_portal_that_was_killed_between_sending_and_recording_sends_nothing_twice() {
    let mut portal = Portal::new().await;
    portal.slack.next(POST, Fault::TakeAndHang);
    portal.submit(request()).await;
    portal.slack.set_time(portal.now().timestamp());
    // The process dies while it waits for the answer.
    tokio::select! {
        outcome = portal.worker.deliver_one() => panic!("{outcome:?}"),
        () = taken(&portal) => {}
    }
    portal.restart();
    portal.advance(3_600);
    let reaped = portal.store.reap(portal.now()).await.unwrap();
    assert_eq!(reaped.requeued, 1);
    portal.deliver_all().await;
    assert_eq!((portal.slack.count(POST), portal.slack.messages(CHANNEL).len()), (1, 1));
    assert_eq!(portal.only_notification().state, JobState::Done);
}

async fn taken(portal: &Portal) {
    while portal.slack.messages(CHANNEL).is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn it_is_found_behind_many_other_messages() {
    let portal = Portal::impatient().await;
    portal.slack.next(POST, Fault::TakeAndHang);
    portal.submit(request()).await;
    portal.deliver().await;
    for n in 0..450 {
        portal.slack.say(CHANNEL, &format!("Something else, {n}"));
    }
    portal.deliver_all().await;
    assert_eq!((portal.slack.count(POST), portal.slack.count(HISTORY)), (1, 3));
}

#[tokio::test]
async fn a_message_of_long_before_is_not_looked_at() {
    let portal = Portal::impatient().await;
    portal.slack.set_time((portal.now() - TimeDelta::hours(1)).timestamp());
    for n in 0..450 {
        portal.slack.say(CHANNEL, &format!("Something else, {n}"));
    }
    portal.slack.next(POST, Fault::TakeAndHang);
    portal.submit(request()).await;
    portal.deliver_all().await;
    assert_eq!((portal.slack.count(POST), portal.slack.count(HISTORY)), (1, 1));
}

#[tokio::test]
async fn without_the_right_to_read_it_is_sent_again() {
    for code in ["missing_scope", "not_in_channel", "no_permission"] {
        let portal = Portal::impatient().await;
        portal.slack.always(HISTORY, Some(code));
        portal.slack.next(POST, Fault::TakeAndHang);
        portal.submit(request()).await;
        portal.deliver_all().await;
        assert_eq!(portal.slack.messages(CHANNEL).len(), 2, "{code}");
        assert_eq!(portal.only_notification().state, JobState::Done);
    }
}

#[tokio::test]
async fn a_history_that_cannot_be_read_just_now_is_read_later() {
    let portal = Portal::impatient().await;
    portal.slack.next(HISTORY, Fault::Refuse("internal_error".to_owned()));
    portal.slack.next(HISTORY, Fault::TooMany(Some(20)));
    portal.slack.next(HISTORY, Fault::Status(500));
    portal.slack.next(POST, Fault::TakeAndHang);
    portal.submit(request()).await;
    portal.deliver_all().await;
    assert_eq!((portal.slack.count(POST), portal.slack.count(HISTORY)), (1, 4));
    assert_eq!(portal.slack.messages(CHANNEL).len(), 1);
}

/// What history answers before a message shows up in it.
fn nothing_yet() -> Fault {
    Fault::Instead(serde_json::json!({ "messages": [] }))
}

#[tokio::test]
async fn the_refusal_of_a_second_try_leaves_the_doubt_about_the_first() {
    let portal = Portal::impatient().await;
    portal.slack.next(POST, Fault::TakeAndHang);
    portal.slack.next(HISTORY, nothing_yet());
    portal.slack.next(POST, Fault::TooMany(Some(5)));
    portal.submit(request()).await;
    portal.deliver_all().await;
    assert_eq!((portal.slack.count(POST), portal.slack.count(HISTORY)), (2, 2));
    assert_eq!(portal.slack.messages(CHANNEL).len(), 1, "the first one is found in the end");
    assert_eq!(portal.only_notification().state, JobState::Done);
}

#[tokio::test]
async fn a_message_is_looked_for_where_it_was_sent_to_and_not_where_it_would_go_by_now() {
    let portal = Portal::impatient().await;
    portal.slack.add_channel("C0PAYMENTS2", "payments-2");
    portal.slack.next(POST, Fault::TakeAndHang);
    portal.submit(request()).await;
    portal.deliver().await;
    portal.store.put_pod(&pod("payments").slack_channel("C0PAYMENTS2").build());
    portal.deliver_all().await;
    assert_eq!((portal.slack.messages(CHANNEL).len(), portal.slack.messages("C0PAYMENTS2").len()), (1, 0));
    let row = portal.store.delivery_rows().pop().unwrap();
    assert_eq!(row.delivery.message.unwrap().channel, CHANNEL);
}

#[tokio::test]
async fn after_a_few_searches_that_were_cut_off_it_is_sent_rather_than_never() {
    for fault in [Fault::TooMany(Some(60)), Fault::Status(500), Fault::Hang] {
        let portal = Portal::impatient().await;
        for _ in 0..20 {
            portal.slack.next(HISTORY, fault.clone());
        }
        portal.slack.next(POST, Fault::Hang);
        portal.submit(request()).await;
        portal.deliver_all().await;
        assert_eq!((portal.slack.count(POST), portal.slack.count(HISTORY)), (2, 4), "{fault:?}");
        assert_eq!(portal.slack.messages(CHANNEL).len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_channel_known_by_its_name_is_searched_once_its_id_is_known() {
    let portal = Portal::impatient().await;
    portal.store.put_pod(&pod("payments").slack_channel("payments").build());
    portal.slack.next(POST, Fault::TakeAndHang);
    portal.submit(request()).await;
    portal.deliver_all().await;
    assert_eq!(portal.slack.messages(CHANNEL).len(), 2, "its history cannot be asked for by name");
    portal.slack.next(POST, Fault::TakeAndHang);
    portal.submit(request()).await;
    portal.deliver_all().await;
    assert_eq!((portal.slack.messages(CHANNEL).len(), portal.slack.count(HISTORY)), (3, 1));
}
