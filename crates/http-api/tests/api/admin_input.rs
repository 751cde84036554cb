//! Input of those who set the portal up: what cannot be accepted is refused with its field, and whoever may not set
//! anything up learns nothing from what they send.

use actix_web::http::Method;
use actix_web::test::TestRequest;
use serde_json::{Value, json};

use crate::routes::{documented_routes, new_instance, new_user, sample_call};
use crate::support::{Portal, account};

/// A body with one value replaced: `connection.port`.
fn with(body: &Value, field: &str, value: &Value) -> Value {
    let mut body = body.clone();
    let mut place = &mut body;
    for part in field.split('.') {
        place = &mut place[part];
    }
    *place = value.clone();
    body
}

fn many(value: &str) -> Value {
    json!(vec![value; 1_001])
}

fn long(length: usize) -> Value {
    json!("x".repeat(length))
}

/// What is wrong with an instance in whatever body.
fn bad_instances() -> Vec<(&'static str, Vec<Value>)> {
    let numbers = || vec![json!(0), json!(-1), json!(i64::MAX), json!(i64::MIN)];
    let with_more = |more: i64| [numbers(), vec![json!(more)]].concat();
    vec![
        ("name", vec![json!(""), json!(" "), json!("a\0b"), json!("a\nb"), long(121)]),
        ("description", vec![json!("a\0b"), long(2_001)]),
        (
            "connection.host",
            vec![
                json!(""),
                json!(" "),
                json!("a b"),
                json!("a\0b"),
                json!("a,b"),
                json!("user@host"),
                json!("a?sslmode=x"),
                json!("a'b"),
                json!("é"),
                long(254),
            ],
        ),
        ("connection.port", with_more(65_536)),
        ("connection.tls", vec![json!(""), json!("prefer"), json!("Verify-Full"), json!("disable\0")]),
        ("searchPath", vec![json!("a\0b"), json!("a\nb"), long(1_001)]),
        // These are for MongoDB.
        ("connection.options", vec![json!("replicaSet=rs0"), json!("")]),
        ("allowOtherDatabases", vec![json!(true)]),
        ("allowServerJavascript", vec![json!(true)]),
        ("limits.timeoutMs", with_more(86_400_001)),
        ("limits.lockTimeoutMs", with_more(86_400_001)),
        ("limits.maxRows", with_more(1_000_000_001)),
        ("limits.maxBytes", with_more((1 << 40) + 1)),
        ("approvalsNeeded", with_more(65_536)),
        ("approvalTtlSeconds", with_more(31_536_001)),
        ("podIds", vec![json!(["payments", "No"]), json!(["nothing"]), json!(["a\0"]), many("payments")]),
    ]
}

#[actix_web::test]
async fn a_new_instance_is_refused_with_the_field_that_is_wrong() {
    let portal = Portal::new().await;
    let mut bad = bad_instances();
    bad.extend([
        ("id", vec![json!(""), json!("No"), json!("../x"), json!("a\0"), long(64)]),
        ("databaseType", vec![json!(""), json!("MongoDB"), json!("oracle")]),
        ("connection.credentialSource", vec![json!(""), json!("vault"), json!("ENV")]),
        ("connection.credentialReference", vec![json!(""), json!(" "), json!("a\0b"), long(513)]),
        ("databases", vec![json!([""]), json!(["a", "b\0"]), json!(["x".repeat(64)]), many("a")]),
    ]);
    for (field, values) in bad {
        for value in values {
            let answer = portal.post("root", "/api/instances", with(&new_instance(), field, &value)).await;
            let what = format!("{field}: {value:.60}");
            assert_eq!(
                (answer.verdict().as_str(), answer.fields()),
                ("400 validation", vec![field.to_owned()]),
                "{what}"
            );
        }
    }
    assert_eq!(portal.get("root", "/api/instances/new-db").await.verdict(), "404 not_found");
    assert_eq!(portal.post("root", "/api/instances", new_instance()).await.status, 201);
}

#[actix_web::test]
async fn a_change_of_an_instance_is_refused_with_the_field_that_is_wrong() {
    let portal = Portal::new().await;
    let uri = "/api/instances/orders-db";
    let before = portal.get("root", uri).await.ok();
    let mut bad = bad_instances();
    bad.extend([
        ("id", vec![json!("orders-db"), json!(1)]),
        ("databaseType", vec![json!("postgresql"), json!([])]),
    ]);
    for (field, values) in bad {
        for value in values {
            let answer = portal.patch("root", uri, with(&json!({}), field, &value)).await;
            let what = format!("{field}: {value:.60}");
            assert_eq!(
                (answer.verdict().as_str(), answer.fields()),
                ("400 validation", vec![field.to_owned()]),
                "{what}"
            );
        }
    }
    for (half, missing) in
        [("credentialSource", "credentialReference"), ("credentialReference", "credentialSource")]
    {
        let answer = portal.patch("root", uri, json!({ "connection": { half: "env" } })).await;
        assert_eq!(answer.fields(), [format!("connection.{missing}")]);
    }
    for nothing in [json!({}), json!({ "connection": {}, "limits": {} }), json!({ "name": null })] {
        assert_eq!(portal.patch("root", uri, nothing).await.fields(), ["body"]);
    }
    assert_eq!(portal.get("root", uri).await.ok(), before);
}

#[actix_web::test]
async fn pods_are_refused_with_the_field_that_is_wrong() {
    let portal = Portal::new().await;
    let bad = [
        ("name", vec![json!(""), json!("a\0b"), long(121)]),
        ("managerEmail", vec![json!(""), json!("nobody"), json!("a\0@b"), long(255)]),
        ("description", vec![json!("a\0b"), long(2_001)]),
    ];
    let good = json!({ "id": "risk", "name": "Risk" });
    for (field, values) in bad {
        for value in values {
            let answers = [
                portal.post("root", "/api/pods", with(&good, field, &value)).await,
                portal.patch("root", "/api/pods/payments", with(&json!({}), field, &value)).await,
            ];
            for answer in answers {
                assert_eq!(
                    (answer.verdict().as_str(), answer.fields()),
                    ("400 validation", vec![field.to_owned()])
                );
            }
        }
    }
    for id in [json!(""), json!("No"), json!("a\0"), long(64)] {
        assert_eq!(portal.post("root", "/api/pods", with(&good, "id", &id)).await.fields(), ["id"]);
    }
    assert_eq!(portal.patch("root", "/api/pods/payments", json!({ "id": "other" })).await.fields(), ["id"]);
    assert_eq!(portal.patch("root", "/api/pods/payments", json!({})).await.fields(), ["body"]);
}

#[actix_web::test]
async fn accounts_are_refused_with_the_field_that_is_wrong() {
    let portal = Portal::new().await;
    let bob = format!("/api/users/{}", account("bob").id);
    let both = [
        ("name", vec![json!(""), json!("a\0b"), long(121)]),
        ("podId", vec![json!(""), json!("No"), json!("nothing"), long(64)]),
        (
            "roles",
            vec![
                json!([]),
                json!(["king"]),
                json!(["developer", "a\0b"]),
                json!([""]),
                json!(["x".repeat(101)]),
                many("developer"),
            ],
        ),
    ];
    for (field, values) in both {
        for value in values {
            let answers = [
                portal.post("root", "/api/users", with(&new_user(), field, &value)).await,
                portal.patch("root", &bob, with(&json!({}), field, &value)).await,
            ];
            for answer in answers {
                let verdict = (answer.verdict(), answer.fields());
                assert_eq!(verdict, ("400 validation".to_owned(), vec![field.to_owned()]), "{value:.60}");
            }
        }
    }
    for email in [json!(""), json!("nobody"), json!("a b@c"), json!("a\0@b"), long(255)] {
        assert_eq!(
            portal.post("root", "/api/users", with(&new_user(), "email", &email)).await.fields(),
            ["email"]
        );
    }
    for password in [json!(""), long(11), long(72), json!("twelve\0chars")] {
        let created = portal.post("root", "/api/users", with(&new_user(), "password", &password)).await;
        let set = portal.post("root", &format!("{bob}/password"), json!({ "password": password })).await;
        assert_eq!(
            (created.fields(), set.fields()),
            (vec!["password".to_owned()], vec!["password".to_owned()])
        );
    }
    for (field, value) in [("id", "x"), ("email", "b@example.com"), ("password", "secret-of-bob")] {
        assert_eq!(portal.patch("root", &bob, json!({ field: value })).await.fields(), [field]);
    }
    assert_eq!(portal.patch("root", &bob, json!({})).await.fields(), ["body"]);
}

#[actix_web::test]
async fn databases_have_names_and_descriptions_within_limits() {
    let portal = Portal::new().await;
    for name in ["%00", "a%0Ab", &"x".repeat(64)] {
        let answer =
            portal.put_json("root", &format!("/api/instances/orders-db/dbs/{name}"), json!({})).await;
        assert_eq!(answer.fields(), ["name"], "{name}");
    }
    for description in [json!("a\0b"), long(2_001)] {
        let body = json!({ "description": description });
        let answer = portal.put_json("root", "/api/instances/orders-db/dbs/orders", body).await;
        assert_eq!(answer.fields(), ["description"]);
    }
}

#[actix_web::test]
async fn lists_of_accounts_are_read_strictly() {
    let portal = Portal::new().await;
    // The second is a cursor of another list.
    for query in ["limit=0", "cursor=djE6NDI", "cursor=", "cursor=abc", "limit=201", "email=x"] {
        assert_eq!(portal.get("root", &format!("/api/users?{query}")).await.status, 400, "{query}");
    }
}

/// The routes of those who set the portal up, with a body.
fn writes() -> Vec<(Method, String)> {
    let administers = |path: &str| {
        ["instances", "pods", "users"].iter().any(|noun| path.starts_with(&format!("/api/{noun}")))
    };
    let all = documented_routes().into_iter();
    all.filter(|(method, path)| *method != Method::GET && administers(path)).collect()
}

fn raw(method: &Method, uri: &str, body: &str) -> TestRequest {
    let call = TestRequest::default().method(method.clone()).uri(uri);
    call.insert_header(("content-type", "application/json")).set_payload(body.to_owned())
}

#[actix_web::test]
async fn bodies_of_unknown_fields_and_wrong_types_are_refused_without_their_values() {
    let portal = Portal::new().await;
    let secret = "81520736-a-secret";
    let mut asked = 0;
    for (method, path) in writes() {
        let request = sample_call(&method, &path).to_request();
        let takes_no_body = method == Method::DELETE || path.ends_with("/test") || path.ends_with("/sync");
        if takes_no_body {
            continue;
        }
        asked += 1;
        for body in [
            "{".to_owned(),
            "[]".to_owned(),
            "null".to_owned(),
            format!("\"{secret}\""),
            format!(r#"{{"sql":"{secret}"}}"#),
            format!(
                r#"{{"name":["{secret}"],"description":["{secret}"],"connectionRevision":"{secret}","password":["{secret}"]}}"#
            ),
            format!(
                r#"{{"name":{{"password":"{secret}"}},"description":1,"connectionRevision":1.5,"password":815207360}}"#
            ),
        ] {
            let answer = portal.send_as("root", raw(&method, &request.uri().to_string(), &body)).await;
            assert_eq!(answer.verdict(), "400 invalid_json", "{method} {path} {body}");
            assert!(!answer.text().contains("81520736"), "{}", answer.text());
        }
    }
    assert!(asked >= 8, "{asked}");
    let nested = json!({ "password": secret, "host": "x" });
    for answer in [
        portal.post("root", "/api/instances", with(&new_instance(), "connection", &nested)).await,
        portal.patch("root", "/api/instances/orders-db", json!({ "connection": nested })).await,
        portal.patch("root", "/api/instances/orders-db", json!({ "limits": { "rows": 1 } })).await,
    ] {
        assert_eq!(answer.verdict(), "400 invalid_json");
        assert!(!answer.text().contains(secret), "{}", answer.text());
    }
}

#[actix_web::test]
async fn whoever_sets_nothing_up_is_told_so_whatever_they_send() {
    let portal = Portal::new().await;
    let mut asked = 0;
    for (method, path) in writes() {
        for id in ["orders-db", "payments", "nothing", "No", "%00", &account("bob").id.to_string()] {
            let uri = path.replace("{id}", id).replace("{name}", "%00");
            for body in ["", "{", "{}", r#"{"id":"orders-db"}"#, "[1]"] {
                for caller in ["ada", "grace", "olga", "vera"] {
                    let answer = portal.send_as(caller, raw(&method, &uri, body)).await;
                    assert_eq!(answer.verdict(), "403 permission", "{method} {uri} {body}");
                    asked += 1;
                }
            }
        }
    }
    for uri in ["/api/users?limit=0", "/api/users/nothing", "/api/roles"] {
        assert_eq!(portal.get("grace", uri).await.verdict(), "403 permission", "{uri}");
    }
    assert!(asked > 1_000, "{asked}");
    let changes = portal.store.audit_actions();
    assert!(changes.iter().all(|action| action == "session.login"), "{changes:?}");
}
