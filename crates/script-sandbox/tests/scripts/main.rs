//! Scripts in real processes, with a session that answers from a list.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::result_large_err,
    reason = "a test that cannot go on had better stop here; what a host lacks is told"
)]

mod basics;
mod harness;
mod hostile;
mod layers;
mod processes;
mod shell;
