//! What every response carries: security headers and a request id; and the one log line of a failure.

use actix_cors::CorsError;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, VARY,
};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, ResponseError as _};

use crate::error::{PROBLEM_JSON, Problem};
use crate::server::Api;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The API's answers are data: nothing in them may be run, framed, sniffed or kept.
const HEADERS: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
    ("cross-origin-resource-policy", "same-origin"),
    ("strict-transport-security", "max-age=31536000"),
];
const CSP_API: &str = "default-src 'none'; frame-ancestors 'none'";
/// The documentation page brings its own scripts and styles, from this host only.
const CSP_DOCS: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; \
                        img-src 'self' data:; frame-ancestors 'none'";

pub(crate) async fn decorate(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let id = request_id(&request);
    let csp = if request.match_info().as_str().starts_with("/docs/") { CSP_DOCS } else { CSP_API };
    // Every layer below answers its own errors: an `Err` would leave here without any header.
    let mut response = next.call(request).await?.map_into_boxed_body();
    log_failure(&response, &id);
    if response.status().as_u16() >= 400 && !is_problem(response.headers()) {
        response = as_problem(response);
    }
    decorate_headers(response.headers_mut(), &id, csp);
    Ok(response)
}

/// A problem document in place of an error of the framework's own.
fn as_problem(response: ServiceResponse) -> ServiceResponse {
    let refused = response.response().error().and_then(|error| error.as_error::<CorsError>());
    let problem = refused.map_or_else(|| Problem::of_status(response.status()), Problem::from);
    let (request, old) = response.into_parts();
    let mut new = problem.error_response();
    // A page of another origin may read this answer if it might have read that one.
    for name in [ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, VARY] {
        if let Some(value) = old.headers().get(&name) {
            new.headers_mut().insert(name, value.clone());
        }
    }
    ServiceResponse::new(request, new)
}

fn decorate_headers(headers: &mut HeaderMap, id: &str, csp: &'static str) {
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.insert(HeaderName::from_static("content-security-policy"), HeaderValue::from_static(csp));
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, value);
    }
}

fn is_problem(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes() == PROBLEM_JSON.as_bytes())
}

/// A client may bring its own id, so that it can follow a call through several systems.
fn request_id(request: &ServiceRequest) -> String {
    let brought = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let usable = |id: &&str| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    brought.filter(usable).map_or_else(
        || {
            let api = request.app_data::<Data<Api>>().expect("the app is always built with its Api");
            api.ids.new_id().to_string()
        },
        str::to_owned,
    )
}

/// Method and route pattern, never the address itself: it may hold what a user typed.
fn log_failure<B>(response: &ServiceResponse<B>, id: &str) {
    if !response.status().is_server_error() {
        return;
    }
    let problem = response.response().error().and_then(|error| error.as_error::<Problem>());
    let cause = problem.and_then(Problem::cause).unwrap_or("unknown");
    let request = response.request();
    let route = request.match_pattern().unwrap_or_default();
    tracing::error!(request_id = id, method = %request.method(), route, status = response.status().as_u16(), cause,
        "a call failed");
}
