//! Where target credentials come from: one module per source.
//!
//! A source gets a reference and answers with a credential; it knows nothing of targets or requests.

mod env;

pub use env::EnvCredentialSource;
