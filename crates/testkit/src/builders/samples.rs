//! What happens to requests: edits, reports and failures that use every field.

use std::time::Duration;

use domain::execution::{
    Column, DatabaseError, ExecutionReport, Failure, FailureKind, Notice, PreviewRow, ScriptPlace,
    StatementReport,
};
use domain::request::{Edit, Request, Submission};
use domain::review::Position;
use domain::script::{ConsoleLevel, LogEntry};
use domain::text::SubmissionText;

/// An edit that changes nothing but the text.
pub fn edit_of(request: &Request, text: &str) -> Edit {
    Edit {
        target: request.target.clone(),
        submission: Submission {
            text: SubmissionText::parse(text).expect("a test's text is valid"),
            ..request.submission.clone()
        },
        options: request.options.clone(),
        limits: request.limits,
        comments: request.comments.clone(),
        review: request.review.clone(),
        approvals_needed: request.approvals_needed,
    }
}

/// What a run of two statements reports: a read of three rows, cut short, and a write without rows.
pub fn sample_report() -> (ExecutionReport, Vec<PreviewRow>) {
    let column =
        |name: &str, type_name: &str| Column { name: name.to_owned(), type_name: type_name.to_owned() };
    let report = ExecutionReport {
        statements: vec![
            StatementReport {
                command: "SELECT".to_owned(),
                columns: Some(vec![column("id", "int8"), column("id", "_text")]),
                rows: 3,
                affected: Some(4),
                truncated: true,
            },
            StatementReport {
                command: "CREATE TABLE".to_owned(),
                columns: None,
                rows: 0,
                affected: None,
                truncated: false,
            },
        ],
        notices: vec![Notice {
            severity: "NOTICE".to_owned(),
            code: "42P07".to_owned(),
            message: "relation “a” exists already".to_owned(),
        }],
        duration: Duration::from_millis(1_234),
    };
    let rows = ["[9007199254740993,[\"a\\u0000b\"]]", "[1.10,null]", "[\"é\",[]]"];
    let preview = rows.iter().map(|&json| PreviewRow { statement: 0, json: json.to_owned() }).collect();
    (report, preview)
}

/// A failure with everything that a server can say.
pub fn sample_failure() -> Failure {
    Failure {
        kind: FailureKind::Database,
        message: "The server reported an error: division by zero.".to_owned(),
        database_error: Some(DatabaseError {
            code: "22012".to_owned(),
            number: Some(-2_147_483_648),
            severity: "ERROR".to_owned(),
            message: "division by zero".to_owned(),
            detail: Some("A “detail”.".to_owned()),
            hint: Some("Divide by something else.".to_owned()),
            statement: Some(1),
            position: Some(Position { line: 3, column: 14 }),
        }),
        script: Some(ScriptPlace {
            position: Some(Position { line: 7, column: 2 }),
            stack: "at main (script.js:7:2)".to_owned(),
            commits: 2,
        }),
    }
}

/// A line that a script says with `console.log`.
pub fn console_line(text: &str) -> LogEntry {
    LogEntry::Console { level: ConsoleLevel::Log, text: text.to_owned() }
}
