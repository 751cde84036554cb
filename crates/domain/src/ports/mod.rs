//! Ports: what the rules need from the world. Each method is one atomic operation, and each MUST
//! in these docs has a case in the contract suites of `testkit`.

#![expect(clippy::elidable_lifetime_names, reason = "mockall needs lifetimes to have names")]
#![cfg_attr(
    feature = "mock",
    expect(
        unused_parens,
        clippy::ref_option_ref,
        clippy::result_large_err,
        reason = "mockall repeats the signatures, with more parentheses, references and closures"
    )
)]

mod changes;
mod directory;
mod execution;
mod jobs;
mod people;
mod requests;
mod results;
mod script;
mod sealed;
mod slack;
mod small;

pub use changes::{Change, ChangeFeed};
pub use directory::{Directory, DirectoryError};
pub use execution::{
    ExecutionError, Inspection, RoleReport, SubmissionReviewer, TargetExecutor, TargetInspector,
};
pub use jobs::{ExecutionClaim, FinishError, JobQueue, LeaseStatus};
pub use people::{NewUser, SessionStore, UserError, UserStore, UserUpdate, UserWithPassword};
pub use requests::{Earlier, RequestFilter, RequestStore, TransitionError};
pub use results::{ResultReader, ResultSink, ResultStore, SinkError};
pub use script::{
    ScriptCheckError, ScriptConnect, ScriptConnection, ScriptLog, ScriptLogs, ScriptRunner, ScriptSession,
    ScriptTarget, ShellEvaluator,
};
pub use sealed::{SealedCredential, SealedStore};
pub use slack::{
    Deliveries, Delivery, Interaction, InvalidCall, Presser, ReplayGuard, SignedCall, SlackContact,
    SlackDesk, SlackError, SlackMessage, SlackPeople, SlackProfile, Wish,
};
pub use small::{
    AccessTokens, AuditLog, Clock, CredentialError, CredentialSource, Health, IdGenerator, InvalidToken,
    Notification, Notifier, NotifyError, PasswordHasher, SecretGenerator, StoreError,
};

#[cfg(feature = "mock")]
pub use {
    changes::MockChangeFeed,
    directory::MockDirectory,
    execution::{MockSubmissionReviewer, MockTargetExecutor, MockTargetInspector},
    jobs::MockJobQueue,
    people::{MockSessionStore, MockUserStore},
    requests::MockRequestStore,
    results::{MockResultSink, MockResultStore},
    script::{
        MockScriptLog, MockScriptLogs, MockScriptRunner, MockScriptSession, MockScriptTarget,
        MockShellEvaluator,
    },
    sealed::MockSealedStore,
    slack::{MockDeliveries, MockReplayGuard, MockSlackDesk, MockSlackPeople},
    small::{
        MockAccessTokens, MockAuditLog, MockClock, MockCredentialSource, MockHealth, MockIdGenerator,
        MockNotifier, MockPasswordHasher, MockSecretGenerator,
    },
};
