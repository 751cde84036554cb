//! A notifier that remembers instead of telling anybody.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use domain::job::Audience;
use domain::ports::{Notification, Notifier, NotifyError};
use domain::request::NotificationKind;

use super::lock;

/// Remembers what it was to tell; a failed attempt is not remembered.
#[derive(Debug, Default)]
pub struct RecordingNotifier {
    sent: Mutex<Vec<Notification>>,
    failures: Mutex<VecDeque<NotifyError>>,
}

impl RecordingNotifier {
    pub fn new() -> Self {
        Self::default()
    }

    /// What was delivered, oldest first.
    pub fn sent(&self) -> Vec<Notification> {
        lock(&self.sent).clone()
    }

    /// The kinds of what was delivered, oldest first.
    pub fn kinds(&self) -> Vec<NotificationKind> {
        lock(&self.sent).iter().map(|sent| sent.job.kind).collect()
    }

    /// The kinds of what one audience was told, oldest first.
    pub fn told(&self, audience: Audience) -> Vec<NotificationKind> {
        let sent = lock(&self.sent);
        sent.iter().filter(|sent| sent.job.audience == audience).map(|sent| sent.job.kind).collect()
    }

    /// The next delivery fails with this. Several failures are used up in the order in which they were given.
    pub fn fail_next(&self, error: NotifyError) {
        lock(&self.failures).push_back(error);
    }
}

#[async_trait]
impl Notifier for RecordingNotifier {
    async fn notify(&self, notification: &Notification) -> Result<(), NotifyError> {
        if let Some(error) = lock(&self.failures).pop_front() {
            return Err(error);
        }
        lock(&self.sent).push(notification.clone());
        Ok(())
    }
}
