//! Who presses: the portal's person behind a Slack account, and what is done about somebody whom it does not know.

use domain::audit::{Entity, EntityKind};
use domain::policy::Denied;
use domain::ports::UserStore;
use domain::request::StateKind;
use domain::user::roles;
use serde_json::json;
use testkit::builders::{TEST_PASSWORD, approver, request, user};

use super::slack::{Broken, GRACE, Scene, approve, origin};

const UNKNOWN: &str = "No account of the portal is tied to your Slack account. Ask an admin of the portal to tie \
                       yours, or decide in the portal itself.";
/// A Slack account that is tied to nobody.
const STRANGER: &str = "U0STRANGER";

impl Scene {
    /// Barbara manages `payments`, and her account is tied to nobody in Slack.
    fn with_barbara() -> Self {
        let scene = Self::new();
        scene.world.store.put_user(&user("barbara").role(roles::MANAGER).build(), TEST_PASSWORD);
        scene
    }

    async fn slack_of(&self, name: &str) -> Option<String> {
        let found = UserStore::find(&self.world.store, approver(name).id).await.expect("the store answers");
        found.expect("the account exists").slack_user_id
    }

    async fn is_unknown(&self) {
        let pending = self.world.pending(request()).await;
        assert_eq!(self.refused(STRANGER, approve(&pending)).await, UNKNOWN);
        assert_eq!(self.world.request(pending.id).await, pending);
    }
}

#[tokio::test]
async fn the_first_press_ties_the_account_with_the_confirmed_address_and_the_second_asks_slack_no_more() {
    let scene = Scene::with_barbara();
    scene.desk.knows(STRANGER, Some("barbara"));
    let one = scene.world.pending(request()).await;
    scene.granted(STRANGER, approve(&one)).await;
    assert_eq!(scene.world.kind(one.id).await, StateKind::Approved);
    assert_eq!(scene.slack_of("barbara").await.as_deref(), Some(STRANGER));
    let entries = scene.world.store.audit_entries();
    let tied: Vec<_> = entries.iter().filter(|entry| entry.action == "user.slack").collect();
    let [entry] = tied[..] else { panic!("it was tied once: {tied:?}") };
    let barbara = approver("barbara").id;
    assert_eq!((entry.user, &entry.entity), (Some(barbara), &Entity::new(EntityKind::User, barbara)));
    assert_eq!((&entry.old_values, &entry.origin), (&None, &origin()));
    assert_eq!(entry.new_values, Some(json!({ "slackUserId": STRANGER })));

    let two = scene.world.pending(request()).await;
    scene.granted(STRANGER, approve(&two)).await;
    assert_eq!(scene.world.kind(two.id).await, StateKind::Approved);
    assert_eq!(scene.desk.asked(), [STRANGER]);
}

#[tokio::test]
async fn somebody_whom_slack_does_not_know_is_unknown() {
    let scene = Scene::with_barbara();
    scene.is_unknown().await;
    assert_eq!(scene.desk.asked(), [STRANGER]);
}

#[tokio::test]
async fn somebody_without_a_confirmed_address_is_unknown() {
    let scene = Scene::with_barbara();
    scene.desk.knows(STRANGER, None);
    scene.is_unknown().await;
}

#[tokio::test]
async fn somebody_whose_address_is_nobodys_is_unknown() {
    let scene = Scene::with_barbara();
    scene.desk.knows(STRANGER, Some("mallory"));
    scene.is_unknown().await;
}

#[tokio::test]
async fn an_account_that_is_tied_to_another_slack_account_is_not_tied_again() {
    let scene = Scene::with_barbara();
    scene.desk.knows(STRANGER, Some("grace"));
    scene.is_unknown().await;
    assert_eq!(scene.slack_of("grace").await.as_deref(), Some(GRACE));
}

#[tokio::test]
async fn an_account_that_is_not_active_is_not_tied() {
    let scene = Scene::with_barbara();
    let gone = user("barbara").role(roles::MANAGER).inactive().build();
    scene.world.store.put_user(&gone, TEST_PASSWORD);
    scene.desk.knows(STRANGER, Some("barbara"));
    let pending = scene.world.pending(request()).await;
    let refusal = scene.refused(STRANGER, approve(&pending)).await;
    assert_eq!(refusal, "Your account in the portal is not active.");
    assert_eq!(scene.slack_of("barbara").await, None);
}

#[tokio::test]
async fn who_is_tied_may_still_not_do_what_they_may_not() {
    let scene = Scene::new();
    scene.world.store.put_user(&user("barbara").build(), TEST_PASSWORD);
    scene.desk.knows(STRANGER, Some("barbara"));
    let pending = scene.world.pending(request()).await;
    scene.wishes(STRANGER, approve(&pending)).await;
    let told = scene.told_to(STRANGER);
    assert_eq!(told, [Denied::NotVisible.to_string()]);
    assert_eq!(scene.world.request(pending.id).await, pending);
}

#[tokio::test]
async fn a_slack_that_does_not_say_who_presses_leads_to_another_try() {
    let scene = Scene::with_barbara();
    scene.desk.knows(STRANGER, Some("barbara"));
    scene.desk.set_broken(Some(Broken::Profiles));
    let pending = scene.world.pending(request()).await;
    let refusal = scene.refused(STRANGER, approve(&pending)).await;
    assert_eq!(refusal, "Slack did not tell the portal who you are. Try again in a minute.");
    assert_eq!(scene.slack_of("barbara").await, None);
    scene.desk.set_broken(None);
    scene.granted(STRANGER, approve(&pending)).await;
    assert_eq!(scene.world.kind(pending.id).await, StateKind::Approved);
}
