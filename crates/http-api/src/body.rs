//! Reading input: JSON bodies, query strings, path segments. Whatever is wrong becomes a [`Problem`].

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use actix_web::body::{BodyStream, to_bytes_limited};
use actix_web::dev::Payload;
use actix_web::error::QueryPayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::rt::time::timeout;
use actix_web::web::{Bytes, Data};
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;
use garde::Validate;
use serde::de::DeserializeOwned;

use crate::error::{FieldProblem, Problem};
use crate::server::Api;

/// 8 MiB: the largest text (2 MiB) with room for escapes.
pub(crate) const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

/// How long a body may take to arrive: the largest one does at 2.3 Mbit/s.
pub const BODY_TIME_LIMIT: Duration = Duration::from_secs(30);

/// A body that was read but not looked at: authorisation comes first, then [`JsonBody::parse`].
#[derive(Debug)]
pub(crate) struct JsonBody {
    bytes: Bytes,
    is_json: bool,
}

impl FromRequest for JsonBody {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let content_type =
            request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let is_json =
            content_type.split(';').next().is_some_and(|t| t.trim().eq_ignore_ascii_case("application/json"));
        let api = request.app_data::<Data<Api>>().expect("the app is always built with its Api");
        // On protected routes it is here already: the middleware in `auth` has read it.
        let (payload, limit) = (payload.take(), api.body_time_limit);
        Box::pin(async move { Ok(Self { bytes: receive(payload, limit).await?, is_json }) })
    }
}

/// Reads a body to its end, if that is neither too many bytes nor too long a time away.
pub(crate) async fn receive(payload: Payload, limit: Duration) -> Result<Bytes, Problem> {
    receive_at_most(MAX_BODY_BYTES, payload, limit).await
}

/// The same for a route that takes less.
pub(crate) async fn receive_at_most(
    most: usize,
    payload: Payload,
    limit: Duration,
) -> Result<Bytes, Problem> {
    match timeout(limit, to_bytes_limited(BodyStream::new(payload), most)).await {
        Ok(Ok(Ok(bytes))) => Ok(bytes),
        Ok(Ok(Err(_))) => Err(unreadable()),
        Ok(Err(_)) => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("The body is larger than {most} bytes."),
        )),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_too_slow",
            format!(
                "The body did not arrive within {} seconds, so nothing was done. Send the call again.",
                limit.as_secs_f32()
            ),
        )),
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
