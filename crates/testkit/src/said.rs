//! What anybody could come to see of an error.

use std::error::Error;

/// An error with all of its causes, in every way in which it can be printed.
pub fn everything_said(error: &dyn Error) -> String {
    let mut said = format!("{error} {error:?} {error:#?}");
    let mut source = error.source();
    while let Some(cause) = source {
        said = format!("{said} {cause} {cause:?}");
        source = cause.source();
    }
    said
}
