//! Notifications where no messenger is configured.

use std::io::Write as _;

use async_trait::async_trait;
use domain::job::NotificationJob;
use domain::ports::{Notifier, NotifyError};
use domain::request::Request;

/// Writes ids and kinds to the log, and nothing that a person wrote.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogNotifier;

#[async_trait]
impl Notifier for LogNotifier {
    async fn notify(&self, job: &NotificationJob, request: &Request) -> Result<(), NotifyError> {
        tracing::info!(request = %request.id, kind = job.kind.as_str(), "notification");
        Ok(())
    }
}

/// Prints what a messenger would say; for the demo, where everything is sample data.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConsoleNotifier;

#[async_trait]
impl Notifier for ConsoleNotifier {
    async fn notify(&self, job: &NotificationJob, request: &Request) -> Result<(), NotifyError> {
        let text: String = request.submission.text.as_str().chars().take(120).map(printable).collect();
        let line = format!(
            "[notification] {}: request {} of {} for {} on {}: {text}\n",
            job.kind.as_str(),
            request.id,
            request.requester.email,
            request.pod.id,
            request.target.instance,
        );
        std::io::stdout()
            .write_all(line.as_bytes())
            .map_err(|error| NotifyError::Permanent { reason: error.to_string() })
    }
}

/// A terminal must not be told to do anything by somebody's query.
fn printable(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    mod log {
        use super::*;

        async fn log_notifier() -> Arc<dyn Notifier> {
            Arc::new(LogNotifier)
        }

        testkit::notifier_contract!(log_notifier);
    }

    mod console {
        use super::*;

        async fn console_notifier() -> Arc<dyn Notifier> {
            Arc::new(ConsoleNotifier)
        }

        testkit::notifier_contract!(console_notifier);
    }
}
