//! Servers that step down, die, or lose cursors in the middle.

use std::process::Command;
use std::time::Duration;

use bson::{Document, doc};
use domain::execution::ExecutionOrder;
use domain::ports::ExecutionError;
use tokio_util::sync::CancellationToken;

use super::{at_work, sleeping_at, stage_sleeping_at};
use crate::harness::{Db, Outcome};

async fn own(documents: i32) -> (Db, dev_stack::EphemeralMongo) {
    let (mut db, server) = Db::own().await;
    db.target.admits.server_javascript = true;
    db.insert("c", (0..documents).map(|n| doc! { "_id": n }).collect()).await;
    (db, server)
}

/// The operation, and what happens as soon as the server does this.
async fn while_it_runs(
    db: &Db,
    order: &ExecutionOrder,
    op: &'static str,
    then: impl AsyncFnOnce(),
) -> Outcome {
    let disturb = async {
        db.until(at_work(op, format!("{}.c", db.name))).await;
        then().await;
    };
    tokio::join!(db.run_order(order, CancellationToken::new()), disturb).0
}

async fn step_down(db: &Db) {
    let command = doc! { "replSetStepDown": 2, "secondaryCatchUpPeriodSecs": 0, "force": true };
    db.admin.database("admin").run_command(command).await.unwrap();
}

fn kill(server: &dev_stack::EphemeralMongo) {
    assert!(Command::new("kill").args(["-9", &server.pid().to_string()]).status().unwrap().success());
}

fn sleeping_update() -> String {
    format!(
        r#"{{"update": "c", "updates": [{{"q": {}, "u": {{"$set": {{"x": 1}}}}, "multi": true}}]}}"#,
        sleeping_at(5)
    )
}

fn sleeping_merge() -> String {
    let stages = stage_sleeping_at(5);
    format!(r#"{{"aggregate": "c", "pipeline": [{stages}, {{"$merge": "m"}}], "cursor": {{}}}}"#)
}

/// What a developer reads: sentences, and what to do now.
fn tells_what_to_do(outcome: &Outcome) {
    let error = outcome.database_error();
    assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("Submit it again")), "{error:?}");
    assert!(!error.message.is_empty(), "{error:?}");
}

async fn changed(db: &Db) -> u64 {
    // The node becomes the primary again; until then nobody answers.
    for _ in 0..200 {
        let found = db.database().collection::<Document>("c").count_documents(doc! { "x": 1 }).await;
        if let Ok(found) = found {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the server did not come back");
}

async fn works_again(db: &Db) {
    for _ in 0..200 {
        if db.run(r#"{"insert": "again", "documents": [{}]}"#).await.result.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the executor does not work again");
}

#[tokio::test]
async fn a_primary_that_steps_down_in_a_transaction_has_undone_it() {
    let (db, _server) = own(10).await;
    let order = db.order(&sleeping_update()).await;
    let outcome = while_it_runs(&db, &order, "update", async || step_down(&db).await).await;
    tells_what_to_do(&outcome);
    assert_eq!(changed(&db).await, 0);
    works_again(&db).await;
    db.is_quiet().await;
}

#[tokio::test]
async fn a_primary_that_steps_down_during_a_read_fails_it_or_lets_it_end() {
    let (db, _server) = own(10).await;
    let find = r#"{"find": "c", "batchSize": 2, "filter": {"$where": "sleep(300) || true"}}"#;
    let order = db.order(find).await;
    let outcome = while_it_runs(&db, &order, "query", async || step_down(&db).await).await;
    match &outcome.result {
        Ok(report) => assert_eq!(report.statements[0].rows, 10),
        Err(_) => tells_what_to_do(&outcome),
    }
    works_again(&db).await;
    db.is_quiet().await;
}

#[tokio::test]
async fn a_primary_that_steps_down_during_what_runs_alone_leaves_it_unclear() {
    let (db, _server) = own(10).await;
    let order = db.order(&sleeping_merge()).await;
    let outcome = while_it_runs(&db, &order, "command", async || step_down(&db).await).await;
    assert!(matches!(outcome.error(), ExecutionError::OutcomeUnknown { .. }), "{:?}", outcome.result);
    works_again(&db).await;
    db.is_quiet().await;
}

#[tokio::test]
async fn a_server_that_dies_during_a_read_is_said_to_be_lost() {
    let (db, server) = own(10).await;
    let order = db.order(&format!(r#"{{"find": "c", "filter": {}}}"#, sleeping_at(5))).await;
    let outcome = while_it_runs(&db, &order, "query", async || kill(&server)).await;
    tells_what_to_do(&outcome);
    assert_eq!(outcome.database_error().code, "ConnectionLost");
    // And the next one is told at once that nobody answers.
    let outcome = db.run(r#"{"find": "c"}"#).await;
    assert!(
        matches!(outcome.error(), ExecutionError::Unavailable { .. } | ExecutionError::Database(_)),
        "{:?}",
        outcome.result
    );
}

#[tokio::test]
async fn a_server_that_dies_in_a_transaction_takes_it_along() {
    let (db, server) = own(10).await;
    let order = db.order(&sleeping_update()).await;
    let outcome = while_it_runs(&db, &order, "update", async || kill(&server)).await;
    tells_what_to_do(&outcome);
    assert_eq!(outcome.database_error().code, "ConnectionLost");
}

#[tokio::test]
async fn a_server_that_dies_during_what_runs_alone_leaves_it_unclear() {
    let (db, server) = own(10).await;
    let order = db.order(&sleeping_merge()).await;
    let outcome = while_it_runs(&db, &order, "command", async || kill(&server)).await;
    assert!(matches!(outcome.error(), ExecutionError::OutcomeUnknown { .. }), "{:?}", outcome.result);
}

#[tokio::test]
async fn a_server_that_dies_during_a_commit_leaves_it_unclear() {
    let (db, server) = own(10).await;
    let slow = doc! { "failCommands": ["commitTransaction"], "blockConnection": true, "blockTimeMS": 60_000 };
    db.fail("alwaysOn", slow).await;
    let mut order = db.order(r#"{"insert": "c", "documents": [{"_id": 100}]}"#).await;
    order.limits.timeout = Duration::from_secs(1);
    let kill = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        kill(&server);
    };
    let (outcome, ()) = tokio::join!(db.run_order(&order, CancellationToken::new()), kill);
    assert!(matches!(outcome.error(), ExecutionError::OutcomeUnknown { .. }), "{:?}", outcome.result);
}

#[tokio::test]
async fn a_cursor_that_dies_between_two_batches_is_an_error_that_says_what_to_do() {
    let (db, _server) = own(5_000).await;
    db.fail(doc! { "times": 1 }, doc! { "failCommands": ["getMore"], "errorCode": 43 }).await;
    let outcome = db.run(r#"{"find": "c"}"#).await;
    tells_what_to_do(&outcome);
    assert_eq!(
        (outcome.database_error().code.as_str(), outcome.database_error().number),
        ("CursorNotFound", Some(43))
    );
    db.fail(doc! { "times": 1 }, doc! { "failCommands": ["getMore"], "closeConnection": true }).await;
    let outcome = db.run(r#"{"find": "c"}"#).await;
    tells_what_to_do(&outcome);
    // The server forgets a cursor that nobody reads any more by itself; nothing is at work.
    assert!(
        db.left_behind().await.iter().all(|left| left.get_str("type").is_ok_and(|kind| kind == "idleCursor"))
    );
}

#[tokio::test]
async fn a_cursor_that_somebody_kills_is_an_error_that_says_what_to_do() {
    let (db, _server) = own(5_000).await;
    // Time to kill it between the batches.
    let slow = doc! { "failCommands": ["getMore"], "blockConnection": true, "blockTimeMS": 1_500 };
    db.fail(doc! { "times": 1 }, slow).await;
    let order = db.order(r#"{"find": "c"}"#).await;
    let kill = async {
        let mut cursor = None;
        db.until(|found| found.get_str("type").is_ok_and(|kind| kind == "idleCursor")).await;
        for found in db.left_behind().await {
            cursor = cursor
                .or(found.get_document("cursor").ok().and_then(|cursor| cursor.get_i64("cursorId").ok()));
        }
        let kill = doc! { "killCursors": "c", "cursors": [cursor.unwrap()] };
        let killed = db.database().run_command(kill).await.unwrap();
        assert_eq!(killed.get_array("cursorsKilled").unwrap().len(), 1, "{killed}");
    };
    let (outcome, ()) = tokio::join!(db.run_order(&order, CancellationToken::new()), kill);
    tells_what_to_do(&outcome);
    assert_eq!(outcome.database_error().code, "CursorNotFound");
    db.is_quiet().await;
}

#[tokio::test]
async fn a_transaction_that_the_server_has_ended_says_so() {
    let (db, _server) = own(10).await;
    db.fail(doc! { "times": 1 }, doc! { "failCommands": ["update"], "errorCode": 251 }).await;
    let outcome = db.run(r#"{"update": "c", "updates": [{"q": {"_id": 1}, "u": {"$set": {"x": 1}}}]}"#).await;
    tells_what_to_do(&outcome);
    assert_eq!(changed(&db).await, 0);
    db.fail(doc! { "times": 1 }, doc! { "failCommands": ["update"], "errorCode": 112 }).await;
    let outcome = db.run(r#"{"update": "c", "updates": [{"q": {"_id": 1}, "u": {"$set": {"x": 1}}}]}"#).await;
    tells_what_to_do(&outcome);
    assert_eq!(outcome.database_error().code, "WriteConflict");
    db.is_quiet().await;
}
