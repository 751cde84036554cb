//! Everything that an error says, to whoever logs it.

use std::error::Error;

use domain::ports::CredentialError;

pub(crate) fn everything_said(error: &CredentialError) -> String {
    let mut said = format!("{error} {error:?} {error:#?}");
    let mut source = error.source();
    while let Some(cause) = source {
        said = format!("{said} {cause} {cause:?}");
        source = cause.source();
    }
    said
}
