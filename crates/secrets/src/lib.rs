//! Where target credentials come from: one module per source, and a memory in front of them.
//!
//! A source gets a reference and answers with a login; it knows nothing of targets or requests. What is kept under a
//! reference is read by `login` in the same way wherever it is kept.

mod aws;
mod aws_error;
mod cached;
mod env;
mod hosts;
mod login;
mod sealed;
mod sealing;

pub use aws::{AwsConfig, AwsConfigError, AwsCredentialSource};
pub use cached::Cached;
pub use env::EnvCredentialSource;
pub use hosts::{HostError, parse_hosts};
pub use sealed::SealedCredentialSource;
pub use sealing::{SealingKeyError, SealingKeys};

use domain::ports::CredentialError;
use domain::target::{CredentialRef, CredentialSourceKind, ReferenceError, ReferenceRules};

/// The prefixes of one source, by the very rule that holds for what a target may name.
fn rules(kind: CredentialSourceKind, prefixes: Vec<String>) -> ReferenceRules {
    ReferenceRules::new([(kind, prefixes)])
}

fn admit(rules: &ReferenceRules, reference: &CredentialRef) -> Result<(), CredentialError> {
    rules.check(reference).map_err(|error| match error {
        ReferenceError::NoSuchSource(_) => CredentialError::NoSuchSource,
        ReferenceError::OutsidePrefixes(_) => CredentialError::Forbidden,
    })
}

fn malformed(reason: impl Into<String>) -> CredentialError {
    CredentialError::Malformed { reason: reason.into() }
}
