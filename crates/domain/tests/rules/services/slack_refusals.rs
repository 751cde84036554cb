//! Decisions in Slack that cannot be: who presses is told why, and nothing changes.

use std::time::Duration;

use domain::policy::Denied;
use domain::ports::{Clock, Wish};
use domain::request::{Event, Request, StateKind};
use domain::text::Remark;
use domain::user::{Origin, roles};
use testkit::builders::{TEST_PASSWORD, approver, edit_of, remark, request, target, user};

use super::requests::{grace, nowhere};
use super::slack::{ADA, ALAN, Broken, GRACE, LINUS, Scene, approve, ask_to_reject, presser, reject};

/// Everything that somebody can wish for a request.
fn wishes(request: &Request) -> [Wish; 3] {
    [approve(request), ask_to_reject(request), reject(request, "No.")]
}

impl Scene {
    /// None of the wishes is granted, all for this reason, and nobody is asked for a reason.
    async fn refuses_all(&self, who: &str, request: &Request, expected: &str) {
        let before = self.world.request(request.id).await;
        for wish in wishes(request) {
            assert_eq!(self.refused(who, wish.clone()).await, expected, "{wish:?}");
        }
        assert_eq!(self.desk.dialogs(), [], "no dialog for who may not");
        assert_eq!(self.world.request(request.id).await, before);
    }
}

#[tokio::test]
async fn nobody_decides_on_their_own_request() {
    for role in [roles::DEVELOPER, roles::MANAGER, roles::ADMIN] {
        let scene = Scene::new();
        scene.world.store.put_user(&user("ada").role(role).slack(ADA).build(), TEST_PASSWORD);
        let pending = scene.world.pending(request()).await;
        scene.refuses_all(ADA, &pending, &Denied::OwnRequest.to_string()).await;
    }
}

#[tokio::test]
async fn nobody_decides_for_another_pod() {
    let scene = Scene::new();
    let pending = scene.world.pending(request()).await;
    scene.refuses_all(LINUS, &pending, &Denied::NotVisible.to_string()).await;
}

#[tokio::test]
async fn what_somebody_may_do_is_looked_up_at_every_press() {
    let scene = Scene::new();
    let pending = scene.world.pending(request().approvals_needed(2)).await;
    scene.wishes(GRACE, approve(&pending)).await;
    assert_eq!(scene.told_to(GRACE).len(), 1, "she may, and one more is needed");
    scene.world.store.set_roles(approver("alan").id, &[roles::VIEWER]);
    let refusal = scene.refused(ALAN, approve(&pending)).await;
    assert_eq!(refusal, Denied::NotVisible.to_string());
    scene.world.store.set_role("reader", &["requests:read-pod"]);
    scene.world.store.set_roles(approver("alan").id, &["reader"]);
    let refusal = scene.refused(ALAN, approve(&pending)).await;
    assert_eq!(refusal, Denied::NotDecider.to_string());
}

#[tokio::test]
async fn an_account_that_is_not_active_decides_nothing() {
    let scene = Scene::new();
    let gone = user("grace").role(roles::MANAGER).slack(GRACE).inactive();
    scene.world.store.put_user(&gone.build(), TEST_PASSWORD);
    let pending = scene.world.pending(request()).await;
    scene.refuses_all(GRACE, &pending, "Your account in the portal is not active.").await;
}

#[tokio::test]
async fn a_button_for_what_was_edited_since_is_of_no_use() {
    let scene = Scene::new();
    let pending = scene.world.pending(request()).await;
    let old = approve(&pending);
    let edit = Box::new(edit_of(&pending, "DELETE FROM everything"));
    let edited = scene.world.commit(pending, Event::Edit(edit)).await;
    let refusal = scene.refused(GRACE, old).await;
    let expected = "The request was changed after this message was written. Read it again, then decide.";
    assert_eq!(refusal, expected);
    assert_eq!(scene.world.request(edited.id).await, edited);
    scene.granted(GRACE, approve(&edited)).await;
    assert_eq!(scene.world.kind(edited.id).await, StateKind::Approved, "the new message's button works");
}

#[tokio::test]
async fn an_edit_that_meets_with_the_press_is_told_too() {
    let scene = Scene::new();
    let pending = scene.world.pending(request()).await;
    let edit = Box::new(edit_of(&pending, "DELETE FROM everything"));
    let scene = scene.overtaken_by([Event::Edit(edit)]);
    scene.wishes(GRACE, approve(&pending)).await;
    let told = scene.told_to(GRACE);
    assert!(told[0].starts_with("The request was changed after this message was written."), "{told:?}");
    assert_eq!(scene.world.kind(pending.id).await, StateKind::Pending);
}

#[tokio::test]
async fn what_is_decided_or_over_is_not_decided_again() {
    let scene = Scene::new();
    let by = || approver("alan");
    let events = [
        (Event::Approve { by: by(), digest: None }, "approved"),
        (Event::Reject { by: by(), reason: remark("No.") }, "rejected"),
        (Event::Withdraw, "withdrawn"),
        (Event::Expire, "expired"),
    ];
    for (event, state) in events {
        let pending = scene.world.pending(request()).await;
        scene.world.commit(pending.clone(), event).await;
        let expected = format!("The request is {state} already. There is nothing to decide any more.");
        scene.refuses_all(GRACE, &pending, &expected).await;
    }
}

#[tokio::test]
async fn an_approval_after_the_time_is_over_is_told_whether_the_reaper_came_by_or_not() {
    let scene = Scene::new();
    let pending = scene.world.pending(request()).await;
    scene.world.clock.advance(Duration::from_hours(25));
    let refusal = scene.refused(GRACE, approve(&pending)).await;
    assert_eq!(refusal, "The request has waited for too long and has expired.");
    let now = scene.world.clock.now();
    scene.world.store.job_queue().reap(now).await.expect("the store answers");
    let expected = "The request is expired already. There is nothing to decide any more.";
    scene.refuses_all(GRACE, &pending, expected).await;
}

#[tokio::test]
async fn a_target_can_require_decisions_in_the_portal_itself_even_after_the_message() {
    let scene = Scene::new();
    let pending = scene.world.pending(request()).await;
    scene.world.store.put_target(&target("orders-db").no_slack_decisions().build());
    scene.refuses_all(GRACE, &pending, &Denied::PortalOnly.to_string()).await;
    // Who may not decide at all learns nothing of that.
    scene.refuses_all(LINUS, &pending, &Denied::NotVisible.to_string()).await;
    let api = Origin::default();
    let decided = scene.decisions.requests.approve(&grace(), pending.id, None, api).await;
    assert_eq!(decided.expect("the portal itself is the place").state.kind(), StateKind::Approved);
}

#[tokio::test]
async fn a_target_that_is_gone_is_not_decided_on_in_slack() {
    let scene = Scene::new();
    let gone = target("gone-db").build();
    let pending = scene.world.pending(request().target(&gone)).await;
    scene.refuses_all(GRACE, &pending, &Denied::PortalOnly.to_string()).await;
}

#[tokio::test]
async fn a_request_that_is_not_there_is_told() {
    let scene = Scene::new();
    let stranger = request().id(nowhere()).pending();
    for wish in wishes(&stranger) {
        assert_eq!(scene.refused(GRACE, wish).await, "There is no such request.");
    }
}

#[tokio::test]
async fn a_reason_that_cannot_be_one_is_told_and_nothing_is_rejected() {
    let scene = Scene::new();
    let pending = scene.world.pending(request()).await;
    let long = "é".repeat(Remark::MAX_CHARS + 1);
    let cases = [
        ("", "The reason must not be empty."),
        (" \n\t", "The reason must not be empty."),
        (long.as_str(), "The reason must be at most 2000 characters long."),
        ("No.\0", "The reason must not contain a NUL character."),
    ];
    for (reason, expected) in cases {
        assert_eq!(scene.refused(GRACE, reject(&pending, reason)).await, expected);
    }
    assert_eq!(scene.world.request(pending.id).await, pending);
    scene.granted(GRACE, reject(&pending, &"é".repeat(Remark::MAX_CHARS))).await;
    assert_eq!(scene.world.kind(pending.id).await, StateKind::Rejected);
}

#[tokio::test]
async fn a_dialog_that_does_not_open_is_told_and_can_be_asked_for_again() {
    let scene = Scene::new();
    let pending = scene.world.pending(request()).await;
    scene.desk.set_broken(Some(Broken::Dialogs));
    let refusal = scene.refused(GRACE, ask_to_reject(&pending)).await;
    assert_eq!(refusal, "Slack did not open the dialog. Press the button again.");
    scene.desk.set_broken(None);
    scene.granted(GRACE, ask_to_reject(&pending)).await;
    assert_eq!(scene.desk.dialogs(), [("trigger-1".to_owned(), presser(GRACE), pending.id)]);
}

#[tokio::test]
async fn a_store_that_is_away_is_told_and_nothing_is_decided() {
    let scene = Scene::new();
    let pending = scene.world.pending(request()).await;
    scene.world.store.set_unavailable(true);
    for wish in wishes(&pending) {
        let refusal = scene.refused(GRACE, wish).await;
        assert_eq!(refusal, "The portal cannot do this at the moment. Try again in a minute.");
    }
    scene.world.store.set_unavailable(false);
    assert_eq!(scene.world.request(pending.id).await, pending);
}
