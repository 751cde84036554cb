//! The type `hstore`, as its cast to `json` writes it.

use super::nested::quoted;
use super::string;

/// Writes the pairs of an `hstore` as an object. Returns `None` when the text is not what it should be; the caller
/// then drops what was written.
pub(super) fn object(out: &mut Vec<u8>, text: &str) -> Option<()> {
    out.push(b'{');
    let mut rest = text;
    while !rest.is_empty() {
        let (key, after) = quoted(rest)?;
        string(out, &key);
        out.extend_from_slice(b": ");
        let after = after.strip_prefix("=>")?;
        rest = if let Some(after) = after.strip_prefix("NULL") {
            out.extend_from_slice(b"null");
            after
        } else {
            let (value, after) = quoted(after)?;
            string(out, &value);
            after
        };
        if let Some(next) = rest.strip_prefix(", ") {
            out.extend_from_slice(b", ");
            // Something has to follow.
            rest = (!next.is_empty()).then_some(next)?;
        } else if !rest.is_empty() {
            return None;
        }
    }
    out.push(b'}');
    Some(())
}
