//! Reading input: JSON bodies, query strings, path segments. Whatever is wrong becomes a [`Problem`].

use std::collections::BTreeSet;
use std::str::FromStr;

use actix_web::error::QueryPayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{Bytes, Payload};
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;
use garde::Validate;
use serde::de::DeserializeOwned;

use crate::error::{FieldProblem, Problem};

/// 8 MiB: the largest text (2 MiB) with room for escapes.
pub(crate) const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

/// A body that was read but not looked at: authorisation comes first, then [`JsonBody::parse`].
#[derive(Debug)]
pub(crate) struct JsonBody {
    bytes: Bytes,
    is_json: bool,
}

impl FromRequest for JsonBody {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut actix_web::dev::Payload) -> Self::Future {
        let content_type =
            request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let is_json =
            content_type.split(';').next().is_some_and(|t| t.trim().eq_ignore_ascii_case("application/json"));
        let payload = Payload::from_request(request, payload);
        Box::pin(async move {
            let mut payload = payload.await.map_err(|_| unreadable())?;
            let mut bytes = Vec::new();
            while let Some(part) = payload.next().await {
                let part = part.map_err(|_| unreadable())?;
                if bytes.len() + part.len() > MAX_BODY_BYTES {
                    return Err(Problem::new(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        "body_too_large",
                        format!("The body is larger than {MAX_BODY_BYTES} bytes."),
                    ));
                }
                bytes.extend_from_slice(&part);
            }
            Ok(Self { bytes: Bytes::from(bytes), is_json })
        })
    }
}

fn unreadable() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "body_unreadable", "The body could not be read to its end.")
}

impl JsonBody {
    /// Parses and validates the body.
    pub(crate) fn parse<T: DeserializeOwned + Validate<Context = ()>>(&self) -> Result<T, Problem> {
        if !self.is_json {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not_json",
                "The body has to be JSON, sent with \"Content-Type: application/json\".",
            ));
        }
        // An array of values in the order of the fields would be read, too.
        if self.bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            let detail = "The body cannot be read: it has to be a JSON object.";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_json", detail));
        }
        let value = serde_json::from_slice(&self.bytes).map_err(|error| {
            let detail = format!("The body cannot be read: {}.", without_value(&error));
            Problem::new(StatusCode::BAD_REQUEST, "invalid_json", detail)
        })?;
        validated(value)
    }

    /// The same for a body that may be left out.
    pub(crate) fn parse_or_default<T>(&self) -> Result<T, Problem>
    where
        T: DeserializeOwned + Validate<Context = ()> + Default,
    {
        if self.bytes.iter().all(u8::is_ascii_whitespace) { Ok(T::default()) } else { self.parse() }
    }
}

/// What is wrong with a body, without the value that is wrong: it may be a password.
fn without_value(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(", expected ") {
        Some((found, expected)) if found.starts_with("invalid ") => format!("expected {expected}"),
        _ => text,
    }
}

/// Parses and validates a query string.
pub(crate) fn query<T: DeserializeOwned + Validate<Context = ()>>(
    request: &HttpRequest,
) -> Result<T, Problem> {
    let value = actix_web::web::Query::<T>::from_query(request.query_string()).map_err(|error| {
        // Without the framework's own words around the cause.
        let cause = match &error {
            QueryPayloadError::Deserialize(cause) => cause.to_string(),
            _ => error.to_string(),
        };
        let detail = format!("The query string cannot be read: {cause}.");
        Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail)
    })?;
    validated(value.into_inner())
}

/// Parses an identifier from the path.
pub(crate) fn path_id<T: FromStr>(field: &str, text: &str) -> Result<T, Problem>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| Problem::field(field, format!("is {error}")))
}

fn validated<T: Validate<Context = ()>>(value: T) -> Result<T, Problem> {
    match value.validate() {
        Ok(()) => Ok(value),
        Err(report) => Err(Problem::validation(
            report
                .iter()
                .map(|(path, error)| FieldProblem::new(path.to_string(), error.message().to_owned()))
                .collect(),
        )),
    }
}

/// Collects what is wrong with several fields, so that all of it is told at once.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<FieldProblem>);

impl Fields {
    /// Takes a parsed value, or notes what is wrong with the field.
    pub(crate) fn take<T, E: std::fmt::Display>(&mut self, field: &str, parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|error| self.0.push(FieldProblem::new(field, error.to_string()))).ok()
    }

    /// Notes what is wrong with a field.
    pub(crate) fn refuse<T>(&mut self, field: &str, message: &str) -> Option<T> {
        self.0.push(FieldProblem::new(field, message));
        None
    }

    pub(crate) fn finish(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::validation(self.0)) }
    }
}

/// Most entries of a list in a body.
const MAX_ENTRIES: usize = 1_000;

/// Parses a list of texts into a sorted one without repetitions. The place of the first that cannot be accepted is
/// told, from 1.
pub(crate) fn several<T: Ord, E: std::fmt::Display>(
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, String> {
    if texts.len() > MAX_ENTRIES {
        return Err(format!("must have at most {MAX_ENTRIES} entries"));
    }
    let parsed = texts.iter().enumerate().map(|(index, text)| {
        parse(text).map_err(|error| format!("cannot be accepted: entry {} {error}", index + 1))
    });
    Ok(parsed.collect::<Result<BTreeSet<T>, String>>()?.into_iter().collect())
}

/// Reads a number so that one out of range names its field; what else must hold is for the rules to say.
pub(crate) fn at_least_1<T: TryFrom<i64>>(number: Option<i64>) -> Result<Option<T>, &'static str> {
    let fitting = number.map(|number| T::try_from(number).ok().filter(|_| number >= 1));
    fitting.map(|number| number.ok_or("is out of range; the least is 1")).transpose()
}
