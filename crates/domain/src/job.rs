//! Background work: durable, claimed by one worker at a time, held by a lease.

use std::time::Duration;

use crate::ids::{JobId, RequestId};
use crate::request::NotificationKind;

/// A portal process, for example `host:pid:start`. Recorded, never trusted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct WorkerId(pub String);

/// The right to work on a job until a moment.
///
/// `fence` rises with every claim of the job: whoever holds an older value has lost the job, whatever
/// their clock says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    pub job: JobId,
    pub fence: i64,
    pub worker: WorkerId,
}

/// A notification that is due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotificationJob {
    pub lease: Lease,
    pub request: RequestId,
    pub kind: NotificationKind,
    /// 1 at the first try.
    pub attempt: u32,
    pub max_attempts: u32,
}

/// How long to wait before the next try: 2 s, 4 s, 8 s ... up to 10 minutes.
pub fn backoff(attempt: u32) -> Duration {
    Duration::from_secs(2_u64.saturating_pow(attempt.clamp(1, 10)).min(600))
}

/// How often a notification is tried: with [`backoff`], over about a day.
pub const NOTIFICATION_ATTEMPTS: u32 = 150;

/// What the reaper did.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Reaped {
    /// Requests whose executing process was lost.
    pub interrupted: Vec<RequestId>,
    /// Other jobs given back to the queue.
    pub requeued: u64,
    /// Requests that waited for too long.
    pub expired: Vec<RequestId>,
}

impl Reaped {
    pub fn is_empty(&self) -> bool {
        self.interrupted.is_empty() && self.requeued == 0 && self.expired.is_empty()
    }
}
