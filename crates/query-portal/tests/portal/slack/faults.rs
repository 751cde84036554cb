//! Slack that is slow, broken or away, and a portal that dies: everything is told, and once.

use slack_stand_in::Fault;

use super::*;

impl Scene {
    /// Lets everything that waits be due at once, as if this time had passed.
    async fn time_passes(&self, interval: &str) {
        let earlier = format!(
            "UPDATE jobs SET scheduled_at = scheduled_at - interval '{interval}', created_at = created_at - interval
             '{interval}' WHERE kind = 'notify' AND status = 'pending'"
        );
        self.installation.change_portal(&earlier).await;
    }

    async fn jobs(&self, condition: &str) -> String {
        self.installation
            .portal_value(&format!("SELECT count(*)::text FROM jobs WHERE kind = 'notify' AND {condition}"))
            .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slack_that_asks_for_patience_or_fails_gets_each_message_once() {
    let scene = Scene::new().await;
    for fault in [
        Fault::TooMany(Some(1)),
        Fault::Refuse("internal_error".to_owned()),
        Fault::Refuse("ratelimited".to_owned()),
        Fault::Status(500),
        Fault::TakeAndStatus(502),
    ] {
        scene.slack.next("chat.postMessage", fault.clone());
        let id = scene.dev.submit(&scene.installation, "SELECT 1").await;
        eventually("it is tried", SOON, async || {
            let posts = scene.slack.calls().into_iter().filter(|call| call.method == "chat.postMessage");
            posts.filter(|call| call.body.contains(&id)).count() > 0
        })
        .await;
        let message = scene.message_about(&id).await;
        eventually("it is on record", SOON, async || scene.jobs("status <> 'completed'").await == "0").await;
        assert_eq!(scene.message_about(&id).await.ts, message.ts, "{fault:?}");
    }
    assert_eq!(scene.slack.messages(CHANNEL).len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_for_good_ends_the_tries_and_leaves_a_failed_row() {
    let scene = Scene::new().await;
    scene.slack.next("chat.postMessage", Fault::Refuse("invalid_blocks".to_owned()));
    let id = scene.dev.submit(&scene.installation, "SELECT 1").await;
    eventually("it is given up", SOON, async || scene.jobs("status = 'failed'").await == "1").await;
    let row = "SELECT status || ' ' || error_message FROM slack_notifications";
    let row = scene.installation.portal_value(row).await;
    assert!(row.starts_with("failed ") && row.contains("invalid_blocks"), "{row}");
    assert_eq!(scene.dev.status_of(&id).await, "pending", "the request does not mind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_portal_killed_between_sending_and_recording_sends_nothing_twice() {
    let mut scene = Scene::new().await;
    scene.slack.next("chat.postMessage", Fault::TakeAndHang);
    let id = scene.dev.submit(&scene.installation, "SELECT 1").await;
    let message = scene.message_about(&id).await;
    scene.server.kill();
    assert_eq!(scene.jobs("status = 'running'").await, "1");

    // Its lease would run out by itself, later.
    scene.installation.change_portal("UPDATE jobs SET lease_until = now() WHERE status = 'running'").await;
    let next = scene.installation.serve_with(&variables(&scene.slack.api_url())).await;
    eventually("it is on record", SOON, async || {
        let sent = "SELECT coalesce(max(message_ts), '') FROM slack_notifications WHERE status = 'sent'";
        scene.installation.portal_value(sent).await == message.ts
    })
    .await;
    assert_eq!(scene.slack.messages(CHANNEL).len(), 1, "it was found, and not sent again");

    // The message that was found is the one that is kept up to date.
    let manager = next.login("manager").await;
    assert_eq!(manager.approve(&id).await["status"], "completed");
    eventually("the message is up to date", SOON, async || is_decided(&scene.found(&id).unwrap())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_without_slack_loses_nothing_and_a_day_leaves_failed_rows() {
    let scene = Scene::new().await;
    scene.slack.away(true);
    let id = scene.dev.submit(&scene.installation, "SELECT 'while slack was away'").await;
    assert_eq!(scene.manager.approve(&id).await["status"], "completed", "work goes on");
    for _ in 0..6 {
        scene.time_passes("10 minutes").await;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    assert_eq!(scene.slack.messages(CHANNEL).len(), 0);
    assert_eq!(scene.jobs("status IN ('failed', 'completed')").await, "0");
    scene.slack.away(false);
    eventually("all is told", Duration::from_mins(1), async || {
        scene.time_passes("10 minutes").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        scene.jobs("status <> 'completed'").await == "0"
    })
    .await;
    let message = scene.message_about(&id).await;
    assert!(is_decided(&message), "what comes late shows how the request stands");
    assert_eq!(scene.slack.messages_to("U0DEV").len(), 1);

    scene.slack.away(true);
    let lost = scene.dev.submit(&scene.installation, "SELECT 'a day'").await;
    eventually("it is tried", SOON, async || {
        scene.jobs("status = 'pending' AND error IS NOT NULL").await == "1"
    })
    .await;
    scene.time_passes("25 hours").await;
    eventually("it is given up", SOON, async || scene.jobs("status = 'failed'").await == "1").await;
    let failed = "SELECT string_agg(notification_type || ' ' || status, ' ') FROM slack_notifications
                  WHERE status = 'failed'";
    assert_eq!(scene.installation.portal_value(failed).await, "submitted failed");
    assert!(scene.found(&lost).is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dialog_or_an_answer_that_slack_does_not_take_in_time_holds_up_nobody() {
    let scene = Scene::new().await;
    let (id, message) = scene.submitted("SELECT 1").await;
    scene.slack.next("views.open", Fault::Hang);
    let begun = std::time::Instant::now();
    assert_eq!(scene.press(&message, REJECT, "manager").await, StatusCode::OK);
    // Slack itself would give up after three seconds.
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(scene.dev.status_of(&id).await, "pending");
    scene.slack.next("users.info", Fault::Status(500));
    assert_eq!(scene.press(&message, APPROVE, "admin").await, StatusCode::OK);
    assert!(scene.whispered("admin").await.contains("did not tell the portal who you are"));
    assert_eq!(scene.press(&message, APPROVE, "admin").await, StatusCode::OK);
    scene.is(&id, "completed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_in_slack_is_noted_once_and_who_joins_later_is_found() {
    let scene = Scene::new().await;
    scene.slack.add_person(slack_stand_in::Person::new("U0DEV", "somebody-else@test.example"));
    for _ in 0..2 {
        let (id, message) = scene.submitted("SELECT 1").await;
        scene.press(&message, APPROVE, "manager").await;
        scene.is(&id, "completed").await;
    }
    eventually("all jobs are done", SOON, async || scene.jobs("status <> 'completed'").await == "0").await;
    let lookups = scene.slack.calls().into_iter().filter(|call| call.method == "users.lookupByEmail").count();
    assert_eq!(lookups, 1);
    let noted =
        "SELECT count(*)::text FROM slack_notifications WHERE channel_type = 'dm' AND status = 'failed'";
    assert_eq!(scene.installation.portal_value(noted).await, "1");

    scene.slack.add_person(slack_stand_in::Person::new("U0DEV", &email("dev")));
    let days_later = "UPDATE users SET slack_not_found_at = slack_not_found_at - interval '2 days'";
    scene.installation.change_portal(days_later).await;
    let (id, message) = scene.submitted("SELECT 1").await;
    scene.press(&message, APPROVE, "manager").await;
    scene.told(&id, &id).await;
}
