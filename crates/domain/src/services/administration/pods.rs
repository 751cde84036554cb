//! PODs.

use serde_json::{Value, json};

use super::{Act, Administration, AdministrationError, Authority};
use crate::audit::{Entity, EntityKind};
use crate::ids::PodId;
use crate::pod::{Pod, PodChange};
use crate::policy::{self, Denied};
use crate::text::Email;
use crate::user::{Origin, Permission};

/// The longest name that a channel in Slack can have, in characters.
const MAX_CHANNEL: usize = 80;

impl Administration {
    pub async fn add_pod(
        &self,
        authority: &Authority<'_>,
        pod: &Pod,
        origin: Origin,
    ) -> Result<(), AdministrationError> {
        authority.require(Permission::ManagePods)?;
        check(pod)?;
        may_change_leader(authority, None, pod)?;
        let entity = Entity::new(EntityKind::Pod, &pod.id);
        let act = Act { action: "pod.create", entity, before: None, after: on_trail(pod), origin };
        Ok(self.directory.add_pod(pod, &self.audit(authority, act)).await?)
    }

    /// Changes a POD. Requests to an inactive POD are refused, approved ones included.
    pub async fn change_pod(
        &self,
        authority: &Authority<'_>,
        id: &PodId,
        change: PodChange,
        origin: Origin,
    ) -> Result<Pod, AdministrationError> {
        authority.require(Permission::ManagePods)?;
        let before = self.directory.find_pod(id).await?.ok_or(AdministrationError::NoSuchPod)?;
        let after = before.changed(change);
        check(&after)?;
        may_change_leader(authority, Some(&before), &after)?;
        if after == before {
            return Ok(after);
        }
        let act = Act {
            action: "pod.update",
            entity: Entity::new(EntityKind::Pod, id),
            before: Some(on_trail(&before)),
            after: on_trail(&after),
            origin,
        };
        self.directory.change_pod(&before, &after, &self.audit(authority, act)).await?;
        Ok(after)
    }

    pub async fn pods(&self, authority: &Authority<'_>) -> Result<Vec<Pod>, AdministrationError> {
        authority.require(Permission::ManagePods)?;
        Ok(self.directory.pods().await?)
    }
}

fn may_change_leader(authority: &Authority<'_>, before: Option<&Pod>, after: &Pod) -> Result<(), Denied> {
    match authority {
        Authority::Operator => Ok(()),
        Authority::Person(actor) => policy::change_leader(actor, before, after),
    }
}

fn check(pod: &Pod) -> Result<(), AdministrationError> {
    super::targets::check_description(pod.description.as_deref())?;
    let fits = |c: char| !c.is_whitespace() && !c.is_control();
    match &pod.slack_channel {
        Some(channel)
            if !(1..=MAX_CHANNEL).contains(&channel.chars().count()) || !channel.chars().all(fits) =>
        {
            let message =
                "must be the id of a channel in Slack, as C0123456789, or its name; at most 80 characters";
            Err(AdministrationError::invalid("slackChannel", message))
        }
        Some(_) | None => Ok(()),
    }
}

fn on_trail(pod: &Pod) -> Value {
    json!({
        "name": pod.name.as_str(), "managerEmail": pod.manager_email.as_ref().map(Email::as_str),
        "description": pod.description, "slackChannel": pod.slack_channel, "active": pod.active,
    })
}
