//! Slack refuses, is busy, or makes no sense.

use slack_stand_in::{BOT_TOKEN, Channel, Fault, SIGNING_SECRET};
use testkit::builders::request;
use testkit::memory::{DeliveryState, JobState};

use crate::support::{ADA, CHANNEL, Portal};

const POST: &str = "chat.postMessage";

/// What somebody wrote; it must not get anywhere but into messages.
const PLANTED: &str = "planted-0b7e91";

#[tokio::test]
async fn a_pause_that_slack_asks_for_is_kept_in_that_channel_and_is_no_failed_try() {
    let portal = Portal::new().await;
    portal.slack.add_channel("C0OTHER", "other");
    portal.store.put_pod(&testkit::builders::pod("orders").slack_channel("C0OTHER").build());
    portal.slack.next(POST, Fault::TooMany(Some(17)));
    portal.submit(request()).await;
    portal.submit(request().pod("orders")).await;
    for (second, calls) in [(0, 2), (16, 2), (17, 3)] {
        portal.clock.set(testkit::builders::at(second));
        portal.deliver().await;
        assert_eq!(portal.slack.count(POST), calls, "at second {second}");
    }
    for job in portal.notifications() {
        assert_eq!((job.state, job.attempts), (JobState::Done, 1));
    }
    assert_eq!(portal.slack.count("conversations.history"), 0, "a clear refusal leaves nothing to look for");
}

#[tokio::test]
async fn a_pause_of_unknown_length_is_half_a_minute() {
    let portal = Portal::new().await;
    portal.slack.next(POST, Fault::TooMany(None));
    portal.submit(request()).await;
    portal.deliver_all().await;
    assert_eq!(portal.seconds(), 30);
    assert_eq!(portal.slack.messages(CHANNEL).len(), 1);
}

#[tokio::test]
async fn refusals_that_may_pass_or_that_people_can_mend_are_tried_again() {
    let codes = [
        "access_denied",
        "account_inactive",
        "accesslimited",
        "channel_not_found",
        "ekm_access_denied",
        "enterprise_is_restricted",
        "fatal_error",
        "internal_error",
        "invalid_auth",
        "is_archived",
        "is_inactive",
        "message_limit_exceeded",
        "missing_scope",
        "no_permission",
        "not_allowed_token_type",
        "not_authed",
        "not_in_channel",
        "org_login_required",
        "rate_limited",
        "ratelimited",
        "request_timeout",
        "restricted_action",
        "restricted_action_read_only_channel",
        "service_unavailable",
        "team_access_not_granted",
        "team_added_to_org",
        "token_expired",
        "token_revoked",
        "two_factor_setup_required",
        "a_code_of_tomorrow",
    ];
    let portal = Portal::new().await;
    for code in codes {
        let before = portal.slack.messages(CHANNEL).len();
        portal.slack.always(POST, Some(code));
        let pending = portal.submit(request()).await;
        let end = portal.now() + chrono::TimeDelta::hours(1);
        portal.deliver_until(end).await;
        let job = portal.notifications().into_iter().find(|job| job.request == pending.id).unwrap();
        assert!(job.state == JobState::Queued && job.attempts > 5, "{code}: {job:?}");
        assert!(
            job.error.unwrap().contains(&format!("Slack refused chat.postMessage with {code}")),
            "{code}"
        );
        portal.slack.always(POST, None);
        portal.deliver_all().await;
        assert_eq!(portal.slack.messages(CHANNEL).len(), before + 1, "{code}");
    }
}

#[tokio::test]
async fn refusals_that_stay_end_the_tries_at_once() {
    let codes = [
        "attachment_payload_limit_exceeded",
        "deprecated_endpoint",
        "invalid_arguments",
        "invalid_blocks",
        "invalid_blocks_format",
        "invalid_charset",
        "method_deprecated",
        "msg_blocks_too_long",
        "msg_too_long",
        "no_text",
        "unknown_method",
    ];
    let portal = Portal::new().await;
    for code in codes {
        portal.slack.next(POST, Fault::Refuse(code.to_owned()));
        let pending = portal.submit(request()).await;
        portal.deliver_all().await;
        let job = portal.notifications().into_iter().find(|job| job.request == pending.id).unwrap();
        assert_eq!((job.state, job.attempts), (JobState::Failed, 1), "{code}");
        let row = portal.store.delivery_rows().into_iter().find(|row| row.job == job.id).unwrap();
        assert_eq!(row.state, DeliveryState::Failed, "{code}");
    }
    assert!(portal.slack.messages(CHANNEL).is_empty());
}

#[tokio::test]
async fn every_other_method_has_refusals_of_both_sorts() {
    let mended = [
        ("users.lookupByEmail", "missing_scope"),
        ("users.lookupByEmail", "internal_error"),
        ("auth.test", "service_unavailable"),
        ("conversations.open", "missing_scope"),
        ("conversations.open", "fatal_error"),
        ("chat.update", "is_archived"),
        ("chat.update", "request_timeout"),
        ("chat.update", "token_revoked"),
        ("chat.update", "external_channel_migrating"),
    ];
    for (method, code) in mended {
        let portal = Portal::new().await;
        portal.slack.next(method, Fault::Refuse(code.to_owned()));
        told_of_a_rejection(&portal).await;
        assert_eq!(portal.slack.messages_to(ADA).len(), 1, "{method} {code}");
        let [message] = portal.slack.messages(CHANNEL).try_into().unwrap();
        assert_eq!(message.edits, 1, "{method} {code}");
        assert!(portal.notifications().iter().all(|job| job.state == JobState::Done), "{method} {code}");
    }
    let given_up = [
        ("conversations.open", "user_not_found"),
        ("conversations.open", "user_not_visible"),
        ("conversations.open", "user_disabled"),
        ("conversations.open", "cannot_dm_bot"),
        ("conversations.open", "invalid_user_combination"),
        ("chat.update", "invalid_blocks"),
        ("chat.update", "msg_too_long"),
        ("chat.update", "block_mismatch"),
    ];
    for (method, code) in given_up {
        let portal = Portal::new().await;
        portal.slack.always(method, Some(code));
        told_of_a_rejection(&portal).await;
        let failed: Vec<_> =
            portal.notifications().into_iter().filter(|job| job.state == JobState::Failed).collect();
        assert_eq!(failed.len(), 1, "{method} {code}");
        assert_eq!(failed[0].attempts, 1, "{method} {code}");
    }
}

async fn told_of_a_rejection(portal: &Portal) {
    let pending = portal.submit(request()).await;
    portal.deliver().await;
    portal.advance(5);
    portal.reject(&pending).await;
    portal.deliver_all().await;
}

#[tokio::test]
async fn a_channel_without_the_app_is_told_once_the_app_is_there() {
    let portal = Portal::new().await;
    for wrong in [
        Channel { member: false, ..Channel::new(CHANNEL, "payments") },
        Channel { archived: true, ..Channel::new(CHANNEL, "payments") },
    ] {
        let before = portal.slack.messages(CHANNEL).len();
        portal.slack.change_channel(wrong);
        portal.submit(request()).await;
        portal.deliver_until(portal.now() + chrono::TimeDelta::hours(2)).await;
        assert_eq!(portal.slack.messages(CHANNEL).len(), before);
        portal.slack.add_channel(CHANNEL, "payments");
        portal.deliver_all().await;
        assert_eq!(portal.slack.messages(CHANNEL).len(), before + 1);
    }
}

#[tokio::test]
async fn failures_say_what_happened_and_nothing_that_was_sent_or_answered() {
    let faults = [
        (Fault::Status(500), "with the status 500"),
        (Fault::Status(403), "with the status 403"),
        (Fault::Nonsense, "cannot be read"),
        (Fault::Hang, "did not answer chat.postMessage in time"),
        (Fault::Refuse("internal_error".to_owned()), "refused chat.postMessage with internal_error"),
        (Fault::Refuse(format!("near {PLANTED}")), "with an unreadable code"),
    ];
    for (fault, says) in faults {
        let portal = Portal::impatient().await;
        portal.slack.next(POST, fault.clone());
        portal.submit(request().text(&format!("SELECT '{PLANTED}'"))).await;
        portal.deliver().await;
        let job = portal.only_notification();
        let error = job.error.unwrap();
        assert!(error.contains(says), "{fault:?}: {error}");
        assert!(!error.contains(PLANTED) && !error.contains(BOT_TOKEN), "{fault:?}: {error}");
        // It goes out in the end, and once.
        portal.deliver_all().await;
        assert_eq!(portal.slack.messages(CHANNEL).len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn slack_that_is_not_there_at_all_is_tried_again() {
    let mut portal = Portal::new().await;
    let nowhere = notify_slack::SlackConfig {
        api_url: "http://127.0.0.1:1/api".parse().unwrap(),
        ..crate::support::config(&portal.slack, std::time::Duration::from_secs(5))
    };
    portal.restart_with(nowhere);
    portal.submit(request()).await;
    portal.deliver().await;
    let error = portal.only_notification().error.unwrap();
    assert!(error.ends_with("the connection to Slack for chat.postMessage failed"), "{error}");
    portal.restart();
    portal.deliver_all().await;
    assert_eq!(portal.slack.messages(CHANNEL).len(), 1);
}

#[tokio::test]
async fn neither_secret_is_ever_sent_in_a_body() {
    let portal = Portal::new().await;
    told_of_a_rejection(&portal).await;
    assert!(portal.slack.calls().len() > 4);
    for call in portal.slack.calls() {
        assert!(!call.body.contains(BOT_TOKEN) && !call.body.contains(SIGNING_SECRET), "{}", call.method);
    }
}
