//! Use cases. Each asks [`crate::policy`] first, then the ports; none knows who calls it.

mod administration;
mod authentication;
mod directory;
mod execution;
mod housekeeping;
mod notifications;
mod requests;
mod submission;

pub use administration::{Administration, AdministrationError, Authority, NewAccount, NewTarget};
pub use authentication::{AuthError, AuthSettings, Authentication, Caller, LoggedIn};
pub use directory::{DirectoryAccess, DirectoryAccessError};
pub use execution::{ExecutionSettings, ExecutionWorker};
pub use housekeeping::Housekeeper;
pub use notifications::NotificationWorker;
pub use requests::{RequestError, Requests};
pub use submission::{FieldError, Submissions, Submit, SubmitError};

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
