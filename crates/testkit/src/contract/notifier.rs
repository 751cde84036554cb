//! `Notifier`, where whoever is to be told can be reached.

use std::sync::Arc;

use domain::ids::JobId;
use domain::job::{Lease, NOTIFICATION_ATTEMPTS, NotificationJob, WorkerId};
use domain::ports::Notifier;
use domain::request::{NotificationKind, Request, StateKind};
use domain::text::SubmissionText;

use super::ready;
use crate::builders::{request, uuid_for};

type Telling = Arc<dyn Notifier>;

fn job(kind: NotificationKind, request: &Request) -> NotificationJob {
    let job = JobId::from_uuid(uuid_for(&format!("{}/{}", request.id, kind.as_str())));
    NotificationJob {
        lease: Lease { job, fence: 1, worker: WorkerId("host:1:1".to_owned()) },
        request: request.id,
        kind,
        attempt: 1,
        max_attempts: NOTIFICATION_ATTEMPTS,
    }
}

async fn tell(notifier: &Telling, kind: NotificationKind, request: &Request) {
    let outcome = notifier.notify(&job(kind, request), request).await;
    outcome.unwrap_or_else(|error| panic!("{kind:?} of {}: {error:?}", request.state.kind()));
}

rules! { ($) __notifier_rules in notifier, notifier: Telling => ready;
    /// A notification goes out late: by then the request may be in any other state.
    async fn every_kind_is_delivered_for_a_request_in_every_state(notifier) {
        for state in StateKind::ALL {
            let request = request().in_state(state);
            for kind in NotificationKind::ALL {
                tell(&notifier, kind, &request).await;
            }
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
                    tell(&notifier, NotificationKind::Submitted, &request).await;
                }
            }
        }
    }

    /// Delivery is at least once: a process may die between the delivery and the note of it.
    async fn the_same_job_can_be_delivered_again(notifier) {
        let request = request().pending();
        for attempt in [1, 2, NOTIFICATION_ATTEMPTS] {
            let job = NotificationJob { attempt, ..job(NotificationKind::Submitted, &request) };
            notifier.notify(&job, &request).await.expect("it can be delivered");
        }
    }

    async fn deliveries_at_once_do_not_disturb_each_other(notifier) {
        let deliveries = (0..20).map(|_| {
            let notifier = notifier.clone();
            tokio::spawn(async move { tell(&notifier, NotificationKind::Approved, &request().approved()).await })
        });
        for delivery in deliveries.collect::<Vec<_>>() {
            delivery.await.expect("it is delivered");
        }
    }
}
