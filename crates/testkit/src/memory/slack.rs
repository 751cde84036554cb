//! Who is who in Slack, and which of its calls were taken.

use async_trait::async_trait;
use domain::Timestamp;
use domain::audit::AuditEntry;
use domain::auth::{Principal, TokenHash};
use domain::ids::UserId;
use domain::ports::{ReplayGuard, SlackContact, SlackPeople, StoreError};
use domain::text::Email;

use super::InMemoryStore;
use super::sessions::actor;

#[async_trait]
impl SlackPeople for InMemoryStore {
    async fn contact(&self, user: UserId) -> Result<Option<SlackContact>, StoreError> {
        self.atomically(|world| {
            Ok(world.accounts.get(&user).map(|account| SlackContact {
                email: account.user.email.clone(),
                active: account.user.active,
                slack_user_id: account.user.slack_user_id.clone(),
                not_found_at: account.slack_not_found_at,
            }))
        })
    }

    async fn tie(
        &self,
        user: UserId,
        email: &Email,
        slack_user_id: &str,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        self.atomically(|world| {
            let other = world.tied_to(slack_user_id).is_some_and(|tied| tied != user);
            let Some(account) = world.accounts.get_mut(&user) else { return Ok(false) };
            if other || account.user.email != *email {
                return Ok(false);
            }
            if let Some(tied) = &account.user.slack_user_id {
                return Ok(tied == slack_user_id);
            }
            account.user.slack_user_id = Some(slack_user_id.to_owned());
            account.slack_not_found_at = None;
            world.audit.push(audit.clone());
            Ok(true)
        })
    }

    async fn not_found(&self, user: UserId, now: Timestamp) -> Result<bool, StoreError> {
        self.atomically(|world| {
            let account =
                world.accounts.get_mut(&user).filter(|account| account.user.slack_user_id.is_none());
            Ok(account.is_some_and(|account| account.slack_not_found_at.replace(now).is_none()))
        })
    }

    async fn by_slack_id(&self, slack_user_id: &str) -> Result<Option<Principal>, StoreError> {
        self.atomically(|world| {
            let tied = world.tied_to(slack_user_id).and_then(|id| world.accounts.get(&id));
            Ok(tied.map(|account| Principal {
                actor: actor(world, &account.user, None),
                user: account.user.clone(),
            }))
        })
    }
}

#[async_trait]
impl ReplayGuard for InMemoryStore {
    async fn first_time(
        &self,
        signature: &TokenHash,
        now: Timestamp,
        forget_before: Timestamp,
    ) -> Result<bool, StoreError> {
        self.atomically(|world| {
            world.slack_calls.retain(|_, received_at| *received_at >= forget_before);
            let known = world.slack_calls.contains_key(signature);
            if !known {
                world.slack_calls.insert(signature.clone(), now);
            }
            Ok(!known)
        })
    }
}
