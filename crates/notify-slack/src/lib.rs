//! Notifications and decisions in Slack: an adapter for the ports [`domain::ports::Notifier`] and
//! [`domain::ports::SlackDesk`] on Slack's Web API.
//!
//! It must not know any other adapter, and decides nothing about requests: whether a press of a button counts is decided
//! where every other decision is. What people wrote only gets into a message through [`text`].

mod answers;
mod client;
mod desk;
mod errors;
mod message;
mod notifier;
mod pace;
mod people;
mod search;
mod text;

pub use client::{Slack, SlackConfig, SlackSetupError};
pub use desk::WebApiDesk;
pub use errors::CallError;
pub use message::{APPROVE, REJECT};
pub use notifier::SlackNotifier;
