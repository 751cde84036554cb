//! The description of the API, from the code.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_actix_web::AppExt as _;

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
    actix_web::App::new().into_utoipa_app().openapi(Description::openapi()).configure(routes).split_for_parts().1
}
