//! People, their roles, and what a role permits.

use std::collections::BTreeSet;
use std::fmt;

use crate::Timestamp;
use crate::ids::{PodId, SessionId, UserId};
use crate::text::{DisplayName, Email};

/// Something that a role can permit. The list is what the rules ask for; a role's stored
/// permissions may name more (other products share the table) and use `*`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Permission {
    SubmitRequests,
    ReadPodRequests,
    DecidePodRequests,
    ReadAllRequests,
    DecideAllRequests,
    ManageTargets,
    ManagePods,
    ManageUsers,
    ReadAudit,
    ReadStatistics,
}

impl Permission {
    pub const ALL: [Self; 10] = [
        Self::SubmitRequests,
        Self::ReadPodRequests,
        Self::DecidePodRequests,
        Self::ReadAllRequests,
        Self::DecideAllRequests,
        Self::ManageTargets,
        Self::ManagePods,
        Self::ManageUsers,
        Self::ReadAudit,
        Self::ReadStatistics,
    ];

    /// `resource:action`, as stored in `roles.permissions`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SubmitRequests => "requests:submit",
            Self::ReadPodRequests => "requests:read-pod",
            Self::DecidePodRequests => "requests:decide-pod",
            Self::ReadAllRequests => "requests:read-all",
            Self::DecideAllRequests => "requests:decide-all",
            Self::ManageTargets => "targets:manage",
            Self::ManagePods => "pods:manage",
            Self::ManageUsers => "users:manage",
            Self::ReadAudit => "audit:read",
            Self::ReadStatistics => "statistics:read",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The permissions of one person, from all of their roles.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PermissionSet(BTreeSet<String>);

impl PermissionSet {
    /// Takes stored permission strings. Strings that no rule asks for grant nothing.
    pub fn from_strings<I: IntoIterator<Item = S>, S: Into<String>>(strings: I) -> Self {
        Self(strings.into_iter().map(Into::into).collect())
    }

    pub fn allows(&self, permission: Permission) -> bool {
        self.grants(permission.as_str())
    }

    fn grants(&self, wanted: &str) -> bool {
        let resource = wanted.split(':').next().unwrap_or(wanted);
        self.0.iter().any(|held| held == wanted || held == "*:*" || *held == format!("{resource}:*"))
    }

    /// Whether everything that `other` grants is granted here too.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|wanted| self.grants(wanted))
    }

    /// The permission strings, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// A named set of permissions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Role {
    pub name: String,
    pub description: String,
    pub permissions: PermissionSet,
}

/// The roles that come with the portal; an installation may add rows to `roles`.
pub mod roles {
    pub const DEVELOPER: &str = "developer";
    pub const MANAGER: &str = "manager";
    pub const ADMIN: &str = "admin";
    pub const OPERATOR: &str = "operator";
    pub const VIEWER: &str = "viewer";
    pub const ALL: [&str; 5] = [DEVELOPER, MANAGER, ADMIN, OPERATOR, VIEWER];

    /// What a role permits when the portal is installed.
    pub fn default_permissions(role: &str) -> &'static [&'static str] {
        match role {
            DEVELOPER => &["requests:submit"],
            MANAGER => &["requests:submit", "requests:read-pod", "requests:decide-pod"],
            ADMIN => &["*:*"],
            OPERATOR => {
                &["modules:read", "modules:write", "modules:execute", "jobs:read", "jobs:write", "users:read"]
            }
            VIEWER => &["modules:read", "jobs:read", "users:read"],
            _ => &[],
        }
    }
}

/// An account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    pub id: UserId,
    pub email: Email,
    pub name: DisplayName,
    pub pod: Option<PodId>,
    pub slack_user_id: Option<String>,
    pub active: bool,
    /// Names of roles, sorted.
    pub roles: Vec<String>,
    pub last_login: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// The person behind a call, as the rules see them at this moment: read afresh for every call,
/// so that a changed role or a deactivation acts at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor {
    pub user: UserId,
    pub email: Email,
    pub name: DisplayName,
    pub pod: Option<PodId>,
    pub roles: Vec<String>,
    pub permissions: PermissionSet,
    /// PODs whose `manager_email` is this person's.
    pub pods_by_email: BTreeSet<PodId>,
    pub session: Option<SessionId>,
}

impl Actor {
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.allows(permission)
    }

    /// A manager manages the POD that they belong to and those that name their address.
    pub fn belongs_to_or_leads(&self, pod: &PodId) -> bool {
        self.pod.as_ref() == Some(pod) || self.pods_by_email.contains(pod)
    }

    /// The PODs of this person: their own and those that they lead.
    pub fn pods(&self) -> BTreeSet<PodId> {
        self.pod.iter().cloned().chain(self.pods_by_email.iter().cloned()).collect()
    }
}

/// Where a call came from, for the audit trail.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Origin {
    pub ip: Option<String>,
    pub user_agent: Option<String>,
    pub channel: Channel,
}

/// The way by which a person reached the portal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Channel {
    #[default]
    Api,
    Cli,
    Slack,
    System,
}

impl Channel {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Cli => "cli",
            Self::Slack => "slack",
            Self::System => "system",
        }
    }
}

impl Origin {
    /// The portal itself: workers, the reaper.
    pub fn system() -> Self {
        Self { channel: Channel::System, ..Self::default() }
    }

    /// An operator at the command line.
    pub fn cli() -> Self {
        Self { channel: Channel::Cli, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_grant_and_foreign_permissions_do_not() {
        let admin = PermissionSet::from_strings(roles::default_permissions(roles::ADMIN).iter().copied());
        let operator =
            PermissionSet::from_strings(roles::default_permissions(roles::OPERATOR).iter().copied());
        let requests = PermissionSet::from_strings(["requests:*"]);
        for permission in Permission::ALL {
            assert!(admin.allows(permission));
            assert!(!operator.allows(permission));
            assert_eq!(requests.allows(permission), permission.as_str().starts_with("requests:"));
        }
    }

    #[test]
    fn a_set_covers_what_it_grants_itself_and_no_more() {
        let of = |strings: &[&str]| PermissionSet::from_strings(strings.iter().copied());
        assert!(of(&["*:*"]).covers(&of(&["*:*", "users:manage", "modules:read"])));
        assert!(of(&["users:*"]).covers(&of(&["users:manage", "users:*"])));
        assert!(of(&["users:manage"]).covers(&of(&[])));
        assert!(!of(&["users:*"]).covers(&of(&["*:*"])));
        assert!(!of(&["users:manage"]).covers(&of(&["users:*"])));
        assert!(!of(&[]).covers(&of(&["requests:submit"])));
    }
}
