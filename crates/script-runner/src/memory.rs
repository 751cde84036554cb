//! How much memory a process has.

use std::time::Duration;

/// How often a process is looked at. Its own limits stand before this one.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The page size of every platform that the product runs on; a larger one would only be noticed earlier.
const PAGE: u64 = 4096;

/// Resident bytes; `None` when the process is gone.
pub(crate) fn resident(process: u32) -> Option<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
    Some(statm.split(' ').nth(1)?.parse::<u64>().ok()? * PAGE)
}
