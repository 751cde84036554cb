//! Who is calling: the middleware that checks the access token, and what handlers see of its answer.

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, USER_AGENT};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest};
use domain::policy;
use domain::services::{Authority, Caller};
use domain::user::{Channel, Origin, Permission};
use std::future::{Ready, ready};

use crate::body;
use crate::error::Problem;
use crate::server::Api;

/// Longest user agent that is kept, in characters.
const MAX_USER_AGENT: usize = 300;

/// Lets nobody through without a good access token.
pub(crate) async fn require_token(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    match admit(&mut request).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            Ok(next.call(request).await?.map_into_left_body())
        }
        Err(problem) => Ok(request.error_response(problem).map_into_right_body()),
    }
}

/// Nobody reads the body of somebody unknown. It takes its time to arrive, in which the caller may lose their session
/// or their roles: who they are is asked again when all of it is here. That happens for every route, whatever its
/// handler makes of the body, so that none can forget it.
async fn admit(request: &mut ServiceRequest) -> Result<Caller, Problem> {
    let api = request.app_data::<Data<Api>>().cloned().expect("the app is always built with its Api");
    let caller = authenticate(&api, request).await?;
    let payload = request.take_payload();
    if matches!(payload, Payload::None) {
        return Ok(caller);
    }
    let bytes = body::receive(payload, api.body_time_limit).await?;
    request.set_payload(Payload::from(bytes));
    Ok(api.authentication.confirm(caller.token).await?)
}

async fn authenticate(api: &Api, request: &ServiceRequest) -> Result<Caller, Problem> {
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(token) = header.and_then(bearer) else {
        return Err(Problem::unauthenticated(
            "token_missing",
            "An access token is needed: send \"Authorization: Bearer TOKEN\", with the token from POST /api/auth/login.",
        ));
    };
    Ok(api.authentication.authenticate(token).await?)
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The caller of a protected route.
#[derive(Debug)]
pub(crate) struct Authenticated(pub(crate) Caller);

impl Authenticated {
    /// The caller as somebody who manages something, if their roles let them: asked before anything else of the call is
    /// looked at, so that others learn nothing from the answer.
    pub(crate) fn authority(&self, permission: Permission) -> Result<Authority<'_>, Problem> {
        let actor = &self.0.actor;
        policy::permission(actor, permission)?;
        Ok(Authority::Person(actor))
    }
}

impl FromRequest for Authenticated {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = request.extensions().get::<Caller>().cloned();
        ready(caller.map(Self).ok_or_else(|| {
            // Only reached when a route was registered outside of the middleware's reach: refuse.
            Problem::unauthenticated("token_missing", "An access token is needed.")
        }))
    }
}

/// Where a call came from, for the audit trail.
pub(crate) fn origin(request: &HttpRequest) -> Origin {
    let user_agent = request.headers().get(USER_AGENT).map(|value| {
        String::from_utf8_lossy(value.as_bytes())
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_USER_AGENT)
            .collect()
    });
    Origin { ip: request.peer_addr().map(|peer| peer.ip().to_string()), user_agent, channel: Channel::Api }
}
