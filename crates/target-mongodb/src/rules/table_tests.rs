//! The verdicts on a long list of commands, as a table that a person reads.

use std::fmt::Write as _;

use domain::review::{Refusal, Scope};
use domain::target::Admits;
use domain::text::DatabaseName;

use super::{Checked, check};
use crate::ejson;

const READS: &str = include_str!("../../tests/mongodb/rules/reads.txt");
const CHANGES: &str = include_str!("../../tests/mongodb/rules/changes.txt");
const REFUSED: &str = include_str!("../../tests/mongodb/rules/refused.txt");

/// As much of a refusal as tells what it speaks of.
const SHOWN: usize = 120;

fn scope(read_only: bool, server_javascript: bool, other_databases: bool) -> Scope {
    let admits = Admits { server_javascript, other_databases };
    Scope { database: Some(DatabaseName::parse("shop").unwrap()), read_only, admits }
}

fn checked(text: &str, scope: &Scope) -> Result<Checked, Refusal> {
    check(ejson::commands(text)?, scope)
}

fn verdict(text: &str, scope: &Scope) -> String {
    match checked(text, scope) {
        Ok(checked) => {
            let together = checked.commands.iter().all(|command| command.in_transaction);
            let codes: Vec<String> = checked.findings.into_iter().map(|finding| finding.code).collect();
            let alone = if together { "" } else { ", not in a transaction" };
            let found = if codes.is_empty() { String::new() } else { format!(" [{}]", codes.join(", ")) };
            format!("{}{alone}{found}", checked.effect.as_str())
        }
        Err(Refusal { code, message, .. }) => {
            let message: String = message.chars().take(SHOWN).collect();
            format!("refused, {code}: {message}")
        }
    }
}

/// Each command with its verdict, and where that is another one in other circumstances, with those.
fn table(commands: &str) -> String {
    let mut table = String::new();
    for line in commands.lines() {
        writeln!(table, "{line}").unwrap();
        if line.starts_with('#') {
            continue;
        }
        let usual = verdict(line, &scope(false, false, false));
        writeln!(table, "    {usual}").unwrap();
        let others = [
            ("read-only", scope(true, false, false)),
            ("JavaScript", scope(false, true, false)),
            ("databases", scope(false, false, true)),
            ("all, read-only", scope(true, true, true)),
        ];
        for (name, scope) in others {
            let other = verdict(line, &scope);
            if other != usual {
                writeln!(table, "    {name}: {other}").unwrap();
            }
        }
    }
    table
}

fn commands(list: &str) -> impl Iterator<Item = &str> {
    list.lines().filter(|line| !line.starts_with('#'))
}

#[test]
fn the_verdicts_on_reads_are_these() {
    insta::assert_snapshot!(table(READS));
}

#[test]
fn the_verdicts_on_what_changes_something_are_these() {
    insta::assert_snapshot!(table(CHANGES));
}

#[test]
fn the_verdicts_on_what_is_refused_are_these() {
    insta::assert_snapshot!(table(REFUSED));
}

#[test]
fn a_read_is_a_read_on_a_read_only_target_that_admits_everything_else() {
    for line in commands(READS) {
        let checked = checked(line, &scope(true, true, true));
        assert_eq!(
            checked.unwrap_or_else(|error| panic!("{line}: {error}")).effect.as_str(),
            "read",
            "{line}"
        );
    }
}

#[test]
fn nothing_that_changes_something_passes_on_a_read_only_target() {
    for line in commands(CHANGES) {
        for (javascript, databases) in [(false, false), (true, false), (false, true), (true, true)] {
            assert!(checked(line, &scope(true, javascript, databases)).is_err(), "{line}");
        }
    }
}

#[test]
fn what_is_refused_is_refused_whatever_a_target_admits() {
    for line in commands(REFUSED) {
        for read_only in [false, true] {
            let refusal = checked(line, &scope(read_only, true, true)).expect_err(line);
            assert!(refusal.message.ends_with(['.', '?', '!']), "{line}: {refusal}");
        }
    }
}

#[test]
fn before_a_database_was_chosen_every_named_one_is_another_one() {
    let nowhere = Scope { database: None, ..scope(false, false, false) };
    assert_eq!(verdict(r#"{"find": "users"}"#, &nowhere), "read");
    let verdict = verdict(r#"{"find": "users", "$db": "shop"}"#, &nowhere);
    assert!(verdict.starts_with("refused, other_database: This reaches into the database shop"), "{verdict}");
}

#[test]
fn a_thousand_commands_are_the_most() {
    let many = |n: usize| format!("[{}]", vec![r#"{"ping": 1}"#; n].join(","));
    assert_eq!(verdict(&many(1_000), &scope(false, false, false)), "read, not in a transaction");
    let refused = verdict(&many(1_001), &scope(false, false, false));
    assert_eq!(refused, "refused, too_many_commands: A request has at most 1000 commands.");
}

#[test]
fn what_is_sent_is_what_was_written_but_for_the_database() {
    let text =
        r#"{"find": "users", "$db": "shop", "sort": {"b": 1, "a": 1}, "limit": 1, "filter": {"$db": 1}}"#;
    let checked = checked(text, &scope(false, false, false)).unwrap();
    let sent = ejson::canonical(&checked.commands[0].document).unwrap();
    let expected = r#"{"find":"users","sort":{"b":{"$numberInt":"1"},"a":{"$numberInt":"1"}},"limit":{"$numberInt":"1"},"filter":{"$db":{"$numberInt":"1"}}}"#;
    assert_eq!(sent, expected);
    assert_eq!(checked.commands[0].database, None);
}

#[test]
fn the_deepest_nesting_is_looked_at_to_its_end() {
    let deep = |levels: usize| {
        let inner = r#"{"$where": "true"}"#;
        format!(
            r#"{{"find": "users", "filter": {}{inner}{}}}"#,
            r#"{"$and": ["#.repeat(levels),
            "]}".repeat(levels)
        )
    };
    for levels in [1, 20, 50] {
        let verdict = verdict(&deep(levels), &scope(false, false, false));
        assert!(verdict.starts_with("refused, server_javascript"), "{levels}: {verdict}");
    }
    for levels in [60, 70, 100, 5_000] {
        let verdict = verdict(&deep(levels), &scope(false, false, false));
        assert!(verdict.starts_with("refused, "), "{levels}: {verdict}");
    }
}
