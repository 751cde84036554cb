//! The state machine: every event in every state, and the rules that a table does not show.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use domain::digest::Digest;
use domain::ids::JobId;
use domain::request::{
    Effect, Event, EventKind, InvalidTransition, Request, Resolution, ResultKept, Run, State, StateKind,
};
use testkit::builders::{approver, at, edit_of, remark, request, sample_failure, sample_report, uuid_for};

/// Where the table starts from: every state, and states that differ in what they hold.
fn starting_points() -> Vec<(String, Request)> {
    let mut points: Vec<(String, Request)> =
        StateKind::ALL.into_iter().map(|kind| (kind.to_string(), request().in_state(kind))).collect();
    points.push(("executing, cancel asked".to_owned(), request().cancelling()));
    points.push(("pending, needs two approvals".to_owned(), request().approvals_needed(2).pending()));
    let half = apply(request().approvals_needed(2).pending(), approve("grace", None));
    points.push(("pending, grace's of two approvals given".to_owned(), half));
    let pending = request().pending();
    let edited = Event::Edit(Box::new(edit_of(&pending, "SELECT 2")));
    points.push(("pending, edited".to_owned(), apply(pending, edited)));
    points
}

fn events(request: &Request) -> Vec<(&'static str, Event)> {
    let (report, preview) = sample_report();
    let current = Some(request.digest());
    let proof = |committed| Event::ResolveByProof { committed, evidence: "xid 7".to_owned() };
    let person = |name: &str, committed| Event::ResolveByPerson {
        by: approver(name),
        committed,
        note: remark("I looked."),
    };
    vec![
        ("approve by another", approve("alan", current)),
        ("approve by another, no digest", approve("alan", None)),
        ("approve by grace", approve("grace", current)),
        ("approve by requester", approve("ada", current)),
        ("approve with wrong digest", approve("alan", Some(foreign_digest()))),
        ("reject", reject("grace")),
        ("reject by requester", reject("ada")),
        ("withdraw", Event::Withdraw),
        ("expire", Event::Expire),
        ("edit", Event::Edit(Box::new(edit_of(request, "SELECT 3")))),
        ("start", Event::Start(run())),
        ("refuse", Event::Refuse(sample_failure())),
        ("succeed", Event::Succeed { report, preview }),
        ("fail", Event::Fail(sample_failure())),
        ("request cancel", Event::RequestCancel { by: Some(approver("ada")) }),
        ("confirm cancelled", Event::ConfirmCancelled),
        ("lose contact", Event::LoseContact),
        ("resolve by proof, committed", proof(true)),
        ("resolve by proof, aborted", proof(false)),
        ("resolve by person, committed", person("grace", true)),
        ("resolve by person, aborted", person("grace", false)),
        ("resolve by requester", person("ada", true)),
    ]
}

fn approve(name: &str, digest: Option<Digest>) -> Event {
    Event::Approve { by: approver(name), digest }
}

fn reject(name: &str) -> Event {
    Event::Reject { by: approver(name), reason: remark("No.") }
}

fn run() -> Run {
    Run { job: JobId::from_uuid(uuid_for("job")), worker: "host:1:1".to_owned(), started_at: now() }
}

fn now() -> domain::Timestamp {
    at(1_000)
}

fn foreign_digest() -> Digest {
    request().text("SELECT 'something else'").pending().digest()
}

fn apply(request: Request, event: Event) -> Request {
    request.apply(event, now()).expect("the event is possible").0
}

fn refused(request: Request, event: Event) -> InvalidTransition {
    request.apply(event, now()).expect_err("the event is not possible")
}

fn outcome(answer: Result<(Request, Vec<Effect>), InvalidTransition>) -> String {
    match answer {
        Ok((request, effects)) => {
            let effects: Vec<String> = effects.iter().map(effect_text).collect();
            format!("{} [{}]", state_text(&request), effects.join(", "))
        }
        Err(InvalidTransition::WrongState { .. }) => "-".to_owned(),
        Err(InvalidTransition::OwnRequest) => "error: own request".to_owned(),
        Err(InvalidTransition::AlreadyApproved) => "error: already approved".to_owned(),
        Err(InvalidTransition::DigestMismatch { .. }) => "error: digest mismatch".to_owned(),
        Err(InvalidTransition::DigestRequired) => "error: digest required".to_owned(),
        Err(InvalidTransition::Overdue) => "error: overdue".to_owned(),
    }
}

fn state_text(request: &Request) -> String {
    match &request.state {
        State::Pending { approvals, .. } => {
            format!("pending ({} of {})", approvals.len(), request.approvals_needed)
        }
        State::Executing { cancel: Some(_), .. } => "executing, cancel asked".to_owned(),
        state => state.kind().to_string(),
    }
}

fn effect_text(effect: &Effect) -> String {
    match effect {
        Effect::EnqueueExecution { .. } => "enqueue execution".to_owned(),
        Effect::DropExecution => "drop execution".to_owned(),
        Effect::SignalCancel => "signal cancel".to_owned(),
        Effect::Notify(kind) => format!("notify {}", kind.as_str()),
    }
}

#[test]
fn every_event_in_every_state_does_what_the_table_says() {
    let mut lines = vec![];
    for (name, request) in starting_points() {
        lines.push(name);
        for (event_name, event) in events(&request) {
            let answer = request.clone().apply(event, now());
            lines.push(format!("    {event_name:<30}{}", outcome(answer)));
        }
    }
    insta::assert_snapshot!("matrix", lines.join("\n"));
}

#[test]
fn the_table_has_every_event() {
    // A new event does not compile here until it has a number, and fails until the table has it.
    let number = |kind: EventKind| match kind {
        EventKind::Approve => 0,
        EventKind::Reject => 1,
        EventKind::Withdraw => 2,
        EventKind::Expire => 3,
        EventKind::Edit => 4,
        EventKind::Start => 5,
        EventKind::Refuse => 6,
        EventKind::Succeed => 7,
        EventKind::Fail => 8,
        EventKind::RequestCancel => 9,
        EventKind::ConfirmCancelled => 10,
        EventKind::LoseContact => 11,
        EventKind::ResolveByProof => 12,
        EventKind::ResolveByPerson => 13,
    };
    let present: BTreeSet<i32> =
        events(&request().pending()).iter().map(|(_, event)| number(event.kind())).collect();
    assert_eq!(present, (0..14).collect());
}

#[test]
fn a_wrong_state_error_names_the_state_and_the_event() {
    for (name, request) in starting_points() {
        let from = request.state.kind();
        for (event_name, event) in events(&request) {
            let kind = event.kind();
            if let Err(InvalidTransition::WrongState { from: told, event }) =
                request.clone().apply(event, now())
            {
                assert_eq!((told, event), (from, kind), "{name}, {event_name}");
            }
        }
    }
}

#[test]
fn a_transition_changes_the_state_and_the_time_and_nothing_else() {
    for (name, before) in starting_points() {
        for (event_name, event) in events(&before) {
            if event.kind() == EventKind::Edit {
                continue;
            }
            let Ok((after, _)) = before.clone().apply(event, now()) else { continue };
            assert_eq!(after.updated_at, now(), "{name}, {event_name}");
            let rest = Request { state: before.state.clone(), updated_at: before.updated_at, ..after };
            assert_eq!(rest, before, "{name}, {event_name}");
        }
    }
}

#[test]
fn two_approvals_come_from_two_people() {
    let once = apply(request().approvals_needed(2).pending(), approve("grace", None));
    assert_eq!(once.state.kind(), StateKind::Pending);
    assert_eq!(refused(once.clone(), approve("grace", None)), InvalidTransition::AlreadyApproved);
    assert_eq!(refused(once.clone(), approve("ada", None)), InvalidTransition::OwnRequest);
    let twice = apply(once, approve("alan", None));
    assert_eq!(twice.state.kind(), StateKind::Approved);
    let people: Vec<_> = twice.state.approvals().iter().map(|a| a.by.clone()).collect();
    assert_eq!(people, [approver("grace"), approver("alan")]);
}

#[test]
fn an_approval_binds_to_the_digest_of_what_was_approved() {
    let approved = request().approved();
    assert_eq!(approved.state.approvals()[0].digest, approved.digest());
}

#[test]
fn the_first_of_two_approvals_does_not_prolong_the_wait() {
    let pending = request().approvals_needed(2).pending();
    let State::Pending { expires_at: before, .. } = pending.state.clone() else { panic!("it is pending") };
    let State::Pending { expires_at, .. } = apply(pending, approve("grace", None)).state else {
        panic!("it still needs an approval")
    };
    assert_eq!(expires_at, before);
}

#[test]
fn a_request_that_waited_for_too_long_is_neither_approved_nor_edited_before_any_reaper_came() {
    let pending = || request().approval_ttl(Duration::from_mins(1)).pending();
    let late = pending().created_at + chrono::TimeDelta::seconds(60);
    let by = approver("grace");
    let approve = Event::Approve { by, digest: None };
    assert_eq!(pending().apply(approve, late), Err(InvalidTransition::Overdue));
    let edit = Event::Edit(Box::new(edit_of(&pending(), "SELECT 2")));
    assert_eq!(pending().apply(edit, late), Err(InvalidTransition::Overdue));
}

#[test]
fn an_edit_drops_approvals_and_needs_a_digest_afterwards() {
    let once = apply(request().approvals_needed(2).pending(), approve("grace", None));
    let old_digest = once.digest();
    let edit = edit_of(&once, "SELECT 2");
    let edited = apply(once, Event::Edit(Box::new(edit)));
    assert!(edited.edited);
    assert_eq!(edited.submission.text.as_str(), "SELECT 2");
    assert_eq!(edited.state.approvals(), []);
    assert_eq!(refused(edited.clone(), approve("grace", None)), InvalidTransition::DigestRequired);
    let stale = refused(edited.clone(), approve("grace", Some(old_digest)));
    assert_eq!(stale, InvalidTransition::DigestMismatch { current: edited.digest() });
    let current = edited.digest();
    let again = apply(edited, approve("grace", Some(current)));
    assert_eq!(again.state.approvals().len(), 1, "who approved the old text may approve the new one");
}

#[test]
fn an_edit_starts_the_wait_afresh() {
    let pending = request().approval_ttl(Duration::from_hours(1)).pending();
    let edit = edit_of(&pending, "SELECT 2");
    let State::Pending { expires_at, .. } = apply(pending, Event::Edit(Box::new(edit))).state else {
        panic!("an edited request is pending")
    };
    assert_eq!(expires_at, now() + TimeDelta::hours(1));
}

#[test]
fn an_approval_of_something_else_is_told_the_current_digest() {
    let pending = request().pending();
    let current = pending.digest();
    let error = refused(pending, approve("grace", Some(foreign_digest())));
    assert_eq!(error, InvalidTransition::DigestMismatch { current });
}

#[test]
fn asking_twice_to_cancel_keeps_the_first_asker() {
    let asked = |name: &str| Event::RequestCancel { by: Some(approver(name)) };
    let first = request().executing().apply(asked("ada"), at(50)).expect("it runs").0;
    let (second, effects) = first.apply(asked("grace"), at(60)).expect("it still runs");
    let State::Executing { cancel: Some(cancel), .. } = &second.state else { panic!("it still runs") };
    assert_eq!((cancel.by.clone(), cancel.at), (Some(approver("ada")), at(50)));
    assert_eq!(effects, [Effect::SignalCancel], "the signal may have been lost, so it goes out again");
    let State::Cancelled { asked, .. } = apply(second, Event::ConfirmCancelled).state else {
        panic!("it is cancelled")
    };
    assert_eq!(asked.by, Some(approver("ada")));
}

#[test]
fn a_cancel_that_nobody_asked_for_cannot_be_confirmed() {
    let error = refused(request().executing(), Event::ConfirmCancelled);
    let expected =
        InvalidTransition::WrongState { from: StateKind::Executing, event: EventKind::ConfirmCancelled };
    assert_eq!(error, expected);
}

#[test]
fn a_commit_that_was_faster_than_the_cancel_completes() {
    let (report, preview) = sample_report();
    let done = apply(request().cancelling(), Event::Succeed { report, preview });
    assert_eq!(done.state.kind(), StateKind::Completed);
}

#[test]
fn the_earliest_time_goes_to_the_queue() {
    let pending = request().not_before(at(5_000)).pending();
    let (_, effects) = pending.apply(approve("grace", None), now()).expect("it is pending");
    assert!(effects.contains(&Effect::EnqueueExecution { not_before: Some(at(5_000)) }), "{effects:?}");
}

#[test]
fn an_approval_lives_from_the_earliest_time_on() {
    let expires_at = |pending: Request| match apply(pending, approve("grace", None)).state {
        State::Approved { expires_at, .. } => expires_at,
        state => panic!("not approved but {state:?}"),
    };
    let hour = || request().approval_ttl(Duration::from_hours(1));
    assert_eq!(expires_at(hour().pending()), now() + TimeDelta::hours(1));
    assert_eq!(expires_at(hour().not_before(at(5_000)).pending()), at(8_600));
    let past = hour().not_before(at(5)).pending();
    assert_eq!(expires_at(past), now() + TimeDelta::hours(1), "a moment that has passed prolongs nothing");
}

#[test]
fn approvals_stay_on_record_until_the_end() {
    let ends = [
        StateKind::Executing,
        StateKind::Completed,
        StateKind::Failed,
        StateKind::Cancelled,
        StateKind::Interrupted,
    ];
    for kind in ends {
        let ended = request().approvals_needed(2).in_state(kind);
        assert_eq!(ended.state.approvals().len(), 2, "{kind}");
        assert!(ended.state.run().is_some(), "{kind}");
    }
}

#[test]
fn a_refused_request_never_had_a_run() {
    let refused = apply(request().approved(), Event::Refuse(sample_failure()));
    assert_eq!(refused.state.run(), None);
}

#[test]
fn a_resolution_keeps_its_proof_and_knows_that_the_result_is_lost() {
    let evidence = "xid 7".to_owned();
    let proof = Event::ResolveByProof { committed: true, evidence: evidence.clone() };
    let State::Completed { completion, .. } = apply(request().interrupted(), proof).state else {
        panic!("it took effect")
    };
    assert_eq!(completion.result, ResultKept::Lost);
    assert_eq!(completion.resolution, Some(Resolution::Proof { evidence, at: now() }));
}

#[test]
fn a_resolution_by_a_person_keeps_who_and_why() {
    let note = remark("Nothing in the table.");
    let event = Event::ResolveByPerson { by: approver("grace"), committed: false, note: note.clone() };
    let State::Failed { failure, resolution, .. } = apply(request().interrupted(), event).state else {
        panic!("nothing took effect")
    };
    assert_eq!(failure.kind, domain::execution::FailureKind::Resolved);
    assert_eq!(resolution, Some(Resolution::Person { by: approver("grace"), note, at: now() }));
}
