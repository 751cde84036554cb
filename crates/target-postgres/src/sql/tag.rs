//! The name of a command as reports show it, close to the server's own command tags.

use super::words::Word;

/// Words between the verb and the kind of object.
const MODIFIERS: &[&str] = &[
    "or",
    "replace",
    "temp",
    "temporary",
    "unlogged",
    "global",
    "local",
    "unique",
    "recursive",
    "trusted",
    "procedural",
];

/// Kinds of objects with names of several words.
const LONG_NAMES: &[&[&str]] = &[
    &["access", "method"],
    &["default", "privileges"],
    &["event", "trigger"],
    &["foreign", "data", "wrapper"],
    &["foreign", "table"],
    &["large", "object"],
    &["materialized", "view"],
    &["operator", "class"],
    &["operator", "family"],
    &["property", "graph"],
    &["text", "search", "configuration"],
    &["text", "search", "dictionary"],
    &["text", "search", "parser"],
    &["text", "search", "template"],
    &["user", "mapping"],
];

/// The command of a statement that begins with these words.
pub(crate) fn command(leading: &[Word]) -> String {
    let mut plain = leading.iter().map_while(|word| match word {
        Word::Plain(word) => Some(word.as_str()),
        Word::Quoted(_) | Word::Symbol(_) | Word::Opaque => None,
    });
    let Some(verb) = plain.next() else { return "SELECT".to_owned() };
    let rest: Vec<&str> = plain.skip_while(|word| MODIFIERS.contains(word)).collect();
    let object = match verb {
        "create" | "alter" | "drop" => object(&rest),
        "refresh" => &rest[..rest.len().min(2)],
        "lock" | "truncate" => &["table"],
        "set" if rest.first() == Some(&"constraints") => &rest[..1],
        "select" | "values" | "table" => return "SELECT".to_owned(),
        _ => &[],
    };
    let words: Vec<String> = std::iter::once(&verb).chain(object).map(|word| word.to_uppercase()).collect();
    words.join(" ")
}

fn object<'a>(words: &'a [&'a str]) -> &'a [&'a str] {
    let long = LONG_NAMES.iter().find(|name| words.starts_with(name)).map(|name| name.len());
    &words[..long.unwrap_or(1).min(words.len())]
}

#[cfg(test)]
mod tests {
    use super::super::words::leading;
    use super::*;

    #[test]
    fn commands_look_like_the_servers_tags() {
        for (text, expected) in [
            ("select 1", "SELECT"),
            ("((values (1)))", "SELECT"),
            ("create or replace function f()", "CREATE FUNCTION"),
            ("create temp table t (a int)", "CREATE TABLE"),
            ("create unique index concurrently on t (a)", "CREATE INDEX"),
            ("alter foreign data wrapper x", "ALTER FOREIGN DATA WRAPPER"),
            ("refresh materialized view v", "REFRESH MATERIALIZED VIEW"),
            ("truncate t", "TRUNCATE TABLE"),
            ("set search_path = x", "SET"),
            ("drop", "DROP"),
        ] {
            assert_eq!(command(&leading(text)), expected, "{text}");
        }
    }
}
