//! `UserStore`: changes that people make of their own accounts, while somebody else may change them too.

use domain::audit::EntityKind;
use domain::auth::{NewSession, OwnerProof, VerifiedHash};
use domain::ports::{UserError, UserUpdate};

use super::scene::{Scene, entry, entry_at, id_of};
use super::stores::Stores;
use crate::builders::{at, email, new_session, presented};

/// What an admin sets.
const RESET: &str = "plain:set by an admin";
/// What the owner of the account sets, or whoever knows the password of before.
const OWN: &str = "plain:set by the owner";

/// An admin sets the password.
fn reset(hash: &str) -> UserUpdate {
    UserUpdate { password_hash: Some(hash.to_owned()), ..UserUpdate::default() }
}

/// Somebody sets their own password in this session, who gave the one with which it began.
fn own(session: &NewSession) -> UserUpdate {
    let proof = OwnerProof { verified: session.verified.clone(), session: session.session };
    UserUpdate { proof: Some(proof), ..reset(OWN) }
}

async fn log_in(w: &Scene, name: &str, session: NewSession) -> NewSession {
    let session = NewSession { user: id_of(name), ..session };
    let audit = entry("session.open", EntityKind::Session, &session.session.to_string());
    assert!(w.sessions.open(&session, &audit).await.expect("a new session"));
    session
}

async fn ada_logs_in(w: &Scene) -> NewSession {
    log_in(w, "ada", new_session(id_of("ada"), "ada-1")).await
}

/// Changes ada's account as it is.
async fn update(w: &Scene, update: &UserUpdate) -> Result<(), UserError> {
    let ada = w.user(id_of("ada")).await;
    w.users.update(&ada, update, &changed_at(100)).await
}

fn changed_at(second: i64) -> domain::audit::AuditEntry {
    entry_at("user.password", EntityKind::User, &id_of("ada").to_string(), at(second))
}

async fn stored_hash(w: &Scene) -> String {
    let ada = w.users.find_by_email(&email("ada")).await.expect("the store answers");
    ada.expect("she exists").password_hash
}

/// Shows that ada's own change is refused and leaves nothing.
async fn is_refused(w: &Scene, own: UserUpdate) {
    let (hash, trail) = (stored_hash(w).await, w.trail(EntityKind::User, id_of("ada")).await);
    let error = update(w, &own).await.expect_err("the proof does not hold");
    assert!(matches!(error, UserError::Changed), "{error:?}");
    assert_eq!(stored_hash(w).await, hash);
    assert_eq!(w.trail(EntityKind::User, id_of("ada")).await, trail);
}

rules! { ($) __own_account_rules in own_accounts, stores: Stores => Scene::set_up;
    async fn an_own_change_is_stored_while_its_proof_holds(w) {
        let session = ada_logs_in(&w).await;
        update(&w, &own(&session)).await.expect("the proof holds");
        assert_eq!(stored_hash(&w).await, OWN);
        let token = presented(&session, at(10));
        assert_eq!(w.sessions.principal(&token).await.expect("the store answers"), None, "it ends the session");
        assert_eq!(w.trail(EntityKind::User, id_of("ada")).await, ["user.create", "user.password"]);
    }

    async fn a_session_that_was_refreshed_is_still_the_same(w) {
        let session = ada_logs_in(&w).await;
        let hash = domain::auth::TokenHash::of;
        w.sessions.rotate(&hash("ada-1"), &hash("ada-2"), at(10)).await.expect("the store answers");
        update(&w, &own(&session)).await.expect("the proof holds");
    }

    async fn an_own_change_does_not_overwrite_a_password_that_was_set_meanwhile(w) {
        let of_before = ada_logs_in(&w).await.verified;
        update(&w, &reset(RESET)).await.expect("an admin proves nothing");
        // Even in a session that is good again.
        let again = NewSession { verified: VerifiedHash(RESET.to_owned()), ..new_session(id_of("ada"), "ada-2") };
        let again = log_in(&w, "ada", again).await;
        is_refused(&w, own(&NewSession { verified: of_before, ..again.clone() })).await;
        assert_eq!(stored_hash(&w).await, RESET);
        let token = presented(&again, at(101));
        assert!(w.sessions.principal(&token).await.expect("the store answers").is_some(), "nothing has ended");
        update(&w, &own(&again)).await.expect("with the new password it is good");
    }

    async fn an_own_change_is_refused_when_its_session_has_ended(w) {
        let ada = id_of("ada");
        let audit = entry("session.end", EntityKind::Session, "ada");
        for way in ["logout", "one", "all"] {
            let session = log_in(&w, "ada", new_session(ada, way)).await;
            match way {
                "logout" => {
                    w.sessions.close(&presented(&session, at(10)), at(11), &audit).await.expect("it answers");
                }
                "one" => {
                    let ended = w.sessions.close_one(ada, session.session, at(11), &audit).await;
                    assert!(ended.expect("the store answers"));
                }
                _ => w.sessions.close_all(ada, at(11), &audit).await.expect("the store answers"),
            }
            is_refused(&w, own(&session)).await;
        }
    }

    async fn an_own_change_is_refused_in_a_session_of_somebody_else_or_of_none(w) {
        let session = ada_logs_in(&w).await;
        let bobs = log_in(&w, "bob", new_session(id_of("bob"), "bob-1")).await;
        let none = new_session(id_of("ada"), "never opened");
        for other in [bobs, none] {
            is_refused(&w, own(&other)).await;
        }
        update(&w, &own(&session)).await.expect("with her own session it is good");
    }

    async fn of_an_own_change_and_a_reset_at_once_the_reset_stays(w) {
        for round in 0..10 {
            let current = VerifiedHash(stored_hash(&w).await);
            let session = NewSession { verified: current, ..new_session(id_of("ada"), &format!("round-{round}")) };
            let session = log_in(&w, "ada", session).await;
            let before = w.user(id_of("ada")).await;
            let (own, reset) = (own(&session), reset(&format!("{RESET} {round}")));
            let calls = [own, reset].map(|update| {
                let (users, before) = (w.users.clone(), before.clone());
                tokio::spawn(async move { users.update(&before, &update, &changed_at(100 + round)).await })
            });
            let [own, reset] = calls;
            match own.await.expect("no panic") {
                Ok(()) | Err(UserError::Changed) => {}
                Err(error) => panic!("{error:?}"),
            }
            reset.await.expect("no panic").expect("an admin proves nothing");
            assert_eq!(stored_hash(&w).await, format!("{RESET} {round}"), "whoever was first");
        }
    }
}
