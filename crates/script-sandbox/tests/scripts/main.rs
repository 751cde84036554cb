//! Scripts in real processes, with a session that answers from a list.

#![expect(
    clippy::unwrap_used,
    clippy::result_large_err,
    reason = "a test that cannot go on had better stop here"
)]

mod basics;
mod harness;
