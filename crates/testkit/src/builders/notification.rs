//! What there is to tell.

use domain::ids::JobId;
use domain::job::{Audience, Lease, NOTIFICATION_ATTEMPTS, NotificationJob, WorkerId};
use domain::ports::Notification;
use domain::request::{NotificationKind, Request};

use super::{at, pod, target, uuid_for};

/// What to tell one audience, with everything still there that it is about.
pub fn notification(kind: NotificationKind, audience: Audience, request: &Request) -> Notification {
    let job = format!("{}/{}/{}/{}", request.id, request.state.kind(), kind.as_str(), audience.as_str());
    let job = NotificationJob {
        lease: Lease {
            job: JobId::from_uuid(uuid_for(&job)),
            fence: 1,
            worker: WorkerId("host:1:1".to_owned()),
        },
        request: request.id,
        kind,
        audience,
        attempt: 1,
        max_attempts: NOTIFICATION_ATTEMPTS,
        queued_at: at(0),
    };
    Notification {
        job,
        request: request.clone(),
        target: Some(target("orders-db").build()),
        pod: Some(pod("payments").slack_channel("C0PAYMENTS").build()),
    }
}
