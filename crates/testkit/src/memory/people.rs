//! Accounts.

use async_trait::async_trait;
use domain::audit::AuditEntry;
use domain::auth::OwnerProof;
use domain::ids::{PodId, UserId};
use domain::ports::{NewUser, StoreError, UserError, UserStore, UserUpdate, UserWithPassword};
use domain::text::{DisplayName, Email};
use domain::user::{Role, User};

use super::world::{Account, World};
use super::{InMemoryStore, rejected};

#[async_trait]
impl UserStore for InMemoryStore {
    async fn create(&self, user: &NewUser, audit: &AuditEntry) -> Result<(), UserError> {
        self.atomically(|world| {
            if world.accounts.values().any(|account| account.user.email == user.email) {
                return Err(UserError::EmailTaken);
            }
            if world.accounts.contains_key(&user.id) {
                return Err(rejected(format!("user {} exists already", user.id)).into());
            }
            check_roles(world, &user.roles)?;
            check_pod(world, user.pod.as_ref())?;
            let account = Account {
                user: User {
                    id: user.id,
                    email: user.email.clone(),
                    name: user.name.clone(),
                    pod: user.pod.clone(),
                    slack_user_id: None,
                    active: true,
                    roles: sorted(&user.roles),
                    last_login: None,
                    created_at: user.at,
                },
                password_hash: user.password_hash.clone(),
                tokens_valid_from: None,
                slack_not_found_at: None,
            };
            world.accounts.insert(user.id, account);
            world.audit.push(audit.clone());
            Ok(())
        })
    }

    async fn find(&self, id: UserId) -> Result<Option<User>, StoreError> {
        self.atomically(|world| Ok(world.accounts.get(&id).map(|account| account.user.clone())))
    }

    async fn find_by_email(&self, email: &Email) -> Result<Option<UserWithPassword>, StoreError> {
        self.atomically(|world| {
            let account = world.accounts.values().find(|account| account.user.email == *email);
            Ok(account.map(|account| UserWithPassword {
                user: account.user.clone(),
                password_hash: account.password_hash.clone(),
            }))
        })
    }

    async fn list(&self, after: Option<Email>, limit: u32) -> Result<Vec<User>, StoreError> {
        self.atomically(|world| {
            let mut users: Vec<User> = world.accounts.values().map(|account| account.user.clone()).collect();
            users.retain(|user| after.as_ref().is_none_or(|after| user.email > *after));
            users.sort_by(|a, b| a.email.cmp(&b.email));
            users.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            Ok(users)
        })
    }

    async fn update(&self, before: &User, update: &UserUpdate, audit: &AuditEntry) -> Result<(), UserError> {
        self.atomically(|world| {
            let account = world.accounts.get(&before.id).ok_or(UserError::NotFound)?;
            if decided(&account.user) != decided(before) {
                return Err(UserError::Changed);
            }
            let UserUpdate { name, pod, roles, active, slack_user_id, password_hash, proof } = update.clone();
            if proof.is_some_and(|proof| !holds(world, account, &proof)) {
                return Err(UserError::Changed);
            }
            check_roles(world, roles.as_deref().unwrap_or_default())?;
            check_pod(world, pod.as_ref().and_then(Option::as_ref))?;
            let slack = slack_user_id.as_ref().and_then(Option::as_ref);
            if slack.is_some_and(|slack| world.tied_to(slack).is_some_and(|other| other != before.id)) {
                return Err(UserError::SlackUserTaken);
            }
            let account = world.accounts.get_mut(&before.id).ok_or(UserError::NotFound)?;
            let ends_sessions = password_hash.is_some() || active == Some(false);
            let user = &mut account.user;
            user.name = name.unwrap_or_else(|| user.name.clone());
            user.pod = pod.unwrap_or_else(|| user.pod.clone());
            user.roles = roles.map_or_else(|| user.roles.clone(), |roles| sorted(&roles));
            user.active = active.unwrap_or(user.active);
            if let Some(slack_user_id) = slack_user_id {
                user.slack_user_id = slack_user_id;
                account.slack_not_found_at = None;
            }
            account.password_hash = password_hash.unwrap_or_else(|| account.password_hash.clone());
            if ends_sessions {
                world.end_sessions(before.id, audit.at);
            }
            world.audit.push(audit.clone());
            Ok(())
        })
    }

    async fn roles(&self) -> Result<Vec<Role>, StoreError> {
        self.atomically(|world| Ok(world.roles.values().cloned().collect()))
    }
}

/// What people decide about an account; a login changes none of it.
fn decided(user: &User) -> (&DisplayName, Option<&PodId>, &[String], bool, Option<&str>) {
    (&user.name, user.pod.as_ref(), &user.roles, user.active, user.slack_user_id.as_deref())
}

fn holds(world: &World, account: &Account, proof: &OwnerProof) -> bool {
    let session = world.sessions.get(&proof.session);
    let live = session.is_some_and(|session| session.user == account.user.id && !session.revoked);
    live && account.password_hash == proof.verified.0
}

fn check_roles(world: &World, roles: &[String]) -> Result<(), UserError> {
    match roles.iter().find(|role| !world.roles.contains_key(*role)) {
        Some(unknown) => Err(UserError::UnknownRole(unknown.clone())),
        None => Ok(()),
    }
}

fn check_pod(world: &World, pod: Option<&PodId>) -> Result<(), UserError> {
    match world.unknown_pod(pod.into_iter()) {
        Some(unknown) => Err(UserError::UnknownPod(unknown)),
        None => Ok(()),
    }
}

fn sorted(roles: &[String]) -> Vec<String> {
    let mut roles = roles.to_vec();
    roles.sort();
    roles.dedup();
    roles
}
