//! `UserStore`: accounts, and what changes of them do to sessions.

use domain::audit::EntityKind;
use domain::auth::{NewSession, Rotation, TokenHash};
use domain::ids::UserId;
use domain::ports::{NewUser, UserError, UserUpdate};
use domain::user::{Permission, User, roles};

use super::scene::{Scene, entry, entry_at, id_of, renamed};
use super::stores::Stores;
use crate::builders::{at, email, new_session, pod_id, presented, user, uuid_for};

/// Somebody who is not of the cast.
fn newcomer() -> NewUser {
    user("hedy").role(roles::MANAGER).role(roles::DEVELOPER).new_user()
}

async fn create(w: &Scene, new: &NewUser) -> Result<(), UserError> {
    w.users.create(new, &entry("user.create", EntityKind::User, &new.id.to_string())).await
}

/// Creates somebody who has to be refused, and shows that nothing is left of it.
async fn refused(w: &Scene, new: NewUser) -> UserError {
    let error = create(w, &new).await.expect_err("it has to be refused");
    assert_eq!(w.users.find(new.id).await.expect("the store answers"), None);
    assert!(w.trail(EntityKind::User, new.id).await.is_empty(), "no audit row is left");
    error
}

async fn update(w: &Scene, id: UserId, update: UserUpdate) -> Result<(), UserError> {
    w.users.update(id, &update, &entry_at("user.update", EntityKind::User, &id.to_string(), at(100))).await
}

async fn found(w: &Scene, id: UserId) -> User {
    w.users.find(id).await.expect("the store answers").expect("the account exists")
}

async fn open(w: &Scene, id: UserId, refresh: &str) -> NewSession {
    let session = new_session(id, refresh);
    let audit = entry("session.open", EntityKind::Session, &session.session.to_string());
    assert!(w.sessions.open(&session, &audit).await.expect("a new session"));
    session
}

/// Changes ada's account while she is logged in, and shows that it ends her sessions.
async fn ends_sessions(w: &Scene, change: UserUpdate) {
    let session = open(w, id_of("ada"), "ada-1").await;
    let other = open(w, id_of("bob"), "bob-1").await;
    let token = presented(&session, at(10));
    assert!(w.sessions.principal(&token).await.expect("the store answers").is_some());
    update(w, id_of("ada"), change).await.expect("the account exists");
    assert_eq!(w.sessions.principal(&token).await.expect("the store answers"), None);
    let (old, next) = (TokenHash::of("ada-1"), TokenHash::of("ada-2"));
    assert_eq!(w.sessions.rotate(&old, &next, at(101)).await.expect("it answers"), Rotation::Invalid);
    let other = w.sessions.principal(&presented(&other, at(10))).await.expect("the store answers");
    assert!(other.is_some(), "other people stay logged in");
}

rules! { ($) __user_rules in users, stores: Stores => Scene::set_up;
    async fn a_new_account_is_stored_with_its_audit_row(w) {
        let unsorted = vec![roles::MANAGER.to_owned(), roles::DEVELOPER.to_owned()];
        let new = NewUser { roles: unsorted, ..newcomer() };
        create(&w, &new).await.expect("it is new");
        let expected = User {
            id: new.id,
            email: new.email.clone(),
            name: new.name.clone(),
            pod: Some(pod_id("payments")),
            slack_user_id: None,
            active: true,
            roles: vec![roles::DEVELOPER.to_owned(), roles::MANAGER.to_owned()],
            last_login: None,
            created_at: new.at,
        };
        assert_eq!(found(&w, new.id).await, expected);
        let by_email =
            w.users.find_by_email(&new.email).await.expect("the store answers").expect("it exists");
        assert_eq!((by_email.user, by_email.password_hash), (expected, new.password_hash));
        assert_eq!(w.trail(EntityKind::User, new.id).await, ["user.create"]);
    }

    async fn an_account_without_a_pod_and_roles_is_possible(w) {
        let new = NewUser { pod: None, roles: vec![], ..newcomer() };
        create(&w, &new).await.expect("it is new");
        let user = found(&w, new.id).await;
        assert_eq!((user.pod, user.roles), (None, vec![]));
    }

    async fn unknown_people_are_not_found(w) {
        let nobody = w.users.find(UserId::from_uuid(uuid_for("nobody"))).await;
        assert_eq!(nobody.expect("the store answers"), None);
        let nobody = w.users.find_by_email(&email("nobody")).await.expect("the store answers");
        assert!(nobody.is_none());
    }

    async fn an_email_address_that_is_taken_is_refused(w) {
        let error = refused(&w, NewUser { email: email("ada"), ..newcomer() }).await;
        assert!(matches!(error, UserError::EmailTaken), "{error:?}");
    }

    async fn of_two_accounts_with_the_same_address_at_once_one_is_stored(w) {
        let tasks: Vec<_> = ["first", "second"]
            .map(|name| {
                let new = NewUser { id: UserId::from_uuid(uuid_for(name)), ..newcomer() };
                let users = w.users.clone();
                tokio::spawn(async move {
                    users.create(&new, &entry("user.create", EntityKind::User, &new.id.to_string())).await
                })
            })
            .into_iter()
            .collect();
        let mut stored = 0;
        for task in tasks {
            match task.await.expect("no panic") {
                Ok(()) => stored += 1,
                Err(error) => assert!(matches!(error, UserError::EmailTaken), "{error:?}"),
            }
        }
        assert_eq!(stored, 1);
    }

    async fn an_unknown_role_is_refused(w) {
        let roles = vec![roles::DEVELOPER.to_owned(), "wizard".to_owned()];
        let error = refused(&w, NewUser { roles, ..newcomer() }).await;
        assert!(matches!(&error, UserError::UnknownRole(role) if role == "wizard"), "{error:?}");
    }

    async fn an_unknown_pod_is_refused(w) {
        let error = refused(&w, NewUser { pod: Some(pod_id("nowhere")), ..newcomer() }).await;
        assert!(matches!(&error, UserError::UnknownPod(pod) if *pod == pod_id("nowhere")), "{error:?}");
    }

    async fn people_are_listed_by_email_address(w) {
        create(&w, &newcomer()).await.expect("it is new");
        let users = w.users.list().await.expect("the store answers");
        let emails: Vec<_> = users.iter().map(|user| user.email.clone()).collect();
        assert_eq!(emails, ["ada", "alan", "bob", "eve", "grace", "hedy"].map(email));
        for user in users {
            assert_eq!(found(&w, user.id).await, user);
        }
    }

    async fn an_update_changes_what_it_names_and_nothing_else(w) {
        let before = found(&w, id_of("ada")).await;
        let change =
            UserUpdate { name: Some(renamed()), pod: Some(Some(pod_id("orders"))), ..UserUpdate::default() };
        update(&w, before.id, change).await.expect("the account exists");
        let after = User { name: renamed(), pod: Some(pod_id("orders")), ..before.clone() };
        assert_eq!(found(&w, before.id).await, after);
        update(&w, before.id, UserUpdate { pod: Some(None), ..UserUpdate::default() })
            .await
            .expect("it exists");
        assert_eq!(found(&w, before.id).await, User { pod: None, ..after });
        let trail = w.trail(EntityKind::User, before.id).await;
        assert_eq!(trail, ["user.create", "user.update", "user.update"]);
    }

    async fn an_update_of_nobody_is_not_found(w) {
        let nobody = UserId::from_uuid(uuid_for("nobody"));
        let change = UserUpdate { name: Some(renamed()), ..UserUpdate::default() };
        let error = update(&w, nobody, change).await.expect_err("there is nobody");
        assert!(matches!(error, UserError::NotFound), "{error:?}");
        assert!(w.trail(EntityKind::User, nobody).await.is_empty());
    }

    async fn an_update_with_an_unknown_role_or_pod_changes_nothing(w) {
        let before = found(&w, id_of("ada")).await;
        let base = UserUpdate { name: Some(renamed()), active: Some(false), ..UserUpdate::default() };
        let change = UserUpdate { roles: Some(vec!["wizard".to_owned()]), ..base.clone() };
        let error = update(&w, before.id, change).await.expect_err("there is no such role");
        assert!(matches!(error, UserError::UnknownRole(_)), "{error:?}");
        let change = UserUpdate { pod: Some(Some(pod_id("nowhere"))), ..base };
        let error = update(&w, before.id, change).await.expect_err("there is no such POD");
        assert!(matches!(error, UserError::UnknownPod(_)), "{error:?}");
        assert_eq!(found(&w, before.id).await, before);
        assert_eq!(w.trail(EntityKind::User, before.id).await, ["user.create"]);
    }

    async fn other_roles_act_on_the_next_call(w) {
        let token = presented(&open(&w, id_of("ada"), "ada-1").await, at(10));
        let before =
            w.sessions.principal(&token).await.expect("the store answers").expect("she is logged in");
        assert!(!before.actor.may(Permission::DecidePodRequests));
        let change = UserUpdate { roles: Some(vec![roles::MANAGER.to_owned()]), ..UserUpdate::default() };
        update(&w, id_of("ada"), change).await.expect("the account exists");
        let after = w.sessions.principal(&token).await.expect("the store answers").expect("she is logged in");
        assert!(after.actor.may(Permission::DecidePodRequests));
        assert_eq!(after.actor.roles, [roles::MANAGER]);
        assert_eq!(after.user.roles, [roles::MANAGER]);
    }

    async fn a_deactivation_ends_all_sessions_at_once(w) {
        ends_sessions(&w, UserUpdate { active: Some(false), ..UserUpdate::default() }).await;
    }

    async fn a_new_password_ends_all_sessions_at_once(w) {
        let change = UserUpdate { password_hash: Some("plain:another".to_owned()), ..UserUpdate::default() };
        ends_sessions(&w, change).await;
        let ada = w.users.find_by_email(&email("ada")).await.expect("the store answers").expect("she exists");
        assert_eq!(ada.password_hash, "plain:another");
    }

    async fn sessions_from_before_a_deactivation_stay_ended_after_it(w) {
        let token = presented(&open(&w, id_of("ada"), "ada-1").await, at(10));
        for active in [false, true] {
            let change = UserUpdate { active: Some(active), ..UserUpdate::default() };
            update(&w, id_of("ada"), change).await.expect("the account exists");
        }
        assert!(found(&w, id_of("ada")).await.active);
        assert_eq!(w.sessions.principal(&token).await.expect("the store answers"), None);
    }
}
