//! Submitting scripts.

use std::sync::Arc;

use domain::idempotency::IdempotencyKey;
use domain::policy::Denied;
use domain::ports::ScriptRunner;
use domain::request::{Event, StateKind, SubmissionKind};
use domain::review::{Effect, Position};
use domain::services::{ChangeError, Changes, Looked, Submit, SubmitError};
use domain::target::Engine;
use domain::text::SubmissionText;
use domain::user::{Actor, Origin, roles};
use testkit::builders::{actor, approver, database, instance_id, target, target_database};
use testkit::fakes::FakeScriptRunner;
use tokio::task::JoinHandle;

use super::submission::{Desk, query};

/// A desk that takes scripts.
struct ScriptDesk {
    desk: Desk,
    runner: Arc<FakeScriptRunner>,
}

impl ScriptDesk {
    fn new() -> Self {
        let (mut desk, runner) = (Desk::new(), Arc::new(FakeScriptRunner::new()));
        desk.submissions.scripts = Some(runner.clone() as Arc<dyn ScriptRunner>);
        Self { desk, runner }
    }

    async fn refused(&self, submit: Submit) -> SubmitError {
        let error = self.desk.submit(&ada(), submit).await.expect_err("it is not accepted");
        assert!(self.desk.world.store.audit_entries().is_empty(), "nothing was stored");
        assert!(self.desk.world.store.jobs().is_empty(), "nobody was told");
        error
    }
}

fn ada() -> Actor {
    actor("ada").build()
}

fn text(text: &str) -> SubmissionText {
    SubmissionText::parse(text).expect("the text is valid")
}

fn script() -> Submit {
    let filename = Some("fix.js".to_owned());
    Submit { kind: SubmissionKind::Script, text: text("return 1;"), filename, ..query() }
}

fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey::parse(name).expect("it is a key")
}

#[tokio::test]
async fn a_script_is_stored_with_a_finding_that_says_what_nobody_can_know_of_it() {
    let scripts = ScriptDesk::new();
    // Not asked: it knows statements only.
    scripts.desk.reviewer.refuses("syntax", "return is no statement.");
    let request = scripts.desk.submit(&ada(), script()).await.expect("it is accepted");
    assert_eq!(request.state.kind(), StateKind::Pending);
    assert_eq!(request.submission.kind, SubmissionKind::Script);
    assert_eq!(request.submission.filename.as_deref(), Some("fix.js"));
    assert_eq!((request.review.effect, request.review.statements), (Effect::Write, 1));
    assert_eq!(request.review.findings.iter().map(|f| f.code.as_str()).collect::<Vec<_>>(), ["script"]);
    assert_eq!(scripts.runner.checked(), ["return 1;"]);
    assert_eq!(scripts.runner.orders().len(), 0, "nothing was run");
}

#[tokio::test]
async fn on_a_read_only_target_a_script_only_reads() {
    let scripts = ScriptDesk::new();
    scripts.desk.world.store.put_target(&target("orders-db").read_only().build());
    let request = scripts.desk.submit(&ada(), script()).await.expect("it is accepted");
    assert_eq!((request.review.effect, request.target.read_only), (Effect::Read, true));
}

#[tokio::test]
async fn a_script_that_can_never_run_is_refused_with_the_place() {
    let scripts = ScriptDesk::new();
    scripts.runner.refuses("SyntaxError: Unexpected token ')'", 3, 7);
    let error = scripts.refused(script()).await;
    let SubmitError::Refused(refusal) = error else { panic!("not refused: {error:?}") };
    assert_eq!(refusal.message, "SyntaxError: Unexpected token ')'");
    assert_eq!(refusal.position, Some(Position { line: 3, column: 7 }));
}

#[tokio::test]
async fn a_script_that_cannot_be_looked_at_now_is_not_stored() {
    let scripts = ScriptDesk::new();
    scripts.runner.cannot_check();
    let error = scripts.refused(script()).await;
    assert!(matches!(error, SubmitError::ScriptsUnavailable { .. }), "{error:?}");
    scripts.desk.submit(&ada(), query()).await.expect("queries need no script process");
}

#[tokio::test]
async fn a_portal_that_runs_no_scripts_takes_none() {
    let desk = Desk::new();
    let expected = ["submissionType is script, and this portal runs no scripts"];
    assert_eq!(desk.field_errors(&ada(), script()).await, expected);
    let kind = SubmissionKind::Script;
    let error = desk.submissions.check(&ada(), &instance_id("orders-db"), None, kind, text("1")).await;
    assert!(matches!(error, Err(SubmitError::Fields(_))), "{error:?}");
}

#[tokio::test]
async fn an_engine_that_this_portal_does_not_run_takes_no_scripts() {
    let scripts = ScriptDesk::new();
    let mongo = target("events-db").engine(Engine::Mongodb).build();
    scripts.desk.world.store.put_target(&mongo);
    scripts.desk.world.store.put_database(&mongo.id, &target_database(database().as_str()));
    let errors = scripts.desk.field_errors(&ada(), Submit { instance: mongo.id, ..script() }).await;
    assert_eq!(errors, ["instanceId is a mongodb instance, which this portal cannot run yet"]);
}

#[tokio::test]
async fn nobody_makes_the_portal_look_at_a_script_that_they_may_not_submit() {
    let scripts = ScriptDesk::new();
    let viewer = actor("vera").role(roles::VIEWER).build();
    let error = scripts.desk.submit(&viewer, script()).await.expect_err("a viewer submits nothing");
    assert!(matches!(error, SubmitError::Denied(Denied::Permission(_))), "{error:?}");
    scripts.refused(Submit { instance: instance_id("ledger-db"), ..script() }).await;
    let kind = SubmissionKind::Script;
    let submissions = &scripts.desk.submissions;
    submissions.check(&viewer, &instance_id("orders-db"), None, kind, text("1")).await.expect_err("not her");
    submissions.check(&ada(), &instance_id("ledger-db"), None, kind, text("1")).await.expect_err("not there");
    assert_eq!(scripts.runner.checked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_check_says_what_a_submission_would_be_told() {
    let scripts = ScriptDesk::new();
    let check = async || {
        let kind = SubmissionKind::Script;
        scripts.desk.submissions.check(&ada(), &instance_id("orders-db"), None, kind, text("return 2;")).await
    };
    let Looked { review, submission } = check().await.expect("it is accepted");
    assert_eq!(submission.compiled, Vec::<String>::new(), "a script decides while it runs");
    assert_eq!((review.effect, review.findings.len()), (Effect::Write, 1));
    scripts.runner.refuses("SyntaxError: no", 1, 2);
    assert!(matches!(check().await, Err(SubmitError::Refused(_))));
    scripts.runner.cannot_check();
    assert!(matches!(check().await, Err(SubmitError::ScriptsUnavailable { .. })));
    assert!(scripts.desk.world.store.audit_entries().is_empty(), "nothing is stored");
}

#[tokio::test]
async fn a_script_that_is_submitted_again_is_the_same_script_and_looked_at_again() {
    let scripts = ScriptDesk::new();
    let submissions = &scripts.desk.submissions;
    let first = scripts.desk.submit(&ada(), script()).await.expect("it is accepted");
    let again = submissions.submit_again(&ada(), first.id, None, Origin::default()).await.expect("it may");
    assert_ne!(again.request.id, first.id);
    assert_eq!(again.request.submission, first.submission);
    assert_eq!(scripts.runner.checked().len(), 2);
    scripts.runner.refuses("SyntaxError: no", 1, 1);
    let error = submissions.submit_again(&ada(), first.id, None, Origin::default()).await;
    assert!(matches!(error, Err(ChangeError::Submit(SubmitError::Refused(_)))), "{error:?}");
}

#[tokio::test]
async fn an_edit_of_a_script_is_looked_at_and_drops_the_approvals() {
    let scripts = ScriptDesk::new();
    scripts.desk.world.store.put_target(&target("orders-db").approvals_needed(2).build());
    let request = scripts.desk.submit(&ada(), script()).await.expect("it is accepted");
    let approve = Event::Approve { by: approver("grace"), digest: Some(request.digest()) };
    let approved = scripts.desk.world.commit(request, approve).await;
    assert_eq!(approved.state.approvals().len(), 1);
    let edit = |new: &str| Changes { text: Some(text(new)), ..Changes::default() };
    let submissions = &scripts.desk.submissions;
    let edited =
        submissions.edit(&ada(), approved.id, edit("return 2;"), Origin::default()).await.expect("it may");
    assert_eq!((edited.submission.kind, edited.state.approvals().len()), (SubmissionKind::Script, 0));
    assert_eq!(edited.submission.filename.as_deref(), Some("fix.js"));
    assert_ne!(edited.digest(), approved.digest());
    assert_eq!(scripts.runner.checked(), ["return 1;", "return 2;"]);
    scripts.runner.refuses("SyntaxError: no", 1, 1);
    let error = submissions.edit(&ada(), approved.id, edit(")"), Origin::default()).await;
    assert!(matches!(error, Err(ChangeError::Submit(SubmitError::Refused(_)))), "{error:?}");
    assert_eq!(scripts.desk.world.request(approved.id).await, edited, "it is as it was");
}

#[tokio::test]
async fn a_retry_with_its_key_is_answered_without_looking_again() {
    let scripts = ScriptDesk::new();
    let submissions = &scripts.desk.submissions;
    let submit =
        async |submit: Submit| submissions.submit(&ada(), submit, Some(key("one")), Origin::default()).await;
    let first = submit(script()).await.expect("it is accepted");
    scripts.runner.cannot_check();
    let again = submit(script()).await.expect("it is the same");
    assert!(again.replayed && again.request.id == first.request.id);
    assert_eq!(scripts.runner.checked().len(), 1);
    for other in [
        Submit { filename: Some("other.js".to_owned()), ..script() },
        Submit { filename: None, ..script() },
        Submit { text: text("return 2;"), ..script() },
        Submit { kind: SubmissionKind::Query, ..script() },
    ] {
        let error = submit(other).await;
        assert!(matches!(error, Err(SubmitError::KeyReused)), "{error:?}");
    }
}

/// A check of a script that is under way, of one person.
fn checking(desk: &Arc<ScriptDesk>, actor: Actor) -> JoinHandle<Result<Looked, SubmitError>> {
    let desk = Arc::clone(desk);
    tokio::spawn(async move {
        let submissions = &desk.desk.submissions;
        submissions.check(&actor, &instance_id("orders-db"), None, SubmissionKind::Script, text("1")).await
    })
}

/// A desk at which Ada has as many checks under way as she may.
async fn busy() -> (Arc<ScriptDesk>, [JoinHandle<Result<Looked, SubmitError>>; 2]) {
    let scripts = Arc::new(ScriptDesk::new());
    scripts.runner.holds_checks();
    let under_way = [checking(&scripts, ada()), checking(&scripts, ada())];
    for _ in &under_way {
        scripts.runner.started().await;
    }
    (scripts, under_way)
}

#[tokio::test]
async fn of_one_person_two_scripts_are_looked_at_at_once_and_the_next_is_refused_at_once() {
    let (scripts, under_way) = busy().await;
    let error = scripts.refused(script()).await;
    assert!(matches!(error, SubmitError::TooManyChecks), "{error:?}");
    let error = checking(&scripts, ada()).await.expect("no panic");
    assert!(matches!(error, Err(SubmitError::TooManyChecks)), "{error:?}");
    assert_eq!(scripts.runner.checked().len(), 2, "no process was asked");
    let other = checking(&scripts, actor("alan").build());
    scripts.runner.started().await;
    for check in under_way.into_iter().chain([other]) {
        scripts.runner.release();
        check.await.expect("no panic").expect("it is accepted");
    }
    scripts.runner.release();
    scripts.desk.submit(&ada(), script()).await.expect("her turns are free again");
}

#[tokio::test]
async fn whoever_has_too_many_checks_may_still_submit_queries_and_is_told_first_what_else_is_wrong() {
    let (scripts, _under_way) = busy().await;
    let elsewhere = Submit { instance: instance_id("ledger-db"), ..script() };
    let error = scripts.refused(elsewhere).await;
    assert!(matches!(error, SubmitError::Fields(_)), "{error:?}");
    scripts.desk.submit(&ada(), query()).await.expect("queries need no script process");
}

#[tokio::test]
async fn a_check_whose_caller_has_gone_counts_no_more() {
    let (scripts, under_way) = busy().await;
    for check in under_way {
        check.abort();
        assert!(check.await.expect_err("it was told to end").is_cancelled());
    }
    let next = [checking(&scripts, ada()), checking(&scripts, ada())];
    for check in next {
        scripts.runner.started().await;
        scripts.runner.release();
        check.await.expect("no panic").expect("it is accepted");
    }
}

#[tokio::test]
async fn a_check_that_was_refused_or_had_no_process_counts_no_more() {
    let scripts = ScriptDesk::new();
    for _ in 0..3 {
        scripts.runner.refuses("SyntaxError: no", 1, 2);
        assert!(matches!(scripts.refused(script()).await, SubmitError::Refused(_)));
        scripts.runner.cannot_check();
        assert!(matches!(scripts.refused(script()).await, SubmitError::ScriptsUnavailable { .. }));
    }
}
