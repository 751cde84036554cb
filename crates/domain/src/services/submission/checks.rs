//! How many scripts of one person are looked at at once.

use crate::concurrency::{Permit, PersonLimit};
use crate::ids::UserId;

/// Scripts of one person that are looked at at the same time in one process of the portal. There are few processes that
/// look at scripts; nobody keeps the others from them.
const AT_ONCE: usize = 2;

/// Counts the checks of scripts that are under way, for each person.
#[derive(Debug)]
pub struct ScriptChecks(PersonLimit);

impl Default for ScriptChecks {
    fn default() -> Self {
        Self(PersonLimit::new(AT_ONCE))
    }
}

impl ScriptChecks {
    /// Nothing when the person has as many checks under way as they may.
    pub(super) fn begin(&self, user: UserId) -> Option<Permit> {
        self.0.acquire(user)
    }
}
