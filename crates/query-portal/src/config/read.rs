//! Reads values from all sources, and collects every mistake instead of stopping at the first.
//!
//! A message never shows the value of a secret, nor a line of the file.

use anyhow::bail;
use figment::Figment;
use figment::providers::Serialized;
use figment::value::{Dict, Value};

use super::{Config, SECRETS, defaults};

/// What could be read. Where there are mistakes, defaults stand in for what was given.
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) mistakes: Vec<String>,
}

pub(super) fn read(figment: &Figment) -> anyhow::Result<Draft> {
    let mut values: Dict = match figment.extract() {
        Ok(values) => values,
        Err(error) => bail!("the configuration cannot be read: {}", without_lines_of_the_file(&error)),
    };
    let mut mistakes = vec![];
    remove_unknown(figment, &mut values, &mut mistakes);
    loop {
        // Reading stops at the first value that does not fit. The default takes its place for the next turn.
        let error = match Figment::from(Serialized::defaults(&values)).extract::<Config>() {
            Ok(config) => return Ok(Draft { config, mistakes }),
            Err(error) => error,
        };
        let path = error.path.join(".");
        let wrong = if SECRETS.contains(&path.as_str()) {
            "must be a text (between quotes in a file; in a variable also when it is all digits)".to_owned()
        } else if error.path.len() == 1 {
            // What was given may be the secret that belongs into the section.
            "must be a section with keys, not a value".to_owned()
        } else {
            error.kind.to_string()
        };
        mistakes.push(format!("{path}: {wrong}{}", origin(figment, &path)));
        if !reset(&mut values, &error.path) {
            bail!("the configuration cannot be read:\n  {}", mistakes.join("\n  "));
        }
    }
}

/// Takes out what is no setting, so that the rest can be read.
fn remove_unknown(figment: &Figment, values: &mut Dict, mistakes: &mut Vec<String>) {
    let defaults = defaults();
    values.retain(|section, value| {
        let Some(known) = defaults.get(section) else {
            mistakes.push(format!("{section}: there is no such section{}", origin(figment, section)));
            return false;
        };
        if let Value::Dict(_, keys) = value {
            keys.retain(|key, _| {
                let path = format!("{section}.{key}");
                let is_known = known.get(key).is_some() || SECRETS.contains(&path.as_str());
                if !is_known {
                    mistakes.push(format!("{path}: there is no such key{}", origin(figment, &path)));
                }
                is_known
            });
        }
        true
    });
}

/// Puts the default in the place of a value that cannot be read. False when there was none.
fn reset(values: &mut Dict, path: &[String]) -> bool {
    let defaults = defaults();
    let [section, inner @ ..] = path else { return false };
    let Some(default) = defaults.get(section) else { return false };
    match (inner.first(), values.get_mut(section)) {
        // An element of a list resets the list.
        (Some(key), Some(Value::Dict(_, keys))) => {
            let before = keys.remove(key);
            if let Some(default) = default.get(key).and_then(|default| Value::serialize(default).ok()) {
                keys.insert(key.clone(), default);
            }
            before.is_some()
        }
        (None, Some(value @ (Value::String(..) | Value::Num(..) | Value::Bool(..) | Value::Array(..)))) => {
            Value::serialize(default).is_ok_and(|default| {
                *value = default;
                true
            })
        }
        _ => false,
    }
}

/// Where a value comes from.
fn origin(figment: &Figment, path: &str) -> String {
    figment.find_metadata(path).map_or_else(String::new, |metadata| match &metadata.source {
        Some(source) => format!(" (in {source})"),
        None => format!(" (in {})", metadata.name),
    })
}

/// The parser shows the line where it stopped, and a secret may stand there.
fn without_lines_of_the_file(error: &figment::Error) -> String {
    let text = error.to_string();
    let kept: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains('|')).collect();
    kept.join(", ")
}
