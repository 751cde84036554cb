//! Places in a script, in the submitter's numbering: lines and columns from 1, columns in characters.

/// V8 counts a line's columns in UTF-16 units from 0; people count characters from 1. A place behind the end of the
/// text, where the brackets around it are, is the end of the text, and told as such.
pub(crate) fn place(text: &str, line: usize, units: usize) -> (u32, u32, bool) {
    let lines = lines(text);
    let Some(found) = line.checked_sub(1).and_then(|at| lines.get(at)) else {
        if line == 0 {
            return (1, 1, true);
        }
        let last = lines.last().copied().unwrap_or("");
        return (small(lines.len()), small(last.chars().count() + 1), false);
    };
    let mut left = units;
    let before = found.chars().take_while(|c| {
        let fits = left > 0;
        left = left.saturating_sub(c.len_utf16());
        fits
    });
    (small(line), small(before.count() + 1), true)
}

/// The lines as ECMAScript counts them (ECMA-262 §12.3).
fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\n', '\r', '\u{2028}', '\u{2029}']) {
        lines.push(&rest[..at]);
        let ending = if rest[at..].starts_with("\r\n") {
            2
        } else {
            rest[at..].chars().next().map_or(1, char::len_utf8)
        };
        rest = &rest[at + ending..];
    }
    lines.push(rest);
    lines
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_from_one() {
        let text = "a\r\n\u{1f600}é = 1\rb\u{2028}c";
        assert_eq!(place(text, 1, 0), (1, 1, true));
        assert_eq!(place(text, 2, 0), (2, 1, true));
        assert_eq!(place(text, 2, 2), (2, 2, true));
        assert_eq!(place(text, 2, 4), (2, 4, true));
        assert_eq!(place(text, 4, 0), (4, 1, true));
    }

    #[test]
    fn what_is_behind_the_text_is_its_end() {
        assert_eq!(place("ab\ncd", 9, 4), (2, 3, false));
        assert_eq!(place("", 1, 7), (1, 1, true));
        assert_eq!(place("ab", 0, 0), (1, 1, true));
        assert_eq!(place("ab", 1, 99), (1, 3, true));
    }
}
