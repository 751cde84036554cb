//! `Deliveries`: what is on record of what Slack was given, and what `JobQueue` makes of it.

use chrono::TimeDelta;
use domain::Timestamp;
use domain::ids::JobId;
use domain::job::{Audience, NotificationJob};
use domain::ports::{Delivery, SlackMessage};
use domain::request::{Event, NotificationKind};

use super::scene::Scene;
use super::stores::{DeliveryNote, Stores};
use crate::builders::{approver, at, remark, request, uuid_for};

async fn claimed(w: &Scene) -> NotificationJob {
    w.submit(request()).await;
    w.claim_notification(at(1)).await.expect("a notification is due")
}

async fn found(w: &Scene, job: &NotificationJob) -> Option<Delivery> {
    w.deliveries.find(job.lease.job).await.expect("the store answers")
}

/// Answers since when it is unclear.
async fn begin(w: &Scene, job: &NotificationJob, recipient: &str, second: i64) -> Timestamp {
    w.deliveries.begin(job, recipient, at(second)).await.expect("the store answers")
}

async fn sent(w: &Scene, job: &NotificationJob, message: &SlackMessage, second: i64) {
    w.deliveries.sent(job.lease.job, message, at(second)).await.expect("the store answers");
}

/// The one entry of the notification's request.
async fn note(w: &Scene, job: &NotificationJob) -> DeliveryNote {
    let notes = w.probe.delivery_notes(job.request).await;
    let [note] = &notes[..] else { panic!("there should be one entry: {notes:?}") };
    assert_eq!((note.job, note.audience), (job.lease.job, job.audience));
    note.clone()
}

async fn has_status(w: &Scene, job: &NotificationJob, status: &str, error: Option<&str>) {
    let note = note(w, job).await;
    assert_eq!((note.status.as_str(), note.error.as_deref()), (status, error));
}

fn message(ts: &str) -> SlackMessage {
    SlackMessage { channel: "C0PAYMENTS".to_owned(), ts: ts.to_owned() }
}

fn open(recipient: &str, since: i64) -> Delivery {
    Delivery { recipient: recipient.to_owned(), unclear_since: Some(at(since)), message: None }
}

/// Loses a notification again and again until nobody may try any more.
async fn lost_for_good(w: &Scene, job: NotificationJob) -> NotificationJob {
    let mut job = job;
    while job.attempt < job.max_attempts {
        w.jobs.fail_notification(&job.lease, "503", Some(at(1)), at(1)).await.expect("the store answers");
        job = w.claim_notification(at(1)).await.expect("it is tried again");
    }
    w.jobs.reap(at(100)).await.expect("the store answers");
    job
}

rules! { ($) __delivery_rules in deliveries, stores: Stores => Scene::set_up;
    async fn of_what_did_not_begin_nothing_is_on_record(w) {
        let job = claimed(&w).await;
        assert_eq!(found(&w, &job).await, None);
        assert_eq!(w.deliveries.find(JobId::from_uuid(uuid_for("no job"))).await.expect("it answers"), None);
        assert_eq!(w.deliveries.channel_message(job.request).await.expect("it answers"), None);
        w.deliveries.refused(job.lease.job, at(1)).await.expect("there is nothing to refuse");
        assert_eq!(found(&w, &job).await, None);
        let unsent = w.deliveries.sent(job.lease.job, &message("1.1"), at(2)).await;
        assert!(unsent.is_err(), "what never began cannot be noted as sent, and that must not be lost");
    }

    async fn what_was_begun_is_unclear_since_the_first_moment(w) {
        let job = claimed(&w).await;
        assert_eq!(begin(&w, &job, "#payments", 5).await, at(5));
        assert_eq!(found(&w, &job).await, Some(open("#payments", 5)));
        assert_eq!(begin(&w, &job, "C0PAYMENTS", 9).await, at(5));
        assert_eq!(found(&w, &job).await, Some(open("C0PAYMENTS", 5)));
        has_status(&w, &job, "pending", None).await;
    }

    async fn what_slack_refused_is_not_unclear_and_can_begin_again(w) {
        let job = claimed(&w).await;
        begin(&w, &job, "C0PAYMENTS", 5).await;
        w.deliveries.refused(job.lease.job, at(5)).await.expect("the store answers");
        let refused = Delivery { unclear_since: None, ..open("C0PAYMENTS", 5) };
        assert_eq!(found(&w, &job).await, Some(refused));
        has_status(&w, &job, "pending", None).await;
        assert_eq!(begin(&w, &job, "C0PAYMENTS", 50).await, at(50));
        assert_eq!(found(&w, &job).await, Some(open("C0PAYMENTS", 50)));
    }

    async fn the_refusal_of_one_try_leaves_the_doubt_about_another(w) {
        let job = claimed(&w).await;
        begin(&w, &job, "C0PAYMENTS", 5).await;
        w.deliveries.refused(job.lease.job, at(9)).await.expect("the store answers");
        assert_eq!(found(&w, &job).await, Some(open("C0PAYMENTS", 5)));
        // A moment comes back as it is kept, however exact the caller's clock is.
        let exact = at(9) + TimeDelta::nanoseconds(123_456_789);
        w.deliveries.refused(job.lease.job, at(5)).await.expect("the store answers");
        let since = w.deliveries.begin(&job, "C0PAYMENTS", exact).await.expect("the store answers");
        assert_eq!(found(&w, &job).await.and_then(|delivery| delivery.unclear_since), Some(since));
        w.deliveries.refused(job.lease.job, since).await.expect("the store answers");
        assert_eq!(found(&w, &job).await.and_then(|delivery| delivery.unclear_since), None);
    }

    async fn what_slack_has_is_on_record_with_its_message(w) {
        let job = claimed(&w).await;
        begin(&w, &job, "#payments", 5).await;
        sent(&w, &job, &message("1770000000.000100"), 6).await;
        let delivered = Delivery {
            recipient: "#payments".to_owned(),
            unclear_since: None,
            message: Some(message("1770000000.000100")),
        };
        assert_eq!(found(&w, &job).await, Some(delivered.clone()));
        has_status(&w, &job, "sent", None).await;
        begin(&w, &job, "#elsewhere", 9).await;
        assert_eq!(found(&w, &job).await, Some(delivered), "it is not sent a second time");
        has_status(&w, &job, "sent", None).await;
    }

    async fn a_person_who_is_not_in_slack_is_on_record_as_failed(w) {
        let job = claimed(&w).await;
        let nobody = w.deliveries.nobody(&job, "ada@example.com", "no such user in Slack", at(5)).await;
        nobody.expect("the store answers");
        let nowhere = Delivery { recipient: "ada@example.com".to_owned(), unclear_since: None, message: None };
        assert_eq!(found(&w, &job).await, Some(nowhere.clone()));
        has_status(&w, &job, "failed", Some("no such user in Slack")).await;
        w.jobs.complete_notification(&job.lease, at(6)).await.expect("the store answers");
        assert_eq!(found(&w, &job).await, Some(nowhere));
        has_status(&w, &job, "failed", Some("no such user in Slack")).await;
    }

    async fn whoever_was_told_is_not_on_record_as_nobody(w) {
        let job = claimed(&w).await;
        begin(&w, &job, "U0ADA", 5).await;
        sent(&w, &job, &message("1.1"), 6).await;
        w.deliveries.nobody(&job, "ada@example.com", "gone", at(7)).await.expect("the store answers");
        assert_eq!(found(&w, &job).await.and_then(|delivery| delivery.message), Some(message("1.1")));
        has_status(&w, &job, "sent", None).await;
    }

    async fn the_message_in_the_channel_is_the_one_that_was_sent_last(w) {
        let pending = w.submit(request()).await;
        let other = w.submit(request()).await;
        let by = approver("grace");
        let reject = Event::Reject { by, reason: remark("No") };
        let rejected = w.commit(&pending, reject, at(1)).await;
        for second in 2..10 {
            let Some(job) = w.claim_notification(at(second)).await else { break };
            begin(&w, &job, "somewhere", second).await;
            let to = format!("{}/{}", job.audience.as_str(), job.kind.as_str());
            if job.request == pending.id {
                sent(&w, &job, &message(&to), second).await;
            }
            w.jobs.complete_notification(&job.lease, at(second)).await.expect("the store answers");
        }
        let shown = w.deliveries.channel_message(rejected.id).await.expect("the store answers");
        assert_eq!(shown, Some(message("channel/rejected")));
        assert_eq!(w.probe.delivery_notes(rejected.id).await.len(), 3);
        let unsent = w.deliveries.channel_message(other.id).await.expect("the store answers");
        assert_eq!(unsent, None, "what only began is no message");
    }

    async fn what_was_told_to_a_person_is_no_message_in_the_channel(w) {
        let pending = w.submit(request()).await;
        w.drain_notifications(pending.id, at(1)).await;
        let reject = Event::Reject { by: approver("grace"), reason: remark("No") };
        w.commit(&pending, reject, at(1)).await;
        while let Some(job) = w.claim_notification(at(2)).await {
            if job.audience == Audience::Requester {
                assert_eq!(job.kind, NotificationKind::Rejected);
                begin(&w, &job, "U0ADA", 2).await;
                sent(&w, &job, &message("1.1"), 2).await;
            }
        }
        assert_eq!(w.deliveries.channel_message(pending.id).await.expect("the store answers"), None);
        assert_eq!(w.probe.delivery_notes(pending.id).await.len(), 1);
    }

    async fn a_delivery_fails_with_its_notification(w) {
        let job = claimed(&w).await;
        begin(&w, &job, "#payments", 5).await;
        w.jobs.fail_notification(&job.lease, "503", Some(at(30)), at(6)).await.expect("the store answers");
        has_status(&w, &job, "pending", None).await;
        let again = w.claim_notification(at(30)).await.expect("it is tried again");
        w.jobs.fail_notification(&again.lease, "no such channel", None, at(31)).await.expect("it answers");
        assert_eq!(found(&w, &job).await, Some(open("#payments", 5)), "it is told what is known");
        has_status(&w, &job, "failed", Some("no such channel")).await;
    }

    async fn a_notification_that_never_reached_slack_fails_visibly_too(w) {
        let job = claimed(&w).await;
        w.jobs.fail_notification(&job.lease, "Slack is away", None, at(2)).await.expect("it answers");
        has_status(&w, &job, "failed", Some("Slack is away")).await;
        let nowhere = Delivery { recipient: String::new(), unclear_since: None, message: None };
        assert_eq!(found(&w, &job).await, Some(nowhere));
    }

    async fn a_lost_lease_fails_no_delivery(w) {
        let job = claimed(&w).await;
        begin(&w, &job, "#payments", 5).await;
        w.jobs.reap(at(100)).await.expect("the store answers");
        w.jobs.fail_notification(&job.lease, "gone", None, at(101)).await.expect("a lost lease is ignored");
        has_status(&w, &job, "pending", None).await;
    }

    async fn a_delivery_fails_when_its_notification_is_lost_at_the_last_attempt(w) {
        let job = claimed(&w).await;
        begin(&w, &job, "#payments", 5).await;
        let job = lost_for_good(&w, job).await;
        assert_eq!(note(&w, &job).await.status, "failed");
        assert!(note(&w, &job).await.error.is_some_and(|error| error.contains("lease")));
        assert_eq!(found(&w, &job).await, Some(open("#payments", 5)));
    }

    async fn a_notification_that_is_lost_at_the_last_attempt_fails_visibly_even_without_a_delivery(w) {
        let job = claimed(&w).await;
        let job = lost_for_good(&w, job).await;
        assert_eq!(note(&w, &job).await.status, "failed");
    }

    async fn what_arrived_stays_sent_however_its_notification_ends(w) {
        let job = claimed(&w).await;
        begin(&w, &job, "#payments", 5).await;
        sent(&w, &job, &message("1.1"), 6).await;
        let lost = lost_for_good(&w, job).await;
        has_status(&w, &lost, "sent", None).await;
        let job = claimed(&w).await;
        begin(&w, &job, "#payments", 5).await;
        sent(&w, &job, &message("1.2"), 6).await;
        w.jobs.fail_notification(&job.lease, "gone", None, at(7)).await.expect("the store answers");
        has_status(&w, &job, "sent", None).await;
        assert_eq!(w.deliveries.channel_message(job.request).await.expect("it answers"), Some(message("1.2")));
    }

    async fn one_that_failed_before_can_still_arrive(w) {
        let job = claimed(&w).await;
        w.deliveries.nobody(&job, "#payments", "no such channel", at(5)).await.expect("the store answers");
        begin(&w, &job, "C0PAYMENTS", 9).await;
        assert_eq!(found(&w, &job).await, Some(open("C0PAYMENTS", 9)));
        has_status(&w, &job, "pending", None).await;
        sent(&w, &job, &message("1.1"), 10).await;
        has_status(&w, &job, "sent", None).await;
    }

    async fn whatever_slack_says_can_be_kept(w) {
        let job = claimed(&w).await;
        let long = format!("a\0{}", "é".repeat(5_000));
        w.deliveries.nobody(&job, &long, &long, at(5)).await.expect("it is shortened");
        begin(&w, &job, &long, 6).await;
        w.jobs.fail_notification(&job.lease, &long, None, at(7)).await.expect("it is shortened");
        let note = note(&w, &job).await;
        assert_eq!(note.status, "failed");
        assert!(note.error.is_some_and(|error| error.starts_with('a')));
    }
}
