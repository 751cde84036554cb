//! `SessionStore`: logins, the rotation of refresh tokens, and who is behind an access token.

use domain::Timestamp;
use domain::audit::EntityKind;
use domain::auth::{AccessClaims, NewSession, PresentedToken, Principal, Rotation, SessionInfo, TokenHash};
use domain::ids::{SessionId, UserId};
use domain::ports::UserUpdate;
use domain::user::Permission;

use super::scene::{Scene, entry, entry_at, id_of};
use super::stores::Stores;
use crate::builders::{at, email, new_session, pod, pod_id, presented, user, uuid_for};

async fn open(w: &Scene, name: &str, refresh: &str) -> NewSession {
    let session = new_session(id_of(name), refresh);
    let audit = entry_at("session.open", EntityKind::Session, &session.session.to_string(), at(5));
    assert!(w.sessions.open(&session, &audit).await.expect("a new session"));
    session
}

async fn rotate(w: &Scene, presented: &str, next: &str, now: Timestamp) -> Rotation {
    let (presented, next) = (TokenHash::of(presented), TokenHash::of(next));
    w.sessions.rotate(&presented, &next, now).await.expect("the store answers")
}

async fn principal(w: &Scene, token: &PresentedToken) -> Option<Principal> {
    w.sessions.principal(token).await.expect("the store answers")
}

fn is_rotated(rotation: &Rotation, of: &NewSession) -> bool {
    matches!(rotation, Rotation::Rotated { user, session } if user.id == of.user && *session == of.session)
}

async fn list(w: &Scene, user: UserId, now: Timestamp) -> Vec<SessionInfo> {
    w.sessions.list(user, now).await.expect("the store answers")
}

/// What the owner of a fresh login sees.
fn info(session: &NewSession) -> SessionInfo {
    SessionInfo {
        id: session.session,
        device: session.device.clone(),
        ip: session.ip.clone(),
        started_at: at(5),
        refreshed_at: at(5),
        expires_at: session.expires_at,
    }
}

async fn close_one(w: &Scene, user: UserId, session: SessionId) -> bool {
    let audit = entry("session.close", EntityKind::Session, &session.to_string());
    w.sessions.close_one(user, session, at(50), &audit).await.expect("the store answers")
}

rules! { ($) __session_rules in sessions, stores: Stores => Scene::set_up;
    async fn a_login_is_noted_with_its_audit_row(w) {
        let session = open(&w, "ada", "ada-1").await;
        let ada = w.users.find(session.user).await.expect("the store answers").expect("she exists");
        assert_eq!(ada.last_login, Some(at(5)));
        assert_eq!(w.trail(EntityKind::Session, session.session).await, ["session.open"]);
    }

    async fn a_password_or_account_that_changed_while_it_was_checked_opens_nothing(w) {
        let ada = id_of("ada");
        let session = new_session(ada, "ada-1");
        let audit = entry_at("session.open", EntityKind::Session, &session.session.to_string(), at(5));
        let change = UserUpdate { password_hash: Some("plain:another".to_owned()), ..UserUpdate::default() };
        let changed = entry("user.update", EntityKind::User, &ada.to_string());
        w.users.update(&w.user(ada).await, &change, &changed).await.expect("nobody was faster");
        assert!(!w.sessions.open(&session, &audit).await.expect("the store answers"));
        let bob = NewSession { user: id_of("bob"), ..new_session(id_of("bob"), "bob-1") };
        let change = UserUpdate { active: Some(false), ..UserUpdate::default() };
        w.users.update(&w.user(bob.user).await, &change, &changed).await.expect("nobody was faster");
        assert!(!w.sessions.open(&bob, &audit).await.expect("the store answers"));
        for (session, refresh) in [(&session, "ada-1"), (&bob, "bob-1")] {
            assert_eq!(rotate(&w, refresh, "next", at(10)).await, Rotation::Invalid);
            assert_eq!(principal(&w, &presented(session, at(6))).await, None);
        }
        assert!(w.trail(EntityKind::Session, session.session).await.is_empty());
    }

    async fn a_refresh_token_is_traded_for_the_next_one_again_and_again(w) {
        let session = open(&w, "ada", "ada-1").await;
        let first = rotate(&w, "ada-1", "ada-2", at(10)).await;
        let ada = w.users.find(session.user).await.expect("the store answers").expect("she exists");
        assert_eq!(first, Rotation::Rotated { user: ada, session: session.session });
        assert!(is_rotated(&rotate(&w, "ada-2", "ada-3", at(20)).await, &session));
        assert!(is_rotated(&rotate(&w, "ada-3", "ada-4", at(30)).await, &session));
    }

    async fn an_unknown_refresh_token_is_invalid(w) {
        open(&w, "ada", "ada-1").await;
        assert_eq!(rotate(&w, "never-issued", "ada-2", at(10)).await, Rotation::Invalid);
    }

    async fn a_rotation_does_not_move_the_sessions_end(w) {
        let session = open(&w, "ada", "ada-1").await;
        let before = session.expires_at - chrono::TimeDelta::seconds(1);
        let after = session.expires_at + chrono::TimeDelta::seconds(1);
        assert!(is_rotated(&rotate(&w, "ada-1", "ada-2", before).await, &session));
        assert_eq!(rotate(&w, "ada-2", "ada-3", after).await, Rotation::Invalid);
    }

    async fn a_reused_refresh_token_revokes_the_whole_session_and_is_audited(w) {
        let session = open(&w, "ada", "ada-1").await;
        let other = open(&w, "ada", "phone-1").await;
        rotate(&w, "ada-1", "ada-2", at(10)).await;
        let reused = rotate(&w, "ada-1", "thief-1", at(20)).await;
        assert_eq!(reused, Rotation::Reused { user: session.user, session: session.session });
        assert_eq!(rotate(&w, "ada-2", "ada-3", at(30)).await, Rotation::Invalid);
        assert_eq!(rotate(&w, "thief-1", "thief-2", at(30)).await, Rotation::Invalid);
        assert_eq!(principal(&w, &presented(&session, at(11))).await, None, "access tokens end with it");
        let rows = w.probe.audit_rows().await;
        let detected: Vec<_> = rows.iter().filter(|row| row.action == "session.reuse_detected").collect();
        assert_eq!(detected.len(), 1);
        assert!(is_rotated(&rotate(&w, "phone-1", "phone-2", at(30)).await, &other), "other sessions stay");
    }

    async fn of_two_rotations_with_the_same_token_at_once_one_is_a_reuse(w) {
        open(&w, "ada", "ada-1").await;
        let tasks = ["ada-2", "ada-3"].map(|next| {
            let sessions = w.sessions.clone();
            tokio::spawn(async move {
                sessions.rotate(&TokenHash::of("ada-1"), &TokenHash::of(next), at(10)).await
            })
        });
        let (mut rotated, mut reused) = (0, 0);
        for task in tasks {
            match task.await.expect("no panic").expect("the store answers") {
                Rotation::Rotated { .. } => rotated += 1,
                Rotation::Reused { .. } => reused += 1,
                Rotation::Invalid => panic!("the token was good once"),
            }
        }
        assert_eq!((rotated, reused), (1, 1));
        for next in ["ada-2", "ada-3"] {
            assert_eq!(rotate(&w, next, "ada-4", at(20)).await, Rotation::Invalid);
        }
    }

    async fn a_closed_session_refuses_all_of_its_tokens_at_once(w) {
        let session = open(&w, "ada", "ada-1").await;
        let (token, sibling) = (presented(&session, at(10)), presented(&session, at(11)));
        assert!(principal(&w, &token).await.is_some());
        let audit = entry("session.close", EntityKind::Session, &session.session.to_string());
        w.sessions.close(&token, at(20), &audit).await.expect("the store answers");
        assert_eq!(principal(&w, &token).await, None);
        assert_eq!(principal(&w, &sibling).await, None);
        assert_eq!(rotate(&w, "ada-1", "ada-2", at(21)).await, Rotation::Invalid);
        assert_eq!(w.trail(EntityKind::Session, session.session).await, ["session.open", "session.close"]);
    }

    async fn a_blacklisted_token_is_refused_whatever_session_it_names(w) {
        let closed = presented(&open(&w, "ada", "ada-1").await, at(10));
        let live = presented(&open(&w, "ada", "phone-1").await, at(10));
        let audit = entry("session.close", EntityKind::Session, &closed.claims.session.to_string());
        w.sessions.close(&closed, at(20), &audit).await.expect("the store answers");
        assert!(principal(&w, &live).await.is_some());
        let blacklisted = PresentedToken { hash: closed.hash, ..live };
        assert_eq!(principal(&w, &blacklisted).await, None);
    }

    async fn closing_a_session_twice_is_no_error(w) {
        let token = presented(&open(&w, "ada", "ada-1").await, at(10));
        for _ in 0..2 {
            let audit = entry("session.close", EntityKind::Session, &token.claims.session.to_string());
            w.sessions.close(&token, at(20), &audit).await.expect("the store answers");
        }
        assert_eq!(principal(&w, &token).await, None);
    }

    async fn closing_one_session_leaves_the_others(w) {
        let laptop = open(&w, "ada", "laptop-1").await;
        let phone = open(&w, "ada", "phone-1").await;
        assert!(close_one(&w, laptop.user, laptop.session).await);
        assert_eq!(principal(&w, &presented(&laptop, at(10))).await, None);
        assert!(principal(&w, &presented(&phone, at(10))).await.is_some());
        assert!(!close_one(&w, laptop.user, laptop.session).await, "it is closed already");
    }

    async fn somebody_elses_session_cannot_be_closed(w) {
        let session = open(&w, "ada", "ada-1").await;
        assert!(!close_one(&w, id_of("bob"), session.session).await);
        assert!(!close_one(&w, id_of("bob"), SessionId::from_uuid(uuid_for("nothing"))).await);
        assert!(principal(&w, &presented(&session, at(10))).await.is_some());
        assert!(is_rotated(&rotate(&w, "ada-1", "ada-2", at(10)).await, &session));
    }

    async fn closing_all_sessions_refuses_every_token_issued_before(w) {
        let sessions = [open(&w, "ada", "laptop-1").await, open(&w, "ada", "phone-1").await];
        let bystander = open(&w, "bob", "bob-1").await;
        let audit = entry("session.close_all", EntityKind::User, &id_of("ada").to_string());
        w.sessions.close_all(id_of("ada"), at(50), &audit).await.expect("the store answers");
        for session in &sessions {
            assert_eq!(principal(&w, &presented(session, at(10))).await, None);
        }
        assert_eq!(rotate(&w, "laptop-1", "laptop-2", at(51)).await, Rotation::Invalid);
        assert!(principal(&w, &presented(&bystander, at(10))).await.is_some());
        let later = open(&w, "ada", "later-1").await;
        assert_eq!(principal(&w, &presented(&later, at(49))).await, None, "issued before");
        assert!(principal(&w, &presented(&later, at(52))).await.is_some(), "issued after");
        assert_eq!(w.trail(EntityKind::User, id_of("ada")).await, ["user.create", "session.close_all"]);
    }

    async fn the_live_sessions_of_somebody_are_listed_the_one_used_last_first(w) {
        assert_eq!(list(&w, id_of("ada"), at(6)).await, []);
        let (laptop, phone) = (open(&w, "ada", "laptop-1").await, open(&w, "ada", "phone-1").await);
        let nameless = NewSession { device: None, ip: None, ..new_session(id_of("bob"), "bob-1") };
        let audit = entry_at("session.open", EntityKind::Session, &nameless.session.to_string(), at(5));
        assert!(w.sessions.open(&nameless, &audit).await.expect("a new session"));
        for (presented, next, now) in
            [("laptop-1", "laptop-2", 10), ("phone-1", "phone-2", 20), ("laptop-2", "laptop-3", 30)]
        {
            rotate(&w, presented, next, at(now)).await;
        }
        let expected = [
            SessionInfo { refreshed_at: at(30), ..info(&laptop) },
            SessionInfo { refreshed_at: at(20), ..info(&phone) },
        ];
        assert_eq!(list(&w, id_of("ada"), at(40)).await, expected);
        assert_eq!(list(&w, id_of("bob"), at(40)).await, [info(&nameless)]);
    }

    async fn a_session_that_ended_in_whatever_way_is_not_listed(w) {
        let (logged_out, closed) = (open(&w, "ada", "a-1").await, open(&w, "ada", "b-1").await);
        let stolen = open(&w, "ada", "c-1").await;
        let live = open(&w, "ada", "d-1").await;
        let audit = entry("session.close", EntityKind::Session, &logged_out.session.to_string());
        w.sessions.close(&presented(&logged_out, at(10)), at(20), &audit).await.expect("the store answers");
        assert!(close_one(&w, closed.user, closed.session).await);
        rotate(&w, "c-1", "c-2", at(20)).await;
        let reused = rotate(&w, "c-1", "c-3", at(21)).await;
        assert!(matches!(reused, Rotation::Reused { session, .. } if session == stolen.session));
        assert_eq!(list(&w, id_of("ada"), at(60)).await, [info(&live)]);
        assert_eq!(list(&w, id_of("ada"), live.expires_at).await, [], "its time is over");
        let audit = entry("session.close_all", EntityKind::User, &id_of("ada").to_string());
        w.sessions.close_all(id_of("ada"), at(70), &audit).await.expect("the store answers");
        assert_eq!(list(&w, id_of("ada"), at(71)).await, []);
    }

    async fn a_pod_that_is_not_active_gives_its_manager_nothing(w) {
        let led = pod("audits").manager_email("grace").inactive().build();
        w.directory.add_pod(&led, &entry("pod.create", EntityKind::Pod, "audits")).await.expect("a new POD");
        let token = presented(&open(&w, "grace", "grace-1").await, at(10));
        let led = principal(&w, &token).await.expect("she is logged in").actor.pods_by_email;
        assert!(led.is_empty(), "{led:?}");
    }

    async fn a_principal_has_the_roles_permissions_and_pods_of_this_moment(w) {
        let led = pod("audits").manager_email("grace").build();
        let audit = entry("pod.create", EntityKind::Pod, "audits");
        w.directory.add_pod(&led, &audit).await.expect("a new POD");
        let session = open(&w, "grace", "grace-1").await;
        let principal = principal(&w, &presented(&session, at(10))).await.expect("she is logged in");
        let stored = w.users.find(session.user).await.expect("the store answers").expect("she exists");
        assert_eq!(principal.user, stored);
        let actor = principal.actor;
        assert_eq!((actor.user, &actor.email, &actor.name), (stored.id, &email("grace"), &stored.name));
        assert_eq!((actor.pod.as_ref(), &actor.roles), (Some(&pod_id("payments")), &stored.roles));
        assert_eq!(actor.pods_by_email.iter().collect::<Vec<_>>(), [&pod_id("audits")]);
        assert_eq!(actor.session, Some(session.session));
        assert!(actor.may(Permission::DecidePodRequests));
        assert!(!actor.may(Permission::DecideAllRequests));
    }

    async fn the_permissions_of_several_roles_add_up(w) {
        let both = user("hedy").role("operator").role("developer").new_user();
        let audit = entry("user.create", EntityKind::User, &both.id.to_string());
        w.users.create(&both, &audit).await.expect("it is new");
        let token = presented(&open(&w, "hedy", "hedy-1").await, at(10));
        let actor = principal(&w, &token).await.expect("she is logged in").actor;
        assert_eq!(actor.roles, ["developer", "operator"]);
        assert!(actor.may(Permission::SubmitRequests));
        assert!(!actor.may(Permission::ReadAllRequests));
    }

    async fn nobody_is_behind_a_token_of_an_unknown_session_or_of_another_user(w) {
        let session = open(&w, "ada", "ada-1").await;
        let good = presented(&session, at(10));
        let forged = [
            AccessClaims { session: SessionId::from_uuid(uuid_for("nothing")), ..good.claims.clone() },
            AccessClaims { user: id_of("bob"), ..good.claims.clone() },
            AccessClaims { user: UserId::from_uuid(uuid_for("nobody")), ..good.claims.clone() },
        ];
        for claims in forged {
            let token = PresentedToken { claims, hash: good.hash.clone() };
            assert_eq!(principal(&w, &token).await, None, "{token:?}");
        }
    }
}
