//! Slack from the portal's side: what was delivered there, who is who there, and what people press there.

use async_trait::async_trait;

use super::StoreError;
use crate::Timestamp;
use crate::audit::AuditEntry;
use crate::auth::{Principal, TokenHash};
use crate::digest::Digest;
use crate::ids::{JobId, RequestId, UserId};
use crate::job::NotificationJob;
use crate::text::Email;

/// A message that Slack has taken, as Slack names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlackMessage {
    /// The id of the channel or of the direct conversation.
    pub channel: String,
    pub ts: String,
}

/// What is on record of the delivery of one notification.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// To what it was sent last: a channel or a Slack user, as the notifier named it.
    pub recipient: String,
    /// Since when it is not known whether Slack took the message; `None` when nothing is open.
    pub unclear_since: Option<Timestamp>,
    /// Present once it is known to be delivered.
    pub message: Option<SlackMessage>,
}

/// The history of messages, one entry for each notification job.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Deliveries: Send + Sync {
    async fn find(&self, job: JobId) -> Result<Option<Delivery>, StoreError>;

    /// Notes that the message is about to be sent to `recipient`. MUST be stored when it returns: from here on the outcome
    /// is unclear until one of the others says otherwise. While it is unclear, `unclear_since` MUST stay the first moment,
    /// and this answers with it.
    async fn begin(
        &self,
        job: &NotificationJob,
        recipient: &str,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError>;

    /// Slack refused the message: nothing was sent. Only for who opened the doubt: `since` is what `begin` answered, and
    /// a doubt of another moment MUST stay.
    async fn refused(&self, job: JobId, since: Timestamp) -> Result<(), StoreError>;

    /// Slack has the message.
    async fn sent(&self, job: JobId, message: &SlackMessage, now: Timestamp) -> Result<(), StoreError>;

    /// Notes, as failed, a message for which there is nobody in Slack.
    async fn nobody(
        &self,
        job: &NotificationJob,
        recipient: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// The message about a request in its POD's channel; of several the one sent last.
    async fn channel_message(&self, request: RequestId) -> Result<Option<SlackMessage>, StoreError>;
}

/// How a person is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlackContact {
    pub email: Email,
    /// Nobody writes to people whose account is not active.
    pub active: bool,
    /// The id of their account in Slack.
    pub slack_user_id: Option<String>,
    /// When they were looked for in Slack without success, last.
    pub not_found_at: Option<Timestamp>,
}

/// Who is who in Slack.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait SlackPeople: Send + Sync {
    async fn contact(&self, user: UserId) -> Result<Option<SlackContact>, StoreError>;

    /// Ties an account to a Slack account, with its audit entry. MUST do nothing and answer false when the account is
    /// tied to another one already, has another e-mail address by now, or when another account is tied to this one.
    /// When it is tied to the same one already it MUST answer true and write no entry.
    async fn tie(
        &self,
        user: UserId,
        email: &Email,
        slack_user_id: &str,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError>;

    /// Notes that Slack has nobody with the account's address. True when that was not known before.
    async fn not_found(&self, user: UserId, now: Timestamp) -> Result<bool, StoreError>;

    /// Whose account is tied to this Slack account, active or not, with the roles, permissions and PODs of this moment.
    async fn by_slack_id(&self, slack_user_id: &str) -> Result<Option<Principal>, StoreError>;
}

/// Remembers which signed calls were taken, for as long as their signatures are accepted.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ReplayGuard: Send + Sync {
    /// Takes a call. Of any number of callers with the same signature, in any process, exactly one MUST get true. What
    /// was taken before `forget_before` may be forgotten.
    async fn first_time(
        &self,
        signature: &TokenHash,
        now: Timestamp,
        forget_before: Timestamp,
    ) -> Result<bool, StoreError>;
}

/// A call that says it comes from Slack, as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct SignedCall<'a> {
    /// `X-Slack-Request-Timestamp`.
    pub timestamp: Option<&'a str>,
    /// `X-Slack-Signature`.
    pub signature: Option<&'a str>,
    pub body: &'a [u8],
}

/// Why a call was not taken for one of Slack's.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidCall {
    #[error("the call does not carry a valid signature of Slack")]
    Forged,
    #[error("the call was signed too long ago, or in the future")]
    Late,
    /// Signed by Slack, but nothing that the portal's messages can lead to.
    #[error("the call cannot be read: {reason}")]
    Malformed { reason: String },
}

/// Who pressed, and where an answer that nobody else sees can be given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Presser {
    pub slack_user_id: String,
    /// Their workspace, and its organisation where it has one.
    pub teams: Vec<String>,
    pub channel: String,
}

/// What somebody did in Slack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interaction {
    pub by: Presser,
    pub wish: Wish,
    /// Stands for this one call, to recognise it when it is sent again.
    pub signature: TokenHash,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    Approve {
        request: RequestId,
        /// Of what the message showed.
        digest: Digest,
    },
    /// Wants to reject, and has to be asked for the reason.
    AskToReject {
        request: RequestId,
        /// Lets the portal open a dialog, for three seconds.
        trigger: String,
    },
    Reject {
        request: RequestId,
        reason: String,
    },
    /// Nothing that needs the portal: a link, a dialog that was closed.
    Nothing,
}

/// Somebody in Slack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlackProfile {
    /// Absent where it cannot be trusted: of bots, of deleted accounts, of other workspaces, and of addresses that were
    /// never confirmed.
    pub email: Option<Email>,
}

/// Slack did not do what it was asked for. The cause is for the log.
#[derive(Debug, thiserror::Error)]
#[error("Slack could not be asked")]
pub struct SlackError {
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Slack, while somebody waits there.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait SlackDesk: Send + Sync {
    /// Whether a call is Slack's, and what it says. MUST refuse what is not signed with the shared secret, and what was
    /// signed more than five minutes before or after `now`, before it looks at anything else of the call.
    #[allow(clippy::needless_lifetimes, reason = "mockall asks for the name")]
    fn read<'a>(&self, call: SignedCall<'a>, now: Timestamp) -> Result<Interaction, InvalidCall>;

    /// Whether the presser belongs to the workspace, or to the organisation, of the portal's own app. In a shared channel
    /// people of others press as well.
    async fn is_ours(&self, by: &Presser) -> Result<bool, SlackError>;

    async fn ask_for_reason(&self, trigger: &str, by: &Presser, request: RequestId)
    -> Result<(), SlackError>;

    /// Says something that only the presser sees. `text` is plain text.
    async fn tell(&self, to: &Presser, text: &str) -> Result<(), SlackError>;

    async fn profile(&self, slack_user_id: &str) -> Result<Option<SlackProfile>, SlackError>;
}
