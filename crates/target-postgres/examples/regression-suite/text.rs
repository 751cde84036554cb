//! What a statement says about itself, from its words alone. No parser is used: one that errs would have to be
//! tested first.

/// A statement without the comments before it.
pub(crate) fn without_comments(sql: &str) -> &str {
    let mut rest = sql.trim_start();
    loop {
        let after = match rest.get(..2) {
            Some("--") => rest.find('\n'),
            Some("/*") => rest.find("*/").map(|at| at + 2),
            _ => return rest,
        };
        rest = after.map_or("", |at| rest[at..].trim_start());
    }
}

/// The words of a statement in lower case, those in its strings included.
pub(crate) fn words(sql: &str) -> Vec<String> {
    without_comments(sql)
        .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Whether a word is a name, or one that the server makes of it for an index or a sequence.
pub(crate) fn belongs(word: &str, name: &str) -> bool {
    let made = |rest: &str| {
        ["_pkey", "_key", "_idx", "_seq", "_excl", "_check"].iter().any(|end| rest.ends_with(end))
    };
    word.strip_prefix(name).is_some_and(|rest| rest.is_empty() || made(rest))
}

pub(crate) fn is_temporary(word: &str) -> bool {
    matches!(word, "temp" | "temporary")
}

/// Whether a statement creates a temporary object, and the words from there on.
pub(crate) fn after_temporary(words: &[String]) -> Option<&[String]> {
    let at = words.iter().position(|word| is_temporary(word))?;
    let creates = words[..at].iter().any(|w| w == "create") && at < 5;
    let into = at > 0 && words[at - 1] == "into";
    (creates || into).then(|| &words[at + 1..])
}

/// The name after words such as `TABLE IF NOT EXISTS`.
pub(crate) fn name(words: &[String]) -> Option<&String> {
    const KINDS: &[&str] = &[
        "table",
        "view",
        "sequence",
        "recursive",
        "index",
        "unique",
        "trigger",
        "rule",
        "if",
        "not",
        "exists",
        "pg_temp",
        "function",
        "procedure",
        "or",
        "replace",
        "type",
        "domain",
        "operator",
        "statistics",
        "aggregate",
        "policy",
        "constraint",
        "materialized",
        "concurrently",
        "foreign",
        "unlogged",
        "publication",
    ];
    words.iter().find(|word| !KINDS.contains(&word.as_str()))
}

/// The name of a setting that a statement changes for the session.
pub(crate) fn setting(sql: &str, words: &[String]) -> Option<String> {
    let second = |at: usize| words.get(at).map_or("", String::as_str);
    // A name may have several parts, so that it is more than one word.
    let whole = |at: usize| {
        let mut parts = without_comments(sql).split(|c: char| c.is_whitespace() || c == '=' || c == ';');
        parts.nth(at).unwrap_or_default().to_lowercase()
    };
    match (second(0), second(1)) {
        ("set", "local" | "constraints" | "transaction") => None,
        ("set", "session") => Some(whole(2)),
        ("set" | "reset", _) => Some(whole(1)),
        _ if words.iter().any(|w| w == "set_config") && words.iter().any(|w| w == "false") => {
            Some(words.join(" "))
        }
        _ => None,
    }
}

/// Whether a statement may have changed the role under which the next ones run.
pub(crate) fn may_change_role(sql: &str) -> bool {
    let words = words(sql);
    let changes = ["set", "reset", "discard", "begin", "start"];
    let whose = ["role", "authorization", "all", "set_config"];
    words.first().is_some_and(|first| changes.contains(&first.as_str()) || first == "select")
        && words.iter().any(|word| whose.contains(&word.as_str()))
}

pub(crate) fn only_reads(words: &[String]) -> bool {
    let reads = ["select", "table", "values", "explain", "show", "with"];
    let writes = ["insert", "update", "delete", "merge", "into", "nextval", "setval"];
    words.first().is_some_and(|first| reads.contains(&first.as_str()))
        && !words.iter().any(|word| writes.contains(&word.as_str()))
}
