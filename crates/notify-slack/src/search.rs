//! Looks for a message of which it is not known whether Slack took it.
//!
//! A search that Slack does not let end (its pauses are long where the app may read little, and a channel may be busy) is
//! tried a few times, and then the message is sent: perhaps twice, but never not at all.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::TimeDelta;
use domain::Timestamp;
use domain::ids::JobId;
use domain::job::NotificationJob;
use domain::ports::{NotifyError, SlackMessage};

use crate::message::delivery_block_id;
use crate::notifier::SlackNotifier;

/// Slack dates messages by its own clock.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::minutes(5);
/// 200 messages each; in a busier channel a message may be told twice.
const PAGES: usize = 20;
/// The last search of a job: when this one is cut off as well, the message is sent.
const SEARCHES: u32 = 4;
/// By then the job was given up.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::days(2);

/// The searches that did not come to an end, by job. Known to one process only: another one begins anew.
#[derive(Debug, Default)]
pub(crate) struct CutOff(Mutex<HashMap<JobId, (u32, Timestamp)>>);

impl CutOff {
    /// The how manieth search of this job begins.
    fn begin(&self, job: JobId, now: Timestamp) -> u32 {
        let mut begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        begun.retain(|_, (_, at)| *at + FORGOTTEN_AFTER > now);
        let (count, at) = begun.entry(job).or_insert((0, now));
        *count += 1;
        *at = now;
        *count
    }

    fn ended(&self, job: JobId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&job);
    }
}

/// Why nothing is known after a search.
enum Failed {
    /// It cannot be searched at all.
    For(&'static str),
    /// Not to its end, this time.
    Now(NotifyError),
}

impl SlackNotifier {
    /// The message of a job that may have been sent to this channel since then.
    pub(crate) async fn search(
        &self,
        job: &NotificationJob,
        channel: Option<&str>,
        since: Timestamp,
    ) -> Result<Option<SlackMessage>, NotifyError> {
        let again = |why: &str| {
            tracing::warn!(request = %job.request, job = %job.lease.job, why, "a message may be sent twice");
            Ok(None)
        };
        let Some(channel) = channel else { return again("the channel is only known by its name") };
        // To wait for others is no search that was cut off.
        self.may_call("conversations.history", None)?;
        let searches = self.cut_off.begin(job.lease.job, self.clock.now());
        if searches > SEARCHES {
            return again(CUT_OFF);
        }
        let found = self.look_through(channel, job.lease.job, since).await;
        if let Err(Failed::Now(error)) = found {
            return if searches < SEARCHES { Err(error) } else { again(CUT_OFF) };
        }
        self.cut_off.ended(job.lease.job);
        match found {
            Ok(ts) => Ok(ts.map(|ts| SlackMessage { channel: channel.to_owned(), ts })),
            Err(Failed::For(why)) => again(why),
            Err(Failed::Now(error)) => Err(error),
        }
    }

    /// The `ts` of the job's message.
    async fn look_through(
        &self,
        channel: &str,
        job: JobId,
        since: Timestamp,
    ) -> Result<Option<String>, Failed> {
        let block_id = delivery_block_id(job);
        let oldest = (since - CLOCKS_DIFFER).timestamp();
        let mut cursor = None;
        for _ in 0..PAGES {
            self.may_call("conversations.history", None).map_err(Failed::Now)?;
            let page = match self.slack.history(channel, oldest, cursor.as_deref()).await {
                Ok(page) => page,
                Err(error) if error.code().is_some_and(|code| CANNOT_READ.contains(&code)) => {
                    return Err(Failed::For("the app may not read the conversation"));
                }
                Err(error) => return Err(Failed::Now(self.not_done(error))),
            };
            if let Some(ts) = page.find(&block_id) {
                return Ok(Some(ts.to_owned()));
            }
            cursor = page.next();
            if cursor.is_none() {
                return Ok(None);
            }
        }
        Err(Failed::For("the conversation is too busy to be searched"))
    }
}

const CUT_OFF: &str = "the search for it was cut off too often";

/// What Slack answers where the app may write, but not read.
const CANNOT_READ: &[&str] = &[
    "access_denied",
    "channel_not_found",
    "is_inactive",
    "method_not_supported_for_channel_type",
    "missing_scope",
    "no_permission",
    "not_allowed_token_type",
    "not_in_channel",
    "team_access_not_granted",
];
