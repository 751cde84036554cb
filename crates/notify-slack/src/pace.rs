//! When a message may go out: Slack takes about one a second in a channel, and says when it wants a pause.
//!
//! Known to one process only. Another one may send to the same channel at the same time; Slack then asks for a pause.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use domain::Timestamp;
use domain::ids::JobId;

const BETWEEN: TimeDelta = TimeDelta::seconds(1);
/// A channel that was quiet for this long, and a turn that nobody took for this long, are forgotten.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::minutes(5);

/// The turns of every channel.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    lanes: Mutex<HashMap<String, Lane>>,
    /// What Slack asked to leave alone, and until when.
    held: Mutex<HashMap<Held, Timestamp>>,
}

/// A method, for one channel or for all.
type Held = (&'static str, Option<String>);

#[derive(Debug, Default)]
struct Lane {
    last: Option<Timestamp>,
    /// Each waiter has a moment of its own, so that they do not all come back at once.
    turns: HashMap<JobId, Timestamp>,
}

impl Pace {
    /// Takes the job's turn in a channel; otherwise says how long it has to wait for it.
    pub(crate) fn turn(&self, channel: &str, job: JobId, now: Timestamp) -> Result<(), Duration> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.retain(|_, lane| lane.is_alive(now));
        lanes.entry(channel.to_owned()).or_default().turn(job, now)
    }

    /// Leaves a method alone for a while: in this channel, or altogether.
    pub(crate) fn hold(&self, method: &'static str, channel: Option<&str>, now: Timestamp, pause: TimeDelta) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, until| *until > now);
        let until = held.entry((method, channel.map(str::to_owned))).or_insert(now);
        *until = (*until).max(now + pause);
    }

    /// How long a method has to be left alone.
    pub(crate) fn held(
        &self,
        method: &'static str,
        channel: Option<&str>,
        now: Timestamp,
    ) -> Option<Duration> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let left = held.get(&(method, channel.map(str::to_owned))).map(|until| *until - now)?;
        left.to_std().ok().filter(|left| !left.is_zero())
    }
}

impl Lane {
    fn turn(&mut self, job: JobId, now: Timestamp) -> Result<(), Duration> {
        self.turns.retain(|_, turn| *turn > now - FORGOTTEN_AFTER);
        let turn = self.turns.get(&job).copied().unwrap_or_else(|| self.free_turn(now));
        let pause = turn - now;
        if pause > TimeDelta::zero() {
            self.turns.insert(job, turn);
            return Err(pause.to_std().unwrap_or_default());
        }
        // Somebody who came late may have been here a moment ago.
        if self.last.is_some_and(|last| last + BETWEEN > now) {
            self.turns.remove(&job);
            let turn = self.free_turn(now);
            self.turns.insert(job, turn);
            return Err((turn - now).to_std().unwrap_or_default());
        }
        self.turns.remove(&job);
        self.last = Some(now);
        Ok(())
    }

    /// The first moment that is nobody's.
    fn free_turn(&self, now: Timestamp) -> Timestamp {
        let taken = self.turns.values().chain(&self.last).max();
        taken.map_or(now, |last| now.max(*last + BETWEEN))
    }

    fn is_alive(&self, now: Timestamp) -> bool {
        self.turns.values().chain(&self.last).any(|moment| *moment > now - FORGOTTEN_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use testkit::builders::{at, epoch, uuid_for};

    use super::*;

    fn job(n: u32) -> JobId {
        JobId::from_uuid(uuid_for(&n.to_string()))
    }

    #[test]
    fn one_message_a_second_goes_out_and_every_waiter_has_a_turn_of_its_own() {
        let pace = Pace::default();
        assert_eq!(pace.turn("c", job(0), epoch()), Ok(()));
        for n in 1..5 {
            let pause = Duration::from_secs(u64::from(n));
            assert_eq!(pace.turn("c", job(n), epoch()), Err(pause));
            // Asking again changes nothing.
            assert_eq!(pace.turn("c", job(n), epoch()), Err(pause));
        }
        assert_eq!(pace.turn("d", job(9), epoch()), Ok(()), "another channel is not concerned");
        for n in 1..5 {
            assert_eq!(pace.turn("c", job(n), at(i64::from(n))), Ok(()));
        }
    }

    #[test]
    fn those_who_come_late_still_go_one_by_one() {
        let pace = Pace::default();
        for n in 0..4 {
            let _ = pace.turn("c", job(n), epoch());
        }
        assert_eq!(pace.turn("c", job(1), at(100)), Ok(()));
        assert_eq!(pace.turn("c", job(2), at(100)), Err(Duration::from_secs(1)));
        assert_eq!(pace.turn("c", job(3), at(100)), Err(Duration::from_secs(2)));
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let pace = Pace::default();
        for n in 0..50 {
            let _ = pace.turn(&format!("c{n}"), job(n), epoch());
        }
        pace.turn("other", job(99), at(3_600)).unwrap();
        assert_eq!(pace.lanes.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_method_is_left_alone_for_as_long_as_slack_says() {
        let pace = Pace::default();
        let (post, history) = ("chat.postMessage", "conversations.history");
        pace.hold(post, Some("c"), at(0), TimeDelta::seconds(30));
        pace.hold(post, Some("c"), at(5), TimeDelta::seconds(5));
        pace.hold(history, None, at(5), TimeDelta::seconds(45));
        assert_eq!(pace.held(post, Some("c"), at(20)), Some(Duration::from_secs(10)));
        assert_eq!(pace.held(post, Some("c"), at(30)), None);
        assert_eq!(pace.held(post, Some("d"), at(20)), None, "another channel is not concerned");
        assert_eq!(pace.held("chat.update", Some("c"), at(20)), None);
        assert_eq!(pace.held(history, None, at(20)), Some(Duration::from_secs(30)));
        pace.hold(post, Some("d"), at(100), TimeDelta::seconds(1));
        assert_eq!(pace.held.lock().unwrap().len(), 1, "what is over is forgotten");
    }
}
