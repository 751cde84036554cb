//! The words of a statement as PostgreSQL reads them, without a parser.

use super::lex::{Lexer, TokenKind};

/// One token, reduced to what decides the kind of a statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Word {
    /// An unquoted word in lowercase: a keyword or a name.
    Plain(String),
    /// A quoted name in lowercase (settings are looked up without regard to case).
    Quoted(String),
    /// A symbol of one character.
    Symbol(u8),
    /// Anything whose meaning is not plain to see: strings, numbers, `U&""` names.
    Opaque,
}

impl Word {
    pub(crate) fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Plain(word) if word == keyword)
    }
}

/// Walks over the words of a statement, with their places.
pub(crate) fn words(text: &str) -> impl Iterator<Item = (usize, Word)> + '_ {
    Lexer::new(text).map(|token| {
        let raw = &text[token.start..token.end];
        let word = match token.kind {
            TokenKind::Word => Word::Plain(raw.to_ascii_lowercase()),
            TokenKind::QuotedWord => {
                let inner = raw.strip_prefix('"').unwrap_or(raw);
                let inner = inner.strip_suffix('"').unwrap_or(inner);
                Word::Quoted(inner.replace("\"\"", "\"").to_ascii_lowercase())
            }
            TokenKind::UnicodeWord | TokenKind::String | TokenKind::Number => Word::Opaque,
            TokenKind::Open
            | TokenKind::Close
            | TokenKind::Comma
            | TokenKind::Semicolon
            | TokenKind::Other => Word::Symbol(raw.as_bytes()[0]),
        };
        (token.start, word)
    })
}

/// The first words of a statement: enough to name its kind.
pub(crate) fn leading(text: &str) -> Vec<Word> {
    words(text).take(12).map(|(_, word)| word).collect()
}

/// Whether an unquoted word occurs anywhere in the statement.
pub(crate) fn mentions(text: &str, keywords: &[&str]) -> bool {
    words(text).any(|(_, word)| keywords.iter().any(|keyword| word.is(keyword)))
}

/// The first keyword, looked for beyond any number of parentheses.
pub(crate) fn first_keyword(text: &str) -> Option<String> {
    match words(text).map(|(_, word)| word).find(|word| *word != Word::Symbol(b'(')) {
        Some(Word::Plain(word)) => Some(word),
        _ => None,
    }
}
