//! `Notifier`, where whoever is to be told can be reached.

use std::sync::Arc;

use domain::job::{Audience, NOTIFICATION_ATTEMPTS, NotificationJob};
use domain::ports::{Notification, Notifier};
use domain::request::{NotificationKind, StateKind};
use domain::text::SubmissionText;

use super::ready;
use crate::builders::{notification, request};

type Telling = Arc<dyn Notifier>;

async fn tell(notifier: &Telling, notification: &Notification) {
    let NotificationJob { kind, audience, .. } = &notification.job;
    let outcome = notifier.notify(notification).await;
    outcome.unwrap_or_else(|error| {
        panic!("{kind:?} to {audience:?} of {}: {error:?}", notification.request.state.kind())
    });
}

rules! { ($) __notifier_rules in notifier, notifier: Telling => ready;
    /// A notification goes out late: by then the request may be in any other state.
    async fn every_kind_is_delivered_for_a_request_in_every_state(notifier) {
        for state in StateKind::ALL {
            let request = request().in_state(state);
            for kind in NotificationKind::ALL {
                for audience in Audience::ALL {
                    tell(&notifier, &notification(kind, audience, &request)).await;
                }
            }
        }
    }

    /// What a request was about may be gone for good, and still people are told how it ended.
    async fn a_notification_without_its_target_is_delivered(notifier) {
        for audience in Audience::ALL {
            let request = request().completed();
            let told = notification(NotificationKind::Completed, audience, &request);
            tell(&notifier, &Notification { target: None, ..told }).await;
        }
    }

    async fn whatever_a_person_wrote_can_be_told(notifier) {
        let longest = "é".repeat(SubmissionText::MAX_BYTES / 2);
        let texts = [
            "\u{1b}[2J\u{7}\r\n\u{8}", "<!channel> *_~`> & &amp; </script>", "{\"a\": \"\\", "%s {} {0} $x",
            "\u{202e}\u{200b}\u{feff}密👩‍👩‍👧", "a\u{301}\u{301}\u{301}", &longest,
        ];
        for text in texts {
            let query = request().text(text);
            let script = request().script("ä \"b\"\n<c>.js", text);
            for request in [query, script] {
                for state in [StateKind::Pending, StateKind::Completed, StateKind::Failed] {
                    let request = request.clone().reviewed_with_findings().in_state(state);
                    for audience in Audience::ALL {
                        tell(&notifier, &notification(NotificationKind::Submitted, audience, &request)).await;
                    }
                }
            }
        }
    }

    /// Delivery is at least once: a process may die between the delivery and the note of it.
    async fn the_same_job_can_be_delivered_again(notifier) {
        let request = request().pending();
        for attempt in [1, 2, NOTIFICATION_ATTEMPTS] {
            let mut told = notification(NotificationKind::Submitted, Audience::Channel, &request);
            told.job.attempt = attempt;
            tell(&notifier, &told).await;
        }
    }

    async fn deliveries_at_once_do_not_disturb_each_other(notifier) {
        let deliveries = (0..20).map(|_| {
            let notifier = notifier.clone();
            let approved = request().approved();
            let told = notification(NotificationKind::Approved, Audience::Channel, &approved);
            tokio::spawn(async move { tell(&notifier, &told).await })
        });
        for delivery in deliveries.collect::<Vec<_>>() {
            delivery.await.expect("it is delivered");
        }
    }
}
