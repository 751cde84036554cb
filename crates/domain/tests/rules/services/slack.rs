//! Decisions by buttons in Slack: what comes of a press by somebody who may, and of calls that are not Slack's.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::Timestamp;
use domain::auth::TokenHash;
use domain::ids::RequestId;
use domain::ports::{
    Interaction, InvalidCall, Presser, SignedCall, SlackDesk, SlackError, SlackProfile, Wish,
};
use domain::request::{Event, Request, State, StateKind};
use domain::services::{Requests, SlackCallError, SlackDecisions};
use domain::user::{Channel, Origin, roles};
use testkit::builders::{TEST_PASSWORD, approver, at, request, user};

use super::requests::service;
use super::{OvertakenStore, World};

/// The Slack account that is grace's, who decides for `payments`.
pub(super) const GRACE: &str = "U0GRACE";
/// Alan's, who decides for `payments` as well.
pub(super) const ALAN: &str = "U0ALAN";
/// Ada's, who submits.
pub(super) const ADA: &str = "U0ADA";
/// Linus', who decides for `orders`.
pub(super) const LINUS: &str = "U0LINUS";

/// The workspace of the app.
const TEAM: &str = "T0PORTAL";

/// What Slack does not do at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Broken {
    Telling,
    Dialogs,
    Profiles,
    Teams,
}

/// Slack as it is seen through the portal's desk there.
#[derive(Default)]
pub(super) struct Desk {
    reads: Mutex<VecDeque<Result<Interaction, InvalidCall>>>,
    profiles: Mutex<HashMap<String, SlackProfile>>,
    asked: Mutex<Vec<String>>,
    told: Mutex<Vec<(Presser, String)>>,
    dialogs: Mutex<Vec<(String, Presser, RequestId)>>,
    broken: Mutex<Option<Broken>>,
}

impl Desk {
    /// Slack knows somebody, perhaps with an address that it has confirmed.
    pub(super) fn knows(&self, slack_user_id: &str, email: Option<&str>) {
        let email = email.map(testkit::builders::email);
        lock(&self.profiles).insert(slack_user_id.to_owned(), SlackProfile { email });
    }

    /// From now on Slack does not do this, or does everything again.
    pub(super) fn set_broken(&self, what: Option<Broken>) {
        *lock(&self.broken) = what;
    }

    /// Whose profiles were asked for, oldest first.
    pub(super) fn asked(&self) -> Vec<String> {
        lock(&self.asked).clone()
    }

    /// The requests for which dialogs were opened, each with its trigger.
    pub(super) fn dialogs(&self) -> Vec<(String, Presser, RequestId)> {
        lock(&self.dialogs).clone()
    }

    /// What was told to whom since this was asked last.
    pub(super) fn told(&self) -> Vec<(Presser, String)> {
        std::mem::take(&mut *lock(&self.told))
    }

    fn does(&self, what: Broken) -> Result<(), SlackError> {
        if *lock(&self.broken) == Some(what) {
            return Err(SlackError { source: "Slack is away".into() });
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("no test panics with this lock")
}

#[async_trait]
impl SlackDesk for Desk {
    fn read(&self, _: SignedCall<'_>, _: Timestamp) -> Result<Interaction, InvalidCall> {
        lock(&self.reads).pop_front().expect("the test says what the call is")
    }

    async fn is_ours(&self, by: &Presser) -> Result<bool, SlackError> {
        self.does(Broken::Teams)?;
        Ok(by.teams == [TEAM])
    }

    async fn ask_for_reason(
        &self,
        trigger: &str,
        by: &Presser,
        request: RequestId,
    ) -> Result<(), SlackError> {
        self.does(Broken::Dialogs)?;
        lock(&self.dialogs).push((trigger.to_owned(), by.clone(), request));
        Ok(())
    }

    async fn tell(&self, to: &Presser, text: &str) -> Result<(), SlackError> {
        self.does(Broken::Telling)?;
        lock(&self.told).push((to.clone(), text.to_owned()));
        Ok(())
    }

    async fn profile(&self, slack_user_id: &str) -> Result<Option<SlackProfile>, SlackError> {
        lock(&self.asked).push(slack_user_id.to_owned());
        self.does(Broken::Profiles)?;
        Ok(lock(&self.profiles).get(slack_user_id).cloned())
    }
}

/// A world whose people decide in Slack.
pub(super) struct Scene {
    pub(super) world: World,
    pub(super) desk: Arc<Desk>,
    pub(super) decisions: SlackDecisions,
}

impl Scene {
    pub(super) fn new() -> Self {
        let (world, desk) = (World::new(), Arc::new(Desk::default()));
        let people = [
            user("ada").slack(ADA),
            user("grace").role(roles::MANAGER).slack(GRACE),
            user("alan").role(roles::MANAGER).slack(ALAN),
            user("linus").role(roles::MANAGER).pod("orders").slack(LINUS),
        ];
        for person in people {
            world.store.put_user(&person.build(), TEST_PASSWORD);
        }
        let decisions = SlackDecisions {
            requests: service(&world),
            desk: desk.clone(),
            people: world.store.slack_people(),
            users: world.store.user_store(),
            replays: world.store.replay_guard(),
            clock: world.clock.clone(),
        };
        Self { world, desk, decisions }
    }

    /// In this one others are faster: one of these happens right before each of the next decisions.
    pub(super) fn overtaken_by(mut self, events: impl IntoIterator<Item = Event>) -> Self {
        let overtaken = OvertakenStore {
            inner: self.world.store.clone(),
            clock: self.world.clock.clone(),
            events: Mutex::new(events.into_iter().collect()),
        };
        let requests = Arc::new(overtaken);
        self.decisions.requests = Requests { requests, ..service(&self.world) };
        self
    }

    pub(super) async fn wishes(&self, who: &str, wish: Wish) {
        let interaction = Interaction { by: presser(who), wish, signature: TokenHash::of("v0=1") };
        self.decisions.carry_out(interaction, origin()).await;
    }

    pub(super) fn told_to(&self, who: &str) -> Vec<String> {
        let told = self.desk.told();
        assert!(told.iter().all(|(to, _)| *to == presser(who)), "only the presser hears of it: {told:?}");
        told.into_iter().map(|(_, text)| text).collect()
    }

    /// Somebody wishes what they may not have: nothing changes, and they alone are told why.
    pub(super) async fn refused(&self, who: &str, wish: Wish) -> String {
        let store = &self.world.store;
        let before = (store.audit_entries(), store.jobs());
        self.wishes(who, wish.clone()).await;
        assert_eq!((store.audit_entries(), store.jobs()), before, "{wish:?}");
        let mut told = self.told_to(who);
        assert_eq!(told.len(), 1, "{wish:?}: {told:?}");
        told.remove(0)
    }

    /// Somebody wishes what they may have, and hears nothing: the message in the channel shows it.
    pub(super) async fn granted(&self, who: &str, wish: Wish) {
        self.wishes(who, wish).await;
        assert_eq!(self.told_to(who), Vec::<String>::new());
    }
}

pub(super) fn presser(who: &str) -> Presser {
    let teams = vec![TEAM.to_owned()];
    Presser { slack_user_id: who.to_owned(), teams, channel: "C0PAYMENTS".to_owned() }
}

pub(super) fn origin() -> Origin {
    Origin { channel: Channel::Slack, ip: Some("192.0.2.9".to_owned()), ..Origin::default() }
}

/// The button of the message that was written about this request.
pub(super) fn approve(request: &Request) -> Wish {
    Wish::Approve { request: request.id, digest: request.digest() }
}

pub(super) fn reject(request: &Request, reason: &str) -> Wish {
    Wish::Reject { request: request.id, reason: reason.to_owned() }
}

pub(super) fn ask_to_reject(request: &Request) -> Wish {
    Wish::AskToReject { request: request.id, trigger: "trigger-1".to_owned() }
}

#[tokio::test]
async fn an_approval_in_slack_is_one_of_that_person_and_marked_as_from_slack() {
    let scene = Scene::new();
    let pending = scene.world.pending(request()).await;
    scene.granted(GRACE, approve(&pending)).await;
    let State::Approved { approvals, .. } = scene.world.state(pending.id).await else {
        panic!("it is approved")
    };
    assert_eq!((approvals.len(), &approvals[0].by), (1, &approver("grace")));
    assert_eq!(approvals[0].digest, pending.digest());
    let entry = scene.world.store.audit_entries().pop().expect("it is on the trail");
    assert_eq!((entry.action.as_str(), entry.user), ("request.approve", Some(approver("grace").id)));
    assert_eq!(entry.origin, origin());
    assert_eq!(scene.desk.asked(), Vec::<String>::new(), "the portal knows her");
}

#[tokio::test]
async fn an_approval_that_is_not_the_last_one_says_how_many_are_still_needed() {
    let scene = Scene::new();
    let three = scene.world.pending(request().approvals_needed(3)).await;
    scene.wishes(GRACE, approve(&three)).await;
    let more = "Your approval counts. 2 more people have to approve before the request runs.";
    assert_eq!(scene.told_to(GRACE), [more]);
    scene.wishes(ALAN, approve(&three)).await;
    let more = "Your approval counts. 1 more person has to approve before the request runs.";
    assert_eq!(scene.told_to(ALAN), [more]);
    assert_eq!(scene.world.kind(three.id).await, StateKind::Pending);
    let again = scene.refused(GRACE, approve(&three)).await;
    assert_eq!(again, "You have approved this request before. It needs the approval of somebody else.");
}

#[tokio::test]
async fn who_wants_to_reject_is_asked_for_the_reason_which_stays_with_the_request() {
    let scene = Scene::new();
    let pending = scene.world.pending(request()).await;
    scene.granted(GRACE, ask_to_reject(&pending)).await;
    assert_eq!(scene.desk.dialogs(), [("trigger-1".to_owned(), presser(GRACE), pending.id)]);
    assert_eq!(scene.world.request(pending.id).await, pending, "nothing is decided yet");
    assert_eq!(scene.world.trail(pending.id), ["request.submit"]);

    scene.granted(GRACE, reject(&pending, "  Please add a WHERE.\n")).await;
    let State::Rejected { decision } = scene.world.state(pending.id).await else { panic!("it is rejected") };
    assert_eq!((decision.by, decision.reason.as_str()), (approver("grace"), "Please add a WHERE."));
    let entry = scene.world.store.audit_entries().pop().expect("it is on the trail");
    assert_eq!((entry.action.as_str(), entry.origin), ("request.reject", origin()));
}

#[tokio::test]
async fn two_who_approve_at_once_both_count_where_two_are_needed() {
    let by_alan = Event::Approve { by: approver("alan"), digest: None };
    let scene = Scene::new().overtaken_by([by_alan]);
    let pending = scene.world.pending(request().approvals_needed(2)).await;
    scene.granted(GRACE, approve(&pending)).await;
    let State::Approved { approvals, .. } = scene.world.state(pending.id).await else {
        panic!("it is approved")
    };
    let by: Vec<_> = approvals.into_iter().map(|approval| approval.by).collect();
    assert_eq!(by, [approver("alan"), approver("grace")]);
    assert_eq!(scene.world.trail(pending.id), ["request.submit", "request.approve", "request.approve"]);
}

#[tokio::test]
async fn of_two_who_approve_at_once_the_second_is_told_where_one_is_needed() {
    let by_alan = Event::Approve { by: approver("alan"), digest: None };
    let scene = Scene::new().overtaken_by([by_alan]);
    let pending = scene.world.pending(request()).await;
    scene.wishes(GRACE, approve(&pending)).await;
    let told = "The request is approved already. There is nothing to decide any more.";
    assert_eq!(scene.told_to(GRACE), [told]);
    assert_eq!(scene.world.trail(pending.id), ["request.submit", "request.approve"], "it is approved once");
}

#[tokio::test]
async fn a_rejection_that_met_with_a_withdrawal_is_told_so() {
    let scene = Scene::new().overtaken_by([Event::Withdraw]);
    let pending = scene.world.pending(request()).await;
    scene.wishes(GRACE, reject(&pending, "No.")).await;
    let told = "The request is withdrawn already. There is nothing to decide any more.";
    assert_eq!(scene.told_to(GRACE), [told]);
    assert_eq!(scene.world.kind(pending.id).await, StateKind::Withdrawn);
}

#[tokio::test]
async fn who_meets_with_others_again_and_again_is_told_to_look() {
    let others = ["alan", "edsger", "barbara"];
    let events = others.map(|name| Event::Approve { by: approver(name), digest: None });
    let scene = Scene::new().overtaken_by(events);
    let pending = scene.world.pending(request().approvals_needed(9)).await;
    scene.wishes(GRACE, approve(&pending)).await;
    let told = "Others decide on this request at the same time; it is pending now. Look at it again.";
    assert_eq!(scene.told_to(GRACE), [told]);
    assert_eq!(scene.world.state(pending.id).await.approvals().len(), 3, "hers is not among them");
}

#[tokio::test]
async fn a_press_from_another_workspace_does_not_count_even_by_an_id_that_is_tied() {
    let scene = Scene::new();
    let pending = scene.world.pending(request()).await;
    for teams in [vec![], vec!["T0ELSEWHERE".to_owned()]] {
        let by = Presser { teams, ..presser(GRACE) };
        let wish = Interaction { by: by.clone(), wish: approve(&pending), signature: TokenHash::of("v0=1") };
        scene.decisions.carry_out(wish, origin()).await;
        let [(told, text)] = scene.desk.told().try_into().expect("one is told");
        assert!(told == by && text.starts_with("No account of the portal is tied"), "{text}");
    }
    scene.desk.set_broken(Some(Broken::Teams));
    let refusal = scene.refused(GRACE, approve(&pending)).await;
    assert!(refusal.contains("did not tell the portal who you are"), "{refusal}");
    assert_eq!(scene.world.kind(pending.id).await, StateKind::Pending);
    scene.desk.set_broken(None);
    scene.granted(GRACE, approve(&pending)).await;
}

#[tokio::test]
async fn a_press_that_needs_nothing_asks_nobody_and_tells_nobody() {
    let scene = Scene::new();
    scene.granted("U0STRANGER", Wish::Nothing).await;
    assert_eq!(scene.desk.asked(), Vec::<String>::new());
    assert!(scene.world.store.audit_entries().is_empty());
}

#[tokio::test]
async fn a_slack_that_takes_no_answer_changes_nothing_of_what_was_decided() {
    let scene = Scene::new();
    let (one, two) = (scene.world.pending(request()).await, scene.world.pending(request()).await);
    scene.desk.set_broken(Some(Broken::Telling));
    scene.wishes(GRACE, approve(&one)).await;
    assert_eq!(scene.world.kind(one.id).await, StateKind::Approved);
    scene.wishes(ADA, approve(&two)).await;
    assert_eq!(scene.world.request(two.id).await, two, "a refusal stays one, even if nobody hears of it");
}

fn call() -> SignedCall<'static> {
    SignedCall { timestamp: Some("1"), signature: Some("v0=1"), body: b"payload=1" }
}

impl Scene {
    /// Slack's call arrives, and is this.
    async fn receives(&self, read: Result<Interaction, InvalidCall>) -> Result<Interaction, SlackCallError> {
        lock(&self.desk.reads).push_back(read);
        self.decisions.receive(call()).await
    }
}

fn signed(signature: &str) -> Interaction {
    let wish = Wish::Reject { request: super::requests::nowhere(), reason: "No.".to_owned() };
    Interaction { by: presser(GRACE), wish, signature: TokenHash::of(signature) }
}

#[tokio::test]
async fn a_call_is_taken_once() {
    let scene = Scene::new();
    let first = scene.receives(Ok(signed("v0=1"))).await.expect("it is the first");
    assert_eq!(first, signed("v0=1"));
    for seconds in [0, 1, 299, 600] {
        scene.world.clock.set(at(seconds));
        let again = scene.receives(Ok(signed("v0=1"))).await.expect_err("it was taken");
        assert!(matches!(again, SlackCallError::Replayed), "after {seconds} s: {again:?}");
    }
    scene.receives(Ok(signed("v0=2"))).await.expect("it is another call");
}

#[tokio::test]
async fn a_call_that_is_not_slacks_or_late_or_unreadable_is_an_error_and_nothing_happens() {
    let scene = Scene::new();
    let malformed = InvalidCall::Malformed { reason: "no payload".to_owned() };
    for invalid in [InvalidCall::Forged, InvalidCall::Late, malformed] {
        let error = scene.receives(Err(invalid.clone())).await.expect_err("it is no call of Slack's");
        assert!(matches!(&error, SlackCallError::Invalid(found) if *found == invalid), "{error:?}");
    }
    assert_eq!((scene.desk.told(), scene.desk.asked()), (vec![], vec![]));
    assert!(scene.world.store.audit_entries().is_empty());
}

#[tokio::test]
async fn a_call_that_cannot_be_remembered_is_not_taken() {
    let scene = Scene::new();
    scene.world.store.set_unavailable(true);
    let error = scene.receives(Ok(signed("v0=1"))).await.expect_err("the store is away");
    assert!(matches!(error, SlackCallError::Store(_)), "{error:?}");
    scene.world.store.set_unavailable(false);
    scene.world.clock.advance(Duration::from_secs(1));
    scene.receives(Ok(signed("v0=1"))).await.expect("it was not taken before");
}
