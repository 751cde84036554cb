//! Brings what `psql` got and what the portal shows into one form, so that they can be compared.
//!
//! Nothing here shares code with the portal's own rendering. Plain values are compared as text; for arrays,
//! composites and moments the server itself is asked, in the very session of `psql`, what `to_json` makes of the
//! text that `psql` got.

use std::collections::HashMap;
use std::io;

use serde_json::value::RawValue;

use crate::wire::{Link, ResultSet};

/// What a cell becomes when the server cannot say any more what its type was.
const UNCHECKED: &str = "(unchecked)";

/// How the values of a type become JSON.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Kind {
    Bool,
    Number,
    /// JSON, without its blanks.
    Json,
    /// JSON as the server writes it.
    Jsonb,
    /// The text itself.
    Plain,
    /// As the server's `to_json` has it, for the type of this name.
    Asked(String),
    /// Created and gone again in one transaction, or not to be made from text.
    Unknown,
}

/// A type as the catalog knows it.
#[derive(Clone, Debug)]
struct Known {
    /// The catalog's name, for example `_int4`.
    name: String,
    kind: Kind,
}

/// What is known of the server's types.
#[derive(Default)]
pub(crate) struct Types {
    /// Types that come with the server never change; others are looked up each time.
    builtin: HashMap<u32, Known>,
}

/// The rows of one statement from both sides, and how many columns could not be checked.
pub(crate) struct Rows {
    pub(crate) psql: Vec<Vec<String>>,
    pub(crate) portal: Vec<Vec<String>>,
    pub(crate) type_names: Vec<Option<String>>,
    pub(crate) unchecked: usize,
}

/// The first oid of a type that somebody has created.
const FIRST_OF_USERS: u32 = 16_384;

impl Types {
    pub(crate) fn rows(&mut self, psql: &mut Link, set: &ResultSet, lines: &[String]) -> io::Result<Rows> {
        let columns = set.columns.as_deref().unwrap_or_default();
        let mut known = Vec::new();
        for column in columns {
            known.push(self.look_up(psql, column.type_oid)?);
        }
        let width = columns.len();
        let mut rows = Rows {
            psql: vec![vec![UNCHECKED.to_owned(); width]; set.rows.len()],
            portal: lines.iter().map(|line| cells(line)).collect(),
            type_names: known.iter().map(|k| k.as_ref().map(|k| k.name.clone())).collect(),
            unchecked: 0,
        };
        for at in 0..width {
            let texts: Vec<Option<&str>> = set.rows.iter().map(|row| row[at].as_deref()).collect();
            let kind = known[at].as_ref().map_or(Kind::Unknown, |k| k.kind.clone());
            if let Some(values) = expected(psql, &kind, &texts)? {
                for (row, value) in rows.psql.iter_mut().zip(values) {
                    row[at] = value;
                }
                rows.portal.iter_mut().for_each(|row| tidy(row, at, &kind));
            } else {
                rows.unchecked += 1;
                for cell in rows.portal.iter_mut().filter_map(|row| row.get_mut(at)) {
                    UNCHECKED.clone_into(cell);
                }
            }
        }
        Ok(rows)
    }

    fn look_up(&mut self, psql: &mut Link, oid: u32) -> io::Result<Option<Known>> {
        if let Some(known) = self.builtin.get(&oid) {
            return Ok(Some(known.clone()));
        }
        let reply = psql.ask(&format!(
            "SELECT typname, typtype, typcategory, pg_catalog.format_type(oid, -1)
             FROM pg_catalog.pg_type WHERE oid OPERATOR(pg_catalog.=) {oid}"
        ))?;
        let Some(row) = reply.sets.first().and_then(|set| set.rows.first()) else { return Ok(None) };
        let text = |at: usize| row[at].clone().unwrap_or_default();
        let kind = match (oid, text(1).as_str(), text(2).as_str()) {
            (16, ..) => Kind::Bool,
            (20 | 21 | 23 | 700 | 701 | 1700, ..) => Kind::Number,
            (114, ..) => Kind::Json,
            (3802, ..) => Kind::Jsonb,
            // Moments, int2vector and oidvector.
            (1114 | 1184 | 22 | 30, ..) | (_, "c", _) | (_, _, "A") => Kind::Asked(text(3)),
            // `record[]`: no text tells what the fields are, so the portal shows each record as one.
            (2287, ..) => Kind::Asked("text[]".to_owned()),
            _ => Kind::Plain,
        };
        let known = Known { name: text(0), kind };
        if oid < FIRST_OF_USERS {
            self.builtin.insert(oid, known.clone());
        }
        Ok(Some(known))
    }
}

/// The values of a column as they should be; `None` when nobody can say.
fn expected(psql: &mut Link, kind: &Kind, texts: &[Option<&str>]) -> io::Result<Option<Vec<String>>> {
    let each = |render: fn(&str) -> String| -> Vec<String> {
        texts.iter().map(|text| text.map_or_else(null, render)).collect()
    };
    Ok(match kind {
        Kind::Unknown => None,
        Kind::Asked(_) if texts.iter().all(Option::is_none) => Some(each(str::to_owned)),
        Kind::Asked(name) => ask(psql, name, texts)?,
        Kind::Bool => Some(each(|text| if text == "t" { "true" } else { "false" }.to_owned())),
        Kind::Number => Some(each(|text| match serde_json::from_str::<&RawValue>(text) {
            Ok(_) => text.to_owned(),
            Err(_) => format!("\"{text}\""),
        })),
        Kind::Json => Some(each(compact)),
        Kind::Jsonb => Some(each(str::to_owned)),
        Kind::Plain => Some(each(|text| format!("text {text}"))),
    })
}

fn null() -> String {
    "null".to_owned()
}

fn ask(psql: &mut Link, type_name: &str, texts: &[Option<&str>]) -> io::Result<Option<Vec<String>>> {
    let quoted = texts.iter().map(|text| match text {
        Some(text) => format!("('{}')", text.replace('\'', "''")),
        None => "(NULL)".to_owned(),
    });
    let values: Vec<String> = quoted.collect();
    let question =
        format!("SELECT pg_catalog.to_json(v::{type_name}) FROM (VALUES {}) AS given(v)", values.join(", "));
    let reply = psql.ask(&question)?;
    let rows = match (reply.error, reply.sets.into_iter().next()) {
        (None, Some(set)) if set.rows.len() == texts.len() => set.rows,
        _ => return Ok(None),
    };
    Ok(Some(rows.into_iter().map(|mut row| row.remove(0).map_or_else(null, |json| compact(&json))).collect()))
}

/// The cells of one line of the portal's result, as they stand there.
fn cells(line: &str) -> Vec<String> {
    match serde_json::from_str::<Vec<&RawValue>>(line) {
        Ok(cells) => cells.into_iter().map(|cell| cell.get().to_owned()).collect(),
        Err(_) => vec![format!("no JSON array: {line}")],
    }
}

/// Brings a cell of the portal into the form of [`expected`].
fn tidy(row: &mut [String], at: usize, kind: &Kind) {
    let Some(cell) = row.get_mut(at) else { return };
    match kind {
        Kind::Plain => {
            if let Ok(text) = serde_json::from_str::<String>(cell) {
                *cell = format!("text {text}");
            }
        }
        Kind::Asked(_) => *cell = compact(cell),
        Kind::Bool | Kind::Number | Kind::Json | Kind::Jsonb | Kind::Unknown => {}
    }
}

/// JSON without blanks between its parts.
fn compact(json: &str) -> String {
    let mut compacted = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in json.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c.is_ascii_whitespace() {
            continue;
        } else {
            in_string = c == '"';
        }
        compacted.push(c);
    }
    compacted
}
