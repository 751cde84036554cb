//! Names of credentials, and which of them a target may name.

use std::collections::HashMap;

/// Where a target's credentials are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CredentialSourceKind {
    Env,
    Aws,
    Sealed,
}

impl CredentialSourceKind {
    pub const ALL: [Self; 3] = [Self::Env, Self::Aws, Self::Sealed];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::Aws => "aws",
            Self::Sealed => "sealed",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }
}

/// Names a credential without holding one: a source and the name under which it is kept there.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CredentialRef {
    pub source: CredentialSourceKind,
    pub reference: String,
}

impl CredentialRef {
    /// What the reference has to be, whatever its source; the end of a sentence.
    pub const FORM: &str = "must be 1 to 512 bytes without control characters";

    pub fn is_well_formed(&self) -> bool {
        let reference = &self.reference;
        !reference.trim().is_empty() && reference.len() <= 512 && !reference.chars().any(char::is_control)
    }
}

/// Why a target cannot name a credential.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReferenceError {
    #[error("{} is no source of credentials that this portal is set up for", .0.as_str())]
    NoSuchSource(CredentialSourceKind),
    #[error("must begin with one of these: {}", .0.join(", "))]
    OutsidePrefixes(Vec<String>),
}

/// The sources that the configuration sets up, each with the prefixes that a reference to it may have: what else is
/// kept there is not the portal's to fetch.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ReferenceRules(HashMap<CredentialSourceKind, Vec<String>>);

impl ReferenceRules {
    /// A source without prefixes is not set up. An empty prefix admits nothing.
    pub fn new(rules: impl IntoIterator<Item = (CredentialSourceKind, Vec<String>)>) -> Self {
        let prefixes =
            |prefixes: Vec<String>| prefixes.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>();
        let rules = rules.into_iter().map(|(kind, given)| (kind, prefixes(given)));
        Self(rules.filter(|(_, prefixes)| !prefixes.is_empty()).collect())
    }

    pub fn check(&self, reference: &CredentialRef) -> Result<(), ReferenceError> {
        let prefixes = self.0.get(&reference.source).ok_or(ReferenceError::NoSuchSource(reference.source))?;
        if prefixes.iter().any(|prefix| reference.reference.starts_with(prefix)) {
            return Ok(());
        }
        Err(ReferenceError::OutsidePrefixes(prefixes.clone()))
    }
}
