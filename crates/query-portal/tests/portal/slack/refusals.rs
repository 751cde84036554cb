//! Who may not, and what is not Slack's: nothing happens, and only the presser learns why.

use super::*;

impl Scene {
    /// Somebody presses, is told this, and the request stays as it is.
    async fn refused(&self, message: &Message, id: &str, user: &str, told: &str) {
        let before = self.admin.status_of(id).await;
        let ephemerals = self.slack.ephemerals().len();
        assert_eq!(self.press(message, APPROVE, user).await, StatusCode::OK);
        eventually("somebody is told", SOON, async || self.slack.ephemerals().len() > ephemerals).await;
        let whispered = self.whispered(user).await;
        assert!(whispered.contains(told), "{user}: {whispered}");
        assert_eq!(self.slack.ephemerals().len(), ephemerals + 1, "nobody else is told");
        assert_eq!(self.admin.status_of(id).await, before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_not_decide_is_told_so_alone() {
    let scene = Scene::new().await;
    let (id, message) = scene.submitted("SELECT 1").await;
    // In Slack, but not in the portal; by the same name, but from another company; and a machine.
    scene.slack.add_person(slack_stand_in::Person::new("U0NOBODY", "nobody@test.example"));
    scene.refused(&message, &id, "nobody", "No account of the portal").await;
    let stranger = slack_stand_in::Person {
        team: "T0ELSEWHERE".to_owned(),
        stranger: true,
        ..slack_stand_in::Person::new("U0STRANGER", &email("manager"))
    };
    scene.slack.add_person(stranger);
    scene.refused(&message, &id, "stranger", "No account of the portal").await;
    let unconfirmed = slack_stand_in::Person {
        email_confirmed: false,
        ..slack_stand_in::Person::new("U0UNCONFIRMED", &email("manager"))
    };
    scene.slack.add_person(unconfirmed);
    scene.refused(&message, &id, "unconfirmed", "No account of the portal").await;
    scene.refused(&message, &id, "other-manager", "neither yours nor one of a POD").await;
    scene.refused(&message, &id, "dev", "their own request").await;

    // Nobody decides on their own request, whatever their role.
    let own = scene.manager.submit(&scene.installation, "SELECT 2").await;
    let of_manager = scene.message_about(&own).await;
    scene.refused(&of_manager, &own, "manager", "their own request").await;

    let deactivate =
        scene.installation.run(&["user", "update", "--email", &email("manager"), "--deactivate"]);
    assert!(!deactivate.is_empty());
    scene.refused(&message, &id, "manager", "not active").await;
    assert_eq!(scene.installation.audited(&id).await, "request.submit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_press_at_once_one_decides_and_the_other_is_told() {
    let scene = Scene::new().await;
    let (id, message) = scene.submitted("INSERT INTO hits (note) VALUES ('two at once')").await;
    let (one, other) =
        tokio::join!(scene.press(&message, APPROVE, "manager"), scene.press(&message, APPROVE, "admin"));
    assert_eq!((one, other), (StatusCode::OK, StatusCode::OK));
    scene.is(&id, "completed").await;
    eventually("the slower one is told", SOON, async || scene.slack.ephemerals().len() == 1).await;
    assert!(scene.slack.ephemerals()[0].text.contains("nothing to decide any more"));
    assert_eq!(scene.installation.hits("two at once").await, 1);
    let approvals = scene.installation.portal_value("SELECT count(*)::text FROM request_approvals").await;
    assert_eq!(approvals, "1");

    // And of one person twice the same.
    scene.refused(&message, &id, "manager", "nothing to decide any more").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_can_ask_for_decisions_in_the_portal_itself() {
    let scene = Scene::new().await;
    let (id, with_buttons) = scene.submitted("SELECT 1").await;
    let change = json!({ "slackDecisions": false });
    assert_eq!(scene.admin.patch("/api/instances/shop", change).await.0, StatusCode::OK);
    scene.refused(&with_buttons, &id, "manager", "decided in the portal itself").await;
    let (_, without) = scene.submitted("SELECT 2").await;
    assert!(is_decided(&without), "{}", shown(&without));
    assert_eq!(scene.manager.approve(&id).await["status"], "completed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_two_approvals_gets_them_from_two_people() {
    let scene = Scene::new().await;
    let change = json!({ "approvalsNeeded": 2 });
    assert_eq!(scene.admin.patch("/api/instances/shop", change).await.0, StatusCode::OK);
    let (id, message) = scene.submitted("SELECT 1").await;
    scene.press(&message, APPROVE, "manager").await;
    assert!(scene.whispered("manager").await.contains("1 more person has to approve"));
    assert_eq!(scene.dev.status_of(&id).await, "pending");
    scene.refused(&message, &id, "manager", "approved this request before").await;
    scene.press(&message, APPROVE, "admin").await;
    scene.is(&id, "completed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_not_slacks_do_nothing_and_learn_nothing() {
    let scene = Scene::new().await;
    let (id, message) = scene.submitted("SELECT 1").await;
    let good = scene.slack.press(&message, APPROVE, "U0MANAGER", now());
    let forged = slack_stand_in::sign_with("another secret altogether", &good.body, now());
    let changed = SignedCall { body: format!("{}&more=1", good.body), ..good.clone() };
    let late = scene.slack.sign(&good.body, now() - 301);
    let early = scene.slack.sign(&good.body, now() + 330);
    let moved = SignedCall { timestamp: (now() - 1).to_string(), ..good.clone() };
    let unsigned = SignedCall { signature: String::new(), ..good.clone() };
    let untimed = SignedCall { timestamp: String::new(), ..good.clone() };
    for (what, call, code) in [
        ("forged", forged, "slack_signature"),
        ("changed", changed, "slack_signature"),
        ("late", late, "slack_late"),
        ("early", early, "slack_late"),
        ("moved", moved, "slack_signature"),
        ("unsigned", unsigned, "slack_signature"),
        ("untimed", untimed, "slack_signature"),
    ] {
        let (status, text) = scene.call(&call).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{what}: {text}");
        let problem: Value = serde_json::from_str(&text).unwrap();
        let wrong = problem["code"] == code
            || problem["code"] == "slack_late"
            || problem["code"] == "slack_signature";
        assert!(wrong && !text.contains(&id), "{what}: {text}");
    }
    assert_eq!(scene.dev.status_of(&id).await, "pending");
    let garbage = scene.slack.sign("payload=%7Bnothing", now());
    assert_eq!(scene.call(&garbage).await.0, StatusCode::BAD_REQUEST);

    // The good one counts, once, in every process.
    assert_eq!(scene.call(&good).await.0, StatusCode::OK);
    scene.is(&id, "completed").await;
    let (status, text) = scene.call(&good).await;
    assert!(status == StatusCode::UNAUTHORIZED && text.contains("slack_replayed"), "{text}");
    let other = scene.installation.serve_with(&variables(&scene.slack.api_url())).await;
    let there = Client::new()
        .post(format!("{}/api/slack/interactions", other.url))
        .header("x-slack-request-timestamp", &good.timestamp)
        .header("x-slack-signature", &good.signature)
        .body(good.body.clone());
    assert_eq!(there.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        scene.installation.audited(&id).await,
        "request.submit request.approve request.start request.succeed"
    );
}
