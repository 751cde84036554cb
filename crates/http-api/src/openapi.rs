//! The description of the API, from the code.

use utoipa::openapi::RefOr;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_actix_web::AppExt as _;

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
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        operations.into_iter().flatten().for_each(name_problems);
    }
    document
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
