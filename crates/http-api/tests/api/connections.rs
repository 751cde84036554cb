//! Trying an instance's connection, and its list of databases.

use std::fmt::Write as _;

use domain::ports::{CredentialError, ExecutionError, RoleReport};
use serde_json::{Value, json};
use testkit::builders::{database_name, instance_id};

use crate::support::Portal;

const ORDERS: &str = "/api/instances/orders-db";

/// An error of the network.
fn unreachable() -> ExecutionError {
    let source = std::io::Error::other("connection refused");
    ExecutionError::Unavailable { source: source.into() }
}

#[actix_web::test]
async fn a_test_says_what_the_server_is_and_what_it_has() {
    let portal = Portal::new().await;
    portal.inspector.shows(&["orders", "archive"].map(database_name));
    portal.inspector.shows_role(RoleReport {
        name: "portal_reader".to_owned(),
        privileges: vec!["createdb".to_owned()],
        member_of: vec!["pg_read_all_data".to_owned()],
        may_write: Some(false),
    });
    insta::assert_json_snapshot!(portal.post_nothing("root", &format!("{ORDERS}/test")).await.ok(), @r#"
    {
      "at": "2026-03-02T09:00:00Z",
      "databases": [
        "archive",
        "orders"
      ],
      "latencyMs": 2.0,
      "ok": true,
      "role": {
        "mayWrite": false,
        "memberOf": [
          "pg_read_all_data"
        ],
        "name": "portal_reader",
        "privileges": [
          "createdb"
        ]
      },
      "serverVersion": "15.18"
    }
    "#);
    let looked = (instance_id("orders-db"), database_name("orders"), "portal".to_owned());
    assert_eq!(portal.inspector.looks(), [looked]);
    assert!(portal.store.audit_actions().contains(&"instance.test".to_owned()));
}

#[actix_web::test]
async fn a_failed_test_is_an_answer_that_says_what_to_mend() {
    let portal = Portal::new().await;
    let mut table = String::new();
    let mut note = |answer: &Value| {
        writeln!(table, "{} {} {}", answer["ok"], answer["code"], answer["message"])
            .expect("memory is writable");
    };
    let uri = format!("{ORDERS}/test");
    let malformed = CredentialError::Malformed { reason: "not-for-your-eyes".to_owned() };
    for error in [CredentialError::NotFound, CredentialError::Forbidden, malformed] {
        portal.credentials.fail_next(error);
        note(&portal.post_nothing("root", &uri).await.ok());
    }
    let not_allowed = ExecutionError::RoleNotAllowed { reason: "The role is a superuser.".to_owned() };
    for error in [unreachable(), not_allowed, ExecutionError::TimedOut] {
        portal.inspector.fails(error);
        note(&portal.post_nothing("root", &uri).await.ok());
    }
    portal
        .patch(
            "root",
            ORDERS,
            json!({ "connection": { "credentialSource": "aws", "credentialReference": "TARGET_X" } }),
        )
        .await
        .ok();
    portal.post("root", &format!("{ORDERS}/bind"), json!({ "connectionRevision": 2 })).await.ok();
    note(&portal.post_nothing("root", &uri).await.ok());
    note(&portal.post_nothing("root", "/api/instances/documents-db/test").await.ok());
    insta::assert_snapshot!(table, @r#"
    false "credentials" "No credentials are kept under the reference of this instance."
    false "credentials" "The reference of this instance is outside of the prefixes that the configuration allows."
    false "credentials" "What is kept under the reference of this instance is not a credential; the log says why."
    false "unavailable" "The server could not be reached: connection refused."
    false "role_not_allowed" "The role is a superuser."
    false "unavailable" "The server did not answer the portal's questions."
    false "credentials" "This portal is not set up for this source of credentials."
    false "engine" "This portal cannot reach this kind of database."
    "#);
}

#[actix_web::test]
async fn a_sync_brings_the_databases_up_to_date_and_is_remembered() {
    let portal = Portal::new().await;
    let (sync, dbs) = (format!("{ORDERS}/sync"), format!("{ORDERS}/dbs"));
    portal.inspector.shows(&["fresh", "newer"].map(database_name));
    let first = portal.post_nothing("root", &sync).await.ok();
    assert_eq!((&first["ok"], &first["added"]), (&json!(true), &json!(["fresh", "newer"])));
    portal.inspector.shows(&["newer"].map(database_name));
    assert_eq!(portal.post_nothing("root", &sync).await.ok()["deactivated"], json!(["fresh"]));
    portal.inspector.shows(&["fresh", "newer"].map(database_name));
    insta::assert_json_snapshot!(portal.post_nothing("root", &sync).await.ok(), @r#"
    {
      "added": [],
      "at": "2026-03-02T09:00:00Z",
      "deactivated": [],
      "ok": true,
      "reactivated": [
        "fresh"
      ]
    }
    "#);
    let names = |body: Value| -> Vec<Value> {
        body["items"].as_array().expect("it is a list").iter().map(|item| item["name"].clone()).collect()
    };
    let listed = names(portal.get("ada", &dbs).await.ok());
    assert!(listed.contains(&json!("fresh")) && listed.contains(&json!("newer")), "{listed:?}");
    let last = &portal.get("root", ORDERS).await.ok()["lastSync"];
    assert_eq!((&last["status"], &last["error"]), (&json!("succeeded"), &Value::Null));

    portal.inspector.fails(unreachable());
    let failed = portal.post_nothing("root", &sync).await.ok();
    assert_eq!((&failed["ok"], &failed["code"]), (&json!(false), &json!("unavailable")));
    let last = &portal.get("root", ORDERS).await.ok()["lastSync"];
    assert_eq!((&last["status"], &last["error"]), (&json!("failed"), &failed["message"]));
    assert_eq!(names(portal.get("ada", &dbs).await.ok()), listed);
}

#[actix_web::test]
async fn a_database_entered_by_hand_stays_as_it_is_said_to_be() {
    let portal = Portal::new().await;
    let uri = format!("{ORDERS}/dbs/by%20hand");
    let entered = portal.put_json("root", &uri, json!({ "description": "Mine." })).await.ok();
    insta::assert_json_snapshot!(entered, @r#"
    {
      "active": true,
      "description": "Mine.",
      "lastSeenAt": null,
      "name": "by hand",
      "source": "manual"
    }
    "#);
    let hidden = portal.put_json("root", &uri, json!({ "active": false })).await.ok();
    assert_eq!((&hidden["active"], &hidden["description"]), (&json!(false), &json!("Mine.")));
    for nothing in [json!({}), json!({ "active": null })] {
        let answer = portal.put_json("root", &uri, nothing).await.ok();
        assert_eq!(answer, hidden, "what is left out stays as it is, closed above all");
    }
    let bare = portal.put_json("root", &uri, json!({ "description": null })).await.ok();
    assert_eq!((&bare["active"], &bare["description"]), (&json!(false), &Value::Null));
    let entries = portal.store.audit_entries();
    let entry =
        entries.iter().rfind(|entry| entry.action == "instance.database").expect("it is on the trail");
    let (old, new) = (entry.old_values.as_ref(), entry.new_values.as_ref());
    assert_eq!(old.expect("there was something")["description"], "Mine.");
    assert_eq!(new.expect("there is something")["description"], Value::Null);
    let listed = portal.get("ada", &format!("{ORDERS}/dbs")).await;
    assert!(!listed.text().contains("by hand"), "{}", listed.text());
    let nowhere = portal.put_json("root", "/api/instances/nothing/dbs/x", json!({})).await;
    assert_eq!(nowhere.verdict(), "404 not_found");
}
