//! Decisions by the buttons of messages in Slack: the same rules and the same trail as anywhere else.
//!
//! Whoever presses is told in words that nobody else sees why it was of no use.

use std::sync::Arc;
use std::time::Duration;

use super::{RequestError, Requests, error_chain};
use crate::audit::AuditEntry;
use crate::ids::RequestId;
use crate::policy::Denied;
use crate::ports::{
    Clock, Interaction, InvalidCall, Presser, ReplayGuard, SignedCall, SlackDesk, SlackError, SlackPeople,
    StoreError, UserStore, Wish,
};
use crate::request::{InvalidTransition, Request, State};
use crate::text::Remark;
use crate::user::{Actor, Origin};

/// Longer than signatures are accepted, on both sides of now.
const REMEMBER: Duration = Duration::from_mins(15);

/// How often a decision is tried again that met with another change of the request.
const TRIES: u32 = 3;

/// Why a call that says it comes from Slack was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SlackCallError {
    #[error(transparent)]
    Invalid(#[from] InvalidCall),
    #[error("the call was taken before")]
    Replayed,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why somebody's wish was not carried out; the message is for them.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(
        "No account of the portal is tied to your Slack account. Ask an admin of the portal to tie yours, or decide in the \
         portal itself."
    )]
    Unknown,
    #[error("Your account in the portal is not active.")]
    Inactive,
    #[error("Slack did not tell the portal who you are. Try again in a minute.")]
    NoProfile,
    #[error("The reason {0}.")]
    Reason(String),
    #[error("{}", sentence(.0))]
    Request(#[from] RequestError),
    #[error("The portal cannot do this at the moment. Try again in a minute.")]
    Store(#[from] StoreError),
}

/// See the module.
#[derive(Clone)]
pub struct SlackDecisions {
    pub requests: Requests,
    pub desk: Arc<dyn SlackDesk>,
    pub people: Arc<dyn SlackPeople>,
    pub users: Arc<dyn UserStore>,
    pub replays: Arc<dyn ReplayGuard>,
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for SlackDecisions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlackDecisions").finish_non_exhaustive()
    }
}

impl SlackDecisions {
    /// Whether it is worth while to read the body of a call: it says that it is signed, and when.
    pub fn expects(&self, call: SignedCall<'_>) -> Result<(), InvalidCall> {
        let signed_at = call.timestamp.and_then(|at| at.parse::<i64>().ok());
        let (Some(signed_at), Some(_)) = (signed_at, call.signature) else { return Err(InvalidCall::Forged) };
        let age = self.clock.now().timestamp().abs_diff(signed_at);
        if age > REMEMBER.as_secs() { Err(InvalidCall::Late) } else { Ok(()) }
    }

    /// Takes a call if it is Slack's and was not taken before.
    pub async fn receive(&self, call: SignedCall<'_>) -> Result<Interaction, SlackCallError> {
        let now = self.clock.now();
        let interaction = self.desk.read(call, now)?;
        if self.replays.first_time(&interaction.signature, now, now - REMEMBER).await? {
            Ok(interaction)
        } else {
            Err(SlackCallError::Replayed)
        }
    }

    /// Does what somebody wished, or tells them why not.
    pub async fn carry_out(&self, interaction: Interaction, origin: Origin) {
        let Interaction { by, wish, .. } = interaction;
        let answer = match self.grant(&by, wish, origin).await {
            Ok(answer) => answer,
            Err(refusal) => {
                tracing::info!(slack_user = %by.slack_user_id, reason = class(&refusal), "refused a wish from Slack");
                if let Refusal::Store(error) | Refusal::Request(RequestError::Store(error)) = &refusal {
                    tracing::warn!(error = %error_chain(error), "a wish from Slack waits for the portal database");
                }
                Some(refusal.to_string())
            }
        };
        if let Some(answer) = answer
            && let Err(error) = self.desk.tell(&by, &answer).await
        {
            tracing::warn!(slack_user = %by.slack_user_id, error = %error_chain(&error), "an answer in Slack was not given");
        }
    }

    /// What there is to say to who wished, beside what the message in the channel will show.
    async fn grant(&self, by: &Presser, wish: Wish, origin: Origin) -> Result<Option<String>, Refusal> {
        if wish == Wish::Nothing {
            return Ok(None);
        }
        self.is_ours(by).await?;
        let actor = self.person(by, &origin).await?;
        match wish {
            Wish::Approve { request, digest } => {
                let decide = || self.requests.approve(&actor, request, Some(digest), origin.clone());
                Ok(still_needed(&insist(decide).await?))
            }
            Wish::AskToReject { request, trigger } => {
                self.requests.may_reject(&actor, request, &origin).await?;
                if let Err(error) = self.desk.ask_for_reason(&trigger, by, request).await {
                    tracing::warn!(%request, error = %error_chain(&error), "a dialog in Slack was not opened");
                    return Ok(Some("Slack did not open the dialog. Press the button again.".to_owned()));
                }
                Ok(None)
            }
            Wish::Reject { request, reason } => {
                let reason = Remark::parse(&reason).map_err(|error| Refusal::Reason(error.to_string()))?;
                insist(|| self.requests.reject(&actor, request, reason.clone(), origin.clone())).await?;
                Ok(None)
            }
            Wish::Nothing => Ok(None),
        }
    }

    async fn is_ours(&self, by: &Presser) -> Result<(), Refusal> {
        let ours = self.desk.is_ours(by).await.map_err(|error| no_profile(by, &error))?;
        if ours { Ok(()) } else { Err(Refusal::Unknown) }
    }

    /// The portal's person behind a Slack account. One that is tied to nobody yet is tied to the account with its e-mail
    /// address, which Slack has confirmed.
    async fn person(&self, by: &Presser, origin: &Origin) -> Result<Actor, Refusal> {
        if let Some(actor) = self.tied(by).await? {
            return Ok(actor);
        }
        let profile = self.desk.profile(&by.slack_user_id).await;
        let profile = profile.map_err(|error| no_profile(by, &error))?;
        let email = profile.and_then(|profile| profile.email).ok_or(Refusal::Unknown)?;
        let user = self.users.find_by_email(&email).await?.ok_or(Refusal::Unknown)?.user;
        if !user.active {
            return Err(Refusal::Inactive);
        }
        let (id, now) = (user.id, self.clock.now());
        let audit = AuditEntry::slack_tie(id, &by.slack_user_id, Some(id), origin.clone(), now);
        if !self.people.tie(user.id, &email, &by.slack_user_id, &audit).await? {
            return Err(Refusal::Unknown);
        }
        self.tied(by).await?.ok_or(Refusal::Unknown)
    }

    async fn tied(&self, by: &Presser) -> Result<Option<Actor>, Refusal> {
        match self.people.by_slack_id(&by.slack_user_id).await? {
            Some(principal) if principal.user.active => Ok(Some(principal.actor)),
            Some(_) => Err(Refusal::Inactive),
            None => Ok(None),
        }
    }
}

fn no_profile(by: &Presser, error: &SlackError) -> Refusal {
    tracing::warn!(slack_user = %by.slack_user_id, error = %error_chain(error), "Slack did not tell who somebody is");
    Refusal::NoProfile
}

/// Decides again when the request has changed meanwhile: it is told by what it is then, and not that somebody was faster.
async fn insist<F>(decide: impl Fn() -> F) -> Result<Request, RequestError>
where
    F: Future<Output = Result<Request, RequestError>>,
{
    for _ in 1..TRIES {
        match decide().await {
            Err(RequestError::Conflict { .. }) => {}
            decided => return decided,
        }
    }
    decide().await
}

fn still_needed(request: &Request) -> Option<String> {
    let State::Pending { approvals, .. } = &request.state else { return None };
    let more = usize::from(request.approvals_needed).saturating_sub(approvals.len());
    let people = if more == 1 { "person has" } else { "people have" };
    Some(format!("Your approval counts. {more} more {people} to approve before the request runs."))
}

/// For the log: without anything that a person wrote.
fn class(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Unknown => "unknown",
        Refusal::Inactive => "inactive",
        Refusal::NoProfile => "no_profile",
        Refusal::Reason(_) => "reason",
        Refusal::Store(_) | Refusal::Request(RequestError::Store(_)) => "store",
        Refusal::Request(RequestError::NotFound) => "not_found",
        Refusal::Request(RequestError::Denied(_)) => "denied",
        Refusal::Request(RequestError::Conflict { .. }) => "conflict",
        Refusal::Request(_) => "invalid",
    }
}

fn sentence(error: &RequestError) -> String {
    match error {
        RequestError::Invalid(InvalidTransition::WrongState { from, .. }) => {
            format!("The request is {from} already. There is nothing to decide any more.")
        }
        RequestError::Invalid(InvalidTransition::OwnRequest) => Denied::OwnRequest.to_string(),
        RequestError::Invalid(InvalidTransition::AlreadyApproved) => {
            "You have approved this request before. It needs the approval of somebody else.".to_owned()
        }
        RequestError::Invalid(InvalidTransition::Overdue) => {
            "The request has waited for too long and has expired.".to_owned()
        }
        RequestError::Invalid(
            InvalidTransition::DigestMismatch { .. } | InvalidTransition::DigestRequired,
        ) => "The request was changed after this message was written. Read it again, then decide.".to_owned(),
        RequestError::Conflict { current } => {
            format!("Others decide on this request at the same time; it is {current} now. Look at it again.")
        }
        RequestError::NotFound => "There is no such request.".to_owned(),
        RequestError::Denied(denied) => denied.to_string(),
        RequestError::NoScript | RequestError::NoResult { .. } | RequestError::Store(_) => {
            "The portal cannot do this at the moment. Try again in a minute.".to_owned()
        }
    }
}

impl Requests {
    /// Whether somebody could reject a request now: asked before they are asked for a reason.
    async fn may_reject(&self, actor: &Actor, id: RequestId, origin: &Origin) -> Result<(), RequestError> {
        let reason = Remark::parse("asked for").expect("it is a remark");
        self.rejection(actor, id, reason, origin.clone()).await.map(drop)
    }
}
