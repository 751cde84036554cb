//! What a requester gets, as text for snapshots.

use std::fmt::Write;

use domain::execution::{DatabaseError, StatementReport};
use domain::ports::ExecutionError;

use super::harness::Outcome;

/// The whole outcome. Texts, values and messages are shortened.
pub(crate) fn told(sql: &str, outcome: &Outcome) -> String {
    let mut out = format!("> {}\n", shown(sql));
    match &outcome.result {
        Err(error) => writeln!(out, "{}", failure(error)).unwrap(),
        Ok(report) => {
            for (at, statement) in (0_u32..).zip(&report.statements) {
                writeln!(out, "{}", success(statement)).unwrap();
                for chunk in outcome.chunks.iter().filter(|chunk| chunk.statement == at) {
                    for line in std::str::from_utf8(&chunk.ndjson).unwrap().lines() {
                        writeln!(out, "  {}", shown(line)).unwrap();
                    }
                }
            }
            for notice in &report.notices {
                writeln!(out, "{}: {}", notice.severity, shown(&notice.message)).unwrap();
            }
        }
    }
    out
}

/// On one line, with its beginning and its end.
fn shown(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| match c {
            '\n' => "⏎".to_owned(),
            c if c.is_control() || c == '\u{feff}' => c.escape_unicode().to_string(),
            c => c.to_string(),
        })
        .collect();
    let chars: Vec<char> = line.chars().collect();
    if chars.len() <= 240 {
        return line;
    }
    let (first, last) = (&chars[..120], &chars[chars.len() - 60..]);
    format!("{} [...] {}", first.iter().collect::<String>(), last.iter().collect::<String>())
}

fn success(statement: &StatementReport) -> String {
    let mut line = statement.command.clone();
    if let Some(columns) = &statement.columns {
        let columns: Vec<String> = columns.iter().map(|c| format!("{} {}", c.name, c.type_name)).collect();
        write!(line, " ({})", columns.join(", ")).unwrap();
    }
    if let Some(affected) = statement.affected {
        write!(line, ", {affected} affected").unwrap();
    }
    line
}

fn failure(error: &ExecutionError) -> String {
    match error {
        ExecutionError::Refused(refusal) => {
            let at = refusal.position.map(|p| format!(" at {}:{}", p.line, p.column)).unwrap_or_default();
            format!("refused{at}, {}: {}", refusal.code, refusal.message)
        }
        ExecutionError::Database(DatabaseError { code, message, statement, .. }) => {
            let at = statement.map(|n| format!(" in statement {n}")).unwrap_or_default();
            format!("error{at}, {code}: {message}")
        }
        other => format!("{other:?}"),
    }
}
