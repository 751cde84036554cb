//! What can go wrong, and when.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde_json::Value;

/// How one call goes wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// `ok: false` with this code; nothing happens.
    Refuse(String),
    /// Status 429 with `Retry-After` in seconds, where it is given; nothing happens.
    TooMany(Option<u32>),
    /// This status, with a body that says something which must not be repeated; nothing happens.
    Status(u16),
    /// Nothing happens, and nothing is answered.
    Hang,
    /// It happens, but nothing is answered.
    TakeAndHang,
    /// It happens, but the answer is this status.
    TakeAndStatus(u16),
    /// This answer; nothing happens.
    Instead(Value),
    /// An answer that is none: status 200, and no JSON.
    Nonsense,
}

/// Longer than anybody waits.
pub(crate) const HANG: Duration = Duration::from_hours(1);

#[derive(Debug, Default)]
pub(crate) struct Faults {
    queued: HashMap<String, VecDeque<Fault>>,
    always: HashMap<String, String>,
}

impl Faults {
    pub(crate) fn queue(&mut self, method: &str, fault: Fault) {
        self.queued.entry(method.to_owned()).or_default().push_back(fault);
    }

    pub(crate) fn always(&mut self, method: &str, code: Option<&str>) {
        match code {
            Some(code) => self.always.insert(method.to_owned(), code.to_owned()),
            None => self.always.remove(method),
        };
    }

    pub(crate) fn take(&mut self, method: &str) -> Option<Fault> {
        let queued = self.queued.get_mut(method).and_then(VecDeque::pop_front);
        queued.or_else(|| self.always.get(method).cloned().map(Fault::Refuse))
    }
}
