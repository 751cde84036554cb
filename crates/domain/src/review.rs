//! What a look at a submission's text tells before anybody decides on it.

/// What a submission would do at most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Effect {
    Read,
    Write,
    Administrative,
}

impl Effect {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Administrative => "administrative",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Administrative].into_iter().find(|e| e.as_str() == text)
    }
}

/// Something that the approver should know. It refuses nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Stable, for programs.
    pub code: String,
    /// A sentence, for people.
    pub message: String,
    pub position: Option<Position>,
}

/// A place in the submitted text; lines and columns start at 1, columns count characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

impl Position {
    /// The place of a byte offset in a text. An offset beyond the end is the end.
    pub fn of_byte(text: &str, offset: usize) -> Self {
        let mut end = offset.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        Self {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }
}

/// The outcome of a review.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Review {
    pub effect: Effect,
    /// Number of statements or commands.
    pub statements: u32,
    pub findings: Vec<Finding>,
}

/// A text that can never run, and why.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub code: String,
    pub message: String,
    pub position: Option<Position>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let text = "a\nbé;x";
        assert_eq!(Position::of_byte(text, 0), Position { line: 1, column: 1 });
        assert_eq!(Position::of_byte(text, 6), Position { line: 2, column: 4 });
        assert_eq!(Position::of_byte(text, 4), Position { line: 2, column: 2 });
        assert_eq!(Position::of_byte(text, 999), Position { line: 2, column: 5 });
    }
}
