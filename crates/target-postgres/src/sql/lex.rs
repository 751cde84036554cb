//! A lexer with PostgreSQL's own rules (`scan.l`), as far as they decide where tokens begin and end.
//!
//! It is the guard that stands beside the parser: it is linear, never recurses and never fails, so that the
//! first keyword of a text is known however strange the rest is.

/// What a token is; only the kinds that somebody here looks at are told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TokenKind {
    /// An identifier or keyword without quotes.
    Word,
    /// `"..."`.
    QuotedWord,
    /// `U&"..."`, whose name is not what it looks like.
    UnicodeWord,
    /// Any string constant.
    String,
    Number,
    Open,
    Close,
    Comma,
    Semicolon,
    /// Any other single character.
    Other,
}

/// A token and its bytes in the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The tokens of a text, without whitespace and comments.
#[derive(Clone, Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    open_comment: Option<usize>,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, open_comment: None }
    }

    fn byte(&self, at: usize) -> u8 {
        // No NUL ever means a character here: PostgreSQL's protocol cannot carry one.
        self.text.as_bytes().get(at).copied().unwrap_or(0)
    }

    fn starts_comment(&self, at: usize) -> bool {
        matches!((self.byte(at), self.byte(at + 1)), (b'-', b'-') | (b'/', b'*'))
    }

    fn skip_blanks(&mut self) {
        loop {
            let here = self.byte(self.at);
            if is_space(here) {
                self.at += 1;
            } else if self.starts_comment(self.at) {
                let end =
                    if here == b'-' { Some(self.end_of_line(self.at)) } else { self.end_of_block(self.at) };
                if end.is_none() {
                    self.open_comment = Some(self.at);
                }
                self.at = end.unwrap_or(self.text.len());
            } else {
                return;
            }
        }
    }

    /// A comment ends at a line feed or at a carriage return alone.
    fn end_of_line(&self, from: usize) -> usize {
        let rest = &self.text.as_bytes()[from..];
        rest.iter().position(|b| matches!(b, b'\n' | b'\r')).map_or(self.text.len(), |n| from + n)
    }

    /// Block comments nest. `None` means that one has no end.
    fn end_of_block(&self, from: usize) -> Option<usize> {
        let mut depth = 0_usize;
        let mut at = from;
        while at < self.text.len() {
            match (self.byte(at), self.byte(at + 1)) {
                (b'/', b'*') => {
                    depth += 1;
                    at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        return Some(at);
                    }
                }
                _ => at += 1,
            }
        }
        None
    }

    fn end_of_word(&self, from: usize) -> usize {
        let rest = &self.text.as_bytes()[from..];
        rest.iter().position(|b| !is_word_part(*b)).map_or(self.text.len(), |n| from + n)
    }

    /// The end of a quoted text whose opening quote is at `from`; a doubled quote stands for itself.
    fn end_of_quoted(&self, from: usize, escapes: bool) -> usize {
        let quote = self.byte(from);
        let mut at = from + 1;
        while at < self.text.len() {
            let here = self.byte(at);
            let escape = escapes && here == b'\\';
            if escape || (here == quote && self.byte(at + 1) == quote) {
                at += 2;
            } else if here == quote {
                return at + 1;
            } else {
                at += 1;
            }
        }
        self.text.len()
    }

    /// A string that goes on after a line break is one string, and its second part keeps the rules of the first.
    fn end_of_string(&self, from: usize, escapes: bool) -> usize {
        let mut end = self.end_of_quoted(from, escapes);
        while let Some(quote) = self.continuation(end) {
            end = self.end_of_quoted(quote, escapes);
        }
        end
    }

    fn continuation(&self, from: usize) -> Option<usize> {
        let mut at = from;
        let mut line_break = false;
        loop {
            let here = self.byte(at);
            if is_space(here) {
                line_break |= matches!(here, b'\n' | b'\r');
                at += 1;
            } else if here == b'-' && self.byte(at + 1) == b'-' {
                at = self.end_of_line(at);
            } else {
                return (line_break && here == b'\'').then_some(at);
            }
        }
    }

    /// The end of a dollar-quoted string that opens at `from`, or `None` when the dollar opens none.
    fn end_of_dollar_quoted(&self, from: usize) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let mut tag_end = from + 1;
        if !self.byte(tag_end).is_ascii_digit() {
            while is_word_part(self.byte(tag_end)) && self.byte(tag_end) != b'$' {
                tag_end += 1;
            }
        }
        if self.byte(tag_end) != b'$' {
            return None;
        }
        let delimiter = &bytes[from..=tag_end];
        let body = tag_end + 1;
        let found = find(&bytes[body..], delimiter);
        Some(found.map_or(bytes.len(), |n| body + n + delimiter.len()))
    }

    fn word_or_prefixed(&self, start: usize) -> (TokenKind, usize) {
        let end = self.end_of_word(start);
        let next = self.byte(end);
        if end - start == 1 && next == b'\'' {
            match self.byte(start) {
                b'e' | b'E' => return (TokenKind::String, self.end_of_string(end, true)),
                b'b' | b'B' | b'x' | b'X' | b'n' | b'N' => {
                    return (TokenKind::String, self.end_of_string(end, false));
                }
                _ => {}
            }
        }
        if end - start == 1 && matches!(self.byte(start), b'u' | b'U') && next == b'&' {
            match self.byte(end + 1) {
                b'\'' => return (TokenKind::String, self.end_of_string(end + 1, false)),
                b'"' => return (TokenKind::UnicodeWord, self.end_of_quoted(end + 1, false)),
                _ => {}
            }
        }
        (TokenKind::Word, end)
    }

    fn token(&self, start: usize) -> (TokenKind, usize) {
        match self.byte(start) {
            b'\'' => (TokenKind::String, self.end_of_string(start, false)),
            b'"' => (TokenKind::QuotedWord, self.end_of_quoted(start, false)),
            b'$' => match self.end_of_dollar_quoted(start) {
                Some(end) => (TokenKind::String, end),
                None => (TokenKind::Other, start + 1),
            },
            b'0'..=b'9' => {
                let mut end = start + 1;
                while self.byte(end).is_ascii_digit() {
                    end += 1;
                }
                (TokenKind::Number, end)
            }
            b if is_word_start(b) => self.word_or_prefixed(start),
            b'(' | b'[' => (TokenKind::Open, start + 1),
            b')' | b']' => (TokenKind::Close, start + 1),
            b',' => (TokenKind::Comma, start + 1),
            b';' => (TokenKind::Semicolon, start + 1),
            _ => (TokenKind::Other, start + 1),
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_blanks();
        let start = self.at;
        if start >= self.text.len() {
            return None;
        }
        let (kind, end) = self.token(start);
        // An escape at the very end of the text points behind it.
        let end = end.min(self.text.len());
        self.at = end;
        Some(Token { kind, start, end })
    }
}

/// Where a block comment begins that has no end, which hides the rest of the text.
pub(crate) fn open_comment(text: &str) -> Option<usize> {
    let mut lexer = Lexer::new(text);
    while lexer.next().is_some() {}
    lexer.open_comment
}

/// Finds a delimiter in linear time: a dollar cannot occur inside one, so no match overlaps another.
fn find(haystack: &[u8], delimiter: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(n) = haystack[at..].iter().position(|b| *b == b'$') {
        at += n;
        if haystack[at..].starts_with(delimiter) {
            return Some(at);
        }
        at += 1;
    }
    None
}

const fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Every byte outside ASCII is a letter to PostgreSQL, also those of Unicode's spaces.
const fn is_word_start(b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_' || b >= 0x80
}

const fn is_word_part(b: u8) -> bool {
    is_word_start(b) || b.is_ascii_digit() || b == b'$'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<&str> {
        Lexer::new(text).map(|t| &text[t.start..t.end]).collect()
    }

    #[test]
    fn comments_nest_and_end_at_a_carriage_return() {
        assert_eq!(tokens("/* a /* b */ ; */ x -- y ;\r z"), ["x", "z"]);
        assert_eq!(tokens("/* open"), Vec::<&str>::new());
        assert_eq!(tokens("1--2"), ["1"]);
        assert_eq!(open_comment("1 /* /* */ 2"), Some(2));
        assert_eq!(open_comment("1 /* */ -- /* \n '/*' $$/*$$"), None);
    }

    #[test]
    fn strings_follow_their_prefix() {
        assert_eq!(tokens(r"'a\' b"), [r"'a\'", "b"]);
        assert_eq!(tokens(r"E'a\' b' c"), [r"E'a\' b'", "c"]);
        assert_eq!(tokens(r"U&'a\' b"), [r"U&'a\'", "b"]);
        assert_eq!(tokens("e'a'\n'\\'' x"), ["e'a'\n'\\''", "x"]);
        assert_eq!(tokens("'it''s' x"), ["'it''s'", "x"]);
        assert_eq!(tokens("abe'x'"), ["abe", "'x'"]);
    }

    #[test]
    fn dollar_quotes_need_their_own_tag() {
        assert_eq!(tokens("$$a;b$$ x"), ["$$a;b$$", "x"]);
        assert_eq!(tokens("$a$ $b$ $$ $a$ x"), ["$a$ $b$ $$ $a$", "x"]);
        assert_eq!(tokens("a$b$c"), ["a$b$c"]);
        assert_eq!(tokens("$1"), ["$", "1"]);
    }

    #[test]
    fn unicode_spaces_are_letters() {
        assert_eq!(tokens("\u{a0}commit x"), ["\u{a0}commit", "x"]);
    }

    #[test]
    fn an_escape_at_the_end_stays_inside_the_text() {
        assert_eq!(tokens(r"E'\"), [r"E'\"]);
        assert_eq!(tokens("E'\\é"), ["E'\\é"]);
    }
}
