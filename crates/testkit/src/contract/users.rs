//! `UserStore`: accounts, and what changes of them do to sessions.

use domain::audit::EntityKind;
use domain::auth::{NewSession, Rotation, TokenHash};
use domain::ids::UserId;
use domain::ports::{NewUser, UserError, UserUpdate};
use domain::user::{Permission, PermissionSet, User, roles};

use super::scene::{Scene, entry, entry_at, fifty_at_once, id_of, renamed};
use super::stores::Stores;
use crate::builders::{at, display_name, email, new_session, pod_id, presented, user, uuid_for};

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
    update_from(w, &w.user(id).await, update).await
}

async fn update_from(w: &Scene, before: &User, update: UserUpdate) -> Result<(), UserError> {
    let audit = entry_at("user.update", EntityKind::User, &before.id.to_string(), at(100));
    w.users.update(before, &update, &audit).await
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
        assert_eq!(w.user(new.id).await, expected);
        let by_email =
            w.users.find_by_email(&new.email).await.expect("the store answers").expect("it exists");
        assert_eq!((by_email.user, by_email.password_hash), (expected, new.password_hash));
        assert_eq!(w.trail(EntityKind::User, new.id).await, ["user.create"]);
    }

    async fn an_account_without_a_pod_and_roles_is_possible(w) {
        let new = NewUser { pod: None, roles: vec![], ..newcomer() };
        create(&w, &new).await.expect("it is new");
        let user = w.user(new.id).await;
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
        let users = w.users.list(None, 100).await.expect("the store answers");
        let emails: Vec<_> = users.iter().map(|user| user.email.clone()).collect();
        assert_eq!(emails, ["ada", "alan", "bob", "eve", "grace", "hedy"].map(email));
        for user in users {
            assert_eq!(w.user(user.id).await, user);
        }
    }

    async fn a_list_goes_on_behind_an_address_and_is_no_longer_than_asked(w) {
        create(&w, &newcomer()).await.expect("it is new");
        let emails = async |after: Option<&str>, limit| -> Vec<_> {
            let users = w.users.list(after.map(email), limit).await.expect("the store answers");
            users.into_iter().map(|user| user.email).collect()
        };
        assert_eq!(emails(None, 2).await, ["ada", "alan"].map(email));
        assert_eq!(emails(Some("alan"), 3).await, ["bob", "eve", "grace"].map(email));
        assert_eq!(emails(Some("grace"), 3).await, ["hedy"].map(email));
        assert_eq!(emails(Some("cleo"), 1).await, ["eve"].map(email), "behind an address that nobody has");
        assert_eq!(emails(Some("hedy"), 3).await, []);
        let page = w.users.list(Some(email("grace")), 1).await.expect("the store answers");
        assert_eq!(page[0].roles, [roles::DEVELOPER, roles::MANAGER], "with all of their roles");
    }

    async fn the_roles_that_come_with_the_portal_are_listed_by_name(w) {
        let known = w.users.roles().await.expect("the store answers");
        let mut expected = roles::ALL.to_vec();
        expected.sort_unstable();
        assert_eq!(known.iter().map(|role| role.name.as_str()).collect::<Vec<_>>(), expected);
        for role in known {
            let permissions = roles::default_permissions(&role.name).iter().copied();
            assert_eq!(role.permissions, PermissionSet::from_strings(permissions), "{}", role.name);
            assert!(!role.description.is_empty());
        }
    }

    async fn an_update_changes_what_it_names_and_nothing_else(w) {
        let before = w.user(id_of("ada")).await;
        let change =
            UserUpdate { name: Some(renamed()), pod: Some(Some(pod_id("orders"))), ..UserUpdate::default() };
        update(&w, before.id, change).await.expect("the account exists");
        let after = User { name: renamed(), pod: Some(pod_id("orders")), ..before.clone() };
        assert_eq!(w.user(before.id).await, after);
        update(&w, before.id, UserUpdate { pod: Some(None), ..UserUpdate::default() })
            .await
            .expect("it exists");
        assert_eq!(w.user(before.id).await, User { pod: None, ..after });
        let trail = w.trail(EntityKind::User, before.id).await;
        assert_eq!(trail, ["user.create", "user.update", "user.update"]);
    }

    async fn an_update_of_nobody_is_not_found(w) {
        let nobody = UserId::from_uuid(uuid_for("nobody"));
        let change = UserUpdate { name: Some(renamed()), ..UserUpdate::default() };
        let unknown = User { id: nobody, ..w.user(id_of("ada")).await };
        let error = update_from(&w, &unknown, change).await.expect_err("there is nobody");
        assert!(matches!(error, UserError::NotFound), "{error:?}");
        assert!(w.trail(EntityKind::User, nobody).await.is_empty());
    }

    async fn an_update_with_an_unknown_role_or_pod_changes_nothing(w) {
        let before = w.user(id_of("ada")).await;
        let base = UserUpdate { name: Some(renamed()), active: Some(false), ..UserUpdate::default() };
        let change = UserUpdate { roles: Some(vec!["wizard".to_owned()]), ..base.clone() };
        let error = update(&w, before.id, change).await.expect_err("there is no such role");
        assert!(matches!(error, UserError::UnknownRole(_)), "{error:?}");
        let change = UserUpdate { pod: Some(Some(pod_id("nowhere"))), ..base };
        let error = update(&w, before.id, change).await.expect_err("there is no such POD");
        assert!(matches!(error, UserError::UnknownPod(_)), "{error:?}");
        assert_eq!(w.user(before.id).await, before);
        assert_eq!(w.trail(EntityKind::User, before.id).await, ["user.create"]);
    }

    async fn an_update_of_an_account_that_changed_meanwhile_is_refused_and_changes_nothing(w) {
        let first = w.user(id_of("ada")).await;
        let changes = [
            UserUpdate { name: Some(renamed()), ..UserUpdate::default() },
            UserUpdate { pod: Some(Some(pod_id("orders"))), ..UserUpdate::default() },
            UserUpdate { roles: Some(vec![roles::VIEWER.to_owned()]), ..UserUpdate::default() },
            UserUpdate { active: Some(false), ..UserUpdate::default() },
        ];
        for change in &changes {
            let before = w.user(first.id).await;
            update_from(&w, &before, change.clone()).await.expect("nobody was faster");
            let stored = w.user(first.id).await;
            assert_ne!(stored, before);
            let late = UserUpdate { password_hash: Some("plain:late".to_owned()), ..changes[0].clone() };
            let error = update_from(&w, &before, late).await.expect_err("it changed meanwhile");
            assert!(matches!(error, UserError::Changed), "{change:?}: {error:?}");
            assert_eq!(w.user(first.id).await, stored);
        }
        let stored = w.users.find_by_email(&first.email).await.expect("the store answers");
        assert_eq!(stored.expect("she exists").password_hash, new_session(first.id, "").verified.0);
        assert_eq!(w.trail(EntityKind::User, first.id).await.len(), 1 + changes.len());
    }

    async fn a_refused_update_ends_no_session(w) {
        let token = presented(&open(&w, id_of("ada"), "ada-1").await, at(10));
        let outdated = User { name: renamed(), ..w.user(id_of("ada")).await };
        for change in [
            UserUpdate { active: Some(false), ..UserUpdate::default() },
            UserUpdate { password_hash: Some("plain:late".to_owned()), ..UserUpdate::default() },
        ] {
            let error = update_from(&w, &outdated, change).await.expect_err("it has another name");
            assert!(matches!(error, UserError::Changed), "{error:?}");
        }
        assert!(w.sessions.principal(&token).await.expect("the store answers").is_some());
        assert_eq!(w.trail(EntityKind::User, id_of("ada")).await, ["user.create"]);
    }

    async fn a_login_is_no_change_that_an_update_could_collide_with(w) {
        let before = w.user(id_of("ada")).await;
        open(&w, before.id, "ada-1").await;
        let change = UserUpdate { name: Some(renamed()), ..UserUpdate::default() };
        update_from(&w, &before, change).await.expect("nobody changed anything");
    }

    async fn of_fifty_updates_at_once_exactly_one_is_stored(w) {
        let before = w.user(id_of("ada")).await;
        let answers = fifty_at_once(|number| {
            let (users, before) = (w.users.clone(), before.clone());
            let audit = entry("user.update", EntityKind::User, &before.id.to_string());
            let role = if number % 2 == 0 { roles::MANAGER } else { roles::VIEWER };
            let update = UserUpdate {
                name: Some(display_name(&format!("Name {number}"))),
                roles: Some(vec![role.to_owned()]),
                ..UserUpdate::default()
            };
            async move { users.update(&before, &update, &audit).await.map(|()| update) }
        })
        .await;
        let mut stored = vec![];
        for answer in answers {
            match answer {
                Ok(update) => stored.push(update),
                Err(error) => assert!(matches!(error, UserError::Changed), "{error:?}"),
            }
        }
        let [update] = &stored[..] else { panic!("one has to win: {stored:?}") };
        let after = w.user(before.id).await;
        assert_eq!((Some(&after.name), Some(&after.roles)), (update.name.as_ref(), update.roles.as_ref()));
        assert_eq!(w.trail(EntityKind::User, before.id).await, ["user.create", "user.update"]);
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
        assert!(w.user(id_of("ada")).await.active);
        assert_eq!(w.sessions.principal(&token).await.expect("the store answers"), None);
    }
}
