//! From a submission to its end, with nobody looking into the portal.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_announced_approved_by_a_button_executed_and_told() {
    let scene = Scene::new().await;
    let (id, message) =
        scene.submitted("INSERT INTO hits (note) VALUES ('by slack') RETURNING id, note").await;
    for part in [
        "dev@test.example",
        "shop",
        "INSERT INTO hits",
        &format!("https://portal.test.example/requests/{id}"),
    ] {
        assert!(shown(&message).contains(part), "{part} in {}", shown(&message));
    }
    assert!(has_button(&message, APPROVE) && has_button(&message, REJECT));

    assert_eq!(scene.press(&message, APPROVE, "manager").await, StatusCode::OK);
    scene.is(&id, "completed").await;
    assert_eq!(scene.installation.hits("by slack").await, 1);

    // The one message shows how the request stands, and nobody can decide on it any more.
    eventually("the message is up to date", SOON, async || {
        let message = scene.found(&id).unwrap();
        is_decided(&message) && shown(&message).contains("manager@test.example")
    })
    .await;
    let result = scene.told(&id, "by slack").await;
    assert!(shown(&result).contains("note"), "{}", shown(&result));
    assert_eq!(scene.slack.messages_to("U0DEV").len(), 1);
    assert!(scene.slack.messages_to("U0MANAGER").is_empty());
    assert!(scene.slack.ephemerals().is_empty(), "who succeeds is not told off");

    let how = "SELECT string_agg(action || ':' || (new_values ->> 'channel'), ' ' ORDER BY id)
               FROM audit_logs WHERE entity_type = 'request'";
    assert_eq!(
        scene.installation.portal_value(how).await,
        "request.submit:api request.approve:slack request.start:system request.succeed:system"
    );
    let ties = "SELECT string_agg(email || '=' || slack_user_id, ' ' ORDER BY email) FROM users
                WHERE slack_user_id IS NOT NULL";
    assert_eq!(
        scene.installation.portal_value(ties).await,
        "dev@test.example=U0DEV manager@test.example=U0MANAGER"
    );
    let history = "SELECT string_agg(notification_type || ':' || channel_type || ':' || status, ' '
                       ORDER BY notification_type, channel_type)
                   FROM slack_notifications WHERE message_ts IS NOT NULL AND sent_at IS NOT NULL";
    eventually("all is on record", SOON, async || {
        scene.installation.portal_value(&format!("SELECT coalesce(({history}), '')")).await
            == "approved:channel:sent completed:channel:sent completed:dm:sent submitted:channel:sent"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_rejected_with_a_reason_that_a_dialog_asks_for() {
    let scene = Scene::new().await;
    let (id, message) = scene.submitted("DELETE FROM hits").await;
    assert!(shown(&message).contains("every row") || shown(&message).to_lowercase().contains("delete"));
    assert_eq!(scene.press(&message, REJECT, "manager").await, StatusCode::OK);
    eventually("a dialog is open", SOON, async || !scene.slack.views().is_empty()).await;
    let view = scene.slack.views().remove(0);
    assert_eq!(view.user, "U0MANAGER");
    assert_eq!(scene.dev.status_of(&id).await, "pending", "nothing happens without a reason");

    assert_eq!(scene.send_off(&view, "Not without a <!channel> WHERE.").await, StatusCode::OK);
    scene.is(&id, "rejected").await;
    let (_, request) = scene.dev.get(&format!("/api/queries/{id}")).await;
    assert_eq!(request["rejection"]["reason"], "Not without a <!channel> WHERE.", "{request}");
    let reason = scene.told(&id, "WHERE.").await;
    assert!(shown(&reason).contains("manager@test.example"), "{}", shown(&reason));
    eventually("the message is up to date", SOON, async || is_decided(&scene.found(&id).unwrap())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_in_the_portal_shows_in_slack_too_and_an_edit_changes_the_message() {
    let scene = Scene::new().await;
    let (id, before) = scene.submitted("SELECT 1 AS before_the_edit").await;
    let edit = json!({ "queryContent": "SELECT 2 AS after_the_edit" });
    assert_eq!(scene.dev.patch(&format!("/api/queries/{id}"), edit).await.0, StatusCode::OK);
    eventually("the message shows the edit", SOON, async || {
        shown(&scene.found(&id).unwrap()).contains("after_the_edit")
    })
    .await;
    let after = scene.found(&id).unwrap();
    assert!(after.ts == before.ts && !shown(&after).contains("before_the_edit"));

    // The old button is still on somebody's screen.
    assert_eq!(scene.press(&before, APPROVE, "manager").await, StatusCode::OK);
    assert!(scene.whispered("manager").await.contains("changed after this message was written"));
    assert_eq!(scene.dev.status_of(&id).await, "pending");

    let (_, request) = scene.manager.get(&format!("/api/queries/{id}")).await;
    let digest = json!({ "digest": request["digest"] });
    let approved = scene.manager.post(&format!("/api/queries/{id}/approve?wait=30"), digest).await;
    assert_eq!(approved.1["status"], "completed", "{}", approved.1);
    eventually("the message is up to date", SOON, async || is_decided(&scene.found(&id).unwrap())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_target_that_says_so_slack_shows_numbers_only_or_nothing_at_all() {
    let scene = Scene::new().await;
    for (results, counts) in [("counts", true), ("none", false)] {
        let change = json!({ "slackResults": results });
        assert_eq!(scene.admin.patch("/api/instances/shop", change).await.0, StatusCode::OK);
        let sql = "SELECT 'confidential' || n AS value FROM generate_series(1, 4711) AS n";
        let (id, message) = scene.submitted(sql).await;
        scene.press(&message, APPROVE, "manager").await;
        scene.is(&id, "completed").await;
        let told = shown(&scene.told(&id, &id).await);
        assert!(!told.contains("confidential1"), "{told}");
        let shows_counts = told.contains("4711") || told.contains("4,711");
        assert_eq!(shows_counts, counts, "{results}: {told}");

        // An error can quote data.
        let (id, message) =
            scene.submitted("SELECT ('confidential' || n)::int FROM generate_series(1, 1) AS n").await;
        scene.press(&message, APPROVE, "manager").await;
        scene.is(&id, "failed").await;
        let told = shown(&scene.told(&id, "22P02").await);
        assert!(!told.contains("confidential1"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_seen_whole_cannot_be_approved_in_slack() {
    let scene = Scene::new().await;
    let hidden = "SELECT 1 /* \u{202e}\u{2066} */";
    let long = format!("SELECT 1 -- {}", "long ".repeat(2_000));
    for sql in [hidden, &long] {
        let (id, message) = scene.submitted(sql).await;
        assert!(!has_button(&message, APPROVE), "{}", shown(&message));
        assert!(shown(&message).contains(&format!("https://portal.test.example/requests/{id}")));
        assert!(!shown(&message).contains('\u{202e}'));
        let approved = scene.manager.approve(&id).await;
        assert_eq!(approved["status"], "completed", "in the portal it can");
    }
}
