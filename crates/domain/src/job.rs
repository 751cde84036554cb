//! Background work: durable, claimed by one worker at a time, held by a lease.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use crate::Timestamp;
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

/// A notification that is due: one message to one audience.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotificationJob {
    pub lease: Lease,
    pub request: RequestId,
    pub kind: NotificationKind,
    pub audience: Audience,
    /// 1 at the first try.
    pub attempt: u32,
    /// After so many tries nobody takes it any more, in whatever way they ended.
    pub max_attempts: u32,
    /// When the transition that it tells of was stored.
    pub queued_at: Timestamp,
}

/// Who is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Audience {
    /// The channel of the POD that decides. It has one message about each request, which is kept up to date.
    Channel,
    /// The person who submitted.
    Requester,
}

impl Audience {
    pub const ALL: [Self; 2] = [Self::Channel, Self::Requester];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Requester => "requester",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.as_str() == text)
    }
}

/// How long to wait before the next try: 2 s, 4 s, 8 s ... up to 10 minutes, less up to a half of it, by which jobs that
/// failed together come apart again.
pub fn backoff(job: JobId, attempt: u32) -> Duration {
    let longest = Duration::from_secs(2_u64.saturating_pow(attempt.clamp(1, 10)).min(600));
    let mut hasher = DefaultHasher::new();
    (job, attempt).hash(&mut hasher);
    let of_1024 = u32::try_from(hasher.finish() % 512).expect("it is below 512") + 512;
    longest * of_1024 / 1024
}

/// How often a notification is tried at most: with [`backoff`], over more than a day.
pub const NOTIFICATION_ATTEMPTS: u32 = 350;

/// How long a notification is tried. Who has heard nothing after that has found out otherwise.
pub const NOTIFICATION_LIFETIME: Duration = Duration::from_hours(24);

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
