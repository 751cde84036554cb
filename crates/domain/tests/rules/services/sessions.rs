//! What people do with their own logins: look at them, end them, set another password.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::audit::{AuditEntry, Entity, EntityKind};
use domain::ids::SessionId;
use domain::ports::{PasswordHasher, UserStore};
use domain::services::{AuthError, Caller, LoggedIn};
use domain::text::NewPassword;
use secrecy::SecretString;
use serde_json::json;
use testkit::InMemoryStore;
use testkit::builders::{TEST_PASSWORD, at, email, user, uuid_for};
use testkit::fakes::PlainPasswords;

use super::authentication::{Door, origin};

const NEXT: &str = "another long password";

impl Door {
    async fn caller(&self, tokens: &LoggedIn) -> Caller {
        self.authenticate(tokens).await.expect("the token is fresh")
    }

    async fn change_password(&self, caller: &Caller, current: &str) -> Result<(), AuthError> {
        let next = NewPassword::parse(NEXT.into()).expect("it is long enough");
        self.auth.change_password(caller, &current.into(), &next, &origin()).await
    }

    async fn is_ended(&self, tokens: &LoggedIn) {
        let error = self.authenticate(tokens).await.expect_err("the session is over");
        assert!(matches!(error, AuthError::Ended), "{error:?}");
        let error = self.refresh(tokens).await.expect_err("the session is over");
        assert!(matches!(error, AuthError::InvalidRefresh), "{error:?}");
    }
}

#[tokio::test]
async fn people_see_their_own_live_sessions_the_one_used_last_first() {
    let door = Door::new();
    door.world.store.put_user(&user("bob").build(), TEST_PASSWORD);
    door.try_login("bob", TEST_PASSWORD).await.expect("bob may log in");
    let (first, second, third) = (door.login().await, door.login().await, door.login().await);
    door.world.clock.advance(Duration::from_secs(10));
    let first = door.refresh(&first).await.expect("the token is good");
    door.world.clock.advance(Duration::from_secs(10));
    let second = door.refresh(&second).await.expect("the token is good");
    let gone = door.caller(&third).await;
    door.auth.logout(&gone, &origin()).await.expect("the store answers");
    let caller = door.caller(&first).await;
    let sessions = door.auth.sessions(&caller).await.expect("the store answers");
    let expected = [door.caller(&second).await.token.claims.session, caller.token.claims.session];
    assert_eq!(sessions.iter().map(|session| session.id).collect::<Vec<_>>(), expected);
    let newest = &sessions[0];
    assert_eq!((newest.device.as_deref(), newest.ip.as_deref()), (Some("Firefox"), Some("192.0.2.7")));
    assert_eq!((newest.started_at, newest.refreshed_at), (at(0), at(20)));
    assert_eq!(newest.expires_at, at(7 * 24 * 3_600));
}

#[tokio::test]
async fn ending_one_session_ends_it_at_once_and_leaves_the_others() {
    let door = Door::new();
    let (here, there) = (door.login().await, door.login().await);
    let (caller, other) = (door.caller(&here).await, door.caller(&there).await.token.claims.session);
    door.auth.end_session(&caller, other, &origin()).await.expect("it is hers");
    door.is_ended(&there).await;
    door.caller(&here).await;
    let entry = door.world.store.audit_entries().pop().expect("it is on the trail");
    assert_eq!((entry.action.as_str(), entry.user), ("session.end", Some(caller.user.id)));
    assert_eq!(entry.entity, Entity::new(EntityKind::Session, other));
    let again = door.auth.end_session(&caller, other, &origin()).await;
    assert!(matches!(again, Err(AuthError::NoSuchSession)), "{again:?}");
}

#[tokio::test]
async fn a_session_of_somebody_else_is_told_from_none_by_nothing() {
    let door = Door::new();
    door.world.store.put_user(&user("bob").build(), TEST_PASSWORD);
    let bob = door.try_login("bob", TEST_PASSWORD).await.expect("bob may log in");
    let (ada, bobs) = (door.login().await, door.caller(&bob).await.token.claims.session);
    let caller = door.caller(&ada).await;
    let trail = door.world.store.audit_entries().len();
    let mut told = vec![];
    for session in [bobs, SessionId::from_uuid(uuid_for("nothing"))] {
        let error = door.auth.end_session(&caller, session, &origin()).await.expect_err("it is not hers");
        assert!(matches!(error, AuthError::NoSuchSession), "{error:?}");
        told.push(error.to_string());
    }
    assert_eq!(told[0], told[1]);
    door.caller(&bob).await;
    assert_eq!(door.world.store.audit_entries().len(), trail);
}

#[tokio::test]
async fn another_password_ends_all_sessions_and_is_good_from_then_on() {
    let door = Door::new();
    let (here, there) = (door.login().await, door.login().await);
    let caller = door.caller(&here).await;
    door.world.clock.advance(Duration::from_secs(1));
    door.change_password(&caller, TEST_PASSWORD).await.expect("the current password is right");
    door.is_ended(&here).await;
    door.is_ended(&there).await;
    let error = door.try_login("ada", TEST_PASSWORD).await.expect_err("the password is the old one");
    assert!(matches!(error, AuthError::WrongLogin), "{error:?}");
    let again = door.try_login("ada", NEXT).await.expect("the password is the new one");
    door.caller(&again).await;
    let entries = door.world.store.audit_entries();
    let entry = entries.iter().find(|entry| entry.action == "user.password").expect("it is on the trail");
    assert_eq!((entry.user, &entry.origin, entry.at), (Some(caller.user.id), &origin(), at(1)));
    assert_eq!((&entry.old_values, &entry.new_values), (&None, &Some(json!({ "passwordChanged": true }))));
}

#[tokio::test]
async fn who_does_not_know_the_current_password_sets_no_other_and_is_on_the_trail() {
    let door = Door::new();
    let tokens = door.login().await;
    let caller = door.caller(&tokens).await;
    let error = door.change_password(&caller, "a wrong password").await.expect_err("it is wrong");
    assert!(matches!(error, AuthError::WrongPassword), "{error:?}");
    door.caller(&tokens).await;
    door.refresh(&tokens).await.expect("the session goes on");
    door.try_login("ada", TEST_PASSWORD).await.expect("the password is as it was");
    assert!(door.world.store.audit_actions().contains(&"session.password_failed".to_owned()));
    assert!(!door.world.store.audit_actions().contains(&"user.password".to_owned()));
}

#[tokio::test]
async fn no_password_is_on_the_trail() {
    let door = Door::new();
    let caller = door.caller(&door.login().await).await;
    door.change_password(&caller, "a wrong password").await.expect_err("it is wrong");
    door.change_password(&caller, TEST_PASSWORD).await.expect("it is right");
    let trail = format!("{:?}", door.world.store.audit_entries());
    for secret in [TEST_PASSWORD, NEXT, "a wrong password", "plain:"] {
        assert!(!trail.contains(secret), "{trail}");
    }
}

/// What somebody does to ada's account while its password is being checked.
#[derive(Clone, Copy)]
enum Meanwhile {
    SwitchesItOff,
    SetsItsPassword,
    LogsItOutEverywhere,
}

struct SlowCheck(InMemoryStore, Meanwhile);

const RESET: &str = "set by an admin meanwhile";

#[async_trait]
impl PasswordHasher for SlowCheck {
    async fn hash(&self, password: &NewPassword) -> String {
        PlainPasswords.hash(password).await
    }

    async fn verify(&self, password: &SecretString, hash: Option<String>) -> bool {
        let ada = user("ada");
        match self.1 {
            Meanwhile::SwitchesItOff => self.0.put_user(&ada.inactive().build(), TEST_PASSWORD),
            Meanwhile::SetsItsPassword => self.0.put_user(&ada.build(), RESET),
            Meanwhile::LogsItOutEverywhere => {
                let id = ada.build().id;
                let audit = AuditEntry {
                    user: None,
                    action: "session.logout_all".to_owned(),
                    entity: Entity::new(EntityKind::Session, id),
                    old_values: None,
                    new_values: None,
                    origin: origin(),
                    at: at(1),
                };
                self.0.session_store().close_all(id, at(1), &audit).await.expect("the store answers");
            }
        }
        PlainPasswords.verify(password, hash).await
    }
}

#[tokio::test]
async fn an_account_that_is_changed_meanwhile_gets_no_other_password() {
    let left = [
        (Meanwhile::SwitchesItOff, TEST_PASSWORD),
        (Meanwhile::SetsItsPassword, RESET),
        (Meanwhile::LogsItOutEverywhere, TEST_PASSWORD),
    ];
    for (meanwhile, left) in left {
        let mut door = Door::new();
        let caller = door.caller(&door.login().await).await;
        door.auth.passwords = Arc::new(SlowCheck(door.world.store.clone(), meanwhile));
        let error = door.change_password(&caller, TEST_PASSWORD).await.expect_err("it changed");
        assert!(matches!(error, AuthError::Ended), "{error:?}");
        let ada = door.world.store.find_by_email(&email("ada")).await.expect("the store answers");
        assert_eq!(ada.expect("she exists").password_hash, format!("plain:{left}"));
        assert!(!door.world.store.audit_actions().contains(&"user.password".to_owned()));
    }
}
