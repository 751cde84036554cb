//! Notifications where no messenger is configured.

use std::io::Write as _;

use async_trait::async_trait;
use domain::job::Audience;
use domain::ports::{Notification, Notifier, NotifyError};
use domain::request::{Request, ResultKept, State, StateKind};

/// Writes ids and kinds to the log, and nothing that a person wrote.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogNotifier;

#[async_trait]
impl Notifier for LogNotifier {
    async fn notify(&self, notification: &Notification) -> Result<(), NotifyError> {
        let Notification { job, request, .. } = notification;
        tracing::info!(request = %request.id, kind = job.kind.as_str(), audience = job.audience.as_str(), "notification");
        Ok(())
    }
}

/// Prints what a messenger would say; for the demo, where everything is sample data.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConsoleNotifier;

#[async_trait]
impl Notifier for ConsoleNotifier {
    async fn notify(&self, notification: &Notification) -> Result<(), NotifyError> {
        let Notification { job, request, .. } = notification;
        let to = match job.audience {
            Audience::Channel => format!("the POD {}", request.pod.id),
            Audience::Requester => request.requester.email.to_string(),
        };
        let mut lines = format!(
            "[notification] to {to}: {}: request {} of {} on {}, {} now\n",
            job.kind.as_str(),
            request.id,
            request.requester.email,
            request.target.instance,
            request.state.kind(),
        );
        // As in Slack, how it ended in detail is for the requester.
        let over = request.state.kind().is_settled() && request.state.kind() != StateKind::Pending;
        let details = if over && job.audience == Audience::Channel { String::new() } else { told(request) };
        for line in details.lines() {
            lines.push_str("    ");
            lines.extend(line.chars().map(printable));
            lines.push('\n');
        }
        std::io::stdout()
            .write_all(lines.as_bytes())
            .map_err(|error| NotifyError::Permanent { reason: error.to_string() })
    }
}

/// What there is to tell of a request as it is now: its text until it is over, then how it ended.
fn told(request: &Request) -> String {
    match &request.state {
        State::Pending { .. } | State::Approved { .. } | State::Executing { .. } => {
            request.submission.text.as_str().to_owned()
        }
        State::Completed { completion, .. } => match &completion.result {
            ResultKept::Stored { report, preview } => {
                let counts = report.statements.iter().map(|statement| {
                    let rows = statement.affected.unwrap_or(statement.rows);
                    format!("{}: {rows} rows\n", statement.command)
                });
                counts.chain(preview.iter().map(|row| format!("{}\n", row.json))).collect()
            }
            ResultKept::Lost => "The changes took effect; the result was lost.".to_owned(),
        },
        State::Failed { failure, .. } => format!("{}: {}", failure.kind.as_str(), failure.message),
        State::Rejected { decision } => format!("by {}: {}", decision.by.email, decision.reason.as_str()),
        State::Withdrawn { .. }
        | State::Expired { .. }
        | State::Cancelled { .. }
        | State::Interrupted { .. } => String::new(),
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
