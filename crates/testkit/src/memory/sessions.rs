//! Logins.

use async_trait::async_trait;
use domain::Timestamp;
use domain::audit::{AuditEntry, Entity, EntityKind};
use domain::auth::{NewSession, PresentedToken, Principal, Rotation, SessionInfo, TokenHash};
use domain::ids::{SessionId, UserId};
use domain::ports::{SessionStore, StoreError};
use domain::user::{Actor, Origin, PermissionSet, User};

use super::world::{RefreshToken, Session, World};
use super::{InMemoryStore, rejected};

#[async_trait]
impl SessionStore for InMemoryStore {
    async fn open(&self, session: &NewSession, audit: &AuditEntry) -> Result<bool, StoreError> {
        self.atomically(|world| {
            if world.sessions.contains_key(&session.session)
                || world.refresh_tokens.contains_key(&session.refresh_hash)
            {
                return Err(rejected("the session or its token exists already"));
            }
            let account =
                world.accounts.get_mut(&session.user).ok_or_else(|| rejected("the user is unknown"))?;
            if !account.user.active || account.password_hash != session.verified.0 {
                return Ok(false);
            }
            account.user.last_login = Some(audit.at);
            let token = RefreshToken { session: session.session, used: false };
            world.refresh_tokens.insert(session.refresh_hash.clone(), token);
            let opened = Session {
                user: session.user,
                device: session.device.clone(),
                ip: session.ip.clone(),
                started_at: audit.at,
                refreshed_at: audit.at,
                expires_at: session.expires_at,
                revoked: false,
            };
            world.sessions.insert(session.session, opened);
            world.audit.push(audit.clone());
            Ok(true)
        })
    }

    async fn rotate(
        &self,
        presented: &TokenHash,
        next: &TokenHash,
        now: Timestamp,
    ) -> Result<Rotation, StoreError> {
        self.atomically(|world| {
            let Some(token) = world.refresh_tokens.get_mut(presented) else { return Ok(Rotation::Invalid) };
            let id = token.session;
            let Some(session) = world.sessions.get_mut(&id) else { return Ok(Rotation::Invalid) };
            let user = world.accounts.get(&session.user).filter(|account| account.user.active);
            let Some(user) = user.filter(|_| session.is_live(now)) else {
                return Ok(Rotation::Invalid);
            };
            if token.used {
                session.revoked = true;
                let user = session.user;
                world.audit.push(reuse_detected(user, id, now));
                return Ok(Rotation::Reused { user, session: id });
            }
            token.used = true;
            session.refreshed_at = now;
            let rotated = Rotation::Rotated { user: user.user.clone(), session: id };
            world.refresh_tokens.insert(next.clone(), RefreshToken { session: id, used: false });
            Ok(rotated)
        })
    }

    async fn close(
        &self,
        token: &PresentedToken,
        _now: Timestamp,
        audit: &AuditEntry,
    ) -> Result<(), StoreError> {
        self.atomically(|world| {
            if let Some(session) = world.sessions.get_mut(&token.claims.session) {
                session.revoked = true;
            }
            world.blacklist.insert(token.hash.clone());
            world.audit.push(audit.clone());
            Ok(())
        })
    }

    async fn close_all(&self, user: UserId, now: Timestamp, audit: &AuditEntry) -> Result<(), StoreError> {
        self.atomically(|world| {
            world.end_sessions(user, now);
            world.audit.push(audit.clone());
            Ok(())
        })
    }

    async fn list(&self, user: UserId, now: Timestamp) -> Result<Vec<SessionInfo>, StoreError> {
        self.atomically(|world| {
            let live =
                world.sessions.iter().filter(|(_, session)| session.user == user && session.is_live(now));
            let mut sessions: Vec<SessionInfo> = live
                .map(|(id, session)| SessionInfo {
                    id: *id,
                    device: session.device.clone(),
                    ip: session.ip.clone(),
                    started_at: session.started_at,
                    refreshed_at: session.refreshed_at,
                    expires_at: session.expires_at,
                })
                .collect();
            sessions.sort_by_key(|session| std::cmp::Reverse(session.refreshed_at));
            Ok(sessions)
        })
    }

    async fn close_one(
        &self,
        user: UserId,
        session: SessionId,
        now: Timestamp,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        self.atomically(|world| {
            let live = world.sessions.get_mut(&session).filter(|s| s.user == user && s.is_live(now));
            let Some(live) = live else { return Ok(false) };
            live.revoked = true;
            world.audit.push(audit.clone());
            Ok(true)
        })
    }

    async fn principal(&self, token: &PresentedToken) -> Result<Option<Principal>, StoreError> {
        self.atomically(|world| Ok(principal(world, token)))
    }
}

fn reuse_detected(user: UserId, session: SessionId, now: Timestamp) -> AuditEntry {
    AuditEntry {
        user: Some(user),
        action: "session.reuse_detected".to_owned(),
        entity: Entity::new(EntityKind::Session, session),
        old_values: None,
        new_values: None,
        origin: Origin::system(),
        at: now,
    }
}

fn principal(world: &World, token: &PresentedToken) -> Option<Principal> {
    let claims = &token.claims;
    let account = world.accounts.get(&claims.user).filter(|account| account.user.active)?;
    let session = world.sessions.get(&claims.session)?;
    let too_old = account.tokens_valid_from.is_some_and(|from| claims.issued_at < from);
    if session.user != claims.user || session.revoked || too_old || world.blacklist.contains(&token.hash) {
        return None;
    }
    let user = account.user.clone();
    let actor = actor(world, &user, Some(claims.session));
    Some(Principal { user, actor })
}

/// The caller behind an account, as everything is now.
pub(super) fn actor(world: &World, user: &User, session: Option<SessionId>) -> Actor {
    let roles = user.roles.iter().filter_map(|role| world.roles.get(role));
    let permissions = roles.flat_map(|role| role.permissions.iter());
    let led = world.pods.values().filter(|pod| pod.active && pod.manager_email.as_ref() == Some(&user.email));
    Actor {
        user: user.id,
        email: user.email.clone(),
        name: user.name.clone(),
        pod: user.pod.clone(),
        roles: user.roles.clone(),
        permissions: PermissionSet::from_strings(permissions),
        pods_by_email: led.map(|pod| pod.id.clone()).collect(),
        session,
    }
}
