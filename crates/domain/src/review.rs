//! What a look at a submission's text tells before anybody decides on it.

use std::collections::HashMap;

use crate::target::{Admits, Target};
use crate::text::DatabaseName;

/// Where a submission would run, as far as that decides what it may do there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scope {
    /// Absent when somebody asks before they have decided on one.
    pub database: Option<DatabaseName>,
    /// Nothing may change there.
    pub read_only: bool,
    pub admits: Admits,
}

impl Scope {
    pub fn of(target: &Target, database: Option<DatabaseName>) -> Self {
        Self { database, read_only: target.read_only, admits: target.admits }
    }
}

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

/// Most findings that a review shows.
pub const MAX_FINDINGS: usize = 100;

/// Keeps to the limit, and says how many more there are. Of every sort of finding some are kept, so that many
/// of one cannot hide one of another.
pub fn capped(findings: Vec<Finding>) -> Vec<Finding> {
    let more = findings.len().saturating_sub(MAX_FINDINGS);
    if more == 0 {
        return findings;
    }
    // The first of each message come first, and then the first of each code among these.
    let mut ranked: Vec<(usize, usize, Finding)> =
        findings.into_iter().enumerate().map(|(index, finding)| (0, index, finding)).collect();
    for sort in
        [|f: &Finding| (f.code.clone(), f.message.clone()), |f: &Finding| (f.code.clone(), String::new())]
    {
        let mut counts: HashMap<(String, String), usize> = HashMap::new();
        for (rank, _, finding) in &mut ranked {
            let count = counts.entry(sort(finding)).or_default();
            *count += 1;
            *rank = *count;
        }
        // Stable: those of one rank keep the order of the round before.
        ranked.sort_by_key(|(rank, _, _)| *rank);
    }
    ranked.truncate(MAX_FINDINGS);
    ranked.sort_by_key(|(_, index, _)| *index);
    let rest = Finding {
        code: "more_findings".to_owned(),
        message: format!("The review found more than it shows: the above and {more} more."),
        position: None,
    };
    ranked.into_iter().map(|(_, _, finding)| finding).chain([rest]).collect()
}

/// Positions of many places in one text: what one of them costs depends neither on the text nor on its lines.
#[derive(Clone, Debug)]
pub struct Positions<'a> {
    text: &'a str,
    /// Where each line starts.
    lines: Vec<usize>,
    /// The characters before each block of [`BLOCK_BYTES`].
    blocks: Vec<usize>,
}

/// Most bytes that have to be looked at for one place.
const BLOCK_BYTES: usize = 128;

impl<'a> Positions<'a> {
    /// Reads the text once.
    pub fn new(text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(breaks).collect();
        let mut before = 0;
        let mut blocks = vec![0];
        for block in text.as_bytes().chunks(BLOCK_BYTES) {
            before += characters(block);
            blocks.push(before);
        }
        Self { text, lines, blocks }
    }

    /// The same as [`Position::of_byte`] for this text.
    pub fn of_byte(&self, offset: usize) -> Position {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let line = self.lines.partition_point(|start| *start <= end);
        let line_start = self.lines[line - 1];
        let column = self.characters_before(end) - self.characters_before(line_start) + 1;
        Position {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }

    fn characters_before(&self, end: usize) -> usize {
        let block = end / BLOCK_BYTES;
        self.blocks[block] + characters(&self.text.as_bytes()[block * BLOCK_BYTES..end])
    }
}

/// Characters that start in a part of a text.
fn characters(part: &[u8]) -> usize {
    part.iter().filter(|b| **b & 0xc0 != 0x80).count()
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

    #[test]
    fn an_index_tells_the_same_places() {
        for text in ["", "a\nbé;x", "\n\n", &"é\u{20ac}x".repeat(200), &"ab\u{1f600}\ncd é\r\n".repeat(90)]
        {
            let positions = Positions::new(text);
            for offset in 0..text.len() + 3 {
                assert_eq!(positions.of_byte(offset), Position::of_byte(text, offset), "{offset}");
            }
        }
    }

    #[test]
    fn places_on_a_long_line_cost_no_more_than_others() {
        // Counting the line anew for each place would take 10^11 steps.
        let text = "é;".repeat(700_000);
        let positions = Positions::new(&text);
        for n in 0..100_000 {
            let expected = Position { line: 1, column: u32::try_from(n * 14 + 1).unwrap() };
            assert_eq!(positions.of_byte(n * 21), expected);
        }
    }
}
