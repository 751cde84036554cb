//! The header `Idempotency-Key`, and the answer to a submission that is stored: by this call, or by an earlier one
//! with the same key.

use actix_web::http::header::{HeaderName, LOCATION};
use actix_web::{HttpRequest, HttpResponse};
use domain::idempotency::IdempotencyKey;
use domain::services::Submitted;
use utoipa::IntoParams;

use crate::dto::request::RequestView;
use crate::error::Problem;

pub(crate) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// How the header is written, in the description and where something is wrong with it.
const FIELD: &str = "Idempotency-Key";

/// The header, for the description of the API.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct IdempotencyHeader {
    /// Your own name for this call: 1 to 255 printable ASCII characters, for example a new UUID. It is kept for 24
    /// hours. The same call with the same key gives what the first one gave, and nothing happens twice; another call
    /// with it is a conflict. Quotes are part of the key.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255)]
    #[expect(dead_code, reason = "only described")]
    key: Option<String>,
}

/// The key, taken as it was sent: quotes around it are part of it.
pub(crate) fn key(request: &HttpRequest) -> Result<Option<IdempotencyKey>, Problem> {
    let mut sent = request.headers().get_all(KEY);
    let Some(value) = sent.next() else { return Ok(None) };
    if sent.next().is_some() {
        return Err(Problem::field(FIELD, "must be sent once only"));
    }
    // Bytes beyond ASCII are no text here, and no key either way.
    let key = IdempotencyKey::parse(value.to_str().unwrap_or_default());
    key.map(Some).map_err(|error| Problem::field(FIELD, error.to_string()))
}

/// A retry gets what the first call got, with the request as it is now, and a header that says so.
pub(crate) fn created(submitted: &Submitted) -> HttpResponse {
    let Submitted { request, replayed } = submitted;
    let mut response = HttpResponse::Created();
    response.insert_header((LOCATION, format!("/api/queries/{}", request.id)));
    if *replayed {
        response.insert_header((REPLAYED, "true"));
    }
    response.json(RequestView::from(request))
}
