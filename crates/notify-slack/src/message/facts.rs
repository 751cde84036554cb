//! What a message says of a request: everything that its digest stands for, and what helps to decide.

use domain::request::{ExtendedJson, Request, State, SubmissionKind};
use domain::review::Finding;
use domain::target::Engine;

use super::moment;
use super::parts::RichText;

const TEXT_LIMIT: usize = 3_000;
const COMPILED_LIMIT: usize = 3_000;
/// A remark in full.
const REMARK_LIMIT: usize = 2_100;
const FINDINGS: usize = 8;
const FINDING_LIMIT: usize = 200;

/// Who wants what where. What is not usual is said; what is usual is not.
pub(super) fn who_and_where(out: &mut RichText, request: &Request) {
    let target = &request.target;
    let requester = &request.requester;
    out.label("From").say(" ").value(requester.name.as_str()).say(" ").value(requester.email.as_str()).end();
    out.label("POD").say(" ").value(request.pod.name.as_str()).say(" ").value(request.pod.id.as_str()).end();
    out.label("Target").say(" ").value(target.name.as_str()).say(" ").value(target.instance.as_str());
    out.say(match target.engine {
        Engine::Postgresql => " PostgreSQL",
        Engine::Mongodb => " MongoDB",
    });
    if target.read_only {
        out.say(", read-only");
    }
    out.end();
    out.field("Database", target.database.as_str());
    if let Some(path) = &target.search_path {
        out.field("Search path", path);
    }
    out.field("Request", &request.id.to_string());
}

/// What it would do, how, and with which limits.
pub(super) fn what(out: &mut RichText, request: &Request) {
    let kind = match request.submission.kind {
        SubmissionKind::Query => "Query",
        SubmissionKind::Script => "Script",
    };
    let count = request.review.statements;
    let statements = if count == 1 { "1 statement".to_owned() } else { format!("{count} statements") };
    out.fact(kind, &format!("{statements}, {}", request.review.effect.as_str()));
    if let Some(name) = &request.submission.filename {
        out.field("File", name);
    }
    if let Some(at) = request.options.not_before {
        out.fact("Not before", &at.format("%Y-%m-%d %H:%M:%S UTC").to_string());
    }
    if request.options.extended_json != ExtendedJson::default() {
        out.fact("Documents", &format!("{} Extended JSON", request.options.extended_json.as_str()));
    }
    let limits = &request.limits;
    out.fact(
        "Limits",
        &format!(
            "{} s in all, {} s for a lock, {} rows, {} bytes",
            limits.timeout.as_secs_f64(),
            limits.lock_timeout.as_secs_f64(),
            limits.max_rows,
            limits.max_bytes
        ),
    );
    if request.edited {
        out.say("Edited since it was submitted.").end();
    }
}

/// The text itself, and what else was written or found.
pub(super) fn texts(out: &mut RichText, request: &Request) {
    if let Some(comments) = &request.comments {
        out.label("Comments").block(comments.as_str(), REMARK_LIMIT);
    }
    findings(out, &request.review.findings);
    out.label("Text").block(request.submission.text.as_str(), TEXT_LIMIT);
    let compiled = request.submission.compiled.join("\n");
    if !compiled.is_empty() && compiled != request.submission.text.as_str() {
        out.label("Commands").block(&compiled, COMPILED_LIMIT);
    }
}

/// Findings are the portal's words about the text: when some are not shown, nothing of the request is hidden.
fn findings(out: &mut RichText, findings: &[Finding]) {
    if findings.is_empty() {
        return;
    }
    let lines: Vec<String> = findings.iter().take(FINDINGS).map(finding).collect();
    out.label("Review");
    let faithful = out.faithful;
    out.block(&lines.join("\n"), FINDINGS * (FINDING_LIMIT + 30));
    out.faithful = faithful;
    let more = findings.len().saturating_sub(FINDINGS);
    if more > 0 {
        out.say(&format!("And {more} more, in the portal.")).end();
    }
}

fn finding(finding: &Finding) -> String {
    let place = finding.position.map(|p| format!("{}:{}: ", p.line, p.column)).unwrap_or_default();
    let message = crate::text::inline(&finding.message, FINDING_LIMIT).text;
    format!("{place}{message}")
}

/// How the request stands, in sentences.
pub(super) fn standing(out: &mut RichText, request: &Request) {
    let (approvals, needed) = (request.state.approvals(), request.approvals_needed);
    match &request.state {
        State::Pending { expires_at, .. } => {
            out.say(&format!(
                "Has {} of {needed} approvals. Expires at {}.",
                approvals.len(),
                moment(*expires_at)
            ));
        }
        State::Approved { approved_at, .. } => {
            out.say(&format!("Approved at {}. Waits for its execution.", moment(*approved_at)));
        }
        State::Rejected { decision } => {
            out.say("Rejected by ")
                .value(decision.by.email.as_str())
                .say(&format!(" at {}.", moment(decision.at)));
            out.end().label("Reason").block(decision.reason.as_str(), REMARK_LIMIT);
        }
        State::Withdrawn { at } => {
            out.say(&format!("Withdrawn by its requester at {}.", moment(*at)));
        }
        State::Expired { at } => {
            out.say(&format!("Expired at {} without an execution.", moment(*at)));
        }
        State::Executing { run, cancel, .. } => {
            out.say(&format!("Runs since {}.", moment(run.started_at)));
            out.say(if cancel.is_some() {
                " Somebody asked for it to stop."
            } else {
                " It is not over yet."
            });
        }
        State::Completed { completion, .. } => {
            out.say(&format!("Completed at {}.", moment(completion.finished_at)));
        }
        State::Failed { failure, finished_at, .. } => {
            out.say(&format!("Failed at {} (", moment(*finished_at))).value(failure.kind.as_str()).say(").");
        }
        State::Cancelled { asked, finished_at, .. } => {
            out.say(&format!("Cancelled at {}", moment(*finished_at)));
            match &asked.by {
                Some(by) => out.say(", as asked by ").value(by.email.as_str()).say("."),
                None => out.say(", because the portal was shut down."),
            };
        }
        State::Interrupted { lost_at, .. } => {
            out.say(&format!("The portal lost contact at {}. ", moment(*lost_at)));
            out.say(
                "Whether anything took effect is not known: somebody has to look and say so in the portal.",
            );
        }
    }
    out.end();
    for approval in approvals {
        out.say("Approved by ")
            .value(approval.by.email.as_str())
            .say(&format!(" at {}.", moment(approval.at)))
            .end();
    }
}
