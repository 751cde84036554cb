//! Use cases. Each asks [`crate::policy`] first, then the ports; none knows who calls it.

mod administration;
mod authentication;
mod connections;
mod directory;
mod execution;
mod housekeeping;
mod keyring;
mod notifications;
mod requests;
mod script_logs;
mod slack;
mod submission;
mod sync_worker;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::ports::Change;

pub use administration::{
    AccountChange, Administration, AdministrationError, Authority, NewAccount, NewTarget,
};
pub use authentication::{AuthError, AuthSettings, Authentication, Caller, LoggedIn};
pub use connections::{ConnectionError, Connections, Failed, SyncReport, TestReport};
pub use directory::{DirectoryAccess, DirectoryAccessError};
pub use execution::{ExecutionSettings, ExecutionWorker, Scripts};
pub use housekeeping::Housekeeper;
pub use keyring::Keyring;
pub use notifications::NotificationWorker;
pub use requests::{RequestError, Requests};
pub use script_logs::{Followed, LogPage};
pub use slack::{SlackCallError, SlackDecisions};
pub use submission::{
    ChangeError, Changes, FieldError, Looked, ScriptChecks, Submissions, Submit, SubmitError, Submitted,
};
pub use sync_worker::SyncWorker;

/// The cause of an error with all causes behind it, for one log line at the boundary.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// Waits for news of jobs. News that has ended is waited for, for ever: only the slow poll is left then.
async fn wait_for_jobs(news: &mut Receiver<Change>) {
    loop {
        match news.recv().await {
            Ok(Change::Jobs) | Err(RecvError::Lagged(_)) => return,
            Ok(Change::Request(_) | Change::Cancel(_) | Change::Log(_)) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
