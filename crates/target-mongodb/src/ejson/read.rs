//! From Extended JSON to documents.

use std::collections::HashSet;
use std::fmt;

use bson::{Bson, Document};
use domain::review::{Position, Refusal};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

/// JSON with its fields in order. `serde_json`'s own value sorts them.
enum Json {
    Scalar(serde_json::Value),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// The fields by which Extended JSON writes what JSON has no form for.
pub(super) const TYPES: &[&str] = &[
    "$binary",
    "$code",
    "$date",
    "$dbPointer",
    "$maxKey",
    "$minKey",
    "$numberDecimal",
    "$numberDouble",
    "$numberInt",
    "$numberLong",
    "$oid",
    "$regularExpression",
    "$scope",
    "$symbol",
    "$timestamp",
    "$undefined",
    "$uuid",
];

/// Reads one command document, or an array of them.
pub(crate) fn commands(text: &str) -> Result<Vec<Document>, Refusal> {
    match parse(text)? {
        Json::Object(fields) => Ok(vec![top(fields)?]),
        Json::Array(items) if items.is_empty() => Err(refusal("no_command", "The array has no command.")),
        Json::Array(items) => items
            .into_iter()
            .map(|item| match item {
                Json::Object(fields) => top(fields),
                Json::Array(_) | Json::Scalar(_) => {
                    Err(refusal("not_a_command", "An array of commands holds documents and nothing else."))
                }
            })
            .collect(),
        Json::Scalar(_) => Err(refusal("not_a_command", "A command is a document: it starts with {.")),
    }
}

/// Reads one document.
pub(crate) fn document(text: &str) -> Result<Document, Refusal> {
    match parse(text)? {
        Json::Object(fields) => top(fields),
        Json::Array(_) | Json::Scalar(_) => {
            Err(refusal("not_a_command", "A command is a document: it starts with {."))
        }
    }
}

fn refusal(code: &str, message: impl Into<String>) -> Refusal {
    Refusal { code: code.to_owned(), message: message.into(), position: None }
}

fn parse(text: &str) -> Result<Json, Refusal> {
    if let Some(at) = long_integer(text) {
        return Err(Refusal {
            code: "extended_json".to_owned(),
            message: "A whole number is larger than 64 bits hold, and would become another one: write it as a string \
                      in $numberDecimal or $numberDouble."
                .to_owned(),
            position: Some(Position::of_byte(text, at)),
        });
    }
    serde_json::from_str(text).map_err(|error| {
        let line = text.split('\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
        // The parser counts bytes.
        let before = line.get(..error.column().min(line.len())).map_or(error.column(), |part| part.chars().count());
        let number = |n: usize| u32::try_from(n.max(1)).unwrap_or(u32::MAX);
        let said = error.to_string();
        let said = said.split(" at line ").next().unwrap_or_default();
        Refusal {
            code: "extended_json".to_owned(),
            message: format!(
                "The text starts like an Extended JSON command, but is no JSON: {said}. Names and strings stand in \
                 double quotes there; shell syntax starts with db."
            ),
            position: Some(Position { line: number(error.line()), column: number(before) }),
        }
    })
}

/// Where a whole number stands that is no integer of 64 bits. The parser would make a double of it.
fn long_integer(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let digits = |c: &u8| c.is_ascii_digit() || matches!(c, b'-' | b'+' | b'.' | b'e' | b'E');
                let length = bytes[at..].iter().take_while(|c| digits(c)).count();
                let number = &text[at..at + length];
                let whole = number.bytes().all(|c| c.is_ascii_digit() || c == b'-');
                if whole && length > 18 && number.parse::<i64>().is_err() {
                    return Some(at);
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    None
}

/// A command's own fields are names, whatever they start with.
fn top(fields: Vec<(String, Json)>) -> Result<Document, Refusal> {
    plain(fields, &Path::Top, 1)
}

/// Where a value stands. It is written out only when somebody is told.
enum Path<'a> {
    Top,
    Field(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = |path: &Path<'_>, f: &mut fmt::Formatter<'_>| match path {
            Path::Top => Ok(()),
            _ => write!(f, "{path}."),
        };
        match self {
            Self::Top => f.write_str("the top"),
            Self::Field(path, name) => {
                before(path, f)?;
                // As much of a name as a person reads.
                name.chars().take(60).try_for_each(|c| write!(f, "{c}"))?;
                if name.len() > 60 { f.write_str("…") } else { Ok(()) }
            }
            Self::Item(path, n) => {
                before(path, f)?;
                write!(f, "{n}")
            }
        }
    }
}

fn plain(fields: Vec<(String, Json)>, path: &Path<'_>, level: usize) -> Result<Document, Refusal> {
    if level > super::MOST_LEVELS {
        let message = format!("The text is nested more than {} levels deep.", super::MOST_LEVELS);
        return Err(refusal("nested_too_deeply", message));
    }
    let mut document = Document::new();
    for (name, value) in fields {
        if name.contains('\0') {
            return Err(refusal(
                "extended_json",
                format!("A name at {path} holds a NUL, which no field has."),
            ));
        }
        let value = self::value(value, &Path::Field(path, &name), level + 1)?;
        if document.contains_key(&name) {
            let message = format!(
                "The field {} is there twice; only one of them could be meant.",
                Path::Field(path, &name)
            );
            return Err(refusal("field_twice", message));
        }
        document.insert(name, value);
    }
    Ok(document)
}

fn value(json: Json, path: &Path<'_>, level: usize) -> Result<Bson, Refusal> {
    match json {
        Json::Scalar(scalar) => {
            Bson::try_from(scalar).map_err(|error| refusal("extended_json", format!("{path}: {error}.")))
        }
        Json::Array(items) => {
            let item = |(n, item)| value(item, &Path::Item(path, n), level + 1);
            Ok(Bson::Array(items.into_iter().enumerate().map(item).collect::<Result<_, _>>()?))
        }
        Json::Object(fields)
            if fields.iter().any(|(name, _)| TYPES.binary_search(&name.as_str()).is_ok()) =>
        {
            typed(fields, path, level)
        }
        Json::Object(fields) => Ok(Bson::Document(plain(fields, path, level)?)),
    }
}

/// A value of a type that JSON does not have.
fn typed(fields: Vec<(String, Json)>, path: &Path<'_>, level: usize) -> Result<Bson, Refusal> {
    let wrong = |why: &str| {
        let message = format!(
            "{path} is no value of Extended JSON: {why}. A field whose name is that of a type stands alone there."
        );
        refusal("extended_json", message)
    };
    // A scope is a document of its own, of which the order counts.
    if fields.iter().any(|(name, _)| name == "$scope") {
        let (mut code, mut scope) = (None, None);
        for (name, json) in fields {
            match (name.as_str(), json) {
                ("$code", Json::Scalar(serde_json::Value::String(text))) => code = Some(text),
                ("$scope", Json::Object(fields)) => scope = Some(plain(fields, path, level + 1)?),
                _ => return Err(wrong("code with a scope has $code and $scope")),
            }
        }
        return match (code, scope) {
            (Some(code), Some(scope)) => Ok(bson::JavaScriptCodeWithScope { code, scope }.into()),
            _ => Err(wrong("code with a scope has $code and $scope")),
        };
    }
    if let Some(name) = twice(&fields) {
        return Err(wrong(&format!("{name} is there twice")));
    }
    let sorted: serde_json::Map<_, _> =
        fields.into_iter().map(|(name, json)| (name, json.sorted())).collect();
    Bson::try_from(sorted).map_err(|error| {
        let said = error.to_string();
        // What the library says of itself before is nothing to a developer.
        let said = said
            .split_once("Message: ")
            .or_else(|| said.split_once("occurred: "))
            .map_or(&*said, |(_, why)| why);
        wrong(said.trim_end_matches('.'))
    })
}

/// A name that is there twice, among these fields or inside of them. One of them would vanish unseen.
fn twice(fields: &[(String, Json)]) -> Option<&str> {
    let mut names = HashSet::new();
    fields.iter().find_map(|(name, json)| match json {
        _ if !names.insert(name.as_str()) => Some(name.as_str()),
        Json::Object(inside) => twice(inside),
        Json::Array(_) | Json::Scalar(_) => None,
    })
}

impl Json {
    /// For the small objects of Extended JSON's types, in which the order of fields means nothing.
    fn sorted(self) -> serde_json::Value {
        match self {
            Self::Scalar(value) => value,
            Self::Array(items) => items.into_iter().map(Self::sorted).collect(),
            Self::Object(fields) => fields.into_iter().map(|(name, value)| (name, value.sorted())).collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Scalar(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Scalar(serde_json::Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = vec![];
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Json, A::Error> {
        let mut object: Vec<(String, Json)> = vec![];
        while let Some(field) = fields.next_entry::<String, Json>()? {
            object.push(field);
        }
        Ok(Json::Object(object))
    }
}
