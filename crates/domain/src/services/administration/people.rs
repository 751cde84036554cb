//! Accounts.

use serde_json::{Value, json};

use super::{Act, Administration, AdministrationError, Authority};
use crate::audit::{Entity, EntityKind};
use crate::ids::{PodId, UserId};
use crate::policy::{self, Denied};
use crate::ports::{NewUser, UserError, UserUpdate};
use crate::text::{DisplayName, Email, NewPassword};
use crate::user::{Origin, Permission, Role, User};

/// An account to be.
#[derive(Clone, Debug)]
pub struct NewAccount {
    pub email: Email,
    pub name: DisplayName,
    pub pod: Option<PodId>,
    pub roles: Vec<String>,
    pub password: NewPassword,
}

/// What changes of an account; `None` leaves it. A new password is an act of its own.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct AccountChange {
    pub name: Option<DisplayName>,
    /// `Some(None)` takes the person out of their POD.
    pub pod: Option<Option<PodId>>,
    pub roles: Option<Vec<String>>,
    pub active: Option<bool>,
    /// `Some(None)` unties the account from Slack.
    pub slack_user_id: Option<Option<String>>,
}

impl Administration {
    pub async fn create_user(
        &self,
        authority: &Authority<'_>,
        account: NewAccount,
        origin: Origin,
    ) -> Result<User, AdministrationError> {
        authority.require(Permission::ManageUsers)?;
        let roles = some_roles(account.roles)?;
        let user = User {
            id: UserId::from_uuid(self.ids.new_id()),
            email: account.email,
            name: account.name,
            pod: account.pod,
            slack_user_id: None,
            active: true,
            roles,
            last_login: None,
            created_at: self.clock.now(),
        };
        self.may_hand_out(authority, &[&user]).await?;
        let new = NewUser {
            id: user.id,
            password_hash: self.passwords.hash(&account.password).await,
            email: user.email.clone(),
            name: user.name.clone(),
            pod: user.pod.clone(),
            roles: user.roles.clone(),
            at: user.created_at,
        };
        let act = Act {
            action: "user.create",
            entity: Entity::new(EntityKind::User, user.id),
            before: None,
            after: on_trail(&user),
            origin,
        };
        self.users.create(&new, &self.audit(authority, act)).await?;
        Ok(user)
    }

    /// Changes an account. It acts on the person's next call.
    pub async fn change_user(
        &self,
        authority: &Authority<'_>,
        id: UserId,
        change: AccountChange,
        origin: Origin,
    ) -> Result<User, AdministrationError> {
        authority.require(Permission::ManageUsers)?;
        let before = self.users.find(id).await?.ok_or(UserError::NotFound)?;
        let mut after = before.clone();
        crate::target::replace(&mut after.name, change.name.clone());
        crate::target::replace(&mut after.pod, change.pod.clone());
        crate::target::replace(&mut after.roles, change.roles.map(some_roles).transpose()?);
        crate::target::replace(&mut after.active, change.active);
        crate::target::replace(&mut after.slack_user_id, change.slack_user_id.clone());
        check_slack_user(after.slack_user_id.as_deref())?;
        self.may_change(authority, &before, &after).await?;
        if after == before {
            return Ok(after);
        }
        let update = UserUpdate {
            name: change.name,
            pod: change.pod,
            roles: (after.roles != before.roles).then(|| after.roles.clone()),
            active: change.active,
            slack_user_id: change.slack_user_id,
            ..UserUpdate::default()
        };
        let act = Act {
            action: "user.update",
            entity: Entity::new(EntityKind::User, id),
            before: Some(on_trail(&before)),
            after: on_trail(&after),
            origin,
        };
        self.users.update(&before, &update, &self.audit(authority, act)).await?;
        Ok(after)
    }

    /// Sets a new password, which ends all sessions of the account. The trail gets the fact only.
    pub async fn set_password(
        &self,
        authority: &Authority<'_>,
        id: UserId,
        password: &NewPassword,
        origin: Origin,
    ) -> Result<(), AdministrationError> {
        authority.require(Permission::ManageUsers)?;
        let before = self.users.find(id).await?.ok_or(UserError::NotFound)?;
        if authority.user() == Some(id) {
            return Err(Denied::OwnAccount.into());
        }
        self.may_hand_out(authority, &[&before]).await?;
        let update =
            UserUpdate { password_hash: Some(self.passwords.hash(password).await), ..UserUpdate::default() };
        let act = Act {
            action: "user.password",
            entity: Entity::new(EntityKind::User, id),
            before: None,
            after: json!({ "passwordChanged": true }),
            origin,
        };
        Ok(self.users.update(&before, &update, &self.audit(authority, act)).await?)
    }

    /// Accounts by e-mail address, at most `limit`, those behind `after`.
    pub async fn users(
        &self,
        authority: &Authority<'_>,
        after: Option<Email>,
        limit: u32,
    ) -> Result<Vec<User>, AdministrationError> {
        authority.require(Permission::ManageUsers)?;
        Ok(self.users.list(after, limit).await?)
    }

    pub async fn user(&self, authority: &Authority<'_>, id: UserId) -> Result<User, AdministrationError> {
        authority.require(Permission::ManageUsers)?;
        Ok(self.users.find(id).await?.ok_or(UserError::NotFound)?)
    }

    /// The roles that an account can have.
    pub async fn roles(&self, authority: &Authority<'_>) -> Result<Vec<Role>, AdministrationError> {
        authority.require(Permission::ManageUsers)?;
        Ok(self.users.roles().await?)
    }

    async fn may_change(
        &self,
        authority: &Authority<'_>,
        before: &User,
        after: &User,
    ) -> Result<(), AdministrationError> {
        let own = authority.user() == Some(before.id);
        if own {
            let decided =
                |user: &User| (user.roles.clone(), user.pod.clone(), user.active, user.slack_user_id.clone());
            let same = decided(before) == decided(after);
            return if same { Ok(()) } else { Err(Denied::OwnAccount.into()) };
        }
        self.may_hand_out(authority, &[before, after]).await
    }

    /// Asks the rules about an account as it is and as it shall be.
    async fn may_hand_out(
        &self,
        authority: &Authority<'_>,
        accounts: &[&User],
    ) -> Result<(), AdministrationError> {
        let Authority::Person(actor) = authority else { return Ok(()) };
        let known = self.users.roles().await?;
        let mut roles = Vec::new();
        for name in accounts.iter().flat_map(|account| &account.roles) {
            let role = known.iter().find(|role| role.name == *name);
            roles.push(role.ok_or_else(|| UserError::UnknownRole(name.clone()))?);
        }
        let pods = self.directory.pods().await?;
        // One that is switched off today may be switched on tomorrow.
        let led = pods.iter().filter(|pod| accounts.iter().any(|account| pod.is_led_by(&account.email)));
        let of_accounts = accounts.iter().filter_map(|account| account.pod.as_ref());
        Ok(policy::hand_out(actor, roles, of_accounts.chain(led.map(|pod| &pod.id)))?)
    }
}

/// Sorted, each once, as accounts hold them.
fn some_roles(mut roles: Vec<String>) -> Result<Vec<String>, AdministrationError> {
    if roles.is_empty() {
        return Err(AdministrationError::invalid("roles", "must name at least one role"));
    }
    roles.sort();
    roles.dedup();
    Ok(roles)
}

/// As Slack writes them: `U` or `W`, then capital letters and digits.
fn check_slack_user(id: Option<&str>) -> Result<(), AdministrationError> {
    let fits = |id: &str| {
        (2..=64).contains(&id.len())
            && id.starts_with(['U', 'W'])
            && id.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
    };
    match id {
        Some(id) if !fits(id) => {
            let message =
                "must be the id of a user in Slack, as U0123456789 (in their profile: Copy member ID)";
            Err(AdministrationError::invalid("slackUserId", message))
        }
        Some(_) | None => Ok(()),
    }
}

fn on_trail(user: &User) -> Value {
    json!({
        "email": user.email.as_str(), "name": user.name.as_str(), "roles": user.roles, "active": user.active,
        "pod": user.pod.as_ref().map(PodId::as_str), "slackUserId": user.slack_user_id,
    })
}
