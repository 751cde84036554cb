//! Text of people on its way into a message: everything in it can be seen, and none of it means anything to Slack.
//!
//! What this gives is meant for `text` elements of rich text, which Slack shows as they are. Where Slack reads markup (the
//! fallback text of a message) only [`escaped`] text may go.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// A text as it is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shown {
    pub(crate) text: String,
    /// Nothing was left out.
    pub(crate) whole: bool,
    /// Whoever looks at it sees what is there: see [`is_plain`].
    pub(crate) plain: bool,
}

impl Shown {
    /// What is shown is what is there.
    pub(crate) fn is_faithful(&self) -> bool {
        self.whole && self.plain
    }
}

/// A text of several lines, of at most `limit` characters as Slack counts them in the worst case ([`weight`]).
pub(crate) fn block(text: &str, limit: usize) -> Shown {
    show(text, limit, in_blocks)
}

/// A text within a line.
pub(crate) fn inline(text: &str, limit: usize) -> Shown {
    show(text, limit, |_| false)
}

/// What a text of several lines has and a text within a line has not.
fn in_blocks(c: char) -> bool {
    matches!(c, '\n' | '\t')
}

/// Stands where something was left out.
const CUT: char = '…';
/// Slack refuses empty texts.
const EMPTY: &str = "(empty)";

fn show(text: &str, limit: usize, kept: fn(char) -> bool) -> Shown {
    let mut shown = Shown { text: String::new(), whole: true, plain: is_plain(text, kept) };
    let mut left = limit.saturating_sub(weight(CUT));
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        // The end of a line as some systems write it.
        if c == '\r' && kept('\n') && characters.peek() == Some(&'\n') {
            continue;
        }
        let visible = kept(c) || !is_invisible(c);
        let piece = if visible { String::from(c) } else { format!("⟨U+{:04X}⟩", u32::from(c)) };
        let needed: usize = piece.chars().map(weight).sum();
        if needed > left {
            shown.text.push(CUT);
            shown.whole = false;
            break;
        }
        left -= needed;
        shown.text.push_str(&piece);
    }
    if shown.text.is_empty() {
        EMPTY.clone_into(&mut shown.text);
    }
    shown
}

/// Slack folds long messages: of more than this it is not certain that somebody has seen it.
const LINES: usize = 40;
/// More than this in a row push what follows out of sight.
const EMPTY_LINES: usize = 3;
/// As [`EMPTY_LINES`], in columns.
const SPACES: usize = 40;
const TAB_COLUMNS: usize = 8;
/// More than this in a row on one letter are drawn over its neighbours.
const MARKS: usize = 3;

/// Whether a text looks as it is: nothing in it is invisible, moves or covers its neighbours, or pushes them out of sight.
/// All of it counts, shown or not.
fn is_plain(text: &str, kept: fn(char) -> bool) -> bool {
    let text = if kept('\n') { text.replace("\r\n", "\n") } else { text.to_owned() };
    text.chars().all(|c| kept(c) || !is_invisible(c))
        && !text.chars().any(|c| runs_from_right(c) || c.general_category() == GeneralCategory::EnclosingMark)
        && longest(&text, |c| usize::from(c.general_category() == GeneralCategory::NonspacingMark)) <= MARKS
        && longest(&text, columns_of_space) <= SPACES
        && text.lines().count() <= LINES
        && most_empty_lines(&text) <= EMPTY_LINES
}

/// The most that characters in a row come to; one that comes to nothing ends the row.
fn longest(text: &str, measure: impl Fn(char) -> usize) -> usize {
    let sums = text.chars().map(measure).scan(0, |sum, n| {
        *sum = if n == 0 { 0 } else { *sum + n };
        Some(*sum)
    });
    sums.max().unwrap_or(0)
}

fn columns_of_space(c: char) -> usize {
    match c {
        ' ' => 1,
        '\t' => TAB_COLUMNS,
        _ => 0,
    }
}

fn most_empty_lines(text: &str) -> usize {
    let rows = text.lines().scan(0, |empty, line| {
        *empty = if line.trim().is_empty() { *empty + 1 } else { 0 };
        Some(*empty)
    });
    rows.max().unwrap_or(0)
}

/// The blocks with letters and digits of writing that runs from right to left (bidirectional classes R, AL and AN): beside
/// them numbers and signs are shown in another order than they have.
fn runs_from_right(c: char) -> bool {
    matches!(
        c,
        '\u{590}'..='\u{8ff}'
            | '\u{fb1d}'..='\u{fdff}'
            | '\u{fe70}'..='\u{fefe}'
            | '\u{10800}'..='\u{10fff}'
            | '\u{1e800}'..='\u{1efff}'
    )
}

/// How much of a limit a character takes: Slack does not say whether it counts characters or UTF-16 units, before or
/// after it escapes, so the most of these.
fn weight(c: char) -> usize {
    match c {
        '&' => 5,
        '<' | '>' => 4,
        c => c.len_utf16(),
    }
}

/// How much of a limit a text takes.
#[cfg(test)]
pub(crate) fn weight_of(text: &str) -> usize {
    text.chars().map(weight).sum()
}

/// Whether nothing, or only an empty place, is seen of a character, or it changes how others are seen.
fn is_invisible(c: char) -> bool {
    match c.general_category() {
        GeneralCategory::Control
        | GeneralCategory::Format
        | GeneralCategory::Surrogate
        | GeneralCategory::PrivateUse
        | GeneralCategory::Unassigned
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator => true,
        GeneralCategory::SpaceSeparator => c != ' ',
        _ => is_ignorable(c),
    }
}

/// The characters of other categories that Unicode calls `Default_Ignorable_Code_Point`, and a few symbols that are drawn
/// as nothing.
fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{034f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{2065}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{16fe4}'
            | '\u{1d159}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// For places in which Slack reads markup: no mention, link or special command is left.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_seen_is_made_visible() {
        let hidden = [
            '\0',
            '\u{7}',
            '\u{1b}',
            '\u{7f}',
            '\u{85}',
            '\u{a0}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{1160}',
            '\u{17b4}',
            '\u{180e}',
            '\u{2003}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{2800}',
            '\u{3000}',
            '\u{3164}',
            '\u{e000}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff9}',
            '\u{1d159}',
            '\u{1d173}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e0100}',
            '\u{10fffd}',
            '\u{378}',
        ];
        for c in hidden {
            let shown = block(&format!("a{c}b"), 100);
            assert_eq!(shown.text, format!("a⟨U+{:04X}⟩b", u32::from(c)));
            assert!(!shown.plain && shown.whole);
        }
    }

    #[test]
    fn what_can_be_seen_stays() {
        let text = "SELECT 'ä密я🎉', $1 -- *b* `c` <!x>\n\tFROM a";
        assert_eq!(block(text, 500), Shown { text: text.to_owned(), whole: true, plain: true });
    }

    #[test]
    fn what_would_be_shown_in_another_order_or_over_its_neighbours_stays_but_is_not_plain() {
        for text in [
            "a = 'א' AND 1 < 2",
            "x'ب'1",
            "\u{661}",
            "\u{7c1}",
            "\u{fb1d}",
            "\u{fe70}",
            "\u{10800}",
            "\u{10fff}",
            "\u{1e800}",
            "\u{1eeff}",
            "DROP\u{20dd}",
            "e\u{301}\u{301}\u{301}\u{301}",
        ] {
            // Unassigned ones are made visible besides.
            if !text.chars().any(is_invisible) {
                assert_eq!(
                    block(text, 500),
                    Shown { text: text.to_owned(), whole: true, plain: false },
                    "{text}"
                );
            }
            assert!(
                !inline(text, 500).plain && !block(&format!("{}{text}", "x".repeat(600)), 500).plain,
                "{text}"
            );
        }
        for text in ["e\u{301}\u{301}\u{301}", "é密ญี่🎉Ж", "a\u{fb00}"] {
            assert!(block(text, 500).plain, "{text}");
        }
    }

    #[test]
    fn what_pushes_text_out_of_sight_is_not_plain() {
        let lines = |n: usize| vec!["x"; n].join("\n");
        let around = |between: &str| format!("a{between}b");
        for text in [lines(40), around("\n\n\n\n"), around(&" ".repeat(40)), around(&"\t".repeat(5))] {
            assert!(block(&text, 5_000).is_faithful(), "{text:?}");
        }
        for text in [
            lines(41),
            lines(41).replace('\n', "\r\n"),
            around("\n\n\n\n\n"),
            around("\n \n\t\n \n\n"),
            around("\r\n\r\n\r\n\r\n\r\n"),
            around(&" ".repeat(41)),
            around(&"\t".repeat(6)),
        ] {
            assert!(!block(&text, 5_000).plain, "{text:?}");
        }
        assert!(!inline(&around(&" ".repeat(41)), 5_000).plain);
    }

    #[test]
    fn ends_of_lines_are_no_secret_but_a_lone_carriage_return_is() {
        assert_eq!(block("a\r\nb", 100).text, "a\nb");
        assert!(block("a\r\nb", 100).is_faithful());
        assert_eq!(block("a\rb", 100).text, "a⟨U+000D⟩b");
        assert_eq!(inline("a\nb\tc", 100).text, "a⟨U+000A⟩b⟨U+0009⟩c");
    }

    #[test]
    fn a_text_is_cut_between_characters_and_says_so() {
        assert_eq!(block("äöü", 3), Shown { text: "äö…".to_owned(), whole: false, plain: true });
        assert_eq!(block("🎉🎉", 4).text, "🎉…");
        assert_eq!(block("<<", 8).text, "<…");
        // What is hidden behind the cut counts as well.
        assert!(!block("abc\u{202e}", 3).plain);
    }

    #[test]
    fn nothing_is_shown_as_nothing() {
        assert_eq!(block("", 100).text, "(empty)");
    }

    proptest! {
        #[test]
        fn whatever_is_shown_can_be_seen_and_fits(text in ".{0,300}", limit in 12_usize..200) {
            let shown = block(&text, limit);
            prop_assert!(shown.text.chars().all(|c| matches!(c, '\n' | '\t') || !is_invisible(c)));
            prop_assert!(weight_of(&shown.text) <= limit);
            prop_assert!(!shown.text.is_empty());
        }

        #[test]
        fn a_faithful_text_is_the_text(text in "\\PC{1,80}") {
            let shown = inline(&text, 1_000);
            if shown.is_faithful() {
                prop_assert_eq!(shown.text, text);
            }
        }

        #[test]
        fn nothing_special_is_left_of_an_escaped_text(text in ".{0,300}") {
            prop_assert!(!escaped(&text).contains(['<', '>']));
        }
    }
}
