//! Setting up instances: adding, changing, binding, switching off.

use serde_json::{Value, json};
use testkit::builders::target;

use crate::routes::new_instance;
use crate::support::{Portal, submission};

const ORDERS: &str = "/api/instances/orders-db";

#[actix_web::test]
async fn people_see_what_they_may_use_and_managers_of_instances_how_it_is_reached() {
    let portal = Portal::new().await;
    insta::assert_json_snapshot!(portal.get("ada", ORDERS).await.ok(), @r#"
    {
      "active": true,
      "allowOtherDatabases": false,
      "allowServerJavascript": false,
      "approvalsNeeded": 1,
      "databaseType": "postgresql",
      "description": null,
      "id": "orders-db",
      "limits": {
        "lockTimeoutMs": 5000,
        "maxBytes": 268435456,
        "maxRows": 100000,
        "timeoutMs": 30000
      },
      "name": "Server orders-db",
      "podIds": [
        "payments",
        "closed"
      ],
      "readOnly": false
    }
    "#);
    insta::assert_json_snapshot!(portal.get("root", ORDERS).await.ok(), @r#"
    {
      "active": true,
      "allowOtherDatabases": false,
      "allowPrivilegedRole": false,
      "allowServerJavascript": false,
      "approvalTtlSeconds": 86400,
      "approvalsNeeded": 1,
      "connection": {
        "credentialReference": "TARGET_ORDERS-DB",
        "credentialSource": "env",
        "credentialsBound": true,
        "host": "db.internal",
        "options": null,
        "port": 5432,
        "revision": 1,
        "tls": "verify-full"
      },
      "databaseType": "postgresql",
      "description": null,
      "id": "orders-db",
      "lastSync": null,
      "limits": {
        "lockTimeoutMs": 5000,
        "maxBytes": 268435456,
        "maxRows": 100000,
        "timeoutMs": 30000
      },
      "name": "Server orders-db",
      "podIds": [
        "payments",
        "closed"
      ],
      "readOnly": false,
      "searchPath": null,
      "slackDecisions": true,
      "slackResults": "preview"
    }
    "#);
    assert_eq!(portal.get("linus", ORDERS).await.verdict(), "404 not_found");
    assert_eq!(portal.get("ada", "/api/instances/old-db").await.verdict(), "404 not_found");
    assert_eq!(portal.get("root", "/api/instances/old-db").await.ok()["active"], false);
    let [foreign, none] = ["search-db", "nothing"].map(|id| format!("/api/instances/{id}"));
    assert_eq!(portal.get("ada", &foreign).await.text(), portal.get("ada", &none).await.text());
}

#[actix_web::test]
async fn an_added_instance_can_be_used_at_once() {
    let portal = Portal::new().await;
    let added = portal.post("root", "/api/instances", new_instance()).await;
    assert_eq!((added.status, added.header("location")), (201, Some("/api/instances/new-db")));
    insta::assert_json_snapshot!(added.ok(), @r#"
    {
      "active": true,
      "allowOtherDatabases": false,
      "allowPrivilegedRole": false,
      "allowServerJavascript": false,
      "approvalTtlSeconds": 259200,
      "approvalsNeeded": 1,
      "connection": {
        "credentialReference": "TARGET_ORDERS-DB",
        "credentialSource": "env",
        "credentialsBound": true,
        "host": "db.example.com",
        "options": null,
        "port": 5432,
        "revision": 1,
        "tls": "disable"
      },
      "databaseType": "postgresql",
      "description": null,
      "id": "new-db",
      "lastSync": null,
      "limits": {
        "lockTimeoutMs": 5000,
        "maxBytes": 268435456,
        "maxRows": 100000,
        "timeoutMs": 30000
      },
      "name": "New",
      "podIds": [
        "payments"
      ],
      "readOnly": false,
      "searchPath": null,
      "slackDecisions": true,
      "slackResults": "preview"
    }
    "#);
    assert_eq!(portal.get("root", "/api/instances/new-db").await.ok(), added.ok());
    assert_eq!(portal.get("ada", "/api/instances/new-db/dbs").await.ok()["items"][0]["name"], "fresh");
    let body = json!({ "instanceId": "new-db", "databaseName": "fresh", "queryContent": "SELECT 1" });
    assert_eq!(portal.post("ada", "/api/queries", body).await.status, 201);
    let again = portal.post("root", "/api/instances", new_instance()).await;
    assert_eq!(again.verdict(), "409 exists");
    let entry = portal.store.audit_entries().into_iter().find(|entry| entry.action == "instance.create");
    let entry = entry.expect("it is on the trail");
    assert_eq!(entry.old_values, None);
    assert_eq!(entry.new_values.expect("there are some")["credentialReference"], "TARGET_ORDERS-DB");
}

#[actix_web::test]
async fn everything_about_a_new_instance_can_be_said() {
    let portal = Portal::new().await;
    let body = json!({
        "id": "whole", "name": " Whole ", "databaseType": "postgresql", "description": "All of it.",
        "connection": {
            "host": "10.0.0.1", "port": 6432, "tls": "verify-ca",
            "credentialSource": "aws", "credentialReference": "prod/whole",
        },
        "databases": ["b", "a", "b"], "podIds": ["search", "payments", "search"],
        "readOnly": true, "allowPrivilegedRole": true, "searchPath": "app, public",
        "limits": { "timeoutMs": 1_500, "lockTimeoutMs": 1, "maxRows": 2, "maxBytes": 3 },
        "approvalsNeeded": 2, "approvalTtlSeconds": 3_600, "slackResults": "counts", "slackDecisions": false,
    });
    insta::assert_json_snapshot!(portal.post("root", "/api/instances", body).await.ok(), @r#"
    {
      "active": true,
      "allowOtherDatabases": false,
      "allowPrivilegedRole": true,
      "allowServerJavascript": false,
      "approvalTtlSeconds": 3600,
      "approvalsNeeded": 2,
      "connection": {
        "credentialReference": "prod/whole",
        "credentialSource": "aws",
        "credentialsBound": true,
        "host": "10.0.0.1",
        "options": null,
        "port": 6432,
        "revision": 1,
        "tls": "verify-ca"
      },
      "databaseType": "postgresql",
      "description": "All of it.",
      "id": "whole",
      "lastSync": null,
      "limits": {
        "lockTimeoutMs": 1,
        "maxBytes": 3,
        "maxRows": 2,
        "timeoutMs": 1500
      },
      "name": "Whole",
      "podIds": [
        "payments",
        "search"
      ],
      "readOnly": true,
      "searchPath": "app, public",
      "slackDecisions": false,
      "slackResults": "counts"
    }
    "#);
    let databases = portal.get("root", "/api/instances/whole/dbs").await.ok();
    assert_eq!(databases["items"].as_array().map(Vec::len), Some(2));
}

#[actix_web::test]
async fn a_change_touches_what_it_names_and_nothing_else() {
    let portal = Portal::new().await;
    let before = portal.get("root", ORDERS).await.ok();
    let change = json!({
        "description": "Orders of the shop.", "readOnly": true, "searchPath": "app",
        "limits": { "maxRows": 7 }, "approvalsNeeded": 2, "approvalTtlSeconds": 60, "podIds": ["search", "payments"],
        "slackResults": "none", "slackDecisions": false,
    });
    let changed = portal.patch("root", ORDERS, change).await.ok();
    let mut expected = before.clone();
    expected["description"] = json!("Orders of the shop.");
    expected["readOnly"] = json!(true);
    expected["searchPath"] = json!("app");
    expected["limits"]["maxRows"] = json!(7);
    expected["approvalsNeeded"] = json!(2);
    expected["approvalTtlSeconds"] = json!(60);
    expected["podIds"] = json!(["payments", "search"]);
    expected["slackResults"] = json!("none");
    expected["slackDecisions"] = json!(false);
    assert_eq!(changed, expected);
    assert_eq!(portal.get("root", ORDERS).await.ok(), expected);

    let taken_away = json!({ "description": null, "searchPath": null, "podIds": [] });
    let changed = portal.patch("root", ORDERS, taken_away).await.ok();
    let gone = ["description", "searchPath", "podIds"].map(|field| &changed[field]);
    assert_eq!(gone, [&Value::Null, &Value::Null, &json!([])]);
    assert_eq!(portal.get("ada", ORDERS).await.verdict(), "404 not_found");

    let entries = portal.store.audit_entries();
    let entry = entries.iter().find(|entry| entry.action == "instance.update").expect("it is on the trail");
    let (old, new) = (entry.old_values.as_ref(), entry.new_values.as_ref());
    assert_eq!(old.expect("there was something")["readOnly"], false);
    assert_eq!(new.expect("there is something")["readOnly"], true);
}

#[actix_web::test]
async fn what_slack_may_show_is_one_of_three_words() {
    let portal = Portal::new().await;
    let mut new = new_instance();
    new["slackResults"] = json!("all");
    let answers = [
        portal.post("root", "/api/instances", new).await,
        portal.patch("root", ORDERS, json!({ "slackResults": "Preview" })).await,
        portal.patch("root", ORDERS, json!({ "slackResults": "" })).await,
    ];
    for answer in answers {
        assert_eq!(
            (answer.verdict().as_str(), answer.fields()),
            ("400 validation", vec!["slackResults".to_owned()])
        );
        assert!(answer.text().contains("preview, counts or none"), "{}", answer.text());
    }
    for word in ["preview", "counts", "none"] {
        let changed = portal.patch("root", ORDERS, json!({ "slackResults": word })).await.ok();
        assert_eq!(changed["slackResults"], word);
    }
}

#[actix_web::test]
async fn a_credential_that_the_portal_would_not_fetch_is_not_named_by_an_instance() {
    let portal = Portal::new().await;
    let named = |source: &str, reference: &str| json!({ "credentialSource": source, "credentialReference": reference });
    let cases = [
        (named("env", "PATH"), "connection.credentialReference"),
        (named("aws", "other/shop"), "connection.credentialReference"),
        (named("sealed", "TARGET_SHOP"), "connection.credentialSource"),
    ];
    for (connection, field) in cases {
        let mut new = new_instance();
        for part in ["credentialSource", "credentialReference"] {
            new["connection"][part] = connection[part].clone();
        }
        let answers = [
            portal.post("root", "/api/instances", new).await,
            portal.patch("root", ORDERS, json!({ "connection": connection })).await,
        ];
        for answer in answers {
            assert_eq!(
                (answer.verdict().as_str(), answer.fields()),
                ("400 validation", vec![field.to_owned()])
            );
        }
    }
    assert_eq!(portal.get("root", "/api/instances/new-db").await.verdict(), "404 not_found");
}

#[actix_web::test]
async fn a_change_of_the_connection_takes_the_credential_away_until_it_is_bound_again() {
    let changes = [
        json!({ "host": "other.internal" }),
        json!({ "port": 6432 }),
        json!({ "tls": "require" }),
        json!({ "credentialSource": "env", "credentialReference": "TARGET_OTHER" }),
    ];
    for change in changes {
        let portal = Portal::new().await;
        let id = portal.submit().await;
        portal.post_nothing("grace", &format!("/api/queries/{id}/approve")).await.ok();
        let changed = portal.patch("root", ORDERS, json!({ "connection": change })).await.ok();
        let connection = &changed["connection"];
        assert_eq!((&connection["revision"], &connection["credentialsBound"]), (&json!(2), &json!(false)));
        for act in ["test", "sync"] {
            let answer = portal.post_nothing("root", &format!("{ORDERS}/{act}")).await;
            assert_eq!(answer.verdict(), "409 credentials_not_bound", "{act} after {change}");
        }
        assert_eq!(portal.inspector.looks(), []);
        // The approval was for another connection.
        portal.run_one().await;
        assert_eq!(portal.get("ada", &format!("/api/queries/{id}")).await.ok()["status"], "failed");
        assert_eq!(portal.executor.executions(), 0);

        let bind = format!("{ORDERS}/bind");
        let of_before = portal.post("root", &bind, json!({ "connectionRevision": 1 })).await;
        assert_eq!(of_before.verdict(), "409 connection_changed");
        let bound = portal.post("root", &bind, json!({ "connectionRevision": 2 })).await.ok();
        assert_eq!(bound["connection"]["credentialsBound"], true);
        assert!(portal.store.audit_actions().contains(&"instance.bind".to_owned()));
    }
}

#[actix_web::test]
async fn a_change_to_what_is_there_already_is_no_change() {
    let portal = Portal::new().await;
    let same = json!({ "connection": { "host": "db.internal", "port": 5432 }, "readOnly": false });
    let answer = portal.patch("root", "/api/instances/search-db", same).await.ok();
    assert_eq!(answer["connection"]["credentialsBound"], true);
    assert!(!portal.store.audit_actions().contains(&"instance.update".to_owned()));
}

#[actix_web::test]
async fn deleting_an_instance_switches_it_off_and_keeps_it() {
    let portal = Portal::new().await;
    for _ in 0..2 {
        assert_eq!(portal.delete("root", ORDERS).await.ok()["active"], false);
    }
    let deactivations =
        portal.store.audit_actions().iter().filter(|action| *action == "instance.update").count();
    assert_eq!(deactivations, 1);
    assert_eq!(portal.get("ada", ORDERS).await.verdict(), "404 not_found");
    assert_eq!(portal.post("ada", "/api/queries", submission()).await.verdict(), "400 validation");
    assert_eq!(portal.patch("root", ORDERS, json!({ "active": true })).await.ok()["active"], true);
    assert_eq!(portal.post("ada", "/api/queries", submission()).await.status, 201);
}

#[actix_web::test]
async fn an_instance_that_is_not_there_is_not_found_by_whoever_may_look() {
    let portal = Portal::new().await;
    let gone = "/api/instances/nothing";
    let answers = [
        portal.get("root", gone).await,
        portal.patch("root", gone, json!({ "name": "x" })).await,
        portal.delete("root", gone).await,
        portal.post("root", &format!("{gone}/bind"), json!({ "connectionRevision": 1 })).await,
        portal.post_nothing("root", &format!("{gone}/test")).await,
        portal.post_nothing("root", &format!("{gone}/sync")).await,
    ];
    for answer in answers {
        assert_eq!(answer.verdict(), "404 not_found");
    }
}

#[actix_web::test]
async fn an_unbound_instance_is_bound_by_naming_the_revision_that_one_saw() {
    let portal = Portal::new().await;
    portal.store.put_target(&target("fresh-db").unbound().build());
    let uri = "/api/instances/fresh-db";
    assert_eq!(portal.get("root", uri).await.ok()["connection"]["credentialsBound"], false);
    for revision in [0, 2, -1, i32::MAX] {
        let answer =
            portal.post("root", &format!("{uri}/bind"), json!({ "connectionRevision": revision })).await;
        assert_eq!(answer.verdict(), "409 connection_changed", "{revision}");
    }
    let bound = portal.post("root", &format!("{uri}/bind"), json!({ "connectionRevision": 1 })).await.ok();
    assert_eq!(bound["connection"]["credentialsBound"], true);
}
