//! From documents to Extended JSON, piece by piece and without a copy of the document.

use bson::raw::{RawArray, RawBsonRef};
use bson::{Bson, DateTime, Document, RawDocument, RawDocumentBuf};
use domain::request::ExtendedJson;

use super::MOST_LEVELS;

/// A document that cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error("the document is damaged")]
    Damaged(#[from] bson::error::Error),
    #[error("the document is nested more than {MOST_LEVELS} levels deep")]
    TooDeep,
}

/// A document on one line, with every type.
pub(crate) fn canonical(document: &Document) -> Result<String, WriteError> {
    let raw = RawDocumentBuf::try_from(document)?;
    let mut out = vec![];
    value(&mut out, RawBsonRef::Document(&raw), ExtendedJson::Canonical)?;
    Ok(String::from_utf8(out).unwrap_or_default())
}

/// Writes a value, which may be a document.
pub(crate) fn value(
    out: &mut Vec<u8>,
    value: RawBsonRef<'_>,
    format: ExtendedJson,
) -> Result<(), WriteError> {
    Writer { out, format }.value(value, 1)
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    format: ExtendedJson,
}

impl Writer<'_> {
    fn document(&mut self, document: &RawDocument, level: usize) -> Result<(), WriteError> {
        deeper(level)?;
        self.out.push(b'{');
        for (n, field) in document.iter().enumerate() {
            let (name, value) = field?;
            if n > 0 {
                self.out.push(b',');
            }
            self.string(name.as_str());
            self.out.push(b':');
            self.value(value, level + 1)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn array(&mut self, array: &RawArray, level: usize) -> Result<(), WriteError> {
        deeper(level)?;
        self.out.push(b'[');
        for (n, item) in array.into_iter().enumerate() {
            if n > 0 {
                self.out.push(b',');
            }
            self.value(item?, level + 1)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn value(&mut self, value: RawBsonRef<'_>, level: usize) -> Result<(), WriteError> {
        let canonical = self.format == ExtendedJson::Canonical;
        match value {
            RawBsonRef::Document(document) => return self.document(document, level),
            RawBsonRef::Array(array) => return self.array(array, level),
            RawBsonRef::String(text) => self.string(text),
            RawBsonRef::Boolean(true) => self.put("true"),
            RawBsonRef::Boolean(false) => self.put("false"),
            RawBsonRef::Null => self.put("null"),
            RawBsonRef::Int32(number) if canonical => self.put(&format!("{{\"$numberInt\":\"{number}\"}}")),
            RawBsonRef::Int32(number) => self.put(&number.to_string()),
            RawBsonRef::Int64(number) if canonical => self.put(&format!("{{\"$numberLong\":\"{number}\"}}")),
            RawBsonRef::Int64(number) => self.put(&number.to_string()),
            // The shortest digits that read as the same number.
            RawBsonRef::Double(number) if canonical && number.is_finite() => {
                self.put(&format!("{{\"$numberDouble\":\"{number:?}\"}}"));
            }
            RawBsonRef::Double(number) if number.is_finite() => self.put(&format!("{number:?}")),
            // The format has one word for all that are no number.
            RawBsonRef::Double(number) if number.is_nan() => self.put("{\"$numberDouble\":\"NaN\"}"),
            RawBsonRef::DateTime(date) => match readable(date) {
                Some(text) if !canonical => self.put(&format!("{{\"$date\":\"{text}\"}}")),
                _ => self.put(&format!("{{\"$date\":{{\"$numberLong\":\"{}\"}}}}", date.timestamp_millis())),
            },
            RawBsonRef::ObjectId(id) => self.put(&format!("{{\"$oid\":\"{}\"}}", id.to_hex())),
            RawBsonRef::JavaScriptCodeWithScope(code) => {
                self.put("{\"$code\":");
                self.string(code.code);
                self.put(",\"$scope\":");
                self.document(code.scope, level + 1)?;
                self.out.push(b'}');
            }
            // The rest is rare, small, and the same in both formats.
            other => {
                let json = Bson::try_from(other)?.into_relaxed_extjson();
                self.put(&json.to_string());
            }
        }
        Ok(())
    }

    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn string(&mut self, text: &str) {
        serde_json::to_writer(&mut *self.out, text).expect("a string always has a form in JSON");
    }
}

/// A date as people write it, which by the specification has a year from 1970 to 9999.
fn readable(date: DateTime) -> Option<String> {
    const END: i64 = 253_402_300_800_000;
    (0..END).contains(&date.timestamp_millis()).then(|| date.try_to_rfc3339_string().ok())?
}

fn deeper(level: usize) -> Result<(), WriteError> {
    if level > MOST_LEVELS { Err(WriteError::TooDeep) } else { Ok(()) }
}
