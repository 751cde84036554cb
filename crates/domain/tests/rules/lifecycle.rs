//! Transitions as the store writes them: starting or refusing, and what goes onto the audit trail.

use std::time::Duration;

use domain::execution::{Failure, FailureKind};
use domain::ids::{JobId, RequestId};
use domain::lifecycle::{StartFacts, Transition, expires_at, start_or_refuse, submission_audit, transition};
use domain::request::{
    Effect, Event, EventKind, InvalidTransition, NotificationKind, Request, Run, State, StateKind,
};
use domain::review::{Finding, Review};
use domain::target::Engine;
use domain::text::SubmissionText;
use domain::user::Origin;
use testkit::builders::{
    RequestBuilder, approver, at, edit_of, pod, remark, request, sample_failure, sample_report, target,
    target_database, user, uuid_for,
};

/// The world in which the builder's requests were approved.
fn facts() -> StartFacts {
    StartFacts {
        target: Some(target("orders-db").build()),
        database: Some(target_database("orders")),
        pod: Some(pod("payments").build()),
        requester_active: true,
    }
}

fn changed(change: impl FnOnce(&mut StartFacts)) -> StartFacts {
    let mut facts = facts();
    change(&mut facts);
    facts
}

fn run() -> Run {
    Run { job: JobId::from_uuid(uuid_for("job")), worker: "host:1:1".to_owned(), started_at: at(10) }
}

fn start(request: Request, facts: &StartFacts) -> Transition {
    start_or_refuse(request, facts, run(), at(10)).expect("an approved request starts or is refused")
}

/// The message of the refusal.
fn refusal(request: Request, facts: &StartFacts) -> String {
    let refused = start(request, facts);
    assert_eq!(refused.event, EventKind::Refuse);
    assert_eq!(refused.audit.action, "request.refuse");
    assert_eq!(refused.effects, [Effect::Notify(NotificationKind::Failed)]);
    let State::Failed { run: None, failure, .. } = refused.request.state else {
        panic!("a refused request has failed without a run, not {:?}", refused.request.state)
    };
    assert_eq!(failure.kind, FailureKind::Refused);
    failure.message
}

const CHANGED: &str =
    "Not executed: the instance or the request has changed since the approval. Submit it again.";

#[test]
fn a_request_of_somebody_who_is_not_active_any_more_is_refused() {
    let facts = changed(|facts| facts.requester_active = false);
    let message = refusal(request().approved(), &facts);
    assert_eq!(message, "Not executed: the requester's account is not active any more.");
}

#[test]
fn a_target_that_asks_for_more_approvals_than_were_given_is_not_reached() {
    let facts = changed(|facts| facts.target = Some(target("orders-db").approvals_needed(2).build()));
    assert_eq!(refusal(request().approved(), &facts), CHANGED);
}

#[test]
fn an_approved_request_starts_while_nothing_has_changed() {
    let approved = request().approved();
    let version = approved.version;
    let started = start(approved, &facts());
    assert_eq!(started.event, EventKind::Start);
    assert_eq!((started.expected_version, started.request.version), (version, version));
    assert_eq!(started.request.state.run(), Some(&run()));
    assert_eq!(started.effects, []);
    assert_eq!(started.audit.user, None);
    assert_eq!(started.audit.origin, Origin::system());
}

#[test]
fn a_request_is_refused_when_its_instance_is_gone_or_inactive() {
    let expected = "Not executed: the instance is not active any more.";
    assert_eq!(refusal(request().approved(), &changed(|f| f.target = None)), expected);
    let inactive = changed(|f| f.target = Some(target("orders-db").inactive().build()));
    assert_eq!(refusal(request().approved(), &inactive), expected);
}

#[test]
fn a_request_is_refused_when_its_database_is_gone_or_inactive() {
    let expected = "Not executed: the database is not active any more.";
    assert_eq!(refusal(request().approved(), &changed(|f| f.database = None)), expected);
    let inactive = changed(|f| f.database.as_mut().expect("there is one").active = false);
    assert_eq!(refusal(request().approved(), &inactive), expected);
}

#[test]
fn a_request_is_refused_when_its_pod_is_gone_or_inactive() {
    let expected = "Not executed: the POD is not active any more.";
    assert_eq!(refusal(request().approved(), &changed(|f| f.pod = None)), expected);
    let inactive = changed(|f| f.pod = Some(pod("payments").inactive().build()));
    assert_eq!(refusal(request().approved(), &inactive), expected);
}

#[test]
fn a_request_is_refused_when_its_pod_has_lost_its_access() {
    let expected = "Not executed: the POD has no access to the instance any more.";
    let facts = changed(|f| f.target = Some(target("orders-db").pods(&["orders"]).build()));
    assert_eq!(refusal(request().approved(), &facts), expected);
}

#[test]
fn a_request_is_refused_when_its_instance_has_changed() {
    let with = |change: fn(&mut domain::target::Target)| {
        changed(|facts| change(facts.target.as_mut().expect("there is one")))
    };
    let moved = with(|t| {
        t.connection_revision = 2;
        t.bound_revision = Some(2);
    });
    assert_eq!(refusal(request().approved(), &moved), CHANGED);
    assert_eq!(refusal(request().approved(), &with(|t| t.read_only = true)), CHANGED);
    assert_eq!(refusal(request().approved(), &with(|t| t.engine = Engine::Mongodb)), CHANGED);
    assert_eq!(refusal(request().approved(), &with(|t| t.search_path = Some("evil".to_owned()))), CHANGED);
}

#[test]
fn a_request_is_refused_when_it_is_not_what_was_approved() {
    let mut text = request().approved();
    text.submission.text = SubmissionText::parse("DROP TABLE orders").expect("the text is valid");
    let mut compiled = request().approved();
    compiled.submission.compiled.push("{\"drop\":\"orders\"}".to_owned());
    let mut limits = request().approved();
    limits.limits.timeout = Duration::from_hours(1);
    let mut earlier = request().not_before(at(5)).approved();
    earlier.options.not_before = None;
    for tampered in [text, compiled, limits, earlier] {
        assert_eq!(refusal(tampered, &facts()), CHANGED);
    }
}

#[test]
fn a_request_is_refused_when_one_of_its_approvals_is_of_something_else() {
    let mut tampered = request().approvals_needed(2).approved();
    let State::Approved { approvals, .. } = &mut tampered.state else { panic!("it is approved") };
    approvals[1].digest = request().text("SELECT 2").pending().digest();
    assert_eq!(refusal(tampered, &facts()), CHANGED);
}

#[test]
fn a_request_is_refused_when_approvals_are_missing() {
    let mut one_short = request().approvals_needed(2).approved();
    let State::Approved { approvals, .. } = &mut one_short.state else { panic!("it is approved") };
    approvals.truncate(1);
    assert_eq!(refusal(one_short, &facts()), CHANGED);
    let mut none = request().approved();
    let State::Approved { approvals, .. } = &mut none.state else { panic!("it is approved") };
    approvals.clear();
    none.approvals_needed = 0;
    assert_eq!(refusal(none, &facts()), CHANGED, "no number of needed approvals makes none enough");
}

#[test]
fn a_request_is_refused_while_its_instance_has_no_credentials_bound() {
    let expected =
        "Not executed: the instance has no credentials bound to its connection. Ask an admin to bind them.";
    let unbound = changed(|f| f.target = Some(target("orders-db").unbound().build()));
    assert_eq!(refusal(request().approved(), &unbound), expected);
    let of_an_older_connection =
        changed(|f| f.target.as_mut().expect("there is one").bound_revision = Some(0));
    assert_eq!(refusal(request().approved(), &of_an_older_connection), expected);
}

#[test]
fn a_change_that_the_approval_does_not_bind_to_refuses_nothing() {
    let facts = changed(|facts| {
        let target = facts.target.as_mut().expect("there is one");
        target.description = Some("Renamed.".to_owned());
        target.limits.timeout = Duration::from_secs(1);
        target.pods.push(testkit::builders::pod_id("orders"));
    });
    assert_eq!(start(request().approved(), &facts).event, EventKind::Start);
}

#[test]
fn an_approval_whose_time_is_over_starts_nothing() {
    let approved = || request().approval_ttl(Duration::from_mins(1)).approved();
    let end = expires_at(&approved()).expect("an approval has an end");
    let start_at = |moment| start_or_refuse(approved(), &facts(), run(), moment).expect("it is approved");
    assert_eq!(start_at(end - chrono::TimeDelta::seconds(1)).event, EventKind::Start);
    let late = start_at(end);
    assert_eq!(late.event, EventKind::Expire);
    assert_eq!(late.request.state, State::Expired { at: end });
    assert_eq!(late.audit.action, "request.expire");
}

#[test]
fn only_an_approved_request_starts() {
    for kind in StateKind::ALL {
        let answer = start_or_refuse(request().in_state(kind), &facts(), run(), at(10));
        if kind == StateKind::Approved {
            answer.expect("it starts");
        } else {
            let wrong_state = |from| matches!(answer, Err(InvalidTransition::WrongState { from: told, .. }) if told == from);
            assert!(wrong_state(kind), "{kind}: {answer:?}");
        }
    }
}

#[test]
fn a_request_that_may_not_start_any_more_is_told_so_and_not_refused_again() {
    let gone = StartFacts::default();
    let answer = start_or_refuse(request().executing(), &gone, run(), at(10));
    let expected = InvalidTransition::WrongState { from: StateKind::Executing, event: EventKind::Refuse };
    assert_eq!(answer, Err(expected));
}

#[test]
fn only_waiting_requests_expire() {
    for kind in StateKind::ALL {
        let waits = matches!(kind, StateKind::Pending | StateKind::Approved);
        assert_eq!(expires_at(&request().in_state(kind)).is_some(), waits, "{kind}");
    }
}

const MARKER: &str = "marker-that-must-not-leak";

/// A request with the marker in everything that a submitter writes.
fn marked() -> RequestBuilder {
    let finding =
        Finding { code: "no-where".to_owned(), message: format!("Changes {MARKER}."), position: None };
    let review = Review { effect: domain::review::Effect::Write, statements: 1, findings: vec![finding] };
    request()
        .id(RequestId::from_uuid(uuid_for("request")))
        .script(&format!("{MARKER}.js"), &format!("UPDATE orders SET note = '{MARKER}'"))
        .compiled(&[MARKER])
        .comments(MARKER)
        .review(review)
}

fn marked_failure() -> Failure {
    let mut failure = sample_failure();
    failure.message = format!("syntax error at {MARKER}");
    let error = failure.database_error.as_mut().expect("the sample has one");
    MARKER.clone_into(&mut error.message);
    error.detail = Some(MARKER.to_owned());
    error.hint = Some(MARKER.to_owned());
    failure
}

/// Every event in a state in which it is possible.
fn possible_events() -> Vec<(Request, Event)> {
    let (mut report, mut preview) = sample_report();
    preview[0].json = format!("[\"{MARKER}\"]");
    MARKER.clone_into(&mut report.notices[0].message);
    MARKER.clone_into(&mut report.statements[0].columns.as_mut().expect("the sample has some")[0].name);
    let pending = marked().pending();
    let edit = edit_of(&pending, &format!("SELECT '{MARKER}'"));
    let evidence = "xid 7 committed".to_owned();
    vec![
        (pending.clone(), Event::Approve { by: approver("grace"), digest: Some(pending.digest()) }),
        (pending.clone(), Event::Reject { by: approver("grace"), reason: remark("No.") }),
        (pending.clone(), Event::Withdraw),
        (marked().approved(), Event::Expire),
        (pending, Event::Edit(Box::new(edit))),
        (marked().approved(), Event::Start(run())),
        (marked().approved(), Event::Refuse(marked_failure())),
        (marked().executing(), Event::Succeed { report, preview }),
        (marked().executing(), Event::Fail(marked_failure())),
        (marked().executing(), Event::RequestCancel { by: Some(approver("ada")) }),
        (marked().cancelling(), Event::ConfirmCancelled),
        (marked().executing(), Event::LoseContact),
        (marked().interrupted(), Event::ResolveByProof { committed: true, evidence }),
        (
            marked().interrupted(),
            Event::ResolveByPerson { by: approver("grace"), committed: false, note: remark("I looked.") },
        ),
    ]
}

#[test]
fn the_trail_tells_what_happened_and_never_what_was_submitted_or_returned() {
    let ada = user("ada").build();
    let mut lines = vec![];
    let submission = submission_audit(&marked().unsaved(), Origin::default());
    assert!(!format!("{submission:?}").contains(MARKER));
    lines.push(format!("{}: {}", submission.action, submission.new_values.expect("there are some")));
    for (request, event) in possible_events() {
        assert!(format!("{request:?}").contains(MARKER), "the marker is where it must not leak from");
        let kind = event.kind();
        let audit = transition(request, event, Some(ada.id), Origin::default(), at(10))
            .expect("the event is possible")
            .audit;
        let everything = format!("{audit:?}");
        assert!(!everything.contains(MARKER), "{kind}: {everything}");
        let old = audit.old_values.expect("there are some");
        lines.push(format!("{}: {old} -> {}", audit.action, audit.new_values.expect("there are some")));
    }
    insta::assert_snapshot!("audit_entries", lines.join("\n"));
}

#[test]
fn an_audit_entry_names_who_when_from_where_and_what() {
    let grace = user("grace").build();
    let origin = Origin { ip: Some("192.0.2.7".to_owned()), ..Origin::default() };
    let pending = request().pending();
    let id = pending.id;
    let event = Event::Reject { by: approver("grace"), reason: remark("No.") };
    let audit =
        transition(pending, event, Some(grace.id), origin.clone(), at(10)).expect("it is pending").audit;
    assert_eq!((audit.user, audit.origin, audit.at), (Some(grace.id), origin, at(10)));
    assert_eq!(audit.entity, domain::audit::Entity::new(domain::audit::EntityKind::Request, id));
    let values = audit.new_values.expect("there are some");
    assert_eq!(values["reason"], "No.");
    assert_eq!(values["status"], "rejected");
}
