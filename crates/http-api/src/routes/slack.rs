//! What people press in Slack. No token: the call proves itself by Slack's signature.

use std::time::Duration;

use actix_web::http::header::HeaderMap;
use actix_web::rt::time::timeout;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, post, rt};
use domain::ports::{InvalidCall, SignedCall};
use domain::services::SlackCallError;
use domain::user::{Channel, Origin};

use crate::auth::origin;
use crate::body;
use crate::error::Problem;
use crate::server::Api;

const TIMESTAMP: &str = "x-slack-request-timestamp";
const SIGNATURE: &str = "x-slack-signature";

/// Slack repeats the message whose button was pressed: some tens of KiB.
const MAX_BODY_BYTES: usize = 512 * 1024;

/// Slack shows an error to whoever pressed when an answer takes three seconds
/// (<https://docs.slack.dev/interactivity/handling-user-interaction>). What takes longer goes on behind the answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Buttons and dialogs of the portal's messages in Slack. Slack calls it; nobody else can. Why something was refused is
/// told in Slack, to the person who pressed.
#[utoipa::path(
    tag = "slack",
    security(()),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "As Slack sends it."),
    params(
        ("X-Slack-Request-Timestamp" = i64, Header, description = "Seconds since 1970; at most five minutes ago."),
        ("X-Slack-Signature" = String, Header, description = "`v0=` and the HMAC-SHA256 of version, timestamp and body."),
    ),
    responses(
        (status = 200, description = "Taken."),
        (status = 400, body = Problem, description = "Signed by Slack, but nothing that the portal's messages lead to."),
        (status = 401, body = Problem, description = "Not signed by Slack, too late, or taken before."),
        (status = 413, body = Problem, description = "Larger than what Slack sends."),
        (status = 404, body = Problem, description = "Slack is not set up."),
        (status = 503, body = Problem, description = "The portal database is away."),
    )
)]
#[post("/api/slack/interactions")]
pub(crate) async fn interactions(
    api: Data<Api>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let Some(slack) = api.slack.clone() else {
        return Err(Problem::not_found(
            "This portal takes no decisions from Slack: set slack.bot_token and slack.signing_secret.",
        ));
    };
    let call = SignedCall {
        timestamp: header(request.headers(), TIMESTAMP),
        signature: header(request.headers(), SIGNATURE),
        body: &[],
    };
    // Of somebody who does not even look like Slack nothing is read.
    slack.expects(call).map_err(SlackCallError::from)?;
    let body = body::receive_at_most(MAX_BODY_BYTES, payload.into_inner(), api.body_time_limit).await?;
    let interaction = slack.receive(SignedCall { body: &body, ..call }).await?;
    let origin = Origin { channel: Channel::Slack, ..origin(&request) };
    let work = rt::spawn(async move { slack.carry_out(interaction, origin).await });
    let _goes_on = timeout(ANSWER_WITHIN, work).await;
    Ok(HttpResponse::Ok().finish())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

impl From<SlackCallError> for Problem {
    fn from(error: SlackCallError) -> Self {
        match error {
            SlackCallError::Invalid(InvalidCall::Forged) => Self::unauthenticated(
                "slack_signature",
                "The call does not carry a valid signature of Slack.",
            ),
            SlackCallError::Invalid(InvalidCall::Late) => Self::unauthenticated(
                "slack_late",
                "The call was not signed within the last five minutes. Check the clock of the server.",
            ),
            SlackCallError::Invalid(InvalidCall::Malformed { .. }) => Self::new(
                actix_web::http::StatusCode::BAD_REQUEST,
                "slack_unreadable",
                "The call is signed by Slack, but it is nothing that the portal's messages lead to.",
            ),
            SlackCallError::Replayed => {
                Self::unauthenticated("slack_replayed", "This very call was taken before.")
            }
            SlackCallError::Store(error) => error.into(),
        }
    }
}
