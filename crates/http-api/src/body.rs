//! Reading input: JSON bodies, query strings, path segments. Whatever is wrong becomes a [`Problem`].

use std::str::FromStr;

use actix_web::http::header::CONTENT_TYPE;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Payload};
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;
use futures_util::StreamExt as _;
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
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let is_json = content_type.split(';').next().is_some_and(|t| t.trim().eq_ignore_ascii_case("application/json"));
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
        let value = serde_json::from_slice(&self.bytes).map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, "invalid_json", format!("The body cannot be read: {error}."))
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

/// Parses and validates a query string.
pub(crate) fn query<T: DeserializeOwned + Validate<Context = ()>>(request: &HttpRequest) -> Result<T, Problem> {
    let value = actix_web::web::Query::<T>::from_query(request.query_string()).map_err(|error| {
        let detail = format!("The query string cannot be read: {error}.");
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

    pub(crate) fn finish(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::validation(self.0)) }
    }
}
