//! Transitions as the store writes them: the state machine's answer with its audit entry.
//!
//! The store calls the `start_or_refuse`, `lose_contact` and `expire` functions from inside its own
//! transactions, so that the rule and the row it was decided on cannot drift apart.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::Timestamp;
use crate::audit::{AuditEntry, Entity, EntityKind};
use crate::execution::{Failure, FailureKind};
use crate::ids::UserId;
use crate::pod::Pod;
use crate::request::{Effect, Event, EventKind, InvalidTransition, Request, Run, State, TargetRef, Version};
use crate::target::{Target, TargetDatabase};
use crate::user::Origin;

/// A change of a request, ready to be stored in one transaction.
#[derive(Clone, PartialEq, Debug)]
pub struct Transition {
    /// The request after the change; its `version` is still the one that was read.
    pub request: Request,
    pub expected_version: Version,
    pub event: EventKind,
    pub effects: Vec<Effect>,
    pub audit: AuditEntry,
}

/// Applies an event on behalf of somebody and writes the audit entry for it.
pub fn transition(
    request: Request,
    event: Event,
    user: Option<UserId>,
    origin: Origin,
    now: Timestamp,
) -> Result<Transition, InvalidTransition> {
    let kind = event.kind();
    let details = event_details(&event);
    let old_state = request.state.kind();
    let expected_version = request.version;
    let id = request.id;
    let (request, effects) = request.apply(event, now)?;
    let mut new_values = Map::new();
    new_values.insert("status".to_owned(), json!(request.state.kind().as_str()));
    new_values.insert("digest".to_owned(), json!(request.digest().to_string()));
    new_values.insert("channel".to_owned(), json!(origin.channel.as_str()));
    new_values.extend(details);
    let audit = AuditEntry {
        user,
        action: format!("request.{kind}"),
        entity: Entity::new(EntityKind::Request, id),
        old_values: Some(json!({ "status": old_state.as_str() })),
        new_values: Some(Value::Object(new_values)),
        origin,
        at: now,
    };
    Ok(Transition { request, expected_version, event: kind, effects, audit })
}

/// The audit entry for a request that is new.
pub fn submission_audit(request: &Request, origin: Origin) -> AuditEntry {
    AuditEntry {
        user: Some(request.requester.id),
        action: "request.submit".to_owned(),
        entity: Entity::new(EntityKind::Request, request.id),
        old_values: None,
        new_values: Some(json!({
            "status": request.state.kind().as_str(),
            "digest": request.digest().to_string(),
            "instance": request.target.instance.as_str(),
            "database": request.target.database.as_str(),
            "pod": request.pod.id.as_str(),
            "submissionType": request.submission.kind.as_str(),
            "channel": origin.channel.as_str(),
        })),
        origin,
        at: request.created_at,
    }
}

/// What a start is decided on: the world as it is in the transaction that claims the job.
#[derive(Clone, Debug, Default)]
pub struct StartFacts {
    pub target: Option<Target>,
    pub database: Option<TargetDatabase>,
    pub pod: Option<Pod>,
    pub requester_active: bool,
}

/// Starts an approved request; expires it when its time to wait is over, whatever the reaper does meanwhile;
/// or refuses it when what was approved is not what would run now.
pub fn start_or_refuse(
    request: Request,
    facts: &StartFacts,
    run: Run,
    now: Timestamp,
) -> Result<Transition, InvalidTransition> {
    if expires_at(&request).is_some_and(|at| at <= now) {
        return expire(request, now);
    }
    let event = match refusal(&request, facts) {
        None => Event::Start(run),
        Some(message) => Event::Refuse(Failure {
            kind: FailureKind::Refused,
            message: message.to_owned(),
            database_error: None,
            script: None,
        }),
    };
    transition(request, event, None, Origin::system(), now)
}

fn refusal(request: &Request, facts: &StartFacts) -> Option<&'static str> {
    let Some(target) = facts.target.as_ref().filter(|t| t.active) else {
        return Some("Not executed: the instance is not active any more.");
    };
    if !facts.database.as_ref().is_some_and(|d| d.active) {
        return Some("Not executed: the database is not active any more.");
    }
    if !facts.requester_active {
        return Some("Not executed: the requester's account is not active any more.");
    }
    if !facts.pod.as_ref().is_some_and(|p| p.active) {
        return Some("Not executed: the POD is not active any more.");
    }
    if !target.admits_pod(&request.pod.id) {
        return Some("Not executed: the POD has no access to the instance any more.");
    }
    let now_there = TargetRef::of(target, request.target.database.clone());
    let would_run = request.digest_against(&now_there);
    let approvals = request.state.approvals();
    let people: BTreeSet<UserId> =
        approvals.iter().map(|a| a.by.id).filter(|id| !request.is_requester(*id)).collect();
    // The target may ask for more approvals now than when the request was submitted.
    let needed = request.approvals_needed.max(target.approvals_needed).max(1);
    let enough = people.len() >= usize::from(needed);
    if !enough || approvals.iter().any(|a| a.digest != would_run) {
        return Some(
            "Not executed: the instance or the request has changed since the approval. Submit it again.",
        );
    }
    if !target.credentials_bound() {
        return Some(
            "Not executed: the instance has no credentials bound to its connection. Ask an admin to bind them.",
        );
    }
    None
}

/// The executing process is gone.
pub fn lose_contact(request: Request, now: Timestamp) -> Result<Transition, InvalidTransition> {
    transition(request, Event::LoseContact, None, Origin::system(), now)
}

/// A request that has waited for too long.
pub fn expire(request: Request, now: Timestamp) -> Result<Transition, InvalidTransition> {
    transition(request, Event::Expire, None, Origin::system(), now)
}

/// The moment at which a waiting request expires.
pub fn expires_at(request: &Request) -> Option<Timestamp> {
    match &request.state {
        State::Pending { expires_at, .. } | State::Approved { expires_at, .. } => Some(*expires_at),
        State::Rejected { .. }
        | State::Withdrawn { .. }
        | State::Expired { .. }
        | State::Executing { .. }
        | State::Completed { .. }
        | State::Failed { .. }
        | State::Cancelled { .. }
        | State::Interrupted { .. } => None,
    }
}

/// What of an event goes onto the trail. Never a text that was submitted, never a row.
fn event_details(event: &Event) -> Map<String, Value> {
    let value = match event {
        Event::Reject { reason, .. } => json!({ "reason": reason.as_str() }),
        Event::Start(run) => json!({ "job": run.job.to_string(), "worker": run.worker }),
        Event::Refuse(failure) | Event::Fail(failure) => json!({
            "failure": failure.kind.as_str(),
            "code": failure.database_error.as_ref().map(|e| e.code.clone()),
        }),
        Event::Succeed { report, .. } => json!({
            "statements": report.statements.iter().map(|s| json!({
                "command": s.command, "rows": s.rows, "affected": s.affected, "truncated": s.truncated,
            })).collect::<Vec<_>>(),
        }),
        Event::ResolveByProof { committed, evidence } => {
            json!({ "committed": committed, "evidence": evidence })
        }
        Event::ResolveByPerson { committed, note, .. } => {
            json!({ "committed": committed, "note": note.as_str() })
        }
        Event::Approve { .. }
        | Event::Withdraw
        | Event::Expire
        | Event::Edit(_)
        | Event::RequestCancel { .. }
        | Event::ConfirmCancelled
        | Event::LoseContact => Value::Null,
    };
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}
