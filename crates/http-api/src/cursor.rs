//! Cursors of lists: opaque to clients, so that what they are may change.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::Problem;

const PREFIX: &str = "v1:";

pub(crate) fn encode(position: i64) -> String {
    URL_SAFE_NO_PAD.encode(format!("{PREFIX}{position}"))
}

pub(crate) fn decode(cursor: &str) -> Result<i64, Problem> {
    let position = URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.strip_prefix(PREFIX)?.parse::<i64>().ok())
        .filter(|position| *position > 0);
    position.ok_or_else(|| Problem::field("cursor", "is not a cursor of this list; start again without one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_and_others_are_refused() {
        assert_eq!(decode(&encode(42)).unwrap(), 42);
        for bad in ["", "42", "djE6", "djE6LTE", "djI6NDI", "é", &"A".repeat(9999)] {
            assert!(decode(bad).is_err(), "{bad}");
        }
    }
}
