//! Submitting what has to be compiled first: what was shown to whoever decides is what runs.

use std::collections::HashMap;
use std::sync::Arc;

use domain::ports::SubmissionReviewer;
use domain::request::{Event, ExtendedJson, RunOptions, StateKind, SubmissionKind};
use domain::review::{Effect, Position, Review};
use domain::services::{ChangeError, Changes, Looked, Submit, SubmitError};
use domain::target::{Admits, Engine, Target};
use domain::text::SubmissionText;
use domain::user::{Actor, Origin};
use testkit::builders::{
    actor, approver, database, database_name, instance_id, remark, target, target_database,
};
use testkit::fakes::FakeReviewer;
use tokio::task::JoinHandle;

use super::submission::{Desk, query};

/// A desk whose `events-db` is a MongoDB target.
struct Shell {
    desk: Desk,
    reviewer: Arc<FakeReviewer>,
}

impl Shell {
    fn new() -> Self {
        Self::on(target("events-db").engine(Engine::Mongodb).build())
    }

    fn on(target: Target) -> Self {
        let (mut desk, reviewer) = (Desk::new(), Arc::new(FakeReviewer::new(Engine::Mongodb)));
        let reviewers: HashMap<Engine, Arc<dyn SubmissionReviewer>> = HashMap::from([
            (Engine::Postgresql, desk.reviewer.clone() as _),
            (Engine::Mongodb, reviewer.clone() as _),
        ]);
        desk.submissions.reviewers = reviewers;
        desk.world.store.put_target(&target);
        for name in [database().as_str(), "archive"] {
            desk.world.store.put_database(&target.id, &target_database(name));
        }
        Self { desk, reviewer }
    }

    async fn refused(&self, submit: Submit) -> SubmitError {
        let error = self.desk.submit(&ada(), submit).await.expect_err("it is not accepted");
        assert!(self.desk.world.store.audit_entries().is_empty(), "nothing was stored");
        assert!(self.desk.world.store.jobs().is_empty(), "nobody was told");
        error
    }

    async fn check(&self, actor: &Actor, database: Option<&str>) -> Result<Looked, SubmitError> {
        let (instance, database) = (instance_id("events-db"), database.map(database_name));
        let kind = SubmissionKind::Query;
        self.desk.submissions.check(actor, &instance, database, kind, text("db.users.find()")).await
    }
}

fn ada() -> Actor {
    actor("ada").build()
}

fn text(text: &str) -> SubmissionText {
    SubmissionText::parse(text).expect("the text is valid")
}

fn find() -> Submit {
    Submit { instance: instance_id("events-db"), text: text("db.users.find()"), ..query() }
}

fn evaluation(number: u32) -> [String; 1] {
    [format!("{{\"find\":\"users\",\"comment\":\"evaluation {number}\"}}")]
}

#[tokio::test]
async fn a_query_is_compiled_once_and_what_came_of_it_is_reviewed_and_stored() {
    let shell = Shell::new();
    let request = shell.desk.submit(&ada(), find()).await.expect("it is accepted");
    assert_eq!(request.submission.compiled, evaluation(1));
    assert_eq!(shell.desk.world.request(request.id).await.submission, request.submission);
    assert_eq!(request.submission.text.as_str(), "db.users.find()", "the text stays as it was typed");
    assert_eq!(shell.reviewer.compiled(), [("db.users.find()".to_owned(), Some(database()))]);
    let reviewed = shell.reviewer.reviewed();
    assert_eq!(reviewed.len(), 1);
    assert_eq!(reviewed[0].0, request.submission, "what was reviewed is what is stored");
}

#[tokio::test]
async fn an_approval_binds_to_the_commands_and_nothing_compiles_them_again() {
    let shell = Shell::new();
    let request = shell.desk.submit(&ada(), find()).await.expect("it is accepted");
    let mut other = request.clone();
    other.submission.compiled = evaluation(2).to_vec();
    assert_ne!(other.digest(), request.digest());
    let approve = Event::Approve { by: approver("grace"), digest: Some(request.digest()) };
    let approved = shell.desk.world.commit(request.clone(), approve).await;
    assert_eq!(approved.state.kind(), StateKind::Approved);
    assert_eq!((approved.submission, shell.reviewer.compiled().len()), (request.submission, 1));
}

#[tokio::test]
async fn the_reviewer_is_told_where_the_commands_would_run() {
    let admits = Admits { other_databases: true, server_javascript: false };
    let events = target("events-db").engine(Engine::Mongodb).read_only().admits(admits).build();
    let shell = Shell::on(events);
    shell
        .desk
        .submit(&ada(), Submit { database: database_name("archive"), ..find() })
        .await
        .expect("it reads");
    let (_, scope) = shell.reviewer.reviewed().remove(0);
    assert_eq!((scope.database, scope.read_only), (Some(database_name("archive")), true));
    assert_eq!(scope.admits, admits);
    let review = Review { effect: Effect::Write, statements: 1, findings: vec![] };
    shell.reviewer.answers(review);
    let error = shell.desk.submit(&ada(), find()).await.expect_err("nothing may change there");
    assert!(matches!(error, SubmitError::Refused(_)), "{error:?}");
}

#[tokio::test]
async fn an_edit_compiles_again_and_drops_the_approvals() {
    let shell = Shell::on(target("events-db").engine(Engine::Mongodb).approvals_needed(2).build());
    let request = shell.desk.submit(&ada(), find()).await.expect("it is accepted");
    let approve = Event::Approve { by: approver("grace"), digest: Some(request.digest()) };
    let approved = shell.desk.world.commit(request.clone(), approve).await;
    assert_eq!(approved.state.approvals().len(), 1);
    let changes = [
        Changes { text: Some(text("db.users.drop()")), ..Changes::default() },
        Changes { database: Some(database_name("archive")), ..Changes::default() },
        Changes { comments: Some(Some(remark("Please."))), ..Changes::default() },
    ];
    for (changes, number) in changes.into_iter().zip(2..) {
        let edited = shell.desk.submissions.edit(&ada(), approved.id, changes, Origin::default()).await;
        let edited = edited.expect("it may");
        assert_eq!(edited.submission.compiled, evaluation(number));
        assert_eq!(edited.state.approvals().len(), 0);
        assert_ne!(edited.digest(), request.digest());
    }
    let last = shell.reviewer.compiled().pop().expect("it was compiled");
    assert_eq!(last, ("db.users.drop()".to_owned(), Some(database_name("archive"))));
}

#[tokio::test]
async fn a_text_that_cannot_be_compiled_is_refused_with_the_place_and_nothing_is_stored() {
    let shell = Shell::new();
    shell.reviewer.cannot_make_sense("SyntaxError: Unexpected token ')'", 1, 9);
    let error = shell.refused(find()).await;
    let SubmitError::Refused(refusal) = error else { panic!("not refused: {error:?}") };
    assert_eq!(refusal.message, "SyntaxError: Unexpected token ')'");
    assert_eq!(refusal.position, Some(Position { line: 1, column: 9 }));
    assert_eq!(shell.reviewer.reviewed(), [], "there was nothing to review");
    shell.reviewer.cannot_compile();
    let error = shell.refused(find()).await;
    assert!(matches!(error, SubmitError::ScriptsUnavailable { .. }), "{error:?}");
    shell.desk.submit(&ada(), query()).await.expect("SQL is not compiled");
}

#[tokio::test]
async fn an_edit_that_cannot_be_compiled_leaves_the_request_as_it_was() {
    let shell = Shell::new();
    let request = shell.desk.submit(&ada(), find()).await.expect("it is accepted");
    shell.reviewer.cannot_make_sense("SyntaxError: no", 1, 1);
    let changes = Changes { text: Some(text(")")), ..Changes::default() };
    let error = shell.desk.submissions.edit(&ada(), request.id, changes, Origin::default()).await;
    assert!(matches!(error, Err(ChangeError::Submit(SubmitError::Refused(_)))), "{error:?}");
    assert_eq!(shell.desk.world.request(request.id).await, request);
}

#[tokio::test]
async fn a_query_that_is_submitted_again_is_compiled_again() {
    let shell = Shell::new();
    let first = shell.desk.submit(&ada(), find()).await.expect("it is accepted");
    let again = shell.desk.submissions.submit_again(&ada(), first.id, None, Origin::default()).await;
    assert_eq!(again.expect("it may").request.submission.compiled, evaluation(2));
}

#[tokio::test]
async fn sql_is_never_compiled() {
    let shell = Shell::new();
    let request = shell.desk.submit(&ada(), query()).await.expect("it is accepted");
    assert_eq!(request.submission.compiled, Vec::<String>::new());
    assert_eq!(shell.desk.reviewer.compiled(), []);
    assert_eq!(shell.reviewer.compiled(), []);
}

#[tokio::test]
async fn a_check_shows_the_commands_and_may_leave_the_database_open() {
    let shell = Shell::new();
    let looked = shell.check(&ada(), None).await.expect("it is accepted");
    assert_eq!(looked.submission.compiled, evaluation(1));
    assert_eq!(looked.review.effect, Effect::Read);
    shell.check(&ada(), Some("archive")).await.expect("it is accepted");
    let databases: Vec<_> = shell.reviewer.compiled().into_iter().map(|(_, database)| database).collect();
    assert_eq!(databases, [None, Some(database_name("archive"))]);
    let scopes: Vec<_> = shell.reviewer.reviewed().into_iter().map(|(_, scope)| scope.database).collect();
    assert_eq!(scopes, databases);
    assert!(shell.desk.world.store.audit_entries().is_empty(), "nothing is stored");
}

#[tokio::test]
async fn the_format_of_the_result_is_kept_and_changes_alone() {
    let shell = Shell::new();
    let not_before = Some(testkit::builders::at(3_600));
    let options = RunOptions { not_before, extended_json: ExtendedJson::Canonical };
    let submit = Submit { options: options.clone(), ..find() };
    let request = shell.desk.submit(&ada(), submit).await.expect("it is accepted");
    assert_eq!(request.options, options);
    let edit = async |changes: Changes| {
        shell
            .desk
            .submissions
            .edit(&ada(), request.id, changes, Origin::default())
            .await
            .expect("it may")
            .options
    };
    let relaxed = Changes { extended_json: Some(ExtendedJson::Relaxed), ..Changes::default() };
    assert_eq!(edit(relaxed).await, RunOptions { not_before, extended_json: ExtendedJson::Relaxed });
    let canonical = Changes { extended_json: Some(ExtendedJson::Canonical), ..Changes::default() };
    assert_eq!(edit(canonical).await, options);
    let at_once = Changes { not_before: Some(None), ..Changes::default() };
    let options = RunOptions { not_before: None, extended_json: ExtendedJson::Canonical };
    assert_eq!(edit(at_once).await, options);
    let again = shell.desk.submissions.submit_again(&ada(), request.id, None, Origin::default()).await;
    assert_eq!(again.expect("it may").request.options.extended_json, ExtendedJson::Canonical);
}

#[tokio::test]
async fn only_mongodb_has_a_choice_of_formats() {
    let shell = Shell::new();
    let options = RunOptions { extended_json: ExtendedJson::Canonical, ..RunOptions::default() };
    let errors = shell.desk.field_errors(&ada(), Submit { options, ..query() }).await;
    assert_eq!(
        errors,
        ["extendedJson is for mongodb instances only; the values of postgresql have one form in JSON"]
    );
    let request = shell.desk.submit(&ada(), query()).await.expect("it is accepted");
    let changes = Changes { extended_json: Some(ExtendedJson::Canonical), ..Changes::default() };
    let error = shell.desk.submissions.edit(&ada(), request.id, changes, Origin::default()).await;
    assert!(matches!(error, Err(ChangeError::Submit(SubmitError::Fields(_)))), "{error:?}");
}

/// An evaluation that is under way, of one person.
fn evaluating(shell: &Arc<Shell>, actor: Actor) -> JoinHandle<Result<Looked, SubmitError>> {
    let shell = Arc::clone(shell);
    tokio::spawn(async move { shell.check(&actor, None).await })
}

#[tokio::test]
async fn of_one_person_two_texts_are_evaluated_at_once_and_the_next_is_refused_at_once() {
    let shell = Arc::new(Shell::new());
    shell.reviewer.holds();
    let under_way = [evaluating(&shell, ada()), evaluating(&shell, ada())];
    for _ in &under_way {
        shell.reviewer.started().await;
    }
    let error = shell.refused(find()).await;
    assert!(matches!(error, SubmitError::TooManyChecks), "{error:?}");
    assert_eq!(shell.reviewer.compiled().len(), 2, "no process was asked");
    shell.desk.submit(&ada(), query()).await.expect("SQL needs no process");
    let other = evaluating(&shell, actor("alan").build());
    shell.reviewer.started().await;
    for check in under_way.into_iter().chain([other]) {
        shell.reviewer.release();
        check.await.expect("no panic").expect("it is accepted");
    }
    shell.reviewer.release();
    shell.desk.submit(&ada(), find()).await.expect("her turns are free again");
}
