//! Logging in, staying logged in, logging out, and who is calling.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::Timestamp;
use crate::audit::{AuditEntry, Entity, EntityKind};
use crate::auth::{
    AccessClaims, NewSession, OwnerProof, PresentedToken, Principal, Rotation, SessionInfo, TokenHash,
    VerifiedHash,
};
use crate::ids::{SessionId, UserId};
use crate::ports::{
    AccessTokens, AuditLog, Clock, IdGenerator, InvalidToken, PasswordHasher, SecretGenerator, SessionStore,
    StoreError, UserError, UserStore, UserUpdate,
};
use crate::text::{Email, NewPassword};
use crate::user::{Actor, Origin, User};

/// How long tokens live.
#[derive(Clone, Copy, Debug)]
pub struct AuthSettings {
    pub access_ttl: Duration,
    /// Of a login, counted from the password; refreshing does not prolong it.
    pub session_ttl: Duration,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self { access_ttl: Duration::from_mins(15), session_ttl: Duration::from_hours(7 * 24) }
    }
}

/// Why somebody is not let in. The messages do not tell which accounts exist.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("the e-mail address or the password is wrong")]
    WrongLogin,
    #[error(transparent)]
    Token(#[from] InvalidToken),
    /// The token was good once, but its session, its user or the token itself is not accepted any more.
    #[error("the session has ended")]
    Ended,
    #[error("the refresh token is not valid")]
    InvalidRefresh,
    #[error("the refresh token was used before, so its session was ended")]
    ReusedRefresh,
    /// The current password, asked for before a new one is set.
    #[error("the current password is wrong")]
    WrongPassword,
    #[error("you have no such session")]
    NoSuchSession,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A fresh pair of tokens.
#[derive(Debug)]
pub struct LoggedIn {
    pub access_token: SecretString,
    pub access_ttl: Duration,
    pub refresh_token: SecretString,
    pub user: User,
}

/// An authenticated call.
#[derive(Clone, Debug)]
pub struct Caller {
    pub user: User,
    pub actor: Actor,
    pub token: PresentedToken,
}

/// See the module.
pub struct Authentication {
    pub users: Arc<dyn UserStore>,
    pub sessions: Arc<dyn SessionStore>,
    pub audit: Arc<dyn AuditLog>,
    pub passwords: Arc<dyn PasswordHasher>,
    pub tokens: Arc<dyn AccessTokens>,
    pub secrets: Arc<dyn SecretGenerator>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdGenerator>,
    pub settings: AuthSettings,
}

impl std::fmt::Debug for Authentication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authentication").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Authentication {
    /// Trades an e-mail address and a password for tokens. A failure is put on the audit trail.
    pub async fn login(
        &self,
        email: &Email,
        password: &SecretString,
        origin: &Origin,
    ) -> Result<LoggedIn, AuthError> {
        let found = self.users.find_by_email(email).await?;
        let hash = found.as_ref().map(|f| f.password_hash.clone());
        let matches = self.passwords.verify(password, hash).await;
        let Some(found) = found.filter(|found| matches && found.user.active) else {
            return self.login_failed(email, origin).await;
        };
        let now = self.clock.now();
        let user = found.user;
        let session = SessionId::from_uuid(self.ids.new_id());
        let refresh_token = self.secrets.new_token();
        let new = NewSession {
            session,
            user: user.id,
            verified: VerifiedHash(found.password_hash),
            refresh_hash: TokenHash::of(refresh_token.expose_secret()),
            device: origin.user_agent.clone(),
            ip: origin.ip.clone(),
            expires_at: now + self.settings.session_ttl,
        };
        let audit = session_audit("session.login", user.id, session, origin, now);
        if !self.sessions.open(&new, &audit).await? {
            return self.login_failed(email, origin).await;
        }
        Ok(self.tokens_for(user, session, refresh_token, now))
    }

    async fn login_failed(&self, email: &Email, origin: &Origin) -> Result<LoggedIn, AuthError> {
        let entry = AuditEntry {
            user: None,
            action: "session.login_failed".to_owned(),
            entity: Entity::new(EntityKind::User, email),
            old_values: None,
            new_values: None,
            origin: origin.clone(),
            at: self.clock.now(),
        };
        self.audit.record(entry).await?;
        Err(AuthError::WrongLogin)
    }

    /// Trades a refresh token for new tokens; the old one is used up.
    pub async fn refresh(&self, refresh_token: &str) -> Result<LoggedIn, AuthError> {
        let now = self.clock.now();
        let next = self.secrets.new_token();
        let presented = TokenHash::of(refresh_token);
        match self.sessions.rotate(&presented, &TokenHash::of(next.expose_secret()), now).await? {
            Rotation::Rotated { user, session } => Ok(self.tokens_for(user, session, next, now)),
            Rotation::Reused { user, session } => {
                tracing::warn!(%user, %session, "a refresh token was used twice; its session was ended");
                Err(AuthError::ReusedRefresh)
            }
            Rotation::Invalid => Err(AuthError::InvalidRefresh),
        }
    }

    /// Says who presents an access token, as of this moment.
    pub async fn authenticate(&self, access_token: &str) -> Result<Caller, AuthError> {
        let claims = self.tokens.verify(access_token, self.clock.now())?;
        self.confirm(PresentedToken { claims, hash: TokenHash::of(access_token) }).await
    }

    /// Looks again at a token that was good: for answers that last longer than a moment.
    pub async fn confirm(&self, token: PresentedToken) -> Result<Caller, AuthError> {
        if token.claims.expires_at <= self.clock.now() {
            return Err(InvalidToken::Expired.into());
        }
        let Some(Principal { user, actor }) = self.sessions.principal(&token).await? else {
            return Err(AuthError::Ended);
        };
        Ok(Caller { user, actor, token })
    }

    /// Ends the caller's session; their access token is refused from now on, in every process.
    pub async fn logout(&self, caller: &Caller, origin: &Origin) -> Result<(), AuthError> {
        let now = self.clock.now();
        let session = caller.token.claims.session;
        let audit = session_audit("session.logout", caller.user.id, session, origin, now);
        Ok(self.sessions.close(&caller.token, now, &audit).await?)
    }

    /// Ends all sessions of the caller.
    pub async fn logout_all(&self, caller: &Caller, origin: &Origin) -> Result<(), AuthError> {
        let now = self.clock.now();
        let audit =
            session_audit("session.logout_all", caller.user.id, caller.token.claims.session, origin, now);
        Ok(self.sessions.close_all(caller.user.id, now, &audit).await?)
    }

    /// The caller's live sessions.
    pub async fn sessions(&self, caller: &Caller) -> Result<Vec<SessionInfo>, AuthError> {
        Ok(self.sessions.list(caller.user.id, self.clock.now()).await?)
    }

    /// Ends one of the caller's sessions, at once and in every process.
    pub async fn end_session(
        &self,
        caller: &Caller,
        session: SessionId,
        origin: &Origin,
    ) -> Result<(), AuthError> {
        let now = self.clock.now();
        let audit = session_audit("session.end", caller.user.id, session, origin, now);
        if self.sessions.close_one(caller.user.id, session, now, &audit).await? {
            Ok(())
        } else {
            Err(AuthError::NoSuchSession)
        }
    }

    /// Sets the caller's own password, which ends all of their sessions, this one too. Whoever found an open
    /// session does not know the current password; a wrong one is put on the trail. A password that somebody else set
    /// meanwhile stays, and a session that was ended meanwhile changes nothing.
    pub async fn change_password(
        &self,
        caller: &Caller,
        current: &SecretString,
        new: &NewPassword,
        origin: &Origin,
    ) -> Result<(), AuthError> {
        let found = self.users.find_by_email(&caller.user.email).await?.ok_or(AuthError::Ended)?;
        let matches = self.passwords.verify(current, Some(found.password_hash.clone())).await;
        let action = if matches { "user.password" } else { "session.password_failed" };
        let entry = AuditEntry {
            user: Some(caller.user.id),
            action: action.to_owned(),
            entity: Entity::new(EntityKind::User, caller.user.id),
            old_values: None,
            new_values: Some(json!({ "passwordChanged": matches })),
            origin: origin.clone(),
            at: self.clock.now(),
        };
        if !matches {
            self.audit.record(entry).await?;
            return Err(AuthError::WrongPassword);
        }
        let update = UserUpdate {
            password_hash: Some(self.passwords.hash(new).await),
            // Checking and hashing take their time, and an admin may set the password or end the session meanwhile.
            proof: Some(OwnerProof {
                verified: VerifiedHash(found.password_hash),
                session: caller.token.claims.session,
            }),
            ..UserUpdate::default()
        };
        match self.users.update(&found.user, &update, &entry).await {
            Ok(()) => Ok(()),
            Err(UserError::Store(error)) => Err(error.into()),
            // Somebody changed the account between the two: the caller may not be who they were.
            Err(
                UserError::NotFound
                | UserError::Changed
                | UserError::EmailTaken
                | UserError::SlackUserTaken
                | UserError::UnknownRole(_)
                | UserError::UnknownPod(_),
            ) => Err(AuthError::Ended),
        }
    }

    fn tokens_for(
        &self,
        user: User,
        session: SessionId,
        refresh_token: SecretString,
        now: Timestamp,
    ) -> LoggedIn {
        let access_ttl = self.settings.access_ttl;
        let claims = AccessClaims { user: user.id, session, issued_at: now, expires_at: now + access_ttl };
        LoggedIn { access_token: self.tokens.sign(&claims), access_ttl, refresh_token, user }
    }
}

fn session_audit(
    action: &str,
    user: UserId,
    session: SessionId,
    origin: &Origin,
    at: Timestamp,
) -> AuditEntry {
    AuditEntry {
        user: Some(user),
        action: action.to_owned(),
        entity: Entity::new(EntityKind::Session, session),
        old_values: None,
        new_values: Some(json!({ "channel": origin.channel.as_str() })),
        origin: origin.clone(),
        at,
    }
}
