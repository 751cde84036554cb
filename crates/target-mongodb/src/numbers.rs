//! Whole numbers in what servers and people send, which come in several types.

use bson::Bson;

pub(crate) fn int(value: Option<&Bson>) -> Option<i64> {
    match value? {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        #[expect(clippy::cast_possible_truncation, reason = "counts are whole numbers far below 2^53")]
        Bson::Double(number) => Some(*number as i64),
        _ => None,
    }
}
