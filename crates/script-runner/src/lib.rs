//! Runs scripts, each in a process of its own that can do nothing but ask.
//!
//! This crate starts the processes, keeps some of them warm, stands between a script and its session, and ends what
//! outlives its limits. It must not know how a script is run inside of its process, nor what answers its calls. Nothing
//! that comes from a process is trusted.

mod account;
mod broker;
mod journal;
mod pool;
mod process;
mod reading;
mod runner;
mod spawner;
mod talk;
mod translate;
mod usage;

pub use pool::{PoolError, ProcessSettings};
pub use runner::{Isolation, ProcessScriptRunner, ScriptSettings};
