//! `deploy/query-portal.example.toml`: it loads, names every key, and tells the true defaults.

use std::collections::BTreeMap;
use std::process::Output;

use super::harness::bare_command;
use super::secrecy::SEALING_KEYS;

const EXAMPLE: &str = include_str!("../../../../deploy/query-portal.example.toml");
const DOCUMENTED: &str = include_str!("../../../../docs/configuration.md");

/// What a line of the example sets, when its mark is taken away. Prose has a space after its mark.
fn setting(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix('#')?
        .split_once(" = ")
        .filter(|(key, _)| !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
}

/// Key and value of everything that the example shows.
fn shown() -> BTreeMap<String, String> {
    let mut section = "";
    let mut settings = BTreeMap::new();
    for line in EXAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, value)) = setting(line) {
            settings.insert(format!("{section}.{key}"), value.replace('"', ""));
        }
    }
    settings
}

/// Key and default of every row of the table of keys in the documentation; a row may have two keys.
fn documented() -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    let table = DOCUMENTED.lines().skip_while(|line| !line.starts_with("| key |"));
    for row in table.take_while(|line| line.starts_with('|')).filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        for key in cells[1].split(", ") {
            settings.insert(key.replace('`', ""), cells[2].replace(['`', '"'], ""));
        }
    }
    settings
}

fn check(toml: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("query-portal.toml");
    std::fs::write(&file, toml).unwrap();
    bare_command().arg("--config").arg(&file).args(["config", "check"]).output().unwrap()
}

#[test]
fn the_example_shows_every_key_with_its_default() {
    let (shown, documented) = (shown(), documented());
    assert!(documented.len() > 20, "the table was not found: {documented:?}");
    assert_eq!(shown.keys().collect::<Vec<_>>(), documented.keys().collect::<Vec<_>>());
    for (key, default) in documented {
        // Without a default the example shows what a value looks like.
        if !default.is_empty() && default != "required" {
            assert_eq!(shown[&key], default, "{key}");
        }
    }
}

#[test]
fn the_example_loads_as_it_is_and_lacks_only_what_has_no_default() {
    let output = check(EXAMPLE);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "a portal without a database would be complete");
    assert!(
        error.contains("database.url is not set") && error.contains("auth.signing_key is not set"),
        "{error}"
    );
}

/// In the place of a key that the example must not have: whoever uses a published one has none.
const NO_KEY: &str = "BASE64-OF-32-BYTES";

#[test]
fn the_example_is_complete_when_every_mark_is_removed_and_a_key_is_made() {
    let all: Vec<&str> =
        EXAMPLE.lines().map(|line| if setting(line).is_some() { &line[1..] } else { line }).collect();
    let untouched = all.join("\n");
    let output = check(&untouched);
    let error = String::from_utf8_lossy(&output.stderr);
    let mistakes: Vec<&str> = error.trim_end().lines().skip(1).map(str::trim).collect();
    assert!(mistakes.len() == 1 && mistakes[0].starts_with("secrets.sealed_keys: "), "{error}");

    let all = untouched.replace(NO_KEY, SEALING_KEYS[0]);
    let output = check(&all);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // The control: a key that nobody knows is refused.
    let output = check(&all.replace("lease_seconds", "leaze_seconds"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("leaze_seconds"));
}
