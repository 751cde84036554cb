//! Values inside values: arrays, vectors and composites, from the text of PostgreSQL's output functions.
//!
//! A function returns `None` when the text is not what it should be; the caller then drops what was written.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Shape, append_json, string};

/// Writes an array of any number of dimensions. Bounds (`[2:3]=`) have no place in JSON.
pub(super) fn array(out: &mut Vec<u8>, element: &Shape, delimiter: u8, text: &str) -> Option<()> {
    let body = if text.starts_with('[') { text.split_once('=')?.1 } else { text };
    let bytes = body.as_bytes();
    let mut at = 0;
    let mut open = 0_usize;
    let mut value_expected = true;
    loop {
        match *bytes.get(at)? {
            b'{' if value_expected => {
                out.push(b'[');
                open += 1;
                at += 1;
                // An empty array holds nothing where a value could be.
                if bytes.get(at) == Some(&b'}') {
                    value_expected = false;
                }
            }
            b'}' if !value_expected && open > 0 => {
                out.push(b']');
                open -= 1;
                at += 1;
                if open == 0 {
                    return (at == bytes.len()).then_some(());
                }
            }
            byte if byte == delimiter && !value_expected => {
                out.push(b',');
                value_expected = true;
                at += 1;
            }
            _ if value_expected && open > 0 => {
                at = item(out, element, body, at, delimiter)?;
                value_expected = false;
            }
            _ => return None,
        }
    }
}

/// Writes one element and returns where it ends.
fn item(out: &mut Vec<u8>, element: &Shape, body: &str, from: usize, delimiter: u8) -> Option<usize> {
    let bytes = body.as_bytes();
    if bytes[from] != b'"' {
        let length = bytes[from..].iter().position(|b| *b == delimiter || *b == b'}')?;
        let raw = &body[from..from + length];
        if raw == "NULL" {
            out.extend_from_slice(b"null");
        } else {
            append_json(out, element, raw);
        }
        return (length > 0).then_some(from + length);
    }
    let (plain, rest) = quoted(&body[from..])?;
    append_json(out, element, &plain);
    Some(body.len() - rest.len())
}

/// Reads a text between double quotes, in which a backslash stands before what is to be taken as it is. Returns
/// it and what comes after it.
pub(super) fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let inside = text.strip_prefix('"')?;
    let bytes = inside.as_bytes();
    let mut end = 0;
    let mut escapes = false;
    while *bytes.get(end)? != b'"' {
        if bytes[end] == b'\\' {
            escapes = true;
            end += 1;
        }
        end += 1;
    }
    let raw = &inside[..end];
    let plain = if escapes { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) };
    Some((plain, &inside[end + 1..]))
}

fn unescape(raw: &str) -> String {
    let mut plain = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    plain
}

/// Writes an `int2vector` or `oidvector`, whose elements stand between blanks.
pub(super) fn vector(out: &mut Vec<u8>, element: &Shape, text: &str) {
    out.push(b'[');
    for (n, part) in text.split_ascii_whitespace().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        append_json(out, element, part);
    }
    out.push(b']');
}

/// Writes a composite value as an object.
pub(super) fn composite(out: &mut Vec<u8>, fields: &[(String, Arc<Shape>)], text: &str) -> Option<()> {
    let body = text.strip_prefix('(')?.strip_suffix(')')?;
    let values = if fields.is_empty() && body.is_empty() { Vec::new() } else { record(body)? };
    if values.len() != fields.len() {
        return None;
    }
    out.push(b'{');
    for (n, ((name, shape), value)) in fields.iter().zip(values).enumerate() {
        if n > 0 {
            out.push(b',');
        }
        string(out, name);
        out.push(b':');
        match value {
            Some(value) => append_json(out, shape, &value),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
    Some(())
}

/// The values between the parentheses of a record; nothing at all stands for null.
fn record(body: &str) -> Option<Vec<Option<String>>> {
    let mut values = Vec::new();
    let mut value: Option<String> = None;
    let mut quoted = false;
    let mut chars = body.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ',' if !quoted => values.push(value.take()),
            '\\' => value.get_or_insert_default().push(chars.next()?),
            '"' if !quoted => {
                quoted = true;
                value.get_or_insert_default();
            }
            '"' if chars.peek() == Some(&'"') => {
                chars.next();
                value.get_or_insert_default().push('"');
            }
            '"' => quoted = false,
            other => value.get_or_insert_default().push(other),
        }
    }
    values.push(value);
    (!quoted).then_some(values)
}
