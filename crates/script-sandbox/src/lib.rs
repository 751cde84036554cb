//! What runs inside of a script process: V8, the world of a script, and the lock-down.
//!
//! A process serves one script and ends. It speaks to the portal over the one descriptor that it has, and everything
//! that a script can do beyond computing is a message there. This crate must not know a database, a credential or a
//! file; nothing here is trusted by the portal once a script has begun.

mod bytes;
mod check;
mod compile;
mod engine;
mod host;
mod lockdown;
mod outcome;
mod position;
mod script;
mod worker;

pub use worker::serve;
#[doc(hidden)]
pub use worker::serve_attempt;
