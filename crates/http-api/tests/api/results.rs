//! Results as JSON.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::execution::{
    Column, DatabaseError, ExecutionOrder, ExecutionReport, Notice, ResultChunk, StatementReport,
};
use domain::ports::{ExecutionError, ResultSink, TargetExecutor};
use domain::target::Engine;
use serde_json::json;
use testkit::fakes::Script;
use tokio_util::sync::CancellationToken;

use crate::support::{Answer, Options, Portal};

/// Gives one result, whatever it is asked.
struct Fixed {
    chunks: Vec<ResultChunk>,
    report: ExecutionReport,
}

#[async_trait]
impl TargetExecutor for Fixed {
    fn engine(&self) -> Engine {
        Engine::Postgresql
    }

    async fn execute(
        &self,
        _: &ExecutionOrder,
        sink: &mut (dyn ResultSink + 'static),
        _: CancellationToken,
    ) -> Result<ExecutionReport, ExecutionError> {
        for chunk in &self.chunks {
            sink.write(chunk.clone()).await.map_err(ExecutionError::Sink)?;
        }
        Ok(self.report.clone())
    }
}

fn statement(
    command: &str,
    columns: Option<&[(&str, &str)]>,
    rows: u64,
    affected: Option<u64>,
) -> StatementReport {
    let column = |(name, type_name): &(&str, &str)| Column {
        name: (*name).to_owned(),
        type_name: (*type_name).to_owned(),
    };
    StatementReport {
        command: command.to_owned(),
        columns: columns.map(|columns| columns.iter().map(column).collect()),
        rows,
        affected,
        truncated: false,
    }
}

fn chunk(statement: u32, rows: &[&str]) -> ResultChunk {
    let ndjson: String = rows.iter().flat_map(|row| [row, "\n"]).collect();
    ResultChunk { statement, rows: u32::try_from(rows.len()).expect("few"), ndjson: ndjson.into() }
}

/// Runs one request with this outcome; answers with the request and its result.
async fn run(statements: Vec<StatementReport>, chunks: Vec<ResultChunk>) -> (Answer, Answer) {
    let notice =
        Notice { severity: "NOTICE".to_owned(), code: "00000".to_owned(), message: "done \"it\"".to_owned() };
    let report = ExecutionReport { statements, notices: vec![notice], duration: Duration::from_millis(7) };
    let executor: Arc<dyn TargetExecutor> = Arc::new(Fixed { chunks, report });
    let portal = Portal::with(Options { executor: Some(executor), ..Options::default() }).await;
    let id = portal.submit().await;
    portal.post_nothing("grace", &format!("/api/queries/{id}/approve")).await.ok();
    portal.run_one().await;
    let request = portal.get("ada", &format!("/api/queries/{id}")).await;
    (request, portal.get("ada", &format!("/api/queries/{id}/result")).await)
}

#[actix_web::test]
async fn several_statements_keep_their_order_and_columns_of_the_same_name_survive() {
    let statements = vec![
        statement("SELECT", Some(&[("id", "int8"), ("id", "text"), ("a \"b\"", "numeric")]), 3, Some(3)),
        statement("UPDATE", None, 0, Some(12)),
        statement("SELECT", Some(&[("nothing", "int4")]), 0, Some(0)),
        statement("CREATE TABLE", None, 0, None),
        statement("SELECT", Some(&[]), 2, Some(2)),
    ];
    let chunks = vec![
        chunk(0, &[r#"[1,"é\n\"",1.10]"#, "[9007199254740993,null,1e400]"]),
        chunk(0, &["[3,[],-0]"]),
        chunk(4, &["[]", "[]"]),
    ];
    let (request, result) = run(statements, chunks).await;
    insta::assert_snapshot!(result.text(), @r#"
    {"truncated":false,"statements":[{"command":"SELECT","columns":[{"name":"id","type":"int8"},{"name":"id","type":"text"},{"name":"a \"b\"","type":"numeric"}],"rowCount":3,"affected":3,"truncated":false,"rows":[
    [1,"é\n\"",1.10],
    [9007199254740993,null,1e400],
    [3,[],-0]]},
    {"command":"UPDATE","columns":null,"rowCount":0,"affected":12,"truncated":false,"rows":[]},
    {"command":"SELECT","columns":[{"name":"nothing","type":"int4"}],"rowCount":0,"affected":0,"truncated":false,"rows":[]},
    {"command":"CREATE TABLE","columns":null,"rowCount":0,"affected":null,"truncated":false,"rows":[]},
    {"command":"SELECT","columns":[],"rowCount":2,"affected":2,"truncated":false,"rows":[
    [],
    []]}]}
    "#);
    // Numbers come through as they were written, in the preview too.
    assert!(
        request.text().contains(r#""preview":[[1,"é\n\"",1.10],[9007199254740993,null,1e400],[3,[],-0]]"#)
    );
    assert!(request.text().contains(r#""preview":[[],[]]"#));
    assert!(request.text().contains(r#"{"severity":"NOTICE","code":"00000","message":"done \"it\""}"#));
}

#[actix_web::test]
async fn a_result_without_rows_and_one_without_statements_are_whole_documents() {
    let (_, result) = run(vec![statement("SELECT", Some(&[("a", "int4")]), 0, Some(0))], vec![]).await;
    insta::assert_json_snapshot!(result.ok(), @r#"
    {
      "statements": [
        {
          "affected": 0,
          "columns": [
            {
              "name": "a",
              "type": "int4"
            }
          ],
          "command": "SELECT",
          "rowCount": 0,
          "rows": [],
          "truncated": false
        }
      ],
      "truncated": false
    }
    "#);
    let (_, result) = run(vec![statement("CREATE INDEX", None, 0, None)], vec![]).await;
    insta::assert_json_snapshot!(result.ok(), @r#"
    {
      "statements": [
        {
          "affected": null,
          "columns": null,
          "command": "CREATE INDEX",
          "rowCount": 0,
          "rows": [],
          "truncated": false
        }
      ],
      "truncated": false
    }
    "#);
    let (_, result) = run(vec![], vec![]).await;
    assert_eq!(result.ok(), json!({ "statements": [], "truncated": false }));
}

#[actix_web::test]
async fn a_result_that_was_cut_short_says_so() {
    let cut = StatementReport { truncated: true, ..statement("SELECT", Some(&[("a", "int4")]), 1, Some(5)) };
    let (request, result) = run(vec![cut], vec![chunk(0, &["[1]"])]).await;
    assert_eq!(result.ok()["truncated"], json!(true));
    assert_eq!(result.ok()["statements"][0]["truncated"], json!(true));
    assert_eq!(request.ok()["execution"]["truncated"], json!(true));
}

#[actix_web::test]
async fn a_long_result_is_whole_and_its_preview_is_short() {
    let portal = Portal::new().await;
    portal.executor.plays(Script::rows((1..=5_000).map(|n| format!("[{n}]"))));
    let id = portal.submit().await;
    portal.post_nothing("grace", &format!("/api/queries/{id}/approve")).await.ok();
    portal.run_one().await;
    let result = portal.get("ada", &format!("/api/queries/{id}/result")).await.ok();
    let rows = result["statements"][0]["rows"].as_array().expect("there are rows");
    assert_eq!((rows.len(), &rows[4_999]), (5_000, &json!([5_000])));
    let request = portal.get("ada", &format!("/api/queries/{id}")).await.ok();
    assert_eq!(request["execution"]["statements"][0]["preview"].as_array().map(Vec::len), Some(100));
    let listed = portal.get("ada", "/api/queries").await.ok();
    assert_eq!(listed["items"][0]["execution"]["statements"][0].get("preview"), None);
}

#[actix_web::test]
async fn a_failed_execution_says_why_and_has_no_result() {
    let portal = Portal::new().await;
    let error = DatabaseError {
        code: "22012".to_owned(),
        severity: "ERROR".to_owned(),
        message: "division by zero".to_owned(),
        statement: Some(0),
        ..DatabaseError::default()
    };
    portal.executor.plays(Script::rows(["[1]"]).then_fails(ExecutionError::Database(error)));
    let id = portal.submit().await;
    portal.post_nothing("grace", &format!("/api/queries/{id}/approve")).await.ok();
    portal.run_one().await;
    let request = portal.get("ada", &format!("/api/queries/{id}")).await.ok();
    assert_eq!(request["status"], "failed");
    insta::assert_json_snapshot!(request["error"], @r#"
    {
      "code": "22012",
      "kind": "database",
      "message": "division by zero",
      "severity": "ERROR",
      "statement": 1
    }
    "#);
    let answer = portal.get("ada", &format!("/api/queries/{id}/result")).await;
    insta::assert_json_snapshot!(answer.json(), @r#"
    {
      "code": "no_result",
      "detail": "The execution did not succeed, so there is no result.",
      "status": 409,
      "title": "Conflict",
      "type": "urn:query-portal:problem:no_result"
    }
    "#);
}

#[actix_web::test]
async fn a_form_that_there_is_not_is_refused_before_anything_else() {
    let portal = Portal::new().await;
    let id = portal.submit().await;
    for query in [
        "format=CSV",
        "format=JSON",
        "format=",
        "format=xml",
        "format=csv&header=bold",
        "format=json&header=names",
        "statement=1",
    ] {
        let answer = portal.get("ada", &format!("/api/queries/{id}/result?{query}")).await;
        assert_eq!(answer.verdict(), "400 validation", "{query:?}");
    }
    let answer = portal.get("ada", &format!("/api/queries/{id}/result?format=csv")).await;
    assert_eq!(answer.verdict(), "409 no_result");
}
