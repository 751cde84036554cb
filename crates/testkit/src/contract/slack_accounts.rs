//! `UserStore`: the Slack user of an account, as people set it.

use domain::audit::EntityKind;
use domain::ids::UserId;
use domain::ports::{UserError, UserUpdate};
use domain::user::User;

use super::scene::{Scene, entry_at, id_of, renamed};
use super::stores::Stores;
use crate::builders::at;

/// Changes an account's Slack user, and its name with it.
async fn set(w: &Scene, before: &User, slack_user_id: Option<&str>) -> Result<(), UserError> {
    let update = UserUpdate {
        name: Some(renamed()),
        slack_user_id: Some(slack_user_id.map(str::to_owned)),
        ..UserUpdate::default()
    };
    let audit = entry_at("user.update", EntityKind::User, &before.id.to_string(), at(100));
    w.users.update(before, &update, &audit).await
}

async fn slack_of(w: &Scene, id: UserId) -> Option<String> {
    w.user(id).await.slack_user_id
}

rules! { ($) __slack_account_rules in slack_accounts, stores: Stores => Scene::set_up;
    async fn a_slack_user_is_tied_changed_and_untied(w) {
        let ada = w.user(id_of("ada")).await;
        assert_eq!(ada.slack_user_id, None);
        for id in [Some("U0ADA"), Some("U0OTHER"), Some("U0OTHER"), None, None] {
            let before = w.user(ada.id).await;
            set(&w, &before, id).await.expect("nobody was faster");
            assert_eq!(slack_of(&w, ada.id).await.as_deref(), id);
        }
        let other = UserUpdate { active: Some(true), ..UserUpdate::default() };
        set(&w, &w.user(ada.id).await, Some("U0ADA")).await.expect("nobody was faster");
        let audit = entry_at("user.update", EntityKind::User, &ada.id.to_string(), at(100));
        w.users.update(&w.user(ada.id).await, &other, &audit).await.expect("nobody was faster");
        assert_eq!(slack_of(&w, ada.id).await.as_deref(), Some("U0ADA"), "what is not named stays");
        let after = w.users.find_by_email(&ada.email).await.expect("it answers").expect("she exists");
        assert_eq!(after.user.slack_user_id.as_deref(), Some("U0ADA"));
    }

    async fn a_slack_user_belongs_to_one_account(w) {
        let (ada, bob) = (w.user(id_of("ada")).await, w.user(id_of("bob")).await);
        set(&w, &ada, Some("U0ADA")).await.expect("nobody was faster");
        let error = set(&w, &bob, Some("U0ADA")).await.expect_err("it is ada's");
        assert!(matches!(error, UserError::SlackUserTaken), "{error:?}");
        assert_eq!(w.user(bob.id).await, bob, "nothing was changed");
        assert_eq!(w.trail(EntityKind::User, bob.id).await, ["user.create"]);
        set(&w, &w.user(ada.id).await, None).await.expect("nobody was faster");
        set(&w, &bob, Some("U0ADA")).await.expect("it is free now");
        assert_eq!(slack_of(&w, bob.id).await.as_deref(), Some("U0ADA"));
    }

    async fn an_account_whose_slack_user_changed_meanwhile_is_not_changed(w) {
        let before = w.user(id_of("ada")).await;
        let update = UserUpdate { slack_user_id: Some(Some("U0ADA".to_owned())), ..UserUpdate::default() };
        let audit = entry_at("user.update", EntityKind::User, &before.id.to_string(), at(50));
        w.users.update(&before, &update, &audit).await.expect("nobody was faster");
        let error = set(&w, &before, Some("U0OTHER")).await.expect_err("it changed meanwhile");
        assert!(matches!(error, UserError::Changed), "{error:?}");
        assert_eq!(slack_of(&w, before.id).await.as_deref(), Some("U0ADA"));
    }

    async fn whoever_is_set_by_hand_is_looked_for_in_slack_afresh(w) {
        let ada = w.user(id_of("ada")).await;
        assert!(w.slack_people.not_found(ada.id, at(5)).await.expect("the store answers"));
        set(&w, &ada, Some("U0ADA")).await.expect("nobody was faster");
        set(&w, &w.user(ada.id).await, None).await.expect("nobody was faster");
        let contact = w.slack_people.contact(ada.id).await.expect("the store answers").expect("she exists");
        assert_eq!((contact.slack_user_id, contact.not_found_at), (None, None));
    }
}
