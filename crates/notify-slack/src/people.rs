//! Whose accounts in Slack count.

use domain::text::Email;

use crate::answers::Person;
use crate::client::Slack;
use crate::errors::CallError;

/// The address by which somebody in Slack may be taken for somebody in the portal. It decides who approves, so it counts
/// only for a living person of the bot's own workspace (or organisation), and only if Slack does not say that nobody
/// has confirmed it: guests of shared channels are managed by others, who could give themselves any address.
pub(crate) async fn trusted_email(slack: &Slack, person: &Person) -> Result<Option<Email>, CallError> {
    if person.deleted || person.is_bot || person.is_stranger || person.is_email_confirmed == Some(false) {
        return Ok(None);
    }
    let own = slack.team().await?.team_id.as_str();
    let in_organisation =
        person.enterprise_user.as_ref().is_some_and(|user| user.teams.iter().any(|t| t == own));
    if person.team_id.as_deref() != Some(own) && !in_organisation {
        return Ok(None);
    }
    Ok(person.profile.email.as_deref().and_then(|email| Email::parse(email).ok()))
}
