//! Slack, while somebody waits there: what people press, and what only they see.

use async_trait::async_trait;
use domain::Timestamp;
use domain::auth::TokenHash;
use domain::ids::RequestId;
use domain::ports::{
    Interaction, InvalidCall, Presser, SignedCall, SlackDesk, SlackError, SlackProfile, Wish,
};
use serde::Deserialize;
use serde_json::Value;
use slack_morphism::signature_verifier::SlackEventSignatureVerifierError;

use crate::client::Slack;
use crate::errors::CallError;
use crate::message::{
    APPROVE, ButtonValue, REASON_INPUT, REASON_MODAL, REASON_TEXT, REJECT, ReasonFor, reason_modal, said,
};
use crate::people::trusted_email;

/// A signature is as good for as long before and after the moment at which it was made.
const SIGNATURE_SECONDS: u64 = 5 * 60;

/// The port [`SlackDesk`] on the Web API.
#[derive(Clone, Debug)]
pub struct WebApiDesk {
    slack: Slack,
}

impl WebApiDesk {
    pub fn new(slack: Slack) -> Self {
        Self { slack }
    }

    /// The library compares in constant time, but dates by the system's clock: its word on the date is replaced by ours.
    fn check_signature(&self, call: SignedCall<'_>, now: Timestamp) -> Result<String, InvalidCall> {
        let (Some(timestamp), Some(signature)) = (call.timestamp, call.signature) else {
            return Err(InvalidCall::Forged);
        };
        let signed_at: i64 = timestamp.parse().map_err(|_| InvalidCall::Forged)?;
        if signed_at.abs_diff(now.timestamp()) > SIGNATURE_SECONDS {
            return Err(InvalidCall::Late);
        }
        // Slack sends nothing else, and what is not text cannot carry its signature.
        let body = std::str::from_utf8(call.body).map_err(|_| InvalidCall::Forged)?;
        match self.slack.verifier().verify(signature, body, timestamp) {
            Ok(()) | Err(SlackEventSignatureVerifierError::IncorrectOrExpiredTimestampError(_)) => {
                Ok(signature.to_owned())
            }
            Err(
                SlackEventSignatureVerifierError::CryptoInitError(_)
                | SlackEventSignatureVerifierError::AbsentSignatureError(_)
                | SlackEventSignatureVerifierError::WrongSignatureError(_),
            ) => Err(InvalidCall::Forged),
        }
    }
}

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "type")]
    kind: String,
    user: User,
    #[serde(default)]
    team: Option<Team>,
    #[serde(default)]
    channel: Option<Named>,
    #[serde(default)]
    trigger_id: Option<String>,
    #[serde(default)]
    actions: Vec<Action>,
    #[serde(default)]
    view: Option<View>,
}

#[derive(Deserialize)]
struct User {
    id: String,
    #[serde(default)]
    team_id: Option<String>,
}

/// The workspace in which somebody pressed.
#[derive(Deserialize)]
struct Team {
    id: String,
    #[serde(default)]
    enterprise_id: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

#[derive(Deserialize)]
struct Action {
    #[serde(default)]
    action_id: String,
    #[serde(default)]
    value: Option<String>,
}

#[derive(Deserialize)]
struct View {
    #[serde(default)]
    callback_id: String,
    #[serde(default)]
    private_metadata: String,
    #[serde(default)]
    state: Value,
}

fn malformed(reason: &str) -> InvalidCall {
    InvalidCall::Malformed { reason: reason.to_owned() }
}

fn payload(body: &[u8]) -> Result<Payload, InvalidCall> {
    let payload = url::form_urlencoded::parse(body).find(|(name, _)| name == "payload");
    let (_, json) = payload.ok_or_else(|| malformed("it has no payload"))?;
    // The parser's own words may repeat parts of the payload.
    serde_json::from_str(&json).map_err(|_| malformed("its payload is not an interaction"))
}

/// As Slack makes them, and nothing that means anything elsewhere.
fn is_user_id(id: &str) -> bool {
    let rest = id.strip_prefix(['U', 'W']).unwrap_or_default();
    (1..=63).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

impl Payload {
    /// The presser's workspace, with its organisation where that is certain: what Slack says of a user goes before what it
    /// says of the place.
    fn teams(&self) -> Vec<String> {
        let place = self.team.as_ref();
        let own = self.user.team_id.clone().or_else(|| place.map(|team| team.id.clone()));
        let organisation = place.filter(|team| Some(&team.id) == own.as_ref());
        let organisation = organisation.and_then(|team| team.enterprise_id.clone());
        own.into_iter().chain(organisation).collect()
    }

    /// What is wished, and the channel to answer in where it is not the one in which somebody pressed.
    fn wish(&self) -> Result<(Wish, Option<String>), InvalidCall> {
        match self.kind.as_str() {
            "block_actions" => Ok((self.pressed()?, None)),
            "view_submission" => self.sent_off(),
            _ => Ok((Wish::Nothing, None)),
        }
    }

    fn pressed(&self) -> Result<Wish, InvalidCall> {
        let ours = self.actions.iter().find(|a| a.action_id == APPROVE || a.action_id == REJECT);
        let Some(action) = ours else { return Ok(Wish::Nothing) };
        if self.channel.is_none() {
            return Err(malformed("the button is in no channel"));
        }
        let value = action.value.as_deref().and_then(ButtonValue::parse);
        let value = value.ok_or_else(|| malformed("the button carries no request"))?;
        let request = value.request().ok_or_else(|| malformed("the button carries no request"))?;
        if action.action_id == APPROVE {
            let digest = value.digest().ok_or_else(|| malformed("the button carries no digest"))?;
            return Ok(Wish::Approve { request, digest });
        }
        let trigger = self.trigger_id.clone().ok_or_else(|| malformed("the press lets nothing be opened"))?;
        Ok(Wish::AskToReject { request, trigger })
    }

    fn sent_off(&self) -> Result<(Wish, Option<String>), InvalidCall> {
        let Some(view) = self.view.as_ref().filter(|view| view.callback_id == REASON_MODAL) else {
            return Ok((Wish::Nothing, None));
        };
        let about: Option<ReasonFor> = serde_json::from_str(&view.private_metadata).ok();
        let about = about.ok_or_else(|| malformed("the dialog carries no request"))?;
        let request = about.request.parse().map_err(|_| malformed("the dialog carries no request"))?;
        let reason =
            view.state["values"][REASON_INPUT][REASON_TEXT]["value"].as_str().unwrap_or_default().to_owned();
        Ok((Wish::Reject { request, reason }, Some(about.channel)))
    }
}

#[async_trait]
impl SlackDesk for WebApiDesk {
    fn read(&self, call: SignedCall<'_>, now: Timestamp) -> Result<Interaction, InvalidCall> {
        let signature = self.check_signature(call, now)?;
        let payload = payload(call.body)?;
        if !is_user_id(&payload.user.id) {
            return Err(malformed("the id of who pressed is none"));
        }
        let (wish, channel) = payload.wish()?;
        let teams = payload.teams();
        let channel = channel.or(payload.channel.map(|channel| channel.id)).unwrap_or_default();
        Ok(Interaction {
            by: Presser { slack_user_id: payload.user.id, teams, channel },
            wish,
            signature: TokenHash::of(&signature),
        })
    }

    async fn is_ours(&self, by: &Presser) -> Result<bool, SlackError> {
        let own = self.slack.team().await.map_err(failed)?;
        let is_own = |id: &String| *id == own.team_id || Some(id) == own.enterprise_id.as_ref();
        Ok(by.teams.iter().any(is_own))
    }

    async fn ask_for_reason(
        &self,
        trigger: &str,
        by: &Presser,
        request: RequestId,
    ) -> Result<(), SlackError> {
        self.slack.open_view(trigger, reason_modal(request, &by.channel)).await.map_err(failed)
    }

    async fn tell(&self, to: &Presser, text: &str) -> Result<(), SlackError> {
        self.slack.post_ephemeral(&to.channel, &to.slack_user_id, said(text)).await.map_err(failed)
    }

    async fn profile(&self, slack_user_id: &str) -> Result<Option<SlackProfile>, SlackError> {
        match self.slack.user(slack_user_id).await {
            Ok(person) if person.id == slack_user_id => {
                let email = trusted_email(&self.slack, &person).await.map_err(failed)?;
                Ok(Some(SlackProfile { email }))
            }
            Ok(_) => Ok(None),
            Err(error)
                if matches!(
                    error.code(),
                    Some("user_not_found" | "user_not_visible" | "users_not_found")
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(failed(error)),
        }
    }
}

fn failed(error: CallError) -> SlackError {
    SlackError { source: error.into() }
}
