//! A notifier that remembers instead of telling anybody.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use domain::job::NotificationJob;
use domain::ports::{Notifier, NotifyError};
use domain::request::{NotificationKind, Request};

use super::lock;

/// Remembers what it was to tell; a failed attempt is not remembered.
#[derive(Debug, Default)]
pub struct RecordingNotifier {
    sent: Mutex<Vec<(NotificationJob, Request)>>,
    failures: Mutex<VecDeque<NotifyError>>,
}

impl RecordingNotifier {
    pub fn new() -> Self {
        Self::default()
    }

    /// What was delivered, oldest first.
    pub fn sent(&self) -> Vec<(NotificationJob, Request)> {
        lock(&self.sent).clone()
    }

    /// The kinds of what was delivered, oldest first.
    pub fn kinds(&self) -> Vec<NotificationKind> {
        lock(&self.sent).iter().map(|(job, _)| job.kind).collect()
    }

    /// The next delivery fails with this. Several failures are used up in the order in which they were given.
    pub fn fail_next(&self, error: NotifyError) {
        lock(&self.failures).push_back(error);
    }
}

#[async_trait]
impl Notifier for RecordingNotifier {
    async fn notify(&self, job: &NotificationJob, request: &Request) -> Result<(), NotifyError> {
        if let Some(error) = lock(&self.failures).pop_front() {
            return Err(error);
        }
        lock(&self.sent).push((job.clone(), request.clone()));
        Ok(())
    }
}
