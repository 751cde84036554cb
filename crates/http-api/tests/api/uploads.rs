//! Scripts that come as files: what is taken, and what the sender of the rest is told.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::header::AUTHORIZATION;
use actix_web::test::TestRequest;
use domain::ids::RequestId;
use domain::request::{Request, SubmissionKind};
use domain::target::Engine;
use serde_json::{Value, json};
use testkit::fakes::FakeReviewer;

use crate::form::{BOUNDARY, Form};
use crate::socket::{Socket, listen};
use crate::support::{Answer, Options, Portal, text};

const KEY: &str = "idempotency-key";

async fn stored(portal: &Portal, answer: &Answer) -> Request {
    let id: RequestId = text(&answer.ok()["id"]).parse().expect("it is an id");
    portal.store.request_store().find(id).await.expect("the store answers").expect("it is stored")
}

fn submitted(portal: &Portal) -> usize {
    portal.store.audit_actions().iter().filter(|action| *action == "request.submit").count()
}

/// The fields that were refused, each with its message.
fn errors(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.verdict(), "400 validation", "{}", answer.text());
    let all = answer.json()["errors"].as_array().cloned().expect("there are some");
    all.iter().map(|error| format!("{} {}", text(&error["field"]), text(&error["message"]))).collect()
}

#[actix_web::test]
async fn an_uploaded_script_is_a_request_as_any_other() {
    let portal = Portal::new().await;
    let form = Form::script()
        .field("podId", "payments")
        .field("comments", "Für größere Körbe.")
        .field("notBefore", "2031-01-31T12:00:00Z");
    let answer = portal.upload("ada", &form).await;
    let request = answer.ok();
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("location"), Some(format!("/api/queries/{}", text(&request["id"])).as_str()));
    assert_eq!((&request["submissionType"], &request["status"]), (&json!("script"), &json!("pending")));
    assert_eq!(
        (&request["queryContent"], &request["scriptFilename"]),
        (&json!("return 1;"), &json!("fix.js"))
    );
    assert_eq!(request["comments"], json!("Für größere Körbe."));
    assert_eq!(request["notBefore"], json!("2031-01-31T12:00:00Z"));
    assert_eq!(request["review"]["findings"][0]["code"], json!("script"));
    let stored = stored(&portal, &answer).await;
    assert_eq!(stored.submission.kind, SubmissionKind::Script);
    assert_eq!(portal.runner.checked(), ["return 1;"]);
    let found = portal.get("grace", &format!("/api/queries/{}", stored.id)).await.ok();
    assert_eq!(
        (&found["scriptFilename"], &found["digest"]),
        (&request["scriptFilename"], &request["digest"])
    );
}

#[actix_web::test]
async fn fields_with_nothing_in_them_are_as_good_as_left_out() {
    let portal = Portal::new().await;
    let form = Form::script().field("podId", "").field("comments", "").field("notBefore", "");
    let request = portal.upload("ada", &form).await.ok();
    assert_eq!((&request["podId"], &request["comments"]), (&json!("payments"), &Value::Null));
}

#[actix_web::test]
async fn forms_of_other_clients_are_understood() {
    let portal = Portal::new().await;
    // Without quotes, in another case, with a preamble and an epilogue, names beyond ASCII in either way, fields last.
    let file = |head: &str| Form::default().part(head, "return 'ä\r\n';").field("databaseName", "orders");
    for (head, kept) in [
        ("content-disposition: form-data; name=file; filename=fix.js", "fix.js"),
        ("Content-Disposition: form-data; filename=\"größe.js\"; name=\"file\"", "größe.js"),
        ("CONTENT-DISPOSITION: form-data; name=\"file\"; filename*=utf-8''gr%C3%B6%C3%9Fe.js", "größe.js"),
        (
            "Content-Disposition: form-data; name=\"file\"; filename=\"C:\\\\my\\\\fix.js\"\r\nX-A: b",
            "fix.js",
        ),
        ("Content-Disposition: form-data; name=\"file\"; filename=\"../../../etc/fix.js\"", "fix.js"),
        (
            "Content-Disposition: form-data; name=\"file\"; filename=\"fix.js\"\r\nContent-Type: image/png",
            "fix.js",
        ),
    ] {
        let body = [
            b"This is a form.\r\n".as_slice(),
            &file(head).field("instanceId", "orders-db").body(),
            b"The end.\r\n",
        ]
        .concat();
        let kind = format!("Multipart/Form-Data; charset=utf-8; boundary=\"{BOUNDARY}\"");
        let answer = portal.upload_raw(Some(&kind), body).await;
        assert_eq!(answer.status, 201, "{head}: {}", answer.text());
        assert_eq!(answer.ok()["scriptFilename"], json!(kept));
        assert_eq!(answer.ok()["queryContent"], json!("return 'ä\r\n';"), "no byte of it is changed");
    }
}

#[actix_web::test]
async fn a_script_may_hold_anything_that_looks_like_a_form() {
    let portal = Portal::new().await;
    let content = format!("// --{BOUNDARY}\r\n--{BOUNDARY}x\r\n\r\n-- {BOUNDARY}--\n🦀\u{feff}");
    let content = content.replace(&format!("\r\n--{BOUNDARY}x"), "\r\n--x");
    let answer = portal.upload("ada", &Form::place().file("fix.js", &content)).await;
    assert_eq!(answer.ok()["queryContent"], json!(content));
}

#[actix_web::test]
async fn the_format_of_the_result_is_chosen_with_the_form() {
    let shell = Some(Arc::new(FakeReviewer::new(Engine::Mongodb)));
    let portal = Portal::with(Options { shell, ..Options::default() }).await;
    let documents = || {
        let place = Form::default().field("instanceId", "documents-db").field("databaseName", "documents");
        place.file("fix.js", "return 1;")
    };
    for (sent, kept) in [("canonical", "canonical"), ("relaxed", "relaxed"), ("", "relaxed")] {
        let answer = portal.upload("ada", &documents().field("extendedJson", sent)).await;
        assert_eq!(answer.ok()["extendedJson"], json!(kept));
    }
    for form in [
        documents().field("extendedJson", "shell"),
        Form::script().field("extendedJson", "Canonical"),
        Form::script().field("extendedJson", "canonical"),
    ] {
        assert_eq!(portal.upload("ada", &form).await.fields(), ["extendedJson"]);
    }
}

#[actix_web::test]
async fn everything_that_is_wrong_with_a_form_is_told_at_once() {
    let portal = Portal::new().await;
    let form = Form::default()
        .field("instanceId", "Orders DB")
        .field("instanceId", "orders-db")
        .field("podId", "No")
        .field("notBefore", "tomorrow")
        .field("queryContent", "SELECT 1")
        .field("comments", &"é".repeat(2_001))
        .file("fix.txt", "return 1;");
    insta::assert_json_snapshot!(portal.upload("ada", &form).await.json()["errors"], @r#"
    [
      {
        "field": "instanceId",
        "message": "must be sent once only"
      },
      {
        "field": "queryContent",
        "message": "is no field; there are file, instanceId, databaseName, podId, comments, notBefore, extendedJson"
      },
      {
        "field": "file",
        "message": "must be sent as a file with a name that ends in .js"
      },
      {
        "field": "databaseName",
        "message": "is needed"
      },
      {
        "field": "notBefore",
        "message": "must be a time as in 2026-01-31T12:00:00Z"
      },
      {
        "field": "podId",
        "message": "is not a valid POD id (1 to 63 of a-z, 0-9, '.', '_', '-')"
      },
      {
        "field": "comments",
        "message": "must be at most 2000 characters long"
      }
    ]
    "#);
    insta::assert_json_snapshot!(portal.upload("ada", &Form::default().field("x", "")).await.json()["errors"], @r#"
    [
      {
        "field": "x",
        "message": "is no field; there are file, instanceId, databaseName, podId, comments, notBefore, extendedJson"
      },
      {
        "field": "file",
        "message": "is needed"
      },
      {
        "field": "instanceId",
        "message": "is needed"
      },
      {
        "field": "databaseName",
        "message": "is needed"
      }
    ]
    "#);
    assert_eq!((submitted(&portal), portal.runner.checked().len()), (0, 0));
}

#[actix_web::test]
async fn a_file_has_to_be_one_script_in_utf_8_of_at_most_2_mib() {
    let portal = Portal::new().await;
    let name = "file must be sent as a file with a name that ends in .js";
    let latin = [b"return '\xe4';".as_slice(), &b"x".repeat(10)].concat();
    let wide: Vec<u8> = "return 1;".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases = [
        (Form::place(), "file is needed"),
        (Form::place().field("file", "return 1;"), name),
        (Form::place().file("", "return 1;"), name),
        (Form::place().file("fix.ts", "return 1;"), name),
        (Form::place().file("fix.js.exe", "return 1;"), name),
        (Form::place().file("dir.js/", "return 1;"), name),
        (Form::place().file(".js", "return 1;"), name),
        (
            Form::place().file("sj.\u{202e}fix.js", "return 1;"),
            "file must have a name without control characters and without invisible ones",
        ),
        (
            Form::place().file("a\tb.js", "return 1;"),
            "file must have a name without control characters and without invisible ones",
        ),
        (
            Form::place().file(&format!("{}.js", "x".repeat(253)), "1"),
            "file must have a name of at most 255 bytes",
        ),
        (Form::script().file("fix.js", "return 1;"), "file must be sent once only"),
        (Form::place().file("fix.js", latin), "file must be UTF-8, and is not from byte 8 on"),
        (Form::place().file("fix.js", [0xff, 0xfe]), "file must be UTF-8, and is not from byte 0 on"),
        (Form::place().file("fix.js", wide), "file must not contain a NUL character"),
        (Form::place().file("fix.js", ""), "file must not be empty"),
        (Form::place().file("fix.js", " \r\n\t"), "file must not be empty"),
        (Form::place().file("fix.js", "1\0"), "file must not contain a NUL character"),
        (
            Form::place().file("fix.js", "x".repeat(2 * 1024 * 1024 + 1)),
            "file must be at most 2097152 bytes long",
        ),
    ];
    for (form, expected) in cases {
        assert_eq!(errors(&portal.upload("ada", &form).await), [expected]);
    }
    assert_eq!((submitted(&portal), portal.runner.checked().len()), (0, 0));
    let largest = format!("//{}\n", "x".repeat(2 * 1024 * 1024 - 3));
    let answer = portal.upload("ada", &Form::place().file("fix.js", &largest)).await;
    assert_eq!(stored(&portal, &answer).await.submission.text.as_str().len(), 2 * 1024 * 1024);
}

#[actix_web::test]
async fn a_body_that_is_no_form_is_told_what_it_should_be() {
    let portal = Portal::new().await;
    let good = Form::script().body();
    for kind in [
        None,
        Some("application/json"),
        Some("multipart/mixed; boundary=x"),
        Some("multipart/form-datax; boundary=x"),
        Some("application/x-www-form-urlencoded"),
        Some("text/javascript"),
        Some("é"),
    ] {
        let answer = portal.upload_raw(kind, good.clone()).await;
        assert_eq!(answer.verdict(), "415 not_multipart", "{kind:?}");
    }
    assert_eq!(submitted(&portal), 0);
}

#[actix_web::test]
async fn a_broken_form_is_told_where_it_is_broken() {
    let portal = Portal::new().await;
    let good = Form::script().body();
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let part = |head: &str| Form::place().part(head, "x").body();
    let mut many = Form::script();
    for n in 0..5_000 {
        many = many.field(&format!("f{n}"), "");
    }
    let headers = "X-A: y\r\n".repeat(100);
    let disposition = "Content-Disposition: form-data; name=\"file\"; filename=\"fix.js\"";
    let mut table = String::new();
    for (name, kind, body) in [
        ("no boundary named", "multipart/form-data", good.clone()),
        ("an empty boundary", "multipart/form-data; boundary=", good.clone()),
        ("another boundary", "multipart/form-data; boundary=other", good.clone()),
        ("no type at all", "multipart/form-data; ;;=", good.clone()),
        ("nothing", &kind, vec![]),
        ("no part", &kind, b"nothing of a form".to_vec()),
        ("cut in a file", &kind, good[..good.len() - BOUNDARY.len() - 10].to_vec()),
        ("cut in the last boundary", &kind, good[..good.len() - 6].to_vec()),
        ("cut in a head", &kind, good[..BOUNDARY.len() + 20].to_vec()),
        ("only a boundary", &kind, format!("--{BOUNDARY}\r\n").into_bytes()),
        ("a part without a head", &kind, part("")),
        ("a part without a name", &kind, part("Content-Disposition: form-data")),
        ("an attachment", &kind, part("Content-Disposition: attachment; name=\"file\"; filename=\"a.js\"")),
        ("a head that is none", &kind, part("what is this")),
        (
            "a form in the form",
            &kind,
            part(&format!("{disposition}\r\nContent-Type: multipart/mixed; boundary=y")),
        ),
        ("many headers", &kind, part(&format!("{headers}{disposition}"))),
        ("a long header", &kind, part(&format!("X-A: {}\r\n{disposition}", "y".repeat(1_000_000)))),
        ("a long preamble", &kind, [b"x".repeat(1_000_000), good.clone()].concat()),
        ("thousands of parts", &kind, many.body()),
        ("a name that is no text", &kind, {
            let head = b"Content-Disposition: form-data; name=\"\xff\"";
            [format!("--{BOUNDARY}\r\n").as_bytes(), head, b"\r\n\r\nx\r\n--", BOUNDARY.as_bytes(), b"--\r\n"]
                .concat()
        }),
    ] {
        let begin = Instant::now();
        let answer = portal.upload_raw(Some(kind), body).await;
        assert_eq!(answer.verdict(), "400 invalid_multipart", "{name}: {}", answer.text());
        assert!(begin.elapsed() < Duration::from_secs(2), "{name}: {:?}", begin.elapsed());
        writeln!(table, "{name}: {}", text(&answer.json()["detail"])).expect("memory is writable");
    }
    insta::assert_snapshot!(table, @r#"
    no boundary named: The form cannot be read: the boundary is missing, in Content-Type or where a part should begin or end.
    an empty boundary: The form cannot be read: the boundary is missing, in Content-Type or where a part should begin or end.
    another boundary: The form cannot be read: it ends before its last boundary.
    no type at all: The form cannot be read: its Content-Type makes no sense.
    nothing: The form cannot be read: it ends before its last boundary.
    no part: The form cannot be read: it ends before its last boundary.
    cut in a file: The form cannot be read: it ends before its last boundary.
    cut in the last boundary: The form cannot be read: it ends before its last boundary.
    cut in a head: The form cannot be read: it ends before its last boundary.
    only a boundary: The form cannot be read: it ends before its last boundary.
    a part without a head: The form cannot be read: a part has no name: it needs "Content-Disposition: form-data; name=...".
    a part without a name: The form cannot be read: a part has no name: it needs "Content-Disposition: form-data; name=...".
    an attachment: The form cannot be read: a part has no name: it needs "Content-Disposition: form-data; name=...".
    a head that is none: The form cannot be read: the head of a part is broken.
    a form in the form: The form cannot be read: a part is a form itself.
    many headers: The form cannot be read: the head of a part is broken.
    a long header: The form cannot be read: the head of a part, or what comes before the first one, is too long.
    a long preamble: The form cannot be read: the head of a part, or what comes before the first one, is too long.
    thousands of parts: The form cannot be read: it has more than 16 parts.
    a name that is no text: The form cannot be read: a part has no name: it needs "Content-Disposition: form-data; name=...".
    "#);
    assert_eq!(submitted(&portal), 0);
}

#[actix_web::test]
async fn no_cut_of_a_form_is_taken_for_a_whole_one() {
    let portal = Portal::new().await;
    let good = Form::script().field("comments", "x").body();
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    // What is missing of the very last line break changes nothing.
    for end in 0..good.len() - 2 {
        let answer = portal.upload_raw(Some(&kind), &good[..end]).await;
        assert_eq!(answer.status, 400, "{end} of {}", good.len());
    }
    assert_eq!(submitted(&portal), 0);
    assert_eq!(portal.upload_raw(Some(&kind), good).await.status, 201);
}

#[actix_web::test]
async fn a_form_may_be_large_but_not_endless() {
    let portal = Portal::new().await;
    let large = Form::script().field("comments", &"x".repeat(7 * 1024 * 1024));
    assert_eq!(
        errors(&portal.upload("ada", &large).await),
        ["comments must be at most 2000 characters long"]
    );
    let huge = Form::script().field("comments", &"x".repeat(8 * 1024 * 1024));
    assert_eq!(portal.upload("ada", &huge).await.verdict(), "413 body_too_large");
    // Nobody reads the body of somebody who is nobody, and nobody looks at the form of who may not submit.
    let call = huge.fill(TestRequest::post().uri("/api/scripts/upload"));
    assert_eq!(portal.send(call).await.verdict(), "401 token_missing");
    let call = TestRequest::post().uri("/api/scripts/upload").set_payload("no form");
    assert_eq!(portal.send_as("vera", call).await.verdict(), "403 permission");
}

#[actix_web::test]
async fn a_script_that_can_never_run_is_refused_with_its_line_and_column() {
    let portal = Portal::new().await;
    portal.runner.refuses("SyntaxError: Unexpected token ')'.", 3, 7);
    let upload = portal.upload("ada", &Form::script()).await;
    insta::assert_json_snapshot!(upload.json(), @r#"
    {
      "code": "statement_refused",
      "detail": "SyntaxError: Unexpected token ')'.",
      "errors": [
        {
          "code": "script_syntax",
          "column": 7,
          "field": "file",
          "line": 3,
          "message": "SyntaxError: Unexpected token ')'."
        }
      ],
      "status": 400,
      "title": "Bad Request",
      "type": "urn:query-portal:problem:statement_refused"
    }
    "#);
    let body = json!({ "instanceId": "orders-db", "databaseName": "orders", "submissionType": "script", "queryContent": ")" });
    let sent = portal.post("ada", "/api/queries", body).await;
    assert_eq!(sent.json()["errors"][0]["field"], json!("queryContent"));
    assert_eq!(sent.json()["errors"][0]["line"], json!(3));
    let body = json!({ "instanceId": "orders-db", "submissionType": "script", "queryContent": ")" });
    let check = portal.post("ada", "/api/queries/check", body.clone()).await.ok();
    assert_eq!(check["accepted"], json!(false), "{check}");
    assert!(
        check.to_string().contains("\"line\":3") && check.to_string().contains("\"column\":7"),
        "{check}"
    );
    portal.runner.cannot_check();
    for answer in
        [portal.upload("ada", &Form::script()).await, portal.post("ada", "/api/queries/check", body).await]
    {
        assert_eq!(answer.verdict(), "503 scripts_unavailable");
    }
    assert_eq!(submitted(&portal), 0);
}

#[actix_web::test]
async fn a_script_is_accepted_as_json_too() {
    let portal = Portal::new().await;
    let body = json!({ "instanceId": "orders-db", "databaseName": "orders", "submissionType": "script", "queryContent": "return 1;" });
    let request = portal.post("ada", "/api/queries", body).await.ok();
    assert_eq!((&request["submissionType"], request.get("scriptFilename")), (&json!("script"), None));
    let body = json!({ "instanceId": "orders-db", "submissionType": "script", "queryContent": "return 1;" });
    let check = portal.post("ada", "/api/queries/check", body).await.ok();
    assert_eq!(check["accepted"], json!(true), "{check}");
}

#[actix_web::test]
async fn a_portal_that_runs_no_scripts_says_so() {
    let portal = Portal::with(Options { runs_scripts: false, ..Options::default() }).await;
    let expected = ["submissionType is script, and this portal runs no scripts"];
    assert_eq!(errors(&portal.upload("ada", &Form::script()).await), expected);
}

#[actix_web::test]
async fn an_upload_honours_its_key() {
    let portal = Portal::new().await;
    let upload = async |form: Form| {
        let call = TestRequest::post().uri("/api/scripts/upload").insert_header((KEY, "key"));
        portal.send_as("ada", form.fill(call)).await
    };
    let first = upload(Form::script()).await;
    let again = upload(
        Form::default()
            .file("fix.js", "return 1;")
            .field("databaseName", "orders")
            .field("instanceId", "orders-db"),
    )
    .await;
    assert_eq!(
        (first.header("idempotency-replayed"), again.header("idempotency-replayed")),
        (None, Some("true"))
    );
    assert_eq!(first.ok()["id"], again.ok()["id"]);
    for other in [Form::place().file("other.js", "return 1;"), Form::place().file("fix.js", "return 2;")] {
        assert_eq!(upload(other).await.verdict(), "409 idempotency_conflict");
    }
    let call = TestRequest::post().uri("/api/scripts/upload").insert_header((KEY, ""));
    assert_eq!(portal.send_as("ada", Form::script().fill(call)).await.fields(), ["Idempotency-Key"]);
    assert_eq!(submitted(&portal), 1);
}

#[actix_web::test]
async fn whoever_logs_out_while_their_script_arrives_submits_nothing() {
    let portal = Portal::new().await;
    let (address, token) = (listen(&portal), text(&portal.log_in("ada").await["accessToken"]));
    let body = String::from_utf8(Form::script().body()).expect("it is a text");
    let headers = format!(
        "content-type: multipart/form-data; boundary={BOUNDARY}\r\ncontent-length: {}\r\nexpect: 100-continue\r\n",
        body.len()
    );
    let mut socket = Socket::call(address, "POST /api/scripts/upload", Some(&token), &headers);
    socket.until_the_body_is_asked_for().await;
    assert!(socket.send(&body[..50]));
    let call = TestRequest::post().uri("/api/auth/logout-all");
    portal.send(call.insert_header((AUTHORIZATION, format!("Bearer {token}")))).await;
    assert!(socket.send(&body[50..]));
    assert_eq!(socket.verdict().await, "401 session_ended");
    assert_eq!(submitted(&portal), 0);
}

#[actix_web::test]
async fn a_script_that_does_not_arrive_in_time_is_refused() {
    let impatient = Options { body_time_limit: Duration::from_millis(200), ..Options::default() };
    let portal = Portal::with(impatient).await;
    let (address, token) = (listen(&portal), portal.token("ada").await);
    let headers =
        format!("content-type: multipart/form-data; boundary={BOUNDARY}\r\ncontent-length: 1000\r\n");
    let mut socket = Socket::call(address, "POST /api/scripts/upload", Some(&token), &headers);
    assert!(socket.send(&format!("--{BOUNDARY}\r\nContent-Dispo")));
    assert_eq!(socket.verdict().await, "408 body_too_slow");
}
