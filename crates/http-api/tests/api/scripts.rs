//! Scripts that run or have run: where they stand, and what they said and did.

use std::fmt::Write as _;
use std::time::Duration;

use domain::execution::DatabaseError;
use domain::review::Position;
use domain::script::{
    CallKind, CallRecord, ConsoleLevel, LogEntry, ReturnedValue, ScriptError, ScriptOutcome,
};
use futures_util::future::join;
use serde_json::{Value, json};
use testkit::builders::console_line;
use testkit::fakes::Play;

use crate::form::Form;
use crate::support::{Portal, ada_request, text};

pub(crate) fn call(number: u64, statement: &str) -> LogEntry {
    LogEntry::Call(CallRecord {
        number,
        kind: CallKind::Query,
        statement: Some(statement.to_owned()),
        affected: Some(3),
        error: None,
        duration: Duration::from_micros(1_250),
    })
}

/// Uploads a script of Ada's that will do this once it is approved, has it approved, and gives its id.
pub(crate) async fn approved(portal: &Portal, play: Play) -> String {
    let id = text(&portal.upload("ada", &Form::script()).await.ok()["id"]);
    portal.runner.plays(play);
    portal.post_nothing("grace", &format!("/api/queries/{id}/approve")).await.ok();
    id
}

async fn ran(portal: &Portal, play: Play) -> String {
    let id = approved(portal, play).await;
    portal.run_one().await;
    id
}

async fn status(portal: &Portal, id: &str) -> Value {
    portal.get("ada", &format!("/api/scripts/{id}/status")).await.ok()
}

#[actix_web::test]
async fn a_script_is_submitted_approved_executed_and_its_result_read() {
    let portal = Portal::new().await;
    let elements = ReturnedValue::Elements(vec!["1".into(), r#"{"a":null}"#.into()]);
    let play = Play::returns(elements).says(vec![console_line("Hello 🦀"), call(1, "SELECT 1")]);
    let id = ran(&portal, play).await;
    let result = portal.get("ada", &format!("/api/queries/{id}/result")).await.ok();
    assert_eq!(result["statements"][0]["rows"], json!([[1], [{ "a": null }]]));
    insta::assert_json_snapshot!(status(&portal, &id).await, @r#"
    {
      "consoleLines": 1,
      "createdAt": "2026-03-02T09:00:00Z",
      "databaseCalls": 1,
      "execution": {
        "durationMs": 5,
        "finishedAt": "2026-03-02T09:00:00Z",
        "notices": [],
        "startedAt": "2026-03-02T09:00:00Z",
        "statements": [
          {
            "affected": null,
            "columns": [
              {
                "name": "element",
                "type": "json"
              }
            ],
            "command": "RETURN",
            "preview": [
              [
                1
              ],
              [
                {
                  "a": null
                }
              ]
            ],
            "rowCount": 2,
            "truncated": false
          }
        ],
        "truncated": false
      },
      "id": "00000000-0000-4000-8000-000000000001",
      "log": {
        "items": [
          {
            "at": "2026-03-02T09:00:00Z",
            "console": {
              "level": "log",
              "text": "Hello 🦀"
            },
            "number": 1
          },
          {
            "at": "2026-03-02T09:00:00Z",
            "call": {
              "affected": 3,
              "durationMs": 1.25,
              "kind": "query",
              "number": 1,
              "statement": "SELECT 1"
            },
            "number": 2
          }
        ]
      },
      "scriptFilename": "fix.js",
      "status": "completed",
      "updatedAt": "2026-03-02T09:00:00Z"
    }
    "#);
}

#[actix_web::test]
async fn of_a_script_that_waits_there_is_nothing_to_tell_yet() {
    let portal = Portal::new().await;
    let id = text(&portal.upload("ada", &Form::script()).await.ok()["id"]);
    let status = status(&portal, &id).await;
    assert_eq!((&status["status"], &status["consoleLines"]), (&json!("pending"), &json!(0)));
    assert_eq!((status.get("execution"), status.get("error")), (None, None));
    assert_eq!(status["log"], json!({ "items": [] }));
}

#[actix_web::test]
async fn a_script_that_failed_says_where_and_why() {
    let portal = Portal::new().await;
    let error = ScriptError {
        message: "Error: division by zero".to_owned(),
        position: Some(Position { line: 3, column: 7 }),
        stack: "at half (fix.js:3:7)\nat fix.js:9:1".to_owned(),
        database_error: Some(DatabaseError {
            code: "22012".to_owned(),
            severity: "ERROR".to_owned(),
            message: "division by zero".to_owned(),
            // In its statement, which is no place in the script.
            position: Some(Position { line: 1, column: 9 }),
            ..DatabaseError::default()
        }),
    };
    let play = Play::ends(ScriptOutcome::Threw(error)).commits(1).says(vec![console_line("before")]);
    let id = ran(&portal, play).await;
    let status = status(&portal, &id).await;
    insta::assert_json_snapshot!(status["error"], @r#"
    {
      "code": "22012",
      "column": 7,
      "commits": 1,
      "kind": "database",
      "line": 3,
      "message": "division by zero. One transaction had been committed before; it stays in effect.",
      "severity": "ERROR",
      "stack": "at half (fix.js:3:7)\nat fix.js:9:1"
    }
    "#);
    assert_eq!(status["log"]["items"][0]["console"]["text"], json!("before"));
    assert_eq!(status["error"], portal.get("ada", &format!("/api/queries/{id}")).await.ok()["error"]);
}

#[actix_web::test]
async fn a_status_shows_the_beginning_of_a_long_log_and_where_it_goes_on() {
    let portal = Portal::new().await;
    let lines: Vec<LogEntry> = (1..=450).map(|n| console_line(&n.to_string())).collect();
    let id = ran(&portal, Play::returns(ReturnedValue::Nothing).says(lines)).await;
    let status = status(&portal, &id).await;
    assert_eq!(status["consoleLines"], json!(450));
    let mut page = status["log"].clone();
    let mut texts: Vec<String> = vec![];
    loop {
        texts.extend(
            page["items"].as_array().expect("it is a list").iter().map(|l| text(&l["console"]["text"])),
        );
        let Some(after) = page["nextAfter"].as_u64() else { break };
        page = portal.get("ada", &format!("/api/queries/{id}/log?after={after}")).await.ok();
    }
    assert_eq!(texts, (1..=450).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[actix_web::test]
async fn a_query_is_no_script() {
    let portal = Portal::new().await;
    let query = portal.put(&ada_request(901).completed());
    let answer = portal.get("ada", &format!("/api/scripts/{query}/status")).await;
    assert_eq!(answer.verdict(), "404 not_found");
    let detail = "The request with this id is a query and no script. GET /api/queries/{id} shows it.";
    assert_eq!(answer.json()["detail"], json!(detail));
    // Whoever may not see it is not told what it is.
    let answer = portal.get("bob", &format!("/api/scripts/{query}/status")).await;
    assert_eq!(answer.verdict(), "403 not_visible");
    let log = portal.get("ada", &format!("/api/queries/{query}/log")).await.ok();
    assert_eq!(log, json!({ "items": [] }));
    for (id, verdict) in
        [("1", "400 validation"), (&ada_request(990).pending().id.to_string(), "404 not_found")]
    {
        assert_eq!(portal.get("ada", &format!("/api/scripts/{id}/status")).await.verdict(), verdict);
        assert_eq!(portal.get("ada", &format!("/api/queries/{id}/log")).await.verdict(), verdict);
    }
}

#[actix_web::test]
async fn a_log_is_read_in_parts_also_while_the_script_runs() {
    let portal = Portal::new().await;
    let id = portal.put(&ada_request(901).script("fix.js", "1").executing());
    portal.store.put_log(id, vec![console_line("one"), call(1, "DELETE FROM carts"), console_line("two")]);
    for name in ["queries", "requests"] {
        let page = portal.get("grace", &format!("/api/{name}/{id}/log?limit=2")).await.ok();
        insta::allow_duplicates! {
            insta::assert_json_snapshot!(page, @r#"
            {
              "items": [
                {
                  "at": "2026-03-02T09:00:00Z",
                  "console": {
                    "level": "log",
                    "text": "one"
                  },
                  "number": 1
                },
                {
                  "at": "2026-03-02T09:00:00Z",
                  "call": {
                    "affected": 3,
                    "durationMs": 1.25,
                    "kind": "query",
                    "number": 1,
                    "statement": "DELETE FROM carts"
                  },
                  "number": 2
                }
              ],
              "nextAfter": 2
            }
            "#);
        }
        let rest = portal.get("grace", &format!("/api/{name}/{id}/log?after=2")).await.ok();
        assert_eq!((rest["items"][0]["number"].as_u64(), rest.get("nextAfter")), (Some(3), None));
    }
    portal.store.put_log(id, vec![LogEntry::Console { level: ConsoleLevel::Error, text: String::new() }]);
    let rest = portal.get("grace", &format!("/api/queries/{id}/log?after=3")).await.ok();
    assert_eq!(rest["items"][0]["console"], json!({ "level": "error", "text": "" }));
    let beyond = portal.get("grace", &format!("/api/queries/{id}/log?after={}", u64::MAX)).await.ok();
    assert_eq!(beyond, json!({ "items": [] }));
}

#[actix_web::test]
async fn queries_of_logs_are_read_strictly() {
    let portal = Portal::new().await;
    let id = portal.put(&ada_request(901).script("fix.js", "1").executing());
    let mut table = String::new();
    for query in [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=",
        "limit=1&limit=2",
        "after=-1",
        "after=",
        "after=x",
        "after=1.5",
        "after=18446744073709551616",
        "from=1",
    ] {
        let answer = portal.get("ada", &format!("/api/queries/{id}/log?{query}")).await;
        writeln!(table, "{query}: {} {}", answer.verdict(), answer.json()["detail"])
            .expect("memory is writable");
    }
    insta::assert_snapshot!(table, @r#"
    limit=0: 400 invalid_query "The query string cannot be read: limit has to be a whole number from 1 to 1000."
    limit=1001: 400 invalid_query "The query string cannot be read: limit has to be a whole number from 1 to 1000."
    limit=-1: 400 invalid_query "The query string cannot be read: limit has to be a whole number from 1 to 1000."
    limit=: 400 invalid_query "The query string cannot be read: limit has to be a whole number from 1 to 1000."
    limit=1&limit=2: 400 invalid_query "The query string cannot be read: duplicate field `limit`."
    after=-1: 400 invalid_query "The query string cannot be read: after has to be the number of a line, 0 or more."
    after=: 400 invalid_query "The query string cannot be read: after has to be the number of a line, 0 or more."
    after=x: 400 invalid_query "The query string cannot be read: after has to be the number of a line, 0 or more."
    after=1.5: 400 invalid_query "The query string cannot be read: after has to be the number of a line, 0 or more."
    after=18446744073709551616: 400 invalid_query "The query string cannot be read: after has to be the number of a line, 0 or more."
    from=1: 400 invalid_query "The query string cannot be read: unknown field `from`, expected `after` or `limit`."
    "#);
    for query in ["limit=1", "limit=1000", "after=0", ""] {
        assert_eq!(portal.get("ada", &format!("/api/queries/{id}/log?{query}")).await.status, 200, "{query}");
    }
}

#[actix_web::test]
async fn a_log_of_long_lines_comes_in_parts_that_are_not_large() {
    let portal = Portal::new().await;
    let id = portal.put(&ada_request(901).script("fix.js", "return 1;").completed());
    // Its control characters are six times as long in JSON.
    portal.store.put_log(id, std::iter::repeat_n(console_line(&"\u{1}".repeat(64 * 1024)), 20).collect());
    let (mut after, mut parts) = (json!(0), vec![]);
    while !after.is_null() {
        let answer = portal.get("ada", &format!("/api/queries/{id}/log?limit=1000&after={after}")).await;
        assert!(answer.body.len() < 4 * 1024 * 1024, "{}", answer.body.len());
        let page = answer.ok();
        parts.push(page["items"].as_array().expect("they are a list").len());
        after = page["nextAfter"].clone();
    }
    assert_eq!(parts, [8, 8, 4]);
    let status = status(&portal, &id.to_string()).await;
    assert_eq!((&status["log"]["nextAfter"], &status["consoleLines"]), (&json!(1), &json!(20)));
}

#[actix_web::test]
async fn a_duration_has_no_more_than_three_decimals() {
    let portal = Portal::new().await;
    let id = portal.put(&ada_request(901).script("fix.js", "return 1;").completed());
    let micros = [0, 1, 1_215, 1_250, 999_999, 3_600_000_001];
    let lasted = |micros| {
        LogEntry::Call(CallRecord {
            number: 1,
            kind: CallKind::Commit,
            statement: None,
            affected: None,
            error: None,
            duration: Duration::from_micros(micros),
        })
    };
    portal.store.put_log(id, micros.map(lasted).into());
    let answer = portal.get("ada", &format!("/api/queries/{id}/log")).await;
    let told: Vec<&str> = answer.text().split("\"durationMs\":").skip(1).collect();
    let told: Vec<&str> = told.iter().filter_map(|rest| rest.split(['}', ',']).next()).collect();
    assert_eq!(told, ["0.0", "0.001", "1.215", "1.25", "999.999", "3600000.001"]);
}

#[actix_web::test]
async fn whoever_has_two_scripts_read_at_once_is_asked_to_wait_with_the_third() {
    let portal = Portal::new().await;
    portal.runner.holds_checks();
    let form = Form::script();
    let third = async {
        portal.runner.started().await;
        portal.runner.started().await;
        let answer = portal.upload("ada", &form).await;
        portal.runner.release();
        portal.runner.release();
        answer
    };
    let uploads = join(portal.upload("ada", &form), portal.upload("ada", &form));
    let ((first, second), third) = join(uploads, third).await;
    assert_eq!((first.status, second.status), (201, 201));
    assert_eq!(third.verdict(), "429 too_many_checks");
    assert_eq!(third.header("retry-after"), Some("2"));
    assert!(third.text().contains("Wait until your other scripts are read"), "{}", third.text());
}
