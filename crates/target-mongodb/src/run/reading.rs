//! From the server's answers to rows of the result.

use bson::raw::RawBsonRef;
use bson::{Bson, Document, RawDocument, RawDocumentBuf, bson, doc};
use domain::execution::{Column, Notice};
use domain::request::ExtendedJson;

use super::errors::{Broken, write_concern_error};
use crate::ejson;
use crate::numbers::int;
use crate::rules::{Answer, Command};

/// The ids of what an upsert inserted that are told.
const MOST_IDS: usize = 10;

/// What a requester is shown of a command's answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shown {
    Documents,
    /// The number that `countDocuments` asks for, which the server gives as a document or, for zero, not at all.
    Number,
    Reply,
    Values(&'static str),
    Value(&'static str),
    Found,
    Nothing,
}

impl Shown {
    pub(crate) fn of(command: &Command) -> Self {
        match command.spec.answer {
            Answer::Cursor if counts(&command.document) => Self::Number,
            Answer::Cursor => Self::Documents,
            Answer::Reply => Self::Reply,
            Answer::Values(field) => Self::Values(field),
            Answer::Value(field) => Self::Value(field),
            Answer::Found => Self::Found,
            Answer::Written | Answer::Done => Self::Nothing,
        }
    }

    pub(crate) fn columns(self) -> Option<Vec<Column>> {
        let name = match self {
            Self::Documents | Self::Found => "document",
            Self::Reply => "reply",
            Self::Values(_) => "value",
            Self::Number | Self::Value(_) => "n",
            Self::Nothing => return None,
        };
        Some(vec![Column { name: name.to_owned(), type_name: "bson".to_owned() }])
    }
}

/// Whether a command is what `countDocuments` is, by the drivers' CRUD specification.
fn counts(command: &Document) -> bool {
    let group = bson!({ "$group": { "_id": 1, "n": { "$sum": 1 } } });
    let Some((last, before)) = command.get_array("pipeline").ok().and_then(|stages| stages.split_last())
    else {
        return false;
    };
    let mut allowed = ["$match", "$skip", "$limit"].iter();
    let name = |stage: &Bson| stage.as_document().and_then(|stage| stage.keys().next().cloned());
    let in_order =
        before.iter().all(|stage| name(stage).is_some_and(|name| allowed.any(|known| *known == name)));
    last == &group && in_order && before.first().and_then(name).as_deref() == Some("$match")
}

/// A value of a batch, which is a document.
pub(crate) fn as_document(value: RawBsonRef<'_>) -> Result<&RawDocument, Broken> {
    let wrong = || mongodb::error::Error::custom("the server sent what is no document");
    Ok(value.as_document().ok_or_else(wrong)?)
}

/// Writes a document as a row.
pub(crate) fn row(out: &mut Vec<u8>, document: &RawDocument, format: ExtendedJson) -> Result<(), Broken> {
    value_row(out, RawBsonRef::Document(document), format)
}

/// Writes a line with the one value of a row.
fn value_row(out: &mut Vec<u8>, value: RawBsonRef<'_>, format: ExtendedJson) -> Result<(), Broken> {
    out.push(b'[');
    ejson::value(out, value, format)?;
    out.extend_from_slice(b"]\n");
    Ok(())
}

/// A row each for what a reply shows.
pub(crate) fn rows_of(shown: Shown, reply: &Document, format: ExtendedJson) -> Result<Vec<Vec<u8>>, Broken> {
    let values: Vec<&Bson> = match shown {
        Shown::Values(field) => reply.get_array(field).into_iter().flatten().collect(),
        Shown::Value(field) => reply.get(field).into_iter().collect(),
        Shown::Found => {
            reply.get("value").filter(|value| value.as_document().is_some()).into_iter().collect()
        }
        Shown::Reply => return Ok(vec![reply_row(reply, format)?]),
        Shown::Documents | Shown::Number | Shown::Nothing => vec![],
    };
    let line = |value: &Bson| {
        // A value has no bytes of its own outside of a document.
        let holder = RawDocumentBuf::try_from(&doc! { "v": value.clone() })?;
        let mut out = vec![];
        value_row(&mut out, holder.get("v")?.unwrap_or(RawBsonRef::Null), format)?;
        Ok(out)
    };
    values.into_iter().map(line).collect()
}

/// A reply as the one row.
pub(crate) fn reply_row(reply: &Document, format: ExtendedJson) -> Result<Vec<u8>, Broken> {
    let mut out = vec![];
    row(&mut out, &RawDocumentBuf::try_from(&without_noise(reply))?, format)?;
    Ok(out)
}

/// The row of a count.
pub(crate) fn number_row(counted: Option<&RawDocument>, format: ExtendedJson) -> Result<Vec<u8>, Broken> {
    let counted = counted.and_then(|document| document.get("n").ok().flatten());
    let mut out = vec![];
    value_row(&mut out, counted.unwrap_or(RawBsonRef::Int32(0)), format)?;
    Ok(out)
}

/// A reply without what is between the server and the driver, and without where the server is: that is for those who
/// manage instances.
fn without_noise(reply: &Document) -> Document {
    const NOISE: [&str; 9] = [
        "ok",
        "$clusterTime",
        "operationTime",
        "$configServerState",
        "$gleStats",
        "electionId",
        "opTime",
        "serverInfo",
        // Of a cluster, by the hosts of each shard.
        "raw",
    ];
    reply
        .iter()
        .filter(|(name, _)| !NOISE.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), without_server(value)))
        .collect()
}

/// The plan of a cluster tells the server of each shard.
fn without_server(value: &Bson) -> Bson {
    match value {
        Bson::Document(document) => {
            let others = document.iter().filter(|(name, _)| name.as_str() != "serverInfo");
            Bson::Document(others.map(|(name, value)| (name.clone(), without_server(value))).collect())
        }
        Bson::Array(items) => Bson::Array(items.iter().map(without_server).collect()),
        other => other.clone(),
    }
}

/// How many documents a write touched.
pub(crate) fn affected(command: &Command, reply: &Document) -> Option<u64> {
    let counted = match command.spec.answer {
        Answer::Written => int(reply.get("n")),
        Answer::Found => int(reply.get_document("lastErrorObject").ok()?.get("n")),
        _ => None,
    };
    counted.and_then(|n| u64::try_from(n).ok())
}

/// What else a reply tells of a write: what was matched, changed, and inserted by an upsert.
pub(crate) fn notices(command: &Command, reply: &Document) -> Vec<Notice> {
    let mut notices = vec![];
    if command.spec.name == "update" {
        let upserted: Vec<&Document> =
            reply.get_array("upserted").into_iter().flatten().filter_map(Bson::as_document).collect();
        let inserted = i64::try_from(upserted.len()).unwrap_or(i64::MAX);
        let matched = int(reply.get("n")).unwrap_or_default() - inserted;
        let changed = int(reply.get("nModified")).unwrap_or_default();
        let mut message = format!("{matched} matched, {changed} changed");
        if inserted > 0 {
            let ids: Vec<String> = upserted.iter().take(MOST_IDS).filter_map(|one| shown_id(one)).collect();
            let more = if upserted.len() > MOST_IDS { ", ..." } else { "" };
            message = format!("{message}, {inserted} inserted by upsert (_id {}{more})", ids.join(", "));
        }
        notices.push(notice("NOTICE", "write_result", message));
    }
    notices.extend(write_concern_error(reply).map(|message| notice("WARNING", "write_concern", message)));
    notices
}

fn shown_id(upserted: &Document) -> Option<String> {
    let mut out = vec![];
    let holder = RawDocumentBuf::try_from(&doc! { "v": upserted.get("_id")?.clone() }).ok()?;
    ejson::value(&mut out, holder.get("v").ok()??, ExtendedJson::Relaxed).ok()?;
    let text = String::from_utf8(out).ok()?;
    Some(if text.chars().count() > 100 { text.chars().take(100).chain(['…']).collect() } else { text })
}

pub(crate) fn notice(severity: &str, code: &str, message: impl Into<String>) -> Notice {
    Notice { severity: severity.to_owned(), code: code.to_owned(), message: message.into() }
}
