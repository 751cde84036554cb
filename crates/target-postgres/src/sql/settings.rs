//! Which settings a submitter may change with `SET` and `RESET`.
//!
//! This keeps honest texts from fighting the portal's own limits. It is no wall: a function can call
//! `set_config`, so nothing that protects anybody depends on a session's settings.

use super::refuse::{Reason, TRANSACTION_CONTROL, transaction_control};
use super::words::Word;

/// Settings that the portal sets itself, or that would change whose rights a statement has.
const GUARDED: &[&str] = &[
    "bytea_output",
    "client_connection_check_interval",
    "client_encoding",
    "datestyle",
    "default_transaction_read_only",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "lock_timeout",
    "role",
    "session_authorization",
    "session_replication_role",
    "standard_conforming_strings",
    "statement_timeout",
    "transaction_read_only",
    "transaction_timeout",
];

/// Looks at the words after `SET`.
pub(crate) fn refuse_set(after: &[Word]) -> Option<Reason> {
    let is = |at: usize, keyword: &str| after.get(at).is_some_and(|word| word.is(keyword));
    if is(0, "session") && is(1, "characteristics") || is(0, "transaction") {
        return Some(transaction_control("set transaction"));
    }
    if is(0, "session") && is(1, "authorization") {
        return Some(role_change());
    }
    let named = if is(0, "session") || is(0, "local") { &after[1..] } else { after };
    let is = |at: usize, keyword: &str| named.get(at).is_some_and(|word| word.is(keyword));
    if is(0, "session") && is(1, "authorization") {
        return Some(role_change());
    }
    if is(0, "transaction") {
        return Some(transaction_control("set transaction"));
    }
    if is(0, "names") {
        return Some(guarded("client_encoding"));
    }
    let whole = is(0, "constraints")
        || is(0, "schema")
        || is(0, "time") && is(1, "zone")
        || is(0, "xml") && is(1, "option");
    if whole { None } else { refuse_name(named) }
}

/// Looks at the words after `RESET`.
pub(crate) fn refuse_reset(after: &[Word]) -> Option<Reason> {
    let is = |at: usize, keyword: &str| after.get(at).is_some_and(|word| word.is(keyword));
    if is(0, "all") {
        return Some((
            "guarded_setting",
            "RESET ALL is not allowed: it would drop the limits that the portal sets.".to_owned(),
        ));
    }
    if is(0, "session") && is(1, "authorization") {
        return Some(role_change());
    }
    if is(0, "transaction") {
        return Some((TRANSACTION_CONTROL, transaction_control("reset transaction").1));
    }
    if is(0, "time") && is(1, "zone") { None } else { refuse_name(after) }
}

fn refuse_name(words: &[Word]) -> Option<Reason> {
    let (Some(Word::Plain(name) | Word::Quoted(name)), next) = (words.first(), words.get(1)) else {
        return Some((
            "guarded_setting",
            "The name of this setting cannot be checked: write it plainly.".to_owned(),
        ));
    };
    // A dotted name belongs to an extension or an application.
    if next == Some(&Word::Symbol(b'.')) {
        return None;
    }
    match name.as_str() {
        "role" | "session_authorization" => Some(role_change()),
        name => GUARDED.contains(&name).then(|| guarded(name)),
    }
}

fn guarded(name: &str) -> Reason {
    ("guarded_setting", format!("The setting {name} is kept by the portal and cannot be changed."))
}

fn role_change() -> Reason {
    ("role_change", "Changing the role is not allowed: statements run as the role of the target.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::words::leading;
    use super::*;

    fn code(text: &str) -> Option<&'static str> {
        let words = leading(text);
        let found = if words[0].is("set") { refuse_set(&words[1..]) } else { refuse_reset(&words[1..]) };
        found.map(|(code, _)| code)
    }

    #[test]
    fn guarded_settings_are_refused_in_every_spelling() {
        for text in [
            "set statement_timeout = 0",
            "SET LOCAL Statement_Timeout TO 0",
            "set session \"STATEMENT_TIMEOUT\" = 0",
            "set U&\"statement_timeout\" = 0",
            "set names 'latin1'",
            "set local names 'latin1'",
            "reset all",
            "reset lock_timeout",
            "reset \"DateStyle\"",
        ] {
            assert_eq!(code(text), Some("guarded_setting"), "{text}");
        }
    }

    #[test]
    fn roles_and_transactions_are_not_settings() {
        for text in [
            "set role admin",
            "set local role none",
            "set session authorization default",
            "set session session authorization x",
            "set \"role\" = 'x'",
            "reset role",
            "reset session authorization",
        ] {
            assert_eq!(code(text), Some("role_change"), "{text}");
        }
        for text in [
            "set transaction read write",
            "set session characteristics as transaction read write",
            "set local transaction isolation level serializable",
            "reset transaction isolation level",
        ] {
            assert_eq!(code(text), Some(TRANSACTION_CONTROL), "{text}");
        }
    }

    #[test]
    fn other_settings_are_free() {
        for text in [
            "set search_path to app, public",
            "set local work_mem = '64MB'",
            "set time zone 'UTC'",
            "set session time zone 'UTC'",
            "set app.role = 'x'",
            "set constraints all deferred",
            "set schema 'x'",
            "reset work_mem",
            "reset time zone",
        ] {
            assert_eq!(code(text), None, "{text}");
        }
    }
}
