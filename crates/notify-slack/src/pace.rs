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
/// Who does not come within this time has lost its place, and a channel in which nobody waits is forgotten.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::seconds(10);

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
    /// In the order of their coming, each with the moment that it was told, so that they do not all come back at once.
    waiting: Vec<(JobId, Timestamp)>,
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
        self.waiting.retain(|(_, told)| *told + FORGOTTEN_AFTER > now);
        let place = self.waiting.iter().position(|(waiting, _)| *waiting == job);
        let ahead = i32::try_from(place.unwrap_or(self.waiting.len())).unwrap_or(i32::MAX - 1);
        let turn = self.last.map_or(now, |last| last + BETWEEN * (ahead + 1));
        match ((turn - now).to_std().ok().filter(|pause| !pause.is_zero()), place) {
            (Some(pause), Some(place)) => {
                self.waiting[place].1 = turn;
                Err(pause)
            }
            (Some(pause), None) => {
                self.waiting.push((job, turn));
                Err(pause)
            }
            (None, place) => {
                place.map(|place| self.waiting.remove(place));
                self.last = Some(now);
                Ok(())
            }
        }
    }

    fn is_alive(&self, now: Timestamp) -> bool {
        self.waiting
            .iter()
            .map(|(_, told)| told)
            .chain(&self.last)
            .any(|moment| *moment + FORGOTTEN_AFTER > now)
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
    fn coming_a_little_late_costs_nobody_a_place() {
        let pace = Pace::default();
        let late = |n: u32| TimeDelta::milliseconds(i64::from(n * 7 % 40));
        let mut due: Vec<(Timestamp, u32)> = (0..30).map(|n| (epoch(), n)).collect();
        let mut sent = Vec::new();
        while !due.is_empty() {
            due.sort_unstable();
            let (moment, n) = due.remove(0);
            let now = moment + late(n);
            match pace.turn("c", job(n), now) {
                Ok(()) => sent.push((n, now)),
                Err(pause) => due.push((now + pause, n)),
            }
        }
        let order: Vec<u32> = sent.iter().map(|(n, _)| *n).collect();
        assert_eq!(order, (0..30).collect::<Vec<_>>());
        let pauses: Vec<_> = sent.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
        assert!(pauses.iter().all(|pause| *pause >= BETWEEN), "{pauses:?}");
        assert!(sent[29].1 < at(31), "{:?}", sent[29]);
    }

    #[test]
    fn who_does_not_come_holds_up_the_others_for_a_moment_only() {
        let pace = Pace::default();
        for n in 0..4 {
            let _ = pace.turn("c", job(n), epoch());
        }
        // 1 and 2 never come.
        assert_eq!(pace.turn("c", job(3), at(3)), Ok(()));
        assert_eq!(pace.turn("c", job(4), at(4)), Err(Duration::from_secs(2)));
        assert_eq!(pace.turn("c", job(5), at(20)), Ok(()));
        assert_eq!(pace.turn("c", job(6), at(20)), Err(Duration::from_secs(1)), "1, 2 and 4 are forgotten");
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
