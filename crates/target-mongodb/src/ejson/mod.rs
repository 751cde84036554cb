//! MongoDB's Extended JSON (v2): commands come in as it, and documents go out as it.
//!
//! The order of fields is kept, and so is every type. What one JSON text could mean in two ways is refused.

mod read;
mod write;

pub(crate) use read::{commands, document};
pub(crate) use write::{WriteError, canonical, value};

/// The deepest nesting that is read or written. MongoDB stores documents of up to 100 levels, and reads 200 of a command.
pub(crate) const MOST_LEVELS: usize = 120;

#[cfg(test)]
#[path = "random_tests.rs"]
mod tests;
