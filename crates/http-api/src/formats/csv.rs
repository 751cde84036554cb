//! Comma-separated values by RFC 4180, safe to open in a spreadsheet.
//!
//! NULL is an empty field, an empty text is `""`, as PostgreSQL's COPY writes them; libraries do not keep the two
//! apart. Arrays and objects appear as JSON.

use actix_web::web::Bytes;
use serde_json::value::RawValue;

use super::StreamError;

const LINE_END: &[u8] = b"\r\n";

/// A first line.
pub(super) fn labels(labels: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, label) in labels.iter().enumerate() {
        separate(&mut out, index);
        text(&mut out, label);
    }
    out.extend_from_slice(LINE_END);
    out
}

/// Rewrites NDJSON rows.
pub(super) fn rows(ndjson: Bytes) -> Result<Bytes, StreamError> {
    let mut out = Vec::with_capacity(ndjson.len());
    for line in ndjson.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let fields: Vec<&RawValue> = serde_json::from_slice(line).map_err(|_| StreamError)?;
        for (index, field) in fields.iter().enumerate() {
            separate(&mut out, index);
            value(&mut out, field.get())?;
        }
        out.extend_from_slice(LINE_END);
    }
    Ok(Bytes::from(out))
}

fn separate(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.push(b',');
    }
}

fn value(out: &mut Vec<u8>, json: &str) -> Result<(), StreamError> {
    match json.as_bytes().first() {
        Some(b'n') => {}
        Some(b'"') => text(out, &serde_json::from_str::<String>(json).map_err(|_| StreamError)?),
        Some(b'[' | b'{') => text(out, json),
        // Numbers and booleans: a minus sign in front of a number is no formula.
        _ => out.extend_from_slice(json.as_bytes()),
    }
    Ok(())
}

/// A spreadsheet takes a field that starts with one of these for a formula, and runs it
/// (OWASP, "CSV Injection"). An apostrophe in front makes it a text.
fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'])
}

fn text(out: &mut Vec<u8>, text: &str) {
    let formula = is_formula(text);
    let quoted = formula || text.is_empty() || text.contains([',', '"', '\r', '\n']) || text.trim() != text;
    if !quoted {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    if formula {
        out.push(b'\'');
    }
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(ndjson: &'static str) -> String {
        String::from_utf8(rows(Bytes::from_static(ndjson.as_bytes())).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn values_are_written_as_they_are_and_texts_are_quoted_when_they_have_to_be() {
        let rows =
            "[1,-2.50,true,null,\"\",\"a\",\"a,b\",\"say \\\"hi\\\"\",\"two\\nlines\",[1,null],{\"a\": 1}]\n";
        let expected = "1,-2.50,true,,\"\",a,\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",\"[1,null]\",\"{\"\"a\"\": 1}\"\r\n";
        assert_eq!(csv(rows), expected);
    }

    #[test]
    fn formulas_are_disarmed_and_numbers_are_not_formulas() {
        let rows = "[\"=1+1\",\"+1\",\"-1\",\"@x\",\"\\tx\",-1]\n[\"a=b\",\" =x\"]\n";
        assert_eq!(csv(rows), "\"'=1+1\",\"'+1\",\"'-1\",\"'@x\",\"'\tx\",-1\r\na=b,\" =x\"\r\n");
    }

    #[test]
    fn numbers_keep_every_digit() {
        let digits = "9".repeat(400);
        let line: &'static str = Box::leak(format!("[{digits},1e400,0.10]\n").into_boxed_str());
        assert_eq!(csv(line), format!("{digits},1e400,0.10\r\n"));
    }
}
