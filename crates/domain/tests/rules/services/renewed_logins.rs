//! Logins that are replaced while the portal works: the next one is looked up once, and nothing runs twice.

use std::sync::Arc;

use domain::execution::FailureKind;
use domain::ports::{CredentialError, ExecutionError};
use domain::request::StateKind;
use domain::services::ExecutionWorker;
use secrecy::ExposeSecret;
use testkit::builders::{database_name, instance_id, target_database};
use testkit::fakes::{FakeExecutor, FakeScriptTarget, Script};

use super::connections::Lab;
use super::execution::{Rig, patient};
use super::keyring::Vault;
use super::script_execution::Stage;

const OLD: &str = "the-old-password";
const NEW: &str = "the-new-password";

fn refused() -> ExecutionError {
    ExecutionError::CredentialsRejected { source: "28P01".into() }
}

fn away() -> CredentialError {
    CredentialError::Unavailable { source: "timeout".into() }
}

/// What a look at the source can find that leads to no other try.
fn useless() -> [(&'static str, Result<&'static str, CredentialError>); 3] {
    [
        ("the same", Ok(OLD)),
        ("an error", Err(away())),
        ("another server's", Err(CredentialError::OtherServer)),
    ]
}

/// The passwords with which something was executed, oldest first.
fn tried(executor: &FakeExecutor) -> Vec<String> {
    executor.orders().iter().map(|order| order.credentials.password.expose_secret().to_owned()).collect()
}

fn opened(target: &FakeScriptTarget) -> Vec<String> {
    target.orders().iter().map(|order| order.credentials.password.expose_secret().to_owned()).collect()
}

async fn run(rig: &Rig, vault: &Arc<Vault>) {
    let worker = ExecutionWorker { credentials: vault.keyring(), ..rig.worker("host:1:1") };
    assert!(worker.run_one().await.expect("the store answers"), "something is due");
}

#[tokio::test]
async fn a_login_that_was_replaced_is_fetched_anew_and_the_request_runs_once_with_it() {
    let rig = Rig::new();
    let id = rig.approved().await;
    rig.executor.plays(Script::fails(refused()));
    rig.executor.plays(Script::rows(["[1]", "[2]"]).writes(2));
    let vault = Arc::new(Vault::remembers(OLD).keeps(Ok(NEW)));
    run(&rig, &vault).await;
    assert_eq!(rig.world.kind(id).await, StateKind::Completed);
    assert_eq!(tried(&rig.executor), [OLD, NEW]);
    assert_eq!(vault.refused(), [OLD]);
    assert_eq!((rig.executor.written_rows(), rig.stored_lines(id).await), (2, 2), "once");
}

#[tokio::test]
async fn a_login_that_is_refused_and_not_replaced_fails_the_request_without_another_try() {
    for (name, found) in useless() {
        let rig = Rig::new();
        let id = rig.approved().await;
        rig.executor.plays(Script::fails(refused()));
        let vault = Arc::new(Vault::remembers(OLD).keeps(found));
        run(&rig, &vault).await;
        assert_eq!(rig.failure(id).await.kind, FailureKind::Credentials, "{name}");
        assert_eq!(tried(&rig.executor), [OLD], "{name}");
        assert_eq!(vault.refused(), [OLD], "{name}: it was looked up once");
    }
}

#[tokio::test]
async fn a_new_login_that_is_refused_too_fails_the_request_without_a_third_try() {
    let rig = Rig::new();
    let id = rig.approved().await;
    rig.executor.plays(Script::fails(refused()));
    rig.executor.plays(Script::fails(refused()));
    let vault = Arc::new(Vault::remembers(OLD).keeps(Ok(NEW)).keeps(Ok("yet another")));
    run(&rig, &vault).await;
    assert_eq!(rig.failure(id).await.kind, FailureKind::Credentials);
    assert_eq!(tried(&rig.executor), [OLD, NEW]);
}

#[tokio::test]
async fn nothing_runs_again_after_the_first_rows_have_come() {
    let rig = Rig::new();
    let id = rig.approved().await;
    rig.executor.plays(Script::rows(["[1]"]).then_fails(refused()));
    let vault = Arc::new(Vault::remembers(OLD).keeps(Ok(NEW)));
    run(&rig, &vault).await;
    assert_eq!(rig.failure(id).await.kind, FailureKind::Credentials);
    assert_eq!(tried(&rig.executor), [OLD]);
    assert_eq!(vault.refused(), Vec::<String>::new());
    assert_eq!(rig.stored_lines(id).await, 0);
}

#[tokio::test]
async fn no_other_failure_leads_to_another_login() {
    for error in [ExecutionError::Unavailable { source: "no route".into() }, ExecutionError::TimedOut] {
        let rig = Rig::new();
        rig.approved().await;
        rig.executor.plays(Script::fails(error));
        let vault = Arc::new(Vault::remembers(OLD).keeps(Ok(NEW)));
        run(&rig, &vault).await;
        assert_eq!((tried(&rig.executor), vault.refused()), (vec![OLD.to_owned()], vec![]));
    }
}

/// Runs a script of which some first sessions are refused.
async fn run_script(stage: &Stage, refusals: usize, vault: &Arc<Vault>) -> domain::ids::RequestId {
    let id = stage.approved(patient()).await;
    for _ in 0..refusals {
        stage.target.fails(refused());
    }
    let worker = ExecutionWorker { credentials: vault.keyring(), ..stage.worker() };
    assert!(worker.run_one().await.expect("the store answers"), "it is due");
    id
}

#[tokio::test]
async fn a_script_whose_login_was_replaced_runs_once_in_a_session_of_the_new_one() {
    let stage = Stage::new();
    let vault = Arc::new(Vault::remembers(OLD).keeps(Ok(NEW)));
    let id = run_script(&stage, 1, &vault).await;
    assert_eq!(stage.rig.world.kind(id).await, StateKind::Completed);
    assert_eq!(opened(&stage.target), [OLD, NEW]);
    assert_eq!((stage.runner.orders().len(), stage.target.open_sessions()), (1, 0));
}

#[tokio::test]
async fn a_script_whose_login_is_refused_and_not_replaced_fails_without_another_session() {
    for (name, found) in useless() {
        let stage = Stage::new();
        let vault = Arc::new(Vault::remembers(OLD).keeps(found));
        let id = run_script(&stage, 1, &vault).await;
        assert_eq!(stage.rig.failure(id).await.kind, FailureKind::Credentials, "{name}");
        assert_eq!((opened(&stage.target), vault.refused()), (vec![OLD.to_owned()], vec![OLD.to_owned()]));
    }
    let stage = Stage::new();
    let vault = Arc::new(Vault::remembers(OLD).keeps(Ok(NEW)).keeps(Ok("yet another")));
    let id = run_script(&stage, 2, &vault).await;
    assert_eq!(stage.rig.failure(id).await.kind, FailureKind::Credentials);
    assert_eq!(opened(&stage.target), [OLD, NEW], "and no third one");
}

fn lab(vault: &Arc<Vault>) -> Lab {
    let mut lab = Lab::new();
    lab.connections.credentials = vault.keyring();
    lab
}

#[tokio::test]
async fn a_look_at_a_server_uses_the_login_that_replaced_the_refused_one() {
    let vault = Arc::new(Vault::remembers(OLD).keeps(Ok(NEW)).keeps(Ok(NEW)));
    let lab = lab(&vault);
    lab.inspector.fails(refused());
    let report = lab.test("orders-db").await.expect("it was tried");
    report.outcome.expect("the new login is accepted");
    lab.inspector.fails(refused());
    let report = lab.sync("orders-db").await.expect("it was tried");
    report.outcome.expect("the new login is accepted");
    assert_eq!(vault.refused(), [OLD, OLD]);
    assert_eq!(lab.inspector.looks().len(), 4);
}

#[tokio::test]
async fn a_login_that_a_look_found_renewed_serves_the_other_databases_too() {
    let vault = Arc::new(Vault::remembers(OLD).keeps(Ok(NEW)));
    let lab = lab(&vault);
    lab.world.store.put_database(&instance_id("orders-db"), &target_database("another"));
    let gone = domain::execution::DatabaseError { code: "3D000".to_owned(), ..Default::default() };
    lab.inspector.fails(refused());
    lab.inspector.fails(ExecutionError::Database(gone));
    let report = lab.test("orders-db").await.expect("it was tried");
    report.outcome.expect("the second database is there");
    assert_eq!(vault.refused(), [OLD], "it was looked up once");
    let by: Vec<_> = lab.inspector.looks().into_iter().map(|(_, database, _)| database).collect();
    assert_eq!(by, ["another", "another", "orders"].map(database_name));
}

#[tokio::test]
async fn a_look_with_a_refused_login_that_was_not_replaced_is_over_after_one_try() {
    let expected = ["credentials_rejected", "credentials", "credentials"];
    for ((name, found), code) in useless().into_iter().zip(expected) {
        let vault = Arc::new(Vault::remembers(OLD).keeps(found));
        let lab = lab(&vault);
        lab.inspector.fails(refused());
        let report = lab.test("orders-db").await.expect("it was tried");
        assert_eq!(report.outcome.expect_err("it has to fail").code, code, "{name}");
        assert_eq!((lab.inspector.looks().len(), vault.refused().len()), (1, 1), "{name}");
    }
    let vault = Arc::new(Vault::remembers(OLD).keeps(Ok(NEW)).keeps(Ok("yet another")));
    let lab = lab(&vault);
    lab.inspector.fails(refused());
    lab.inspector.fails(refused());
    let report = lab.sync("orders-db").await.expect("it was tried");
    assert_eq!(report.outcome.expect_err("it has to fail").code, "credentials_rejected");
    assert_eq!((lab.inspector.looks().len(), vault.refused()), (2, vec![OLD.to_owned()]), "no third try");
}
