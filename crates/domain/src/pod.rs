//! PODs: the teams whose managers decide on requests.

use crate::ids::PodId;
use crate::target::replace;
use crate::text::{DisplayName, Email};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pod {
    pub id: PodId,
    pub name: DisplayName,
    /// Manages this POD beside the managers whose own POD it is.
    pub manager_email: Option<Email>,
    pub description: Option<String>,
    /// Id or name of the channel in Slack in which the POD's requests are announced.
    pub slack_channel: Option<String>,
    pub active: bool,
}

/// What changes of a POD; `None` leaves it, `Some(None)` takes the value away.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PodChange {
    pub name: Option<DisplayName>,
    pub manager_email: Option<Option<Email>>,
    pub description: Option<Option<String>>,
    pub slack_channel: Option<Option<String>>,
    pub active: Option<bool>,
}

impl Pod {
    /// The POD with a change.
    pub fn changed(&self, change: PodChange) -> Self {
        let mut after = self.clone();
        replace(&mut after.name, change.name);
        replace(&mut after.manager_email, change.manager_email);
        replace(&mut after.description, change.description);
        replace(&mut after.slack_channel, change.slack_channel);
        replace(&mut after.active, change.active);
        after
    }

    /// Whether it names this address as its manager's.
    pub fn is_led_by(&self, email: &Email) -> bool {
        self.manager_email.as_ref() == Some(email)
    }
}
