//! Notifications and decisions against a stand-in for Slack, over an in-memory store and a clock that is told the time.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod away;
mod channel;
mod contract;
mod desk;
mod faults;
mod people;
mod support;
mod unclear;
