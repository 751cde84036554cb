//! Logging in, staying logged in, logging out.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::audit::{AuditEntry, Entity, EntityKind};
use domain::ports::{InvalidToken, PasswordHasher, StoreError, UserUpdate};
use domain::services::{AuthError, AuthSettings, Authentication, LoggedIn};
use domain::text::NewPassword;
use domain::user::{Channel, Origin, Permission, roles};
use secrecy::{ExposeSecret, SecretString};
use testkit::builders::{TEST_PASSWORD, at, email, user};
use testkit::fakes::{FakeTokens, PlainPasswords, SequentialIds, SequentialSecrets};

use super::World;

/// Checks as [`PlainPasswords`] does, and remembers whether there was a hash to check against.
#[derive(Default)]
struct CountingPasswords(Mutex<Vec<bool>>);

#[async_trait]
impl PasswordHasher for CountingPasswords {
    async fn hash(&self, password: &NewPassword) -> String {
        PlainPasswords.hash(password).await
    }

    async fn verify(&self, password: &SecretString, hash: Option<String>) -> bool {
        self.0.lock().expect("no test panics with this lock").push(hash.is_some());
        PlainPasswords.verify(password, hash).await
    }
}

pub(super) struct Door {
    pub(super) world: World,
    pub(super) auth: Authentication,
    passwords: Arc<CountingPasswords>,
}

impl Door {
    /// ada, a developer, and zoe, whose account is not active, both with the test password.
    pub(super) fn new() -> Self {
        let world = World::new();
        world.store.put_user(&user("zoe").inactive().build(), TEST_PASSWORD);
        let passwords = Arc::new(CountingPasswords::default());
        let auth = Authentication {
            users: world.store.user_store(),
            sessions: world.store.session_store(),
            audit: world.store.audit_log(),
            passwords: passwords.clone(),
            tokens: Arc::new(FakeTokens::new()),
            secrets: Arc::new(SequentialSecrets::new()),
            clock: world.clock.clone(),
            ids: Arc::new(SequentialIds::new()),
            settings: AuthSettings::default(),
        };
        Self { world, auth, passwords }
    }

    pub(super) async fn try_login(&self, name: &str, password: &str) -> Result<LoggedIn, AuthError> {
        self.auth.login(&email(name), &password.into(), &origin()).await
    }

    pub(super) async fn login(&self) -> LoggedIn {
        self.try_login("ada", TEST_PASSWORD).await.expect("ada may log in")
    }

    pub(super) async fn authenticate(
        &self,
        tokens: &LoggedIn,
    ) -> Result<domain::services::Caller, AuthError> {
        self.auth.authenticate(tokens.access_token.expose_secret()).await
    }

    pub(super) async fn refresh(&self, tokens: &LoggedIn) -> Result<LoggedIn, AuthError> {
        self.auth.refresh(tokens.refresh_token.expose_secret()).await
    }
}

pub(super) fn origin() -> Origin {
    Origin { ip: Some("192.0.2.7".to_owned()), user_agent: Some("Firefox".to_owned()), channel: Channel::Api }
}

fn audit_of(action: &str, entity: Entity) -> impl Fn(&AuditEntry) -> bool {
    move |entry| entry.action == action && entry.entity == entity
}

#[tokio::test]
async fn a_login_gives_tokens_that_say_who_it_is() {
    let door = Door::new();
    let tokens = door.login().await;
    assert_eq!(tokens.user.email, email("ada"));
    assert_eq!(tokens.access_ttl, Duration::from_mins(15));
    let caller = door.authenticate(&tokens).await.expect("the token is fresh");
    assert_eq!(caller.user.id, user("ada").build().id);
    assert!(caller.actor.may(Permission::SubmitRequests));
    assert_eq!(caller.actor.session, Some(caller.token.claims.session));
    let entries = door.world.store.audit_entries();
    let [login] = &entries[..] else { panic!("one entry, not {entries:?}") };
    assert_eq!((login.action.as_str(), login.user), ("session.login", Some(caller.user.id)));
    assert_eq!((&login.origin, login.at), (&origin(), at(0)));
}

#[tokio::test]
async fn a_login_leaves_no_secret_on_the_trail() {
    let door = Door::new();
    let tokens = door.login().await;
    door.try_login("ada", "a wrong password").await.expect_err("the password is wrong");
    let trail = format!("{:?}", door.world.store.audit_entries());
    for secret in
        [&tokens.access_token, &tokens.refresh_token, &TEST_PASSWORD.into(), &"a wrong password".into()]
    {
        assert!(!trail.contains(secret.expose_secret()), "{trail}");
    }
}

#[tokio::test]
async fn a_wrong_password_an_unknown_and_an_inactive_account_get_the_same_answer() {
    let door = Door::new();
    let attempts =
        [("ada", "a wrong password"), ("nobody", TEST_PASSWORD), ("zoe", TEST_PASSWORD), ("zoe", "x")];
    for (name, password) in attempts {
        let error = door.try_login(name, password).await.expect_err("nobody is let in");
        assert!(matches!(error, AuthError::WrongLogin), "{name}: {error:?}");
        assert_eq!(error.to_string(), "the e-mail address or the password is wrong");
    }
    assert_eq!(
        *door.passwords.0.lock().expect("no test panics with this lock"),
        [true, false, true, true],
        "each is checked, so that time tells nothing"
    );
}

#[tokio::test]
async fn every_failed_login_is_audited_with_the_address_that_was_tried() {
    let door = Door::new();
    for name in ["ada", "nobody", "zoe"] {
        door.try_login(name, "a wrong password").await.expect_err("nobody is let in");
        let is_it = audit_of("session.login_failed", Entity::new(EntityKind::User, email(name)));
        let entries = door.world.store.audit_entries();
        let found = entries.iter().find(|entry| is_it(entry)).expect("it is on the trail");
        assert_eq!((found.user, &found.origin), (None, &origin()));
    }
    assert_eq!(door.world.store.audit_entries().len(), 3);
}

#[tokio::test]
async fn a_refresh_trades_the_tokens_for_new_ones_of_the_same_session() {
    let door = Door::new();
    let first = door.login().await;
    door.world.clock.advance(Duration::from_mins(20));
    let expired = door.authenticate(&first).await.expect_err("access tokens live for 15 minutes");
    assert!(matches!(expired, AuthError::Token(InvalidToken::Expired)), "{expired:?}");
    let second = door.refresh(&first).await.expect("the refresh token is good");
    assert_ne!(second.refresh_token.expose_secret(), first.refresh_token.expose_secret());
    let caller = door.authenticate(&second).await.expect("the new token is good");
    assert_eq!(caller.token.claims.session.as_uuid(), SequentialIds::nth(1), "it is still the first session");
    door.refresh(&second).await.expect("and so on");
}

#[tokio::test]
async fn a_refresh_token_that_is_used_again_ends_its_session() {
    let door = Door::new();
    let first = door.login().await;
    let other = door.login().await;
    let second = door.refresh(&first).await.expect("the refresh token is good");
    let reused = door.refresh(&first).await.expect_err("it was used before");
    assert!(matches!(reused, AuthError::ReusedRefresh), "{reused:?}");
    let after = door.refresh(&second).await.expect_err("the session is over");
    assert!(matches!(after, AuthError::InvalidRefresh), "{after:?}");
    let ended = door.authenticate(&second).await.expect_err("the session is over");
    assert!(matches!(ended, AuthError::Ended), "{ended:?}");
    assert!(door.world.store.audit_actions().contains(&"session.reuse_detected".to_owned()));
    door.authenticate(&other).await.expect("another login of the same person goes on");
    door.refresh(&other).await.expect("another login of the same person goes on");
}

#[tokio::test]
async fn refreshing_does_not_prolong_a_session_for_ever() {
    let door = Door::new();
    let mut tokens = door.login().await;
    for _ in 0..6 {
        door.world.clock.advance(Duration::from_hours(24));
        tokens = door.refresh(&tokens).await.expect("the session lives for 7 days");
    }
    door.world.clock.advance(Duration::from_hours(25));
    let error = door.refresh(&tokens).await.expect_err("the session is over");
    assert!(matches!(error, AuthError::InvalidRefresh), "{error:?}");
}

#[tokio::test]
async fn what_is_not_a_token_is_told_so() {
    let door = Door::new();
    let refresh = door.auth.refresh("no token at all").await.expect_err("nobody has this token");
    assert!(matches!(refresh, AuthError::InvalidRefresh), "{refresh:?}");
    let access = door.auth.authenticate("no token at all").await.expect_err("nobody has this token");
    assert!(matches!(access, AuthError::Token(InvalidToken::Invalid)), "{access:?}");
}

#[tokio::test]
async fn a_logout_ends_the_session_at_once() {
    let door = Door::new();
    let tokens = door.login().await;
    let other = door.login().await;
    let caller = door.authenticate(&tokens).await.expect("the token is fresh");
    door.auth.logout(&caller, &origin()).await.expect("the store answers");
    let error = door.authenticate(&tokens).await.expect_err("the token is refused");
    assert!(matches!(error, AuthError::Ended), "{error:?}");
    let error = door.refresh(&tokens).await.expect_err("the session is over");
    assert!(matches!(error, AuthError::InvalidRefresh), "{error:?}");
    door.authenticate(&other).await.expect("another login goes on");
    assert_eq!(door.world.store.audit_actions().last().map(String::as_str), Some("session.logout"));
}

#[tokio::test]
async fn a_logout_from_everywhere_ends_all_sessions_of_the_person_and_no_others() {
    let door = Door::new();
    door.world.store.put_user(&user("bob").build(), TEST_PASSWORD);
    let bob = door.try_login("bob", TEST_PASSWORD).await.expect("bob may log in");
    let (here, there) = (door.login().await, door.login().await);
    door.world.clock.advance(Duration::from_secs(1));
    let caller = door.authenticate(&here).await.expect("the token is fresh");
    door.auth.logout_all(&caller, &origin()).await.expect("the store answers");
    for tokens in [&here, &there] {
        let error = door.authenticate(tokens).await.expect_err("the session is over");
        assert!(matches!(error, AuthError::Ended), "{error:?}");
        door.refresh(tokens).await.expect_err("the session is over");
    }
    door.authenticate(&bob).await.expect("bob goes on");
    let again = door.login().await;
    door.authenticate(&again).await.expect("a new login is good");
    assert!(door.world.store.audit_actions().contains(&"session.logout_all".to_owned()));
}

#[tokio::test]
async fn a_changed_role_acts_on_the_next_call() {
    let door = Door::new();
    let tokens = door.login().await;
    let before = door.authenticate(&tokens).await.expect("the token is fresh");
    assert!(!before.actor.may(Permission::DecidePodRequests));
    door.world.store.set_roles(before.user.id, &[roles::MANAGER]);
    let after = door.authenticate(&tokens).await.expect("the token is still good");
    assert!(after.actor.may(Permission::DecidePodRequests));
    door.world.store.set_roles(before.user.id, &[roles::VIEWER]);
    let last = door.authenticate(&tokens).await.expect("the token is still good");
    assert!(!last.actor.may(Permission::SubmitRequests));
}

#[tokio::test]
async fn a_deactivation_acts_on_the_next_call() {
    let door = Door::new();
    let tokens = door.login().await;
    let caller = door.authenticate(&tokens).await.expect("the token is fresh");
    let update = UserUpdate { active: Some(false), ..UserUpdate::default() };
    let audit = AuditEntry {
        user: None,
        action: "user.update".to_owned(),
        entity: Entity::new(EntityKind::User, caller.user.id),
        old_values: None,
        new_values: None,
        origin: Origin::cli(),
        at: at(1),
    };
    door.world.store.user_store().update(&caller.user, &update, &audit).await.expect("ada exists");
    let error = door.authenticate(&tokens).await.expect_err("the account is not active");
    assert!(matches!(error, AuthError::Ended), "{error:?}");
    let error = door.refresh(&tokens).await.expect_err("the account is not active");
    assert!(matches!(error, AuthError::InvalidRefresh), "{error:?}");
}

#[tokio::test]
async fn nobody_is_let_in_while_the_store_is_away() {
    let door = Door::new();
    let tokens = door.login().await;
    door.world.store.set_unavailable(true);
    let away = |error: &AuthError| matches!(error, AuthError::Store(StoreError::Unavailable { .. }));
    assert!(away(&door.try_login("ada", TEST_PASSWORD).await.expect_err("the store is away")));
    assert!(away(&door.authenticate(&tokens).await.expect_err("the store is away")));
    assert!(away(&door.refresh(&tokens).await.expect_err("the store is away")));
    door.world.store.set_unavailable(false);
    door.refresh(&tokens).await.expect("the token was not used up");
}
