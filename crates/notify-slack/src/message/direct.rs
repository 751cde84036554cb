//! What the requester is told of their request.

use domain::execution::{DatabaseError, Failure, StatementReport};
use domain::ports::Notification;
use domain::request::{Completion, NotificationKind, Resolution, ResultKept, State};
use domain::target::SlackResults;

use super::facts::standing;
use super::parts::{RichText, header, link_to};
use super::table::table;
use super::{Message, delivery_block_id, moment};

const TABLES: usize = 3_000;
const STATEMENTS: usize = 20;
const MESSAGE_LIMIT: usize = 1_500;

pub(crate) fn direct_message(told: &Notification, link: Option<&str>) -> Message {
    let request = &told.request;
    // Without the target nobody can say what may be shown of it.
    let results = told.target.as_ref().map_or(SlackResults::None, |target| target.slack_results);
    let title = title(told.job.kind);
    let mut out = RichText::new();
    out.field("Request", &request.id.to_string());
    let target = &request.target;
    out.label("Target").say(" ").value(target.name.as_str()).say(" ").value(target.database.as_str()).end();
    match &request.state {
        State::Completed { completion, .. } => completed(&mut out, completion, results),
        State::Failed { failure, finished_at, resolution, .. } => {
            out.say(&format!("Failed at {}.", moment(*finished_at))).end();
            failed(&mut out, failure, results);
            resolved(&mut out, resolution.as_ref());
        }
        State::Pending { .. }
        | State::Approved { .. }
        | State::Rejected { .. }
        | State::Withdrawn { .. }
        | State::Expired { .. }
        | State::Executing { .. }
        | State::Cancelled { .. }
        | State::Interrupted { .. } => standing(&mut out, request),
    }
    if let Some(url) = link_to(link, request.id) {
        out.link(&url, "Open in the portal");
    }
    let mut blocks = vec![header(title, delivery_block_id(told.job.lease.job))];
    blocks.extend(out.into_block());
    Message { text: format!("{title}: request {}", request.id), blocks }
}

/// By what is told of, not by how the request stands now: something else may have happened since, of which there is
/// another message.
fn title(kind: NotificationKind) -> &'static str {
    match kind {
        NotificationKind::Submitted => "Your request is submitted",
        NotificationKind::Approved => "Your request is approved",
        NotificationKind::Rejected => "Your request is rejected",
        NotificationKind::Withdrawn => "Your request is withdrawn",
        NotificationKind::Expired => "Your request has expired",
        NotificationKind::Completed => "Your request is completed",
        NotificationKind::Failed => "Your request has failed",
        NotificationKind::Cancelled => "Your request was cancelled",
        NotificationKind::Interrupted => "Your request was interrupted",
    }
}

fn completed(out: &mut RichText, completion: &Completion, results: SlackResults) {
    out.say(&format!("Completed at {}.", moment(completion.finished_at))).end();
    resolved(out, completion.resolution.as_ref());
    let (report, preview) = match &completion.result {
        ResultKept::Stored { report, preview } => (report, preview),
        ResultKept::Lost => {
            out.say("What it changed took effect, but its result was lost.").end();
            return;
        }
    };
    if results == SlackResults::None {
        out.say("The result is in the portal.").end();
        return;
    }
    let mut left = TABLES;
    for (number, statement) in (0_u32..).zip(&report.statements).take(STATEMENTS) {
        counts(out, number, statement);
        let rows: Vec<_> = preview.iter().filter(|row| row.statement == number).collect();
        let Some(columns) = statement.columns.as_ref().filter(|_| results == SlackResults::Preview) else {
            continue;
        };
        if rows.is_empty() || left < 100 {
            continue;
        }
        let (table, all) = table(columns, &rows);
        let shown = crate::text::block(&table, left);
        left -= shown.text.chars().count().min(left);
        let more = !all || !shown.whole || statement.rows > rows.len() as u64;
        out.shown(shown);
        if more {
            out.say("The portal shows more of it.").end();
        }
    }
    if report.statements.len() > STATEMENTS {
        out.say(&format!("And {} more statements.", report.statements.len() - STATEMENTS)).end();
    }
}

fn counts(out: &mut RichText, number: u32, statement: &StatementReport) {
    out.say(&format!("{}. ", number + 1)).value(&statement.command);
    if statement.columns.is_some() {
        out.say(&format!(" {} rows", statement.rows));
    }
    if let Some(affected) = statement.affected {
        out.say(&format!(" ({affected} counted by the server)"));
    }
    out.say(if statement.truncated { ", cut at the limit." } else { "." }).end();
}

/// What a server says may hold data of the target: it is shown only where results are.
fn failed(out: &mut RichText, failure: &Failure, results: SlackResults) {
    out.field("Kind", failure.kind.as_str());
    if let Some(error) = &failure.database_error {
        database_error(out, error, results);
    }
    if let Some(script) = &failure.script {
        if let Some(place) = script.position {
            out.fact("In the script", &format!("line {}, column {}", place.line, place.column));
        }
        if script.commits > 0 {
            out.say(&format!(
                "{} transactions had been committed before and stay in effect.",
                script.commits
            ))
            .end();
        }
    }
    if results == SlackResults::Preview {
        out.label("Message").block(&failure.message, MESSAGE_LIMIT);
    } else {
        out.say("What the server said is in the portal.").end();
    }
}

fn database_error(out: &mut RichText, error: &DatabaseError, results: SlackResults) {
    if !error.code.is_empty() {
        out.field("Code", &error.code);
    }
    if let Some(number) = error.statement {
        out.fact("Statement", &(u64::from(number) + 1).to_string());
    }
    if let Some(place) = error.position {
        out.fact("At", &format!("line {}, column {}", place.line, place.column));
    }
    if results == SlackResults::Preview {
        let more = [Some(&error.message), error.detail.as_ref(), error.hint.as_ref()];
        let more: Vec<&str> =
            more.into_iter().flatten().map(String::as_str).filter(|t| !t.is_empty()).collect();
        if !more.is_empty() {
            out.label("Server").block(&more.join("\n"), MESSAGE_LIMIT);
        }
    }
}

fn resolved(out: &mut RichText, resolution: Option<&Resolution>) {
    match resolution {
        None => {}
        Some(Resolution::Proof { at, .. }) => {
            out.say(&format!("It had been interrupted; the target itself knew at {}.", moment(*at))).end();
        }
        Some(Resolution::Person { by, at, .. }) => {
            out.say("It had been interrupted; ").value(by.email.as_str());
            out.say(&format!(" looked and said so at {}.", moment(*at))).end();
        }
    }
}
