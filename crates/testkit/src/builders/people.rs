//! People, as accounts, as callers and as approvers.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use domain::Timestamp;
use domain::auth::{AccessClaims, NewSession, PresentedToken, TokenHash, VerifiedHash};
use domain::ids::{SessionId, UserId};
use domain::ports::NewUser;
use domain::request::Approver;
use domain::user::{Actor, PermissionSet, User, roles};

use super::{display_name, email, epoch, pod_id, uuid_for};

/// The password of every test account.
pub const TEST_PASSWORD: &str = "correct horse battery staple";

/// An active developer of the POD `payments`, named by the first part of the address.
pub fn user(name: &str) -> UserBuilder {
    UserBuilder {
        user: User {
            id: UserId::from_uuid(uuid_for(&format!("user/{name}"))),
            email: email(name),
            name: display_name(name),
            pod: Some(pod_id("payments")),
            slack_user_id: None,
            active: true,
            roles: vec![],
            last_login: None,
            created_at: epoch(),
        },
    }
}

#[derive(Clone, Debug)]
pub struct UserBuilder {
    user: User,
}

impl UserBuilder {
    /// Adds a role. Without any the account is a developer's.
    pub fn role(mut self, role: &str) -> Self {
        self.user.roles.push(role.to_owned());
        self
    }

    pub fn pod(mut self, id: &str) -> Self {
        self.user.pod = Some(pod_id(id));
        self
    }

    pub fn no_pod(mut self) -> Self {
        self.user.pod = None;
        self
    }

    /// Ties the account to a user of Slack.
    pub fn slack(mut self, slack_user_id: &str) -> Self {
        self.user.slack_user_id = Some(slack_user_id.to_owned());
        self
    }

    pub fn inactive(mut self) -> Self {
        self.user.active = false;
        self
    }

    pub fn build(mut self) -> User {
        if self.user.roles.is_empty() {
            self.user.roles.push(roles::DEVELOPER.to_owned());
        }
        self.user.roles.sort();
        self.user
    }

    /// The account as it is given to a store, with [`TEST_PASSWORD`] as `PlainPasswords` hashes it.
    pub fn new_user(self) -> NewUser {
        let user = self.build();
        NewUser {
            id: user.id,
            email: user.email,
            name: user.name,
            pod: user.pod,
            password_hash: format!("plain:{TEST_PASSWORD}"),
            roles: user.roles,
            at: user.created_at,
        }
    }
}

/// The caller behind [`user`] of the same name, with the default permissions of their roles.
pub fn actor(name: &str) -> ActorBuilder {
    ActorBuilder { user: user(name), leads: BTreeSet::new() }
}

/// The caller behind an account, with the default permissions of its roles.
pub fn actor_of(user: &User) -> Actor {
    let permissions = user.roles.iter().flat_map(|role| roles::default_permissions(role)).copied();
    Actor {
        user: user.id,
        email: user.email.clone(),
        name: user.name.clone(),
        pod: user.pod.clone(),
        roles: user.roles.clone(),
        permissions: PermissionSet::from_strings(permissions),
        pods_by_email: BTreeSet::new(),
        session: Some(SessionId::from_uuid(uuid_for(&format!("session/{}", user.email)))),
    }
}

#[derive(Clone, Debug)]
pub struct ActorBuilder {
    user: UserBuilder,
    leads: BTreeSet<domain::ids::PodId>,
}

impl ActorBuilder {
    /// Adds a role. Without any the caller is a developer.
    pub fn role(mut self, role: &str) -> Self {
        self.user = self.user.role(role);
        self
    }

    pub fn pod(mut self, id: &str) -> Self {
        self.user = self.user.pod(id);
        self
    }

    pub fn no_pod(mut self) -> Self {
        self.user = self.user.no_pod();
        self
    }

    /// The POD names this person's address as its manager's.
    pub fn leads(mut self, id: &str) -> Self {
        self.leads.insert(pod_id(id));
        self
    }

    pub fn build(self) -> Actor {
        Actor { pods_by_email: self.leads, ..actor_of(&self.user.build()) }
    }
}

/// The approver behind [`user`] of the same name.
pub fn approver(name: &str) -> Approver {
    let user = user(name).build();
    Approver { id: user.id, email: user.email }
}

/// A login of somebody that lasts for thirty days after [`epoch`], with `refresh` as its first refresh token.
pub fn new_session(user: UserId, refresh: &str) -> NewSession {
    NewSession {
        session: SessionId::from_uuid(uuid_for(&format!("session/{refresh}"))),
        user,
        verified: VerifiedHash(format!("plain:{TEST_PASSWORD}")),
        refresh_hash: TokenHash::of(refresh),
        device: Some("Firefox on Linux".to_owned()),
        ip: Some("192.0.2.7".to_owned()),
        expires_at: epoch() + TimeDelta::days(30),
    }
}

/// An access token of a session, checked and presented.
pub fn presented(session: &NewSession, issued_at: Timestamp) -> PresentedToken {
    let claims = AccessClaims {
        user: session.user,
        session: session.session,
        issued_at,
        expires_at: issued_at + TimeDelta::minutes(15),
    };
    let hash = TokenHash::of(&format!("{}/{issued_at}", session.session));
    PresentedToken { claims, hash }
}
