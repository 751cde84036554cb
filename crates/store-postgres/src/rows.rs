//! From columns to checked values: what no version of the portal can have written is named exactly.

use std::fmt::Display;
use std::time::Duration;

use domain::ports::StoreError;

use crate::error::rejected;

/// Where a value came from, for the error that names it.
#[derive(Clone, Debug)]
pub(crate) struct RowReader {
    table: &'static str,
    id: String,
}

impl RowReader {
    pub(crate) fn new(table: &'static str, id: impl Display) -> Self {
        Self { table, id: id.to_string() }
    }

    pub(crate) fn corrupt(&self, column: &'static str) -> StoreError {
        StoreError::Corrupt { table: self.table, column, id: self.id.clone() }
    }

    /// A value that parsed, or the column that did not.
    pub(crate) fn checked<T, E>(&self, column: &'static str, value: Result<T, E>) -> Result<T, StoreError> {
        value.map_err(|_| self.corrupt(column))
    }

    /// A value that must be there.
    pub(crate) fn present<T>(&self, column: &'static str, value: Option<T>) -> Result<T, StoreError> {
        value.ok_or_else(|| self.corrupt(column))
    }

    pub(crate) fn millis(&self, column: &'static str, value: i64) -> Result<Duration, StoreError> {
        self.checked(column, u64::try_from(value)).map(Duration::from_millis)
    }

    pub(crate) fn number<T: TryFrom<i64>>(&self, column: &'static str, value: i64) -> Result<T, StoreError> {
        self.checked(column, T::try_from(value))
    }
}

/// Whole milliseconds. Limits and times to live are configured in these; a finer part is cut off.
pub(crate) fn to_millis(duration: Duration) -> Result<i64, StoreError> {
    i64::try_from(duration.as_millis()).map_err(|_| rejected("a duration is too long to be stored"))
}

pub(crate) fn to_bigint(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| rejected("a number is too large to be stored"))
}
