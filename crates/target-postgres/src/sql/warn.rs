//! What an approver has to look at twice, told from the words alone: code that the review does not read, and
//! names that reach beyond the statement. It does not depend on the parser.

use domain::review::Finding;

use super::findings::Place;
use super::lex::{Lexer, TokenKind};
use super::words::{Word, leading, words};

pub(crate) const HIDDEN_CODE: &str = "hidden_code";
pub(crate) const TOUCHES_SESSIONS: &str = "touches_sessions";

/// Functions and views that reach other sessions, the session's settings, or files and servers beyond.
const REACHING: &[&str] = &[
    "lo_export",
    "lo_import",
    "pg_cancel_backend",
    "pg_read_binary_file",
    "pg_read_file",
    "pg_reload_conf",
    "pg_stat_activity",
    "pg_stat_get_activity",
    "pg_terminate_backend",
    "set_config",
];

/// Families of them.
const REACHING_PREFIXES: &[&str] = &["dblink", "pg_ls_"];

/// Looks at one statement.
pub(crate) fn of_words(place: Place<'_>, text: &str) -> Vec<Finding> {
    let mut findings: Vec<Finding> = hidden_code(place, text).into_iter().collect();
    touches(place, text, &mut findings);
    findings
}

/// What to call a name that reaches beyond. It never holds what a submitter made up: there are few such sorts.
fn reaching(name: &str) -> Option<&'static str> {
    let known = REACHING.iter().copied().find(|known| *known == name);
    known.or_else(|| REACHING_PREFIXES.iter().copied().find(|prefix| name.starts_with(prefix)))
}

/// One finding for each such name, however often it occurs. Names that only begin alike count as one.
fn touches(place: Place<'_>, text: &str, findings: &mut Vec<Finding>) {
    let mut seen: Vec<&str> = Vec::new();
    for (offset, word) in words(text) {
        let (Word::Plain(name) | Word::Quoted(name)) = word else { continue };
        let Some(sort) = reaching(&name).filter(|sort| !seen.contains(sort)) else { continue };
        seen.push(sort);
        let message = format!(
            "This names {sort}{}, which reaches beyond the statement: other sessions, settings, files or servers.",
            if name == sort { "" } else { "..." }
        );
        findings.push(place.finding(TOUCHES_SESSIONS, message, offset));
    }
    if let Some(token) = Lexer::new(text).find(|token| token.kind == TokenKind::UnicodeWord) {
        let message = "This name is written in escapes (U&) and may be any, also one that reaches other \
                       sessions, settings, files or servers: ask for a plain spelling.";
        findings.push(place.finding(TOUCHES_SESSIONS, message.to_owned(), token.start));
    }
}

fn hidden_code(place: Place<'_>, text: &str) -> Option<Finding> {
    let (command, has_body) = code_in(text)?;
    let plain = format!(
        "{command} runs or stores code that this review cannot look into: read it as carefully as the statement \
         itself."
    );
    let message = match has_body.then(|| alarm(text)).flatten() {
        Some(alarm) => format!("{plain} Careful: {alarm}"),
        None => plain,
    };
    Some(place.finding(HIDDEN_CODE, message, 0))
}

/// Names the statement if it brings code, and whether the code itself is in its text.
fn code_in(text: &str) -> Option<(&'static str, bool)> {
    let leading = leading(text);
    let mut first = leading.iter().filter_map(|word| match word {
        Word::Plain(word) => Some(word.as_str()),
        Word::Quoted(_) | Word::Symbol(_) | Word::Opaque => None,
    });
    match first.next()? {
        "do" => return Some(("DO", true)),
        "call" => return Some(("CALL", true)),
        "create" => {}
        _ => return None,
    }
    let mut object = first.skip_while(|word| matches!(*word, "or" | "replace" | "constraint" | "event"));
    match object.next()? {
        "function" => Some(("CREATE FUNCTION", true)),
        "procedure" => Some(("CREATE PROCEDURE", true)),
        "rule" => Some(("CREATE RULE", true)),
        // The code of a trigger is in its function.
        "trigger" => Some(("CREATE TRIGGER", false)),
        // Elements of a schema may be triggers.
        "schema" => words(text)
            .any(|(_, word)| word.is("trigger"))
            .then_some(("A trigger inside CREATE SCHEMA", false)),
        _ => None,
    }
}

/// What in the code, its strings and comments included, calls for more than a glance.
fn alarm(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    // Since when a word that makes or changes was read.
    let (mut since_alter, mut since_create) = (usize::MAX, usize::MAX);
    for word in lower.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty()) {
        (since_alter, since_create) = (since_alter.saturating_add(1), since_create.saturating_add(1));
        match word {
            "alter" => since_alter = 0,
            "create" => since_create = 0,
            "role" | "user" | "group" if since_alter <= 6 || since_create == 1 => {
                return Some("it mentions roles, which it may create or alter.".to_owned());
            }
            "execute" => return Some("it mentions EXECUTE, which runs a text as a statement.".to_owned()),
            word if word.contains("password") => return Some("it mentions a password.".to_owned()),
            word => {
                if let Some(sort) = reaching(word) {
                    return Some(format!("it mentions {sort}."));
                }
            }
        }
    }
    let escaped = Lexer::new(text).any(|token| {
        let raw = &text.as_bytes()[token.start..token.end];
        token.kind == TokenKind::String
            && matches!(raw, [b'e' | b'E' | b'u' | b'U', ..])
            && raw.contains(&b'\\')
    });
    escaped.then(|| "parts of it are written in escapes, which may hide anything.".to_owned())
}
