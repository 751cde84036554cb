//! What is measured, a module each.

pub(crate) mod calls;
pub(crate) mod latency;
pub(crate) mod mongodb;
pub(crate) mod pages;
pub(crate) mod queue;
mod queue_bare;
mod queue_noop;
pub(crate) mod rows;
pub(crate) mod scripts;
