//! Input that cannot be accepted, and what its sender is told. That each refusal is a whole problem document
//! and none a 500 is looked at by `support`.

use actix_web::test::TestRequest;
use serde_json::{Value, json};

use crate::support::{Answer, Portal, ada_request, submission};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn submit_raw(portal: &Portal, body: impl Into<actix_web::web::Bytes>) -> Answer {
    portal.send_as("ada", TestRequest::post().uri("/api/queries").insert_header(JSON).set_payload(body)).await
}

/// A submission with one field replaced.
fn with(field: &str, value: Value) -> Value {
    let mut body = submission();
    body[field] = value;
    body
}

async fn submit_with(portal: &Portal, field: &str, value: Value) -> Answer {
    portal.post("ada", "/api/queries", with(field, value)).await
}

#[actix_web::test]
async fn a_body_that_is_no_json_object_of_known_fields_is_refused() {
    let portal = Portal::new().await;
    let good = submission().to_string();
    let deep = format!(r#"{{"queryContent":{}1{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"{".to_vec(),
        b"nonsense".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        br#"["orders-db","orders",null,null,"SELECT 1",null,null]"#.to_vec(),
        b"\"text\"".to_vec(),
        b"{}".to_vec(),
        format!("{good}{good}").into_bytes(),
        format!("{good},").into_bytes(),
        good.replace('}', r#","instanceId":"orders-db"}"#).into_bytes(),
        good.replace('}', r#","sql":"x"}"#).into_bytes(),
        good.replace('}', r#","notBefore":"tomorrow"}"#).into_bytes(),
        good.replace("\"SELECT 1\"", "1").into_bytes(),
        good.replace("\"SELECT 1\"", "null").into_bytes(),
        good.replace("\"SELECT 1\"", "{}").into_bytes(),
        good.replace("\"SELECT 1\"", "\"\\ud800\"").into_bytes(),
        good.replace("\"SELECT 1\"", "NaN").into_bytes(),
        good.replace("SELECT 1", "SELECT \n1").into_bytes(),
        deep.into_bytes(),
        "[".repeat(1_000_000).into_bytes(),
        [&b"{\"queryContent\":\"\xff\xfe"[..], b"\"}"].concat(),
        [&b"\xef\xbb\xbf"[..], good.as_bytes()].concat(),
        good.encode_utf16().flat_map(u16::to_le_bytes).collect(),
    ];
    for body in bodies {
        let answer = submit_raw(&portal, body.clone()).await;
        assert_eq!(answer.verdict(), "400 invalid_json", "{:.80}", String::from_utf8_lossy(&body));
    }
    let answer = submit_raw(&portal, good.replace("\"SELECT 1\"", "1")).await;
    insta::assert_json_snapshot!(answer.json(), @r#"
    {
      "code": "invalid_json",
      "detail": "The body cannot be read: expected a string at line 1 column 66.",
      "status": 400,
      "title": "Bad Request",
      "type": "urn:query-portal:problem:invalid_json"
    }
    "#);
}

#[actix_web::test]
async fn a_refused_body_does_not_come_back_with_the_values_in_it() {
    let portal = Portal::new().await;
    let secret = "81520736";
    for body in [
        format!(r#"{{"email":"ada@example.com","password":{secret}}}"#),
        format!(r#"{{"email":{secret},"password":"{secret}"}}"#),
        format!(r#"{{"email":"ada@example.com","password":"{secret}"#),
        format!(r#""{secret}""#),
        format!(r#"["ada@example.com","{secret}"]"#),
        format!(r#"{{"email":"a","password":"{secret}"}}"#),
    ] {
        let call = TestRequest::post().uri("/api/auth/login").insert_header(JSON).set_payload(body.clone());
        let answer = portal.send(call).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(!answer.text().contains(secret), "{}", answer.text());
    }
}

#[actix_web::test]
async fn a_body_has_to_say_that_it_is_json() {
    let portal = Portal::new().await;
    let id = portal.submit().await;
    for uri in
        ["/api/queries".to_owned(), format!("/api/queries/{id}/reject"), format!("/api/queries/{id}/approve")]
    {
        for kind in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("application/jsonx"),
            Some("é"),
        ] {
            let call = TestRequest::post().uri(&uri).set_payload("{}");
            let call = match kind {
                Some(kind) => call.insert_header(("content-type", kind.as_bytes())),
                None => call,
            };
            assert_eq!(portal.send_as("root", call).await.verdict(), "415 not_json", "{uri} {kind:?}");
        }
    }
    for kind in ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json;"] {
        let call = TestRequest::post().uri("/api/queries").insert_header(("content-type", kind));
        let answer = portal.send_as("ada", call.set_payload(submission().to_string())).await;
        assert_eq!(answer.status, 201, "{kind}");
    }
}

#[actix_web::test]
async fn a_body_may_be_large_but_not_endless() {
    let portal = Portal::new().await;
    let id = portal.submit().await;
    let huge = "x".repeat(10 * 1024 * 1024);
    for uri in ["/api/queries".to_owned(), format!("/api/queries/{id}/approve"), "/api/auth/login".to_owned()]
    {
        let call = TestRequest::post().uri(&uri).insert_header(JSON).set_payload(huge.clone());
        assert_eq!(portal.send_as("root", call).await.verdict(), "413 body_too_large", "{uri}");
    }
    // Nobody reads the body of somebody who is nobody.
    let call = TestRequest::post().uri("/api/queries").insert_header(JSON).set_payload(huge);
    assert_eq!(portal.send(call).await.verdict(), "401 token_missing");
}

#[actix_web::test]
async fn a_text_has_to_be_there_and_to_have_at_most_2_mib() {
    let portal = Portal::new().await;
    let most = format!("SELECT '{}'", "x".repeat(2 * 1024 * 1024 - 9));
    assert_eq!(submit_with(&portal, "queryContent", json!(most)).await.status, 201);
    // Escapes make the body several times as large as the text.
    let escaped = submission().to_string().replace("SELECT 1", &"\\u20ac".repeat(2 * 1024 * 1024 / 3));
    assert_eq!(submit_raw(&portal, escaped).await.status, 201);
    for bad in [format!("{most}x"), String::new(), " \n\t".to_owned(), "SELECT '\0'".to_owned()] {
        let answer = submit_with(&portal, "queryContent", json!(bad)).await;
        assert_eq!(
            (answer.verdict().as_str(), answer.fields()),
            ("400 validation", vec!["queryContent".to_owned()])
        );
    }
}

#[actix_web::test]
async fn every_field_that_cannot_be_accepted_is_named_at_once() {
    let portal = Portal::new().await;
    let body = json!({
        "instanceId": "No Such", "databaseName": "", "podId": "../x", "submissionType": "poem",
        "queryContent": " ", "comments": "a\0b", "notBefore": "+100000-01-01T00:00:00Z",
    });
    insta::assert_json_snapshot!(portal.post("ada", "/api/queries", body).await.json(), @r#"
    {
      "code": "validation",
      "detail": "7 fields cannot be accepted; see errors.",
      "errors": [
        {
          "field": "instanceId",
          "message": "is not a valid instance id (1 to 63 of a-z, 0-9, '.', '_', '-')"
        },
        {
          "field": "databaseName",
          "message": "must be a database name of 1 to 63 bytes without control characters"
        },
        {
          "field": "podId",
          "message": "is not a valid POD id (1 to 63 of a-z, 0-9, '.', '_', '-')"
        },
        {
          "field": "submissionType",
          "message": "must be query or script"
        },
        {
          "field": "queryContent",
          "message": "must not be empty"
        },
        {
          "field": "notBefore",
          "message": "must be in the years 1 to 9999"
        },
        {
          "field": "comments",
          "message": "must not contain a NUL character"
        }
      ],
      "status": 400,
      "title": "Bad Request",
      "type": "urn:query-portal:problem:validation"
    }
    "#);
}

#[actix_web::test]
async fn fields_have_limits() {
    let portal = Portal::new().await;
    let bad = [
        ("instanceId", json!("")),
        ("instanceId", json!("x".repeat(64))),
        ("instanceId", json!("orders-db\0")),
        ("instanceId", json!("Orders-DB")),
        ("databaseName", json!("x".repeat(64))),
        ("databaseName", json!("orders\n")),
        ("podId", json!("")),
        ("submissionType", json!("QUERY")),
        ("comments", json!("é".repeat(2_001))),
        ("notBefore", json!("-0001-01-01T00:00:00Z")),
    ];
    for (field, value) in bad {
        let answer = submit_with(&portal, field, value.clone()).await;
        assert_eq!(
            (answer.verdict().as_str(), answer.fields()),
            ("400 validation", vec![field.to_owned()]),
            "{value}"
        );
    }
    let good = [
        ("comments", json!("é".repeat(2_000))),
        ("comments", json!("")),
        ("comments", Value::Null),
        ("podId", Value::Null),
        ("notBefore", json!("9999-12-31T23:59:59.999999999Z")),
        ("notBefore", json!("0001-01-01T00:00:00Z")),
    ];
    for (field, value) in good {
        assert_eq!(submit_with(&portal, field, value.clone()).await.status, 201, "{field} {value}");
    }
}

#[actix_web::test]
async fn a_submission_goes_to_an_active_database_of_an_instance_that_ones_pods_may_use() {
    let portal = Portal::new().await;
    let of = |instance: &str, database: &str, pod: &str| json!({ "instanceId": instance, "databaseName": database, "podId": pod, "queryContent": "SELECT 1" });
    let mut table = String::new();
    for (name, body) in [
        ("ada", of("nothing", "orders", "payments")),
        ("ada", of("search-db", "index", "payments")),
        ("ada", of("old-db", "old", "payments")),
        ("ada", of("documents-db", "documents", "payments")),
        ("ada", of("orders-db", "nothing", "payments")),
        ("ada", of("orders-db", "archive", "payments")),
        ("ada", of("orders-db", "index", "payments")),
        ("ada", of("orders-db", "ORDERS", "payments")),
        ("ada", of("orders-db", "orders", "nothing")),
        ("ada", of("orders-db", "orders", "closed")),
        ("ada", of("nothing", "orders", "nothing")),
        ("ada", of("orders-db", "orders", "search")),
        ("ada", of("orders-db", "orders", "outsiders")),
        ("linus", of("search-db", "index", "payments")),
        ("root", of("orders-db", "orders", "search")),
        ("root", of("orders-db", "orders", "payments")),
        ("vera", of("orders-db", "orders", "payments")),
    ] {
        let answer = portal.post(name, "/api/queries", body.clone()).await;
        let place =
            [&body["instanceId"], &body["databaseName"], &body["podId"]].map(|v| v.as_str().unwrap_or("-"));
        let verdict =
            format!("{name} to {}: {} {}\n", place.join(" "), answer.verdict(), answer.fields().join(" "));
        table.push_str(&verdict);
    }
    insta::assert_snapshot!(table, @r"
    ada to nothing orders payments: 400 validation instanceId
    ada to search-db index payments: 400 validation instanceId
    ada to old-db old payments: 400 validation instanceId
    ada to documents-db documents payments: 400 validation instanceId
    ada to orders-db nothing payments: 400 validation databaseName
    ada to orders-db archive payments: 400 validation databaseName
    ada to orders-db index payments: 400 validation databaseName
    ada to orders-db ORDERS payments: 400 validation databaseName
    ada to orders-db orders nothing: 400 validation podId
    ada to orders-db orders closed: 400 validation podId
    ada to nothing orders nothing: 400 validation instanceId podId
    ada to orders-db orders search: 403 foreign_pod 
    ada to orders-db orders outsiders: 403 foreign_pod 
    linus to search-db index payments: 403 foreign_pod 
    root to orders-db orders search: 403 pod_without_access 
    root to orders-db orders payments: 201 
    vera to orders-db orders payments: 403 permission
    ");
}

#[actix_web::test]
async fn a_refused_text_says_what_is_wrong_with_it() {
    let portal = Portal::new().await;
    portal.reviewer.refuses("transaction_control", "BEGIN may not be used here.");
    insta::assert_json_snapshot!(portal.post("ada", "/api/queries", submission()).await.json(), @r#"
    {
      "code": "statement_refused",
      "detail": "BEGIN may not be used here.",
      "errors": [
        {
          "code": "transaction_control",
          "field": "queryContent",
          "message": "BEGIN may not be used here."
        }
      ],
      "status": 400,
      "title": "Bad Request",
      "type": "urn:query-portal:problem:statement_refused"
    }
    "#);
}

#[actix_web::test]
async fn queries_of_lists_are_read_strictly() {
    let portal = Portal::new().await;
    let mut table = String::new();
    for query in [
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=abc",
        "limit=",
        "limit=1.5",
        "limit=99999999999",
        "limit=1&limit=2",
        "cursor=",
        "cursor=abc",
        "cursor=djE6LTE",
        "cursor=%FF",
        "foo=1",
        "limit=1&Limit=2",
    ] {
        for path in ["/api/queries", "/api/queries/pending"] {
            let answer = portal.get("root", &format!("{path}?{query}")).await;
            assert_eq!(answer.status, 400, "{query}");
            let line = format!("{path}?{query}: {} {}\n", answer.code(), answer.json()["detail"]);
            table.push_str(&line);
        }
    }
    for query in [
        "status=open",
        "status=",
        "status=pending,",
        "status=Pending",
        "status=pending%00",
        "instanceId=No",
        "podId=",
        "userId=1",
        "databaseType=oracle",
        "createdFrom=yesterday",
        "createdFrom=2026-01-01",
        "createdBefore=%2B200000-01-01T00:00:00Z",
        "status=pending&status=approved",
        "%00=%00",
        "&&=&=",
    ] {
        let answer = portal.get("root", &format!("/api/queries?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        let line = format!("?{query}: {} {}\n", answer.code(), answer.json()["detail"]);
        table.push_str(&line);
    }
    insta::assert_snapshot!(table, @r#"
    /api/queries?limit=0: invalid_query "The query string cannot be read: limit has to be a whole number from 1 to 200."
    /api/queries/pending?limit=0: invalid_query "The query string cannot be read: limit has to be a whole number from 1 to 200."
    /api/queries?limit=201: invalid_query "The query string cannot be read: limit has to be a whole number from 1 to 200."
    /api/queries/pending?limit=201: invalid_query "The query string cannot be read: limit has to be a whole number from 1 to 200."
    /api/queries?limit=-1: invalid_query "The query string cannot be read: limit has to be a whole number from 1 to 200."
    /api/queries/pending?limit=-1: invalid_query "The query string cannot be read: limit has to be a whole number from 1 to 200."
    /api/queries?limit=abc: invalid_query "The query string cannot be read: limit has to be a whole number from 1 to 200."
    /api/queries/pending?limit=abc: invalid_query "The query string cannot be read: limit has to be a whole number from 1 to 200."
    /api/queries?limit=: invalid_query "The query string cannot be read: limit has to be a whole number from 1 to 200."
    /api/queries/pending?limit=: invalid_query "The query string cannot be read: limit has to be a whole number from 1 to 200."
    /api/queries?limit=1.5: invalid_query "The query string cannot be read: limit has to be a whole number from 1 to 200."
    /api/queries/pending?limit=1.5: invalid_query "The query string cannot be read: limit has to be a whole number from 1 to 200."
    /api/queries?limit=99999999999: invalid_query "The query string cannot be read: limit has to be a whole number from 1 to 200."
    /api/queries/pending?limit=99999999999: invalid_query "The query string cannot be read: limit has to be a whole number from 1 to 200."
    /api/queries?limit=1&limit=2: invalid_query "The query string cannot be read: duplicate field `limit`."
    /api/queries/pending?limit=1&limit=2: invalid_query "The query string cannot be read: duplicate field `limit`."
    /api/queries?cursor=: validation "cursor is not a cursor of this list; start again without one."
    /api/queries/pending?cursor=: validation "cursor is not a cursor of this list; start again without one."
    /api/queries?cursor=abc: validation "cursor is not a cursor of this list; start again without one."
    /api/queries/pending?cursor=abc: validation "cursor is not a cursor of this list; start again without one."
    /api/queries?cursor=djE6LTE: validation "cursor is not a cursor of this list; start again without one."
    /api/queries/pending?cursor=djE6LTE: validation "cursor is not a cursor of this list; start again without one."
    /api/queries?cursor=%FF: validation "cursor is not a cursor of this list; start again without one."
    /api/queries/pending?cursor=%FF: validation "cursor is not a cursor of this list; start again without one."
    /api/queries?foo=1: invalid_query "The query string cannot be read: unknown field `foo`, expected one of `limit`, `cursor`, `status`, `instanceId`, `podId`, `userId`, `databaseType`, `createdFrom`, `createdBefore`."
    /api/queries/pending?foo=1: invalid_query "The query string cannot be read: unknown field `foo`, expected `limit` or `cursor`."
    /api/queries?limit=1&Limit=2: invalid_query "The query string cannot be read: unknown field `Limit`, expected one of `limit`, `cursor`, `status`, `instanceId`, `podId`, `userId`, `databaseType`, `createdFrom`, `createdBefore`."
    /api/queries/pending?limit=1&Limit=2: invalid_query "The query string cannot be read: unknown field `Limit`, expected `limit` or `cursor`."
    ?status=open: validation "status must be one or more of pending, approved, rejected, withdrawn, expired, executing, completed, failed, cancelled, interrupted."
    ?status=: validation "status must be one or more of pending, approved, rejected, withdrawn, expired, executing, completed, failed, cancelled, interrupted."
    ?status=pending,: validation "status must be one or more of pending, approved, rejected, withdrawn, expired, executing, completed, failed, cancelled, interrupted."
    ?status=Pending: validation "status must be one or more of pending, approved, rejected, withdrawn, expired, executing, completed, failed, cancelled, interrupted."
    ?status=pending%00: validation "status must be one or more of pending, approved, rejected, withdrawn, expired, executing, completed, failed, cancelled, interrupted."
    ?instanceId=No: validation "instanceId is not a valid instance id (1 to 63 of a-z, 0-9, '.', '_', '-')."
    ?podId=: validation "podId is not a valid POD id (1 to 63 of a-z, 0-9, '.', '_', '-')."
    ?userId=1: validation "userId is not a valid UUID."
    ?databaseType=oracle: validation "databaseType must be postgresql or mongodb."
    ?createdFrom=yesterday: invalid_query "The query string cannot be read: createdFrom has to be a time as in 2026-01-31T12:00:00Z."
    ?createdFrom=2026-01-01: invalid_query "The query string cannot be read: createdFrom has to be a time as in 2026-01-31T12:00:00Z."
    ?createdBefore=%2B200000-01-01T00:00:00Z: validation "createdBefore must be in the years 1 to 9999."
    ?status=pending&status=approved: invalid_query "The query string cannot be read: duplicate field `status`."
    ?%00=%00: invalid_query "The query string cannot be read: unknown field `\u0000`, expected one of `limit`, `cursor`, `status`, `instanceId`, `podId`, `userId`, `databaseType`, `createdFrom`, `createdBefore`."
    ?&&=&=: invalid_query "The query string cannot be read: unknown field ``, expected one of `limit`, `cursor`, `status`, `instanceId`, `podId`, `userId`, `databaseType`, `createdFrom`, `createdBefore`."
    "#);
    for query in ["limit=1", "limit=200", ""] {
        assert_eq!(portal.get("root", &format!("/api/queries?{query}")).await.status, 200, "{query}");
    }
}

#[actix_web::test]
async fn nobody_waits_longer_than_a_minute() {
    let portal = Portal::new().await;
    let id = portal.submit().await;
    for wait in ["61", "-1", "abc", "", "1&wait=1", "18446744073709551616"] {
        let look = portal.get("ada", &format!("/api/queries/{id}?wait={wait}")).await;
        let approval = portal.post_nothing("grace", &format!("/api/queries/{id}/approve?wait={wait}")).await;
        assert_eq!((look.status, approval.status), (400, 400), "{wait}");
    }
    // The refused approvals have approved nothing.
    assert_eq!(portal.get("ada", &format!("/api/queries/{id}")).await.ok()["status"], "pending");
}

#[actix_web::test]
async fn an_id_that_is_none_is_bad_input_and_one_of_nothing_is_not_found() {
    let portal = Portal::new().await;
    let long = "x".repeat(5_000);
    for id in
        ["1", "nothing", "%FF%FE", "%00", "a%2Fb", "00000000-0000-0000-0000-00000000000g", "%7B%7D", &long]
    {
        for call in [
            TestRequest::get().uri(&format!("/api/queries/{id}")),
            TestRequest::get().uri(&format!("/api/queries/{id}/result")),
            TestRequest::post().uri(&format!("/api/queries/{id}/approve")),
            TestRequest::post().uri(&format!("/api/queries/{id}/withdraw")),
        ] {
            assert_eq!(portal.send_as("root", call).await.verdict(), "400 validation", "{id:.50}");
        }
    }
    for id in ["%FF", "No", "-"] {
        let answer = portal.get("root", &format!("/api/instances/{id}/dbs")).await;
        assert_eq!(answer.verdict(), "400 validation", "{id}");
    }
    let unknown = ada_request(990).pending().id;
    assert_eq!(portal.get("root", &format!("/api/queries/{unknown}")).await.verdict(), "404 not_found");
}

#[actix_web::test]
async fn decisions_have_a_form() {
    let portal = Portal::new().await;
    let id = portal.submit().await;
    let approve = format!("/api/queries/{id}/approve");
    for digest in [json!(""), json!("abc"), json!("g".repeat(64)), json!("0".repeat(65))] {
        let answer = portal.post("grace", &approve, json!({ "digest": digest })).await;
        assert_eq!(
            (answer.verdict().as_str(), answer.fields()),
            ("400 validation", vec!["digest".to_owned()])
        );
    }
    for body in [json!([]), json!({ "digest": 1 }), json!({ "seen": "x" }), json!("x")] {
        assert_eq!(
            portal.post("grace", &approve, body.clone()).await.verdict(),
            "400 invalid_json",
            "{body}"
        );
    }
    let reject = format!("/api/queries/{id}/reject");
    for reason in [String::new(), "  ".to_owned(), "a\0".to_owned(), "x".repeat(2_001)] {
        let answer = portal.post("grace", &reject, json!({ "reason": reason })).await;
        assert_eq!(
            (answer.verdict().as_str(), answer.fields()),
            ("400 validation", vec!["reason".to_owned()])
        );
    }
    for body in [json!({}), json!({ "reason": null }), json!({ "reason": "x", "force": true })] {
        assert_eq!(portal.post("grace", &reject, body.clone()).await.verdict(), "400 invalid_json", "{body}");
    }
    assert_eq!(portal.get("ada", &format!("/api/queries/{id}")).await.ok()["status"], "pending");
}

#[actix_web::test]
async fn strange_headers_harm_nobody() {
    let portal = Portal::new().await;
    for (name, value) in [
        ("user-agent", "\u{80}é\t".repeat(1_000)),
        ("x-forwarded-for", "é".to_owned()),
        ("accept", "nonsense".to_owned()),
        ("idempotency-key", "x".repeat(255)),
        ("content-length", "abc".to_owned()),
        ("host", "evil.example.com".to_owned()),
    ] {
        let call = TestRequest::post().uri("/api/queries").set_json(submission());
        let answer = portal.send_as("ada", call.insert_header((name, value.as_bytes()))).await;
        assert_eq!(answer.status, 201, "{name}");
        assert!(!answer.text().contains("evil"));
    }
    let devices = portal.store.audit_entries();
    assert!(
        devices
            .iter()
            .filter_map(|entry| entry.origin.user_agent.as_ref())
            .all(|agent| agent.chars().count() <= 300)
    );
}
