//! Cuts a text into statements, as `psql` does: at semicolons outside of quotes, parentheses and the bodies of
//! SQL-standard functions (`BEGIN ATOMIC ... END`).
//!
//! A cut in the wrong place does no harm: every piece is judged from its own first keyword, and the server
//! refuses to prepare a piece that holds more than one statement.

use std::ops::Range;

use super::lex::{Lexer, Token, TokenKind};

/// A statement without the blanks, comments and semicolon around it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    /// Its bytes in the whole text.
    pub(crate) range: Range<usize>,
    /// No more than this many nodes of a syntax tree can lie above one another.
    pub(crate) depth: usize,
    /// Greatest number of parentheses open at a time.
    pub(crate) nesting: usize,
}

/// The statements of a text, in order, and no more than the limit: the rest is not even looked at.
pub(crate) fn split(text: &str, limit: usize) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut cutter = Cutter::default();
    for token in Lexer::new(text) {
        if token.kind == TokenKind::Semicolon && cutter.may_cut() {
            pieces.extend(std::mem::take(&mut cutter).finish());
            if pieces.len() >= limit {
                return pieces;
            }
        } else {
            cutter.take(token, &text[token.start..token.end]);
        }
    }
    pieces.extend(cutter.finish());
    pieces
}

#[derive(Default)]
struct Cutter {
    range: Option<Range<usize>>,
    words: usize,
    /// The first letters of the words that say whether this creates a function.
    head: Vec<u8>,
    body: usize,
    /// For each open parenthesis the tokens since its last comma: an expression is no deeper than it is long.
    open: Vec<usize>,
    here: usize,
    sum: usize,
    depth: usize,
    nesting: usize,
}

impl Cutter {
    fn may_cut(&self) -> bool {
        self.open.is_empty() && self.body == 0
    }

    fn take(&mut self, token: Token, text: &str) {
        let start = self.range.as_ref().map_or(token.start, |r| r.start);
        self.range = Some(start..token.end);
        match token.kind {
            TokenKind::Open => {
                self.grow();
                self.open.push(self.here);
                self.here = 0;
            }
            TokenKind::Close => self.close(),
            TokenKind::Comma | TokenKind::Semicolon => {
                self.sum -= self.here;
                self.here = 0;
            }
            TokenKind::Word => {
                self.word(text);
                self.grow();
            }
            TokenKind::QuotedWord
            | TokenKind::UnicodeWord
            | TokenKind::String
            | TokenKind::Number
            | TokenKind::Other => self.grow(),
        }
        self.depth = self.depth.max(self.sum);
        self.nesting = self.nesting.max(self.open.len());
    }

    fn grow(&mut self) {
        self.here += 1;
        self.sum += 1;
    }

    fn close(&mut self) {
        if let Some(outer) = self.open.pop() {
            self.sum -= self.here;
            self.here = outer;
        }
    }

    /// `psql` looks at the first four words in the same way.
    fn word(&mut self, word: &str) {
        let is = |name: &str| word.eq_ignore_ascii_case(name);
        if self.words < 4 && ["create", "function", "procedure", "or", "replace"].into_iter().any(is) {
            self.head.push(word.as_bytes()[0].to_ascii_lowercase());
        }
        self.words += 1;
        let creates_routine =
            matches!(self.head.as_slice(), [b'c', b'f' | b'p', ..] | [b'c', b'o', b'r', b'f' | b'p', ..]);
        if creates_routine && self.open.is_empty() {
            if is("begin") || (is("case") && self.body > 0) {
                self.body += 1;
            } else if is("end") {
                self.body = self.body.saturating_sub(1);
            }
        }
    }

    fn finish(self) -> Option<Piece> {
        let range = self.range?;
        Some(Piece { range, depth: self.depth, nesting: self.nesting })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(text: &str) -> Vec<&str> {
        split(text, 1_000).into_iter().map(|p| &text[p.range]).collect()
    }

    #[test]
    fn semicolons_in_quotes_and_comments_do_not_cut() {
        assert_eq!(pieces("select ';'; select 2"), ["select ';'", "select 2"]);
        assert_eq!(
            pieces("select $$;$$; select $a$ ; $b$ ; $a$"),
            ["select $$;$$", "select $a$ ; $b$ ; $a$"]
        );
        assert_eq!(pieces("select 1 /* ; /* ; */ ; */ ; -- ;\n select 2;"), ["select 1", "select 2"]);
        assert_eq!(
            pieces(r#"select 1 as ";" ; select E'\';' ; x"#),
            [r#"select 1 as ";""#, r"select E'\';'", "x"]
        );
        assert_eq!(
            pieces(r"select U&'d\0061t;'; select 'a\'; select 3"),
            [r"select U&'d\0061t;'", r"select 'a\'", "select 3"]
        );
    }

    #[test]
    fn blank_statements_are_left_out() {
        assert_eq!(pieces(" ;; -- x\n ; /* */ select 1 ;;"), ["select 1"]);
        assert!(pieces("-- only a comment").is_empty());
    }

    #[test]
    fn nothing_is_cut_beyond_the_limit() {
        assert_eq!(split(&"select 1;".repeat(100_000), 3).len(), 3);
        assert_eq!(split("select 1; select 2", 3).len(), 2);
        assert_eq!(split("select 1; select 2", 2).len(), 2);
        assert_eq!(split(&";".repeat(100_000), 3).len(), 0);
    }

    #[test]
    fn bodies_of_functions_stay_whole() {
        let body = "create or replace function f() returns int language sql \
                    begin atomic select case when true then 1 end; select 2; end";
        assert_eq!(pieces(&format!("{body}; select 3")), [body, "select 3"]);
        let rule = "create rule r as on insert to t do also (select 1; select 2)";
        assert_eq!(pieces(&format!("{rule}; select 3")), [rule, "select 3"]);
        assert_eq!(pieces("begin; select 1; end"), ["begin", "select 1", "end"]);
    }

    #[test]
    fn depth_counts_what_may_nest() {
        assert!(split("select 1, 2, 3, 4, 5, 6", 9)[0].depth < 5);
        assert_eq!(split(&format!("select {}1{}", "(".repeat(100), ")".repeat(100)), 9)[0].nesting, 100);
        assert!(split(&format!("select 1{}", " + 1".repeat(100)), 9)[0].depth > 200);
    }

    proptest! {
        #[test]
        fn ranges_are_in_order_and_on_characters(text in r#"[-a-zA-Z'"$;()/*\\ \n\réU&,1]{0,200}"#) {
            let mut last = 0;
            for piece in split(&text, usize::MAX) {
                prop_assert!(last <= piece.range.start && piece.range.start < piece.range.end);
                prop_assert!(text.get(piece.range.clone()).is_some());
                last = piece.range.end;
            }
            prop_assert!(last <= text.len());
        }

        #[test]
        fn any_text_is_survived(text in any::<String>()) {
            split(&text, usize::MAX);
        }
    }
}
