//! Ports: what the rules need from the world. Each method is one atomic operation, and each MUST
//! in these docs has a case in the contract suites of `testkit`.

mod changes;
mod directory;
mod execution;
mod jobs;
mod people;
mod requests;
mod results;
mod script;
mod small;

pub use changes::{Change, ChangeFeed};
pub use directory::{Directory, DirectoryError};
pub use execution::{ExecutionError, Inspection, SubmissionReviewer, TargetExecutor, TargetInspector};
pub use jobs::{ExecutionClaim, FinishError, JobQueue, LeaseStatus};
pub use people::{NewUser, SessionStore, UserError, UserStore, UserUpdate, UserWithPassword};
pub use requests::{Earlier, RequestFilter, RequestStore, TransitionError};
pub use results::{ResultReader, ResultSink, ResultStore, SinkError};
pub use script::{
    ScriptCheckError, ScriptConnect, ScriptConnection, ScriptLog, ScriptLogs, ScriptRunner, ScriptSession,
    ScriptTarget, ShellEvaluator,
};
pub use small::{
    AccessTokens, AuditLog, Clock, CredentialError, CredentialSource, Health, IdGenerator, InvalidToken,
    Notifier, NotifyError, PasswordHasher, SecretGenerator, StoreError,
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
    small::{
        MockAccessTokens, MockAuditLog, MockClock, MockCredentialSource, MockHealth, MockIdGenerator,
        MockNotifier, MockPasswordHasher, MockSecretGenerator,
    },
};
