//! What people do on a good day, with what they see.

use std::time::Duration;

use actix_web::test::TestRequest;
use domain::ids::RequestId;
use futures_util::future::join;
use serde_json::{Value, json};
use testkit::fakes::Script;

use crate::support::{Options, Portal, submission, text};

/// Replaces what nobody wants to read in a snapshot.
fn without(mut value: Value, names: &[&str]) -> Value {
    for name in names {
        if let Some(field) = value.get_mut(*name) {
            *field = json!(format!("[{name}]"));
        }
    }
    value
}

fn ids(list: &Value) -> Vec<String> {
    list["items"].as_array().expect("there are items").iter().map(|item| text(&item["id"])).collect()
}

#[actix_web::test]
async fn a_login_gives_tokens_and_me_says_who_one_is() {
    let portal = Portal::new().await;
    let login = portal.log_in("grace").await;
    insta::assert_json_snapshot!(without(login, &["accessToken", "refreshToken"]), @r#"
    {
      "accessToken": "[accessToken]",
      "expiresIn": 900,
      "refreshToken": "[refreshToken]",
      "tokenType": "Bearer",
      "user": {
        "email": "grace@example.com",
        "id": "c87e78ca-14e3-2a83-1281-b5df36e8d9bd",
        "lastLogin": null,
        "name": "grace",
        "podId": "payments",
        "roles": [
          "manager"
        ]
      }
    }
    "#);
    insta::assert_json_snapshot!(portal.get("grace", "/api/auth/me").await.ok(), @r#"
    {
      "email": "grace@example.com",
      "id": "c87e78ca-14e3-2a83-1281-b5df36e8d9bd",
      "lastLogin": "2026-03-02T09:00:00Z",
      "name": "grace",
      "permissions": [
        "requests:submit",
        "requests:read-pod",
        "requests:decide-pod"
      ],
      "podId": "payments",
      "podIds": [
        "payments"
      ],
      "roles": [
        "manager"
      ]
    }
    "#);
}

#[actix_web::test]
async fn an_address_is_not_told_from_another_by_its_case_or_by_spaces_around_it() {
    let portal = Portal::new().await;
    let body = json!({ "email": " Ada@Example.COM ", "password": testkit::builders::TEST_PASSWORD });
    let answer = portal.send(TestRequest::post().uri("/api/auth/login").set_json(body)).await;
    assert_eq!(answer.ok()["user"]["email"], "ada@example.com");
}

#[actix_web::test]
async fn a_submission_is_created_with_its_address() {
    let portal = Portal::new().await;
    let body = json!({
        "instanceId": "orders-db",
        "databaseName": "orders",
        "podId": "payments",
        "submissionType": "query",
        "queryContent": "SELECT count(*)\nFROM orders -- “all”",
        "comments": "  For the monthly report.  ",
        "notBefore": "2026-03-02T12:00:00.123456789+02:00",
    });
    let answer = portal.post("ada", "/api/queries", body).await;
    assert_eq!(answer.status, 201);
    let created = answer.ok();
    let address = format!("/api/queries/{}", text(&created["id"]));
    assert_eq!(answer.header("location"), Some(address.as_str()));
    assert_eq!(portal.get("ada", &address).await.ok(), created);
    insta::assert_json_snapshot!(created, @r#"
    {
      "approvals": [],
      "approvalsNeeded": 1,
      "commands": [],
      "comments": "For the monthly report.",
      "createdAt": "2026-03-02T09:00:00Z",
      "databaseName": "orders",
      "databaseType": "postgresql",
      "digest": "ce62afd980868b27fdf4247e35785a87e38167dd89aaa70e63184ab2e8b1ef52",
      "edited": false,
      "expiresAt": "2026-03-03T09:00:00Z",
      "extendedJson": "relaxed",
      "id": "00000000-0000-4000-8000-000000000001",
      "instanceId": "orders-db",
      "instanceName": "Server orders-db",
      "limits": {
        "lockTimeoutMs": 5000,
        "maxBytes": 268435456,
        "maxRows": 100000,
        "timeoutMs": 30000
      },
      "notBefore": "2026-03-02T10:00:00.123456Z",
      "podId": "payments",
      "podName": "Team payments",
      "queryContent": "SELECT count(*)\nFROM orders -- “all”",
      "readOnly": false,
      "requester": {
        "email": "ada@example.com",
        "id": "e193b0dd-2b65-9b8f-0355-62e0b33b6739",
        "name": "ada"
      },
      "review": {
        "effect": "read",
        "findings": [],
        "statements": 1
      },
      "status": "pending",
      "submissionType": "query",
      "updatedAt": "2026-03-02T09:00:00Z"
    }
    "#);
}

#[actix_web::test]
async fn lists_show_the_newest_first_in_parts_and_only_what_one_may_see() {
    let portal = Portal::new().await;
    let mut submitted = vec![];
    for _ in 0..5 {
        submitted.insert(0, portal.submit().await);
    }
    let first = portal.get("ada", "/api/queries?limit=2").await.ok();
    assert_eq!(ids(&first), submitted[..2]);
    let uri = format!("/api/queries?limit=2&cursor={}", text(&first["nextCursor"]));
    let second = portal.get("ada", &uri).await.ok();
    assert_eq!(ids(&second), submitted[2..4]);
    let uri = format!("/api/queries?limit=2&cursor={}", text(&second["nextCursor"]));
    let third = portal.get("ada", &uri).await.ok();
    assert_eq!(ids(&third), submitted[4..]);
    assert_eq!(third.get("nextCursor"), None);
    for (name, count) in [("ada", 5), ("grace", 5), ("root", 5), ("bob", 0), ("linus", 0), ("vera", 0)] {
        assert_eq!(ids(&portal.get(name, "/api/queries").await.ok()).len(), count, "{name}");
    }
    for (name, count) in [("ada", 0), ("grace", 5), ("root", 5), ("bob", 0), ("linus", 0), ("vera", 0)] {
        assert_eq!(ids(&portal.get(name, "/api/queries/pending").await.ok()).len(), count, "{name}");
    }
    let pending = portal.get("grace", "/api/queries/pending?limit=3").await.ok();
    assert_eq!(ids(&pending), submitted[..3]);
    assert!(pending["nextCursor"].is_string());
}

#[actix_web::test]
async fn lists_show_the_beginning_of_a_long_text() {
    let portal = Portal::new().await;
    let long = format!("SELECT '{}'", "é".repeat(300));
    let mut body = submission();
    body["queryContent"] = json!(long);
    let id = text(&portal.post("ada", "/api/queries", body).await.ok()["id"]);
    let listed = text(&portal.get("ada", "/api/queries").await.ok()["items"][0]["queryContent"]);
    assert_eq!(listed.chars().count(), 200);
    assert!(long.starts_with(&listed));
    assert_eq!(portal.get("ada", &format!("/api/queries/{id}")).await.ok()["queryContent"], json!(long));
}

#[actix_web::test]
async fn filters_narrow_a_list() {
    let portal = Portal::new().await;
    let (kept, withdrawn) = (portal.submit().await, portal.submit().await);
    portal.post_nothing("ada", &format!("/api/queries/{withdrawn}/withdraw")).await.ok();
    let ada = text(&portal.get("ada", "/api/auth/me").await.ok()["id"]);
    let both = [withdrawn.clone(), kept.clone()];
    let cases: [(String, &[String]); 13] = [
        ("status=pending".into(), &both[1..]),
        ("status=withdrawn".into(), &both[..1]),
        ("status=pending,withdrawn".into(), &both),
        ("status=pending%2C%20withdrawn".into(), &both),
        ("status=completed".into(), &[]),
        ("instanceId=orders-db".into(), &both),
        ("instanceId=search-db".into(), &[]),
        ("podId=payments".into(), &both),
        ("databaseType=mongodb".into(), &[]),
        (format!("userId={ada}"), &both),
        ("createdFrom=2026-03-02T09:00:00Z".into(), &both),
        ("createdFrom=2026-03-02T09:00:01Z".into(), &[]),
        ("createdBefore=2026-03-02T09:00:00Z&status=pending".into(), &[]),
    ];
    for (filter, expected) in cases {
        assert_eq!(
            ids(&portal.get("root", &format!("/api/queries?{filter}")).await.ok()),
            expected,
            "{filter}"
        );
    }
}

#[actix_web::test]
async fn an_approved_request_is_executed_once_and_its_result_can_be_read() {
    let portal = Portal::new().await;
    portal.executor.plays(Script::rows(["[1]", "[null]", "[9007199254740993]"]));
    let id = portal.submit().await;
    portal.clock.advance(Duration::from_mins(1));
    let approved = portal.post_nothing("grace", &format!("/api/queries/{id}/approve")).await.ok();
    assert_eq!(approved["status"], "approved");
    insta::assert_json_snapshot!(approved["approvals"], @r#"
    [
      {
        "at": "2026-03-02T09:01:00Z",
        "by": {
          "email": "grace@example.com",
          "id": "c87e78ca-14e3-2a83-1281-b5df36e8d9bd"
        },
        "digest": "d44da6fdfdc6c74ec53fc6791bd293f76860a4b7ba908154683a5a43b82c6e78"
      }
    ]
    "#);
    portal.clock.advance(Duration::from_secs(1));
    portal.run_one().await;
    let completed = portal.get("ada", &format!("/api/queries/{id}")).await.ok();
    assert_eq!(completed["status"], "completed");
    insta::assert_json_snapshot!(completed["execution"], @r#"
    {
      "durationMs": 5,
      "finishedAt": "2026-03-02T09:01:01Z",
      "notices": [],
      "startedAt": "2026-03-02T09:01:01Z",
      "statements": [
        {
          "affected": 3,
          "columns": [
            {
              "name": "value",
              "type": "int4"
            }
          ],
          "command": "SELECT",
          "preview": [
            [
              1
            ],
            [
              null
            ],
            [
              9007199254740993
            ]
          ],
          "rowCount": 3,
          "truncated": false
        }
      ],
      "truncated": false
    }
    "#);
    let result = portal.get("ada", &format!("/api/queries/{id}/result?format=json")).await;
    assert_eq!(result.header("content-type"), Some("application/json"));
    insta::assert_snapshot!(result.text(), @r#"
    {"truncated":false,"statements":[{"command":"SELECT","columns":[{"name":"value","type":"int4"}],"rowCount":3,"affected":3,"truncated":false,"rows":[
    [1],
    [null],
    [9007199254740993]]}]}
    "#);
    assert_eq!(portal.executor.executions(), 1);
}

#[actix_web::test]
async fn an_approval_may_name_the_digest_that_was_seen_and_another_one_is_a_conflict() {
    let portal = Portal::new().await;
    let id = portal.submit().await;
    let uri = format!("/api/queries/{id}/approve");
    let answer = portal.post("grace", &uri, json!({ "digest": "0".repeat(64) })).await;
    assert_eq!(answer.verdict(), "409 digest_mismatch");
    let seen = answer.json()["currentDigest"].clone();
    assert_eq!(portal.get("grace", &format!("/api/queries/{id}")).await.ok()["digest"], seen);
    insta::assert_json_snapshot!(answer.json(), @r#"
    {
      "code": "digest_mismatch",
      "currentDigest": "d44da6fdfdc6c74ec53fc6791bd293f76860a4b7ba908154683a5a43b82c6e78",
      "detail": "The request is not what you saw any more. Look at it again, and approve with its present digest.",
      "status": 409,
      "title": "Conflict",
      "type": "urn:query-portal:problem:digest_mismatch"
    }
    "#);
    assert_eq!(portal.post("grace", &uri, json!({ "digest": seen })).await.ok()["status"], "approved");
}

#[actix_web::test]
async fn an_approval_may_come_with_nothing_with_spaces_or_with_an_empty_object() {
    let portal = Portal::new().await;
    for body in ["", " \n", "{}", r#"{"digest":null}"#] {
        let uri = format!("/api/queries/{}/approve", portal.submit().await);
        let call = TestRequest::post().uri(&uri).insert_header(("content-type", "application/json"));
        assert_eq!(
            portal.send_as("root", call.set_payload(body)).await.ok()["status"],
            "approved",
            "{body:?}"
        );
    }
}

#[actix_web::test]
async fn a_portal_may_ask_for_the_digest_with_every_approval() {
    let portal = Portal::with(Options { require_digest: true, ..Options::default() }).await;
    let id = portal.submit().await;
    let uri = format!("/api/queries/{id}/approve");
    let answer = portal.post_nothing("grace", &uri).await;
    assert_eq!(answer.verdict(), "409 digest_required");
    let digest = portal.get("grace", &format!("/api/queries/{id}")).await.ok()["digest"].clone();
    assert_eq!(portal.post("grace", &uri, json!({ "digest": digest })).await.ok()["status"], "approved");
}

#[actix_web::test]
async fn a_rejection_carries_its_reason() {
    let portal = Portal::new().await;
    let id = portal.submit().await;
    let uri = format!("/api/queries/{id}/reject");
    let rejected = portal.post("grace", &uri, json!({ "reason": " Please add a WHERE. " })).await.ok();
    assert_eq!(rejected["status"], "rejected");
    insta::assert_json_snapshot!(rejected["rejection"], @r#"
    {
      "at": "2026-03-02T09:00:00Z",
      "by": {
        "email": "grace@example.com",
        "id": "c87e78ca-14e3-2a83-1281-b5df36e8d9bd"
      },
      "reason": "Please add a WHERE."
    }
    "#);
    let again = portal.post("root", &uri, json!({ "reason": "Again." })).await;
    assert_eq!(again.verdict(), "409 invalid_state");
    assert_eq!(portal.get("ada", &format!("/api/queries/{id}/result")).await.verdict(), "409 no_result");
}

#[actix_web::test]
async fn a_withdrawn_request_is_over_for_everybody() {
    let portal = Portal::new().await;
    let id = portal.submit().await;
    let withdrawn = portal.post_nothing("ada", &format!("/api/queries/{id}/withdraw")).await.ok();
    assert_eq!(withdrawn["status"], "withdrawn");
    for (name, action) in [("ada", "withdraw"), ("grace", "approve")] {
        let answer = portal.post_nothing(name, &format!("/api/queries/{id}/{action}")).await;
        assert_eq!(answer.verdict(), "409 invalid_state", "{action}");
    }
}

#[actix_web::test]
async fn an_admin_does_not_decide_on_their_own_request() {
    let portal = Portal::new().await;
    let mut body = submission();
    body["podId"] = json!("payments");
    let id = text(&portal.post("root", "/api/queries", body).await.ok()["id"]);
    let answer = portal.post_nothing("root", &format!("/api/queries/{id}/approve")).await;
    assert_eq!(answer.verdict(), "403 own_request");
    let answer = portal.post("root", &format!("/api/queries/{id}/reject"), json!({ "reason": "No." })).await;
    assert_eq!(answer.verdict(), "403 own_request");
}

#[actix_web::test]
async fn a_refreshed_session_goes_on_with_new_tokens() {
    let portal = Portal::new().await;
    let first = portal.log_in("ada").await;
    portal.clock.advance(Duration::from_secs(1));
    let body = json!({ "refreshToken": first["refreshToken"] });
    let second = portal.send(TestRequest::post().uri("/api/auth/refresh").set_json(body)).await.ok();
    assert_ne!(first["refreshToken"], second["refreshToken"]);
    assert_ne!(first["accessToken"], second["accessToken"]);
    for tokens in [&first, &second] {
        let bearer = format!("bearer {}", text(&tokens["accessToken"]));
        let call = TestRequest::get().uri("/api/auth/me").insert_header(("authorization", bearer));
        assert_eq!(portal.send(call).await.ok()["email"], "ada@example.com");
    }
    insta::assert_json_snapshot!(without(second, &["accessToken", "refreshToken"]), @r#"
    {
      "accessToken": "[accessToken]",
      "expiresIn": 900,
      "refreshToken": "[refreshToken]",
      "tokenType": "Bearer",
      "user": {
        "email": "ada@example.com",
        "id": "e193b0dd-2b65-9b8f-0355-62e0b33b6739",
        "lastLogin": "2026-03-02T09:00:00Z",
        "name": "ada",
        "podId": "payments",
        "roles": [
          "developer"
        ]
      }
    }
    "#);
}

#[actix_web::test]
async fn logging_out_and_logging_out_everywhere_answer_with_nothing() {
    let portal = Portal::new().await;
    for uri in ["/api/auth/logout", "/api/auth/logout-all"] {
        let bearer = format!("Bearer {}", text(&portal.log_in("ada").await["accessToken"]));
        let call = TestRequest::post().uri(uri).insert_header(("authorization", bearer));
        let answer = portal.send(call).await;
        assert_eq!((answer.status, answer.text()), (204, ""), "{uri}");
    }
}

#[actix_web::test]
async fn people_see_the_instances_and_databases_of_their_pods_and_never_how_to_reach_them() {
    let portal = Portal::new().await;
    let instances = portal.get("ada", "/api/instances").await.ok();
    assert_eq!(ids(&instances), ["documents-db", "orders-db"]);
    assert_eq!(ids(&portal.get("linus", "/api/instances").await.ok()), ["search-db"]);
    assert_eq!(
        ids(&portal.get("root", "/api/instances").await.ok()),
        ["documents-db", "old-db", "orders-db", "search-db"]
    );
    insta::assert_json_snapshot!(instances["items"][1], @r#"
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
    insta::assert_json_snapshot!(portal.get("ada", "/api/instances/orders-db/dbs").await.ok(), @r#"
    {
      "items": [
        {
          "active": true,
          "description": null,
          "lastSeenAt": null,
          "name": "orders",
          "source": "manual"
        }
      ]
    }
    "#);
    let all = portal.get("root", "/api/instances/orders-db/dbs").await.ok();
    assert_eq!(all["items"].as_array().map(Vec::len), Some(2));
    for uri in ["/api/instances/search-db/dbs", "/api/instances/old-db/dbs", "/api/instances/nothing/dbs"] {
        assert_eq!(portal.get("ada", uri).await.verdict(), "404 not_found", "{uri}");
    }
}

#[actix_web::test]
async fn everybody_sees_the_active_pods() {
    let portal = Portal::new().await;
    assert_eq!(
        ids(&portal.get("vera", "/api/pods").await.ok()),
        ["outsiders", "payments", "platform", "search"]
    );
    let all = portal.get("root", "/api/pods").await.ok();
    assert_eq!(all["items"].as_array().map(Vec::len), Some(5));
    insta::assert_json_snapshot!(all["items"][0], @r#"
    {
      "active": false,
      "description": null,
      "id": "closed",
      "managerEmail": null,
      "name": "Team closed",
      "slackChannel": null
    }
    "#);
}

#[actix_web::test]
async fn requests_and_queries_are_two_names_of_one_thing() {
    let portal = Portal::new().await;
    let id = text(&portal.post("ada", "/api/requests", submission()).await.ok()["id"]);
    let rests = [
        String::new(),
        "?limit=1".to_owned(),
        "?limit=0".to_owned(),
        "/pending".to_owned(),
        format!("/{id}"),
        format!("/{id}?wait=0"),
        format!("/{id}/result"),
        "/nothing".to_owned(),
        format!("/{id}/nothing"),
    ];
    for rest in rests {
        let [one, other] =
            ["queries", "requests"].map(|name| portal.get_owned("grace", format!("/api/{name}{rest}")));
        let (one, other) = join(one, other).await;
        assert_eq!((one.status, one.text()), (other.status, other.text()), "{rest}");
    }
    let uri = format!("/api/requests/{id}/approve?wait=0");
    assert_eq!(portal.post_nothing("grace", &uri).await.ok()["status"], "approved");
}

#[actix_web::test]
async fn whoever_waits_hears_of_the_end_as_soon_as_it_comes() {
    let portal = Portal::new().await;
    let uri = format!("/api/queries/{}", portal.submit().await);
    portal.token("grace").await;
    let begun = std::time::Instant::now();
    let work = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        portal.post_nothing("grace", &format!("{uri}/approve")).await.ok();
        portal.run_one().await;
    };
    let (answer, ()) = join(portal.get_owned("ada", format!("{uri}?wait=60")), work).await;
    assert_eq!(answer.ok()["status"], "completed");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[actix_web::test]
async fn an_approval_that_waits_answers_with_the_end() {
    let portal = Portal::new().await;
    let uri = format!("/api/queries/{}/approve?wait=60", portal.submit().await);
    let work = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        portal.run_one().await;
    };
    let (answer, ()) = join(portal.send_as("grace", TestRequest::post().uri(&uri)), work).await;
    assert_eq!(answer.ok()["status"], "completed");
}

#[actix_web::test]
async fn waiting_ends_with_its_time() {
    let portal = Portal::new().await;
    let id = portal.submit().await;
    for (wait, least) in [(0, 0), (1, 1)] {
        let begun = std::time::Instant::now();
        let answer = portal.get("ada", &format!("/api/queries/{id}?wait={wait}")).await;
        assert_eq!(answer.ok()["status"], "pending");
        assert!(
            begun.elapsed() >= Duration::from_secs(least) && begun.elapsed() < Duration::from_secs(least + 5)
        );
    }
    let unknown = RequestId::from_uuid(testkit::fakes::SequentialIds::nth(999));
    assert_eq!(
        portal.get("ada", &format!("/api/queries/{unknown}?wait=60")).await.verdict(),
        "404 not_found"
    );
}
