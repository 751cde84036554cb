//! The description of the API, from the code.

use actix_web::http::header::RETRY_AFTER;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};
use utoipa_actix_web::AppExt as _;

use crate::body::BODY_TIME_LIMIT;
use crate::error::PROBLEM_JSON;
use crate::server::routes;

#[derive(OpenApi)]
#[openapi(
    info(title = "Query Portal", description = "Ad-hoc queries against production databases: submitted, approved, \
        executed and audited, without anybody holding a credential. Errors are RFC 9457 problem documents. \
        `/api/requests...` answers exactly as `/api/queries...`.", license(name = "Apache-2.0")),
    security(("bearer" = [])),
    modifiers(&Bearer),
)]
pub(crate) struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        openapi
            .components
            .get_or_insert_with(Default::default)
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The OpenAPI document, without a running server.
pub fn document() -> utoipa::openapi::OpenApi {
    let (_, mut document) = actix_web::App::new()
        .into_utoipa_app()
        .openapi(Description::openapi())
        .configure(routes)
        .split_for_parts();
    for (path, item) in &mut document.paths.paths {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            add_what_any_call_may_meet(path, operation);
            name_problems(operation);
        }
    }
    document
}

/// Slow bodies, rate limits and outages are nobody's own.
fn add_what_any_call_may_meet(path: &str, operation: &mut Operation) {
    let has_body = operation.request_body.is_some();
    let responses = &mut operation.responses.responses;
    let mut add = |status: &str, description: &str| {
        let later = HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::Integer)))
            .description(Some("Try again after so many seconds"))
            .build();
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response = ResponseBuilder::new().description(description).content(PROBLEM_JSON, problem);
        let response = if status == "408" { response } else { response.header(RETRY_AFTER.as_str(), later) };
        responses.insert(status.to_owned(), RefOr::T(response.build()));
    };
    if has_body {
        let seconds = BODY_TIME_LIMIT.as_secs();
        add("408", &format!("`body_too_slow`: the body did not arrive within {seconds} seconds"));
    }
    if !path.starts_with("/health/") {
        add("429", "`rate_limited`");
    }
    if path != "/health/live" {
        add("503", "`unavailable`: the portal's own database is away");
    }
}

/// Errors are problem documents, whose content type is not that of other answers.
fn name_problems(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        if let (true, RefOr::T(response)) = (status.starts_with(['4', '5']), response) {
            let content = std::mem::take(&mut response.content);
            response.content =
                content.into_values().map(|content| (PROBLEM_JSON.to_owned(), content)).collect();
        }
    }
}
