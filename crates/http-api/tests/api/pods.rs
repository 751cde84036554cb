//! Setting up PODs.

use serde_json::{Value, json};

use crate::support::{Portal, account, submission};

#[actix_web::test]
async fn a_pod_is_added_changed_switched_off_and_back_on() {
    let portal = Portal::new().await;
    let body = json!({ "id": "risk", "name": "Risk", "managerEmail": "Grace@Example.com" });
    let added = portal.post("root", "/api/pods", body.clone()).await;
    assert_eq!((added.status, added.header("location")), (201, Some("/api/pods/risk")));
    insta::assert_json_snapshot!(added.ok(), @r#"
    {
      "active": true,
      "description": null,
      "id": "risk",
      "managerEmail": "grace@example.com",
      "name": "Risk",
      "slackChannel": null
    }
    "#);
    assert_eq!(portal.post("root", "/api/pods", body).await.verdict(), "409 exists");
    assert_eq!(portal.get("ada", "/api/pods/risk").await.ok(), added.ok());

    let change = json!({ "name": "Risk & fraud", "managerEmail": null, "description": "Both." });
    let changed = portal.patch("root", "/api/pods/risk", change).await.ok();
    assert_eq!(
        [&changed["name"], &changed["managerEmail"], &changed["description"]],
        [&json!("Risk & fraud"), &Value::Null, &json!("Both.")]
    );
    for _ in 0..2 {
        assert_eq!(portal.delete("root", "/api/pods/risk").await.ok()["active"], false);
    }
    assert_eq!(portal.get("ada", "/api/pods/risk").await.verdict(), "404 not_found");
    assert_eq!(portal.get("root", "/api/pods/risk").await.ok()["active"], false);
    let back = portal.patch("root", "/api/pods/risk", json!({ "active": true })).await.ok();
    assert_eq!((&back["active"], &back["description"]), (&json!(true), &json!("Both.")));
    let actions = portal.store.audit_actions();
    let of_pods: Vec<&str> = actions.iter().map(String::as_str).filter(|a| a.starts_with("pod.")).collect();
    assert_eq!(of_pods, ["pod.create", "pod.update", "pod.update", "pod.update"]);
}

#[actix_web::test]
async fn a_pod_is_announced_in_the_channel_that_is_named_and_no_longer_where_it_is_taken_away() {
    let portal = Portal::new().await;
    let new = json!({ "id": "risk", "name": "Risk", "slackChannel": "C0123456789" });
    assert_eq!(portal.post("root", "/api/pods", new).await.ok()["slackChannel"], "C0123456789");
    let change = async |body: Value| portal.patch("root", "/api/pods/risk", body).await;
    assert_eq!(change(json!({ "name": "Risks" })).await.ok()["slackChannel"], "C0123456789");
    assert_eq!(change(json!({ "slackChannel": "#risk" })).await.ok()["slackChannel"], "#risk");
    assert_eq!(change(json!({ "slackChannel": null })).await.ok()["slackChannel"], Value::Null);
    for wrong in [json!(""), json!("two words"), json!("x".repeat(81))] {
        let answer = change(json!({ "slackChannel": wrong })).await;
        assert_eq!(
            (answer.verdict().as_str(), answer.fields()),
            ("400 validation", vec!["slackChannel".to_owned()])
        );
    }
    assert_eq!(portal.get("ada", "/api/pods/risk").await.ok()["slackChannel"], Value::Null);
}

#[actix_web::test]
async fn nothing_is_submitted_for_a_pod_that_is_off_and_what_is_approved_does_not_run() {
    let portal = Portal::new().await;
    let id = portal.submit().await;
    portal.post_nothing("grace", &format!("/api/queries/{id}/approve")).await.ok();
    portal.delete("root", "/api/pods/payments").await.ok();
    assert_eq!(portal.post("ada", "/api/queries", submission()).await.verdict(), "400 validation");
    portal.run_one().await;
    assert_eq!(portal.get("ada", &format!("/api/queries/{id}")).await.ok()["status"], "failed");
    assert_eq!(portal.executor.executions(), 0);
}

#[actix_web::test]
async fn a_pod_that_is_not_there_is_not_found() {
    let portal = Portal::new().await;
    let answers = [
        portal.get("ada", "/api/pods/nothing").await,
        portal.patch("root", "/api/pods/nothing", json!({ "name": "x" })).await,
        portal.delete("root", "/api/pods/nothing").await,
    ];
    for answer in answers {
        assert_eq!(answer.verdict(), "404 not_found");
    }
}

#[actix_web::test]
async fn nobody_becomes_the_leader_of_a_pod_by_managing_pods() {
    let portal = Portal::new().await;
    portal.store.set_role("organiser", &["pods:manage", "requests:read-pod", "requests:decide-pod"]);
    portal.store.set_roles(account("olga").id, &["organiser"]);
    let own = json!({ "managerEmail": "olga@example.com" });
    let answer = portal.patch("olga", "/api/pods/search", own.clone()).await;
    assert_eq!(answer.verdict(), "403 foreign_leader");
    let new = json!({ "id": "risk", "name": "Risk", "managerEmail": "olga@example.com" });
    assert_eq!(portal.post("olga", "/api/pods", new).await.verdict(), "403 foreign_leader");
    assert_eq!(portal.get("olga", "/api/auth/me").await.ok()["podIds"], json!(["payments"]));
    let described = json!({ "description": "Finds things." });
    assert_eq!(portal.patch("olga", "/api/pods/search", described).await.verdict(), "200");
    assert_eq!(portal.patch("olga", "/api/pods/payments", own).await.verdict(), "200");
}
