//! Commits whose answer is lost, late, or not what one hopes for.

use std::time::{Duration, Instant};

use bson::{Document, doc};
use domain::ports::ExecutionError;
use tokio_util::sync::CancellationToken;

use crate::harness::{Db, Outcome};

const INSERT: &str = r#"{"insert": "c", "documents": [{"_id": 1}]}"#;

async fn committed_after(
    mode: impl Into<bson::Bson>,
    how: Document,
) -> (Db, dev_stack::EphemeralMongo, Outcome) {
    let (db, server) = Db::own().await;
    db.run(r#"{"insert": "c", "documents": [{"_id": 0}]}"#).await.report();
    let mut data = doc! { "failCommands": ["commitTransaction"] };
    data.extend(how);
    db.fail(mode, data).await;
    let mut order = db.order(INSERT).await;
    order.limits.timeout = Duration::from_secs(2);
    let outcome = db.run_order(&order, CancellationToken::new()).await;
    (db, server, outcome)
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_asked_about_again() {
    for how in [
        doc! { "closeConnection": true },
        doc! { "errorCode": 11_602, "errorLabels": ["RetryableWriteError"] },
        doc! { "errorCode": 50 },
        doc! { "writeConcernError": { "code": 64, "errmsg": "waiting for replication timed out" } },
    ] {
        for times in [1, 3] {
            let given = format!("{how} {times} times");
            let (db, _server, outcome) = committed_after(doc! { "times": times }, how.clone()).await;
            assert!(outcome.result.is_ok(), "{given}: {:?}", outcome.result);
            assert_eq!(db.count("c").await, 2, "{given}");
            db.is_quiet().await;
        }
    }
}

#[tokio::test]
async fn a_commit_that_nobody_ever_answers_is_not_known() {
    let begun = Instant::now();
    let (_db, _server, outcome) = committed_after("alwaysOn", doc! { "closeConnection": true }).await;
    assert!(matches!(outcome.error(), ExecutionError::OutcomeUnknown { .. }), "{:?}", outcome.result);
    // Its limit on time, and the time for which a commit is awaited beyond that.
    assert!((30..40).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

/// The members that should confirm it are not there: it is committed on those that are.
#[tokio::test]
async fn a_commit_that_too_few_members_confirm_is_not_told_as_having_done_nothing() {
    let error = doc! { "code": 100, "errmsg": "Not enough data-bearing nodes" };
    let (db, _server, outcome) =
        committed_after(doc! { "times": 1 }, doc! { "writeConcernError": error }).await;
    assert_eq!(db.count("c").await, 2);
    assert!(
        matches!(outcome.result, Ok(_) | Err(ExecutionError::OutcomeUnknown { .. })),
        "it took effect: {:?}",
        outcome.result
    );
}

#[tokio::test]
async fn a_commit_that_the_server_refuses_has_done_nothing() {
    let how = doc! { "errorCode": 251, "errorLabels": ["TransientTransactionError"] };
    let (db, _server, outcome) = committed_after(doc! { "times": 1 }, how).await;
    let error = outcome.database_error();
    assert_eq!((error.code.as_str(), error.number), ("NoSuchTransaction", Some(251)));
    assert!(error.hint.as_ref().unwrap().contains("Submit it again"), "{error:?}");
    // The server itself has not ended it; it must not wait for that with its locks held.
    db.fail("off", doc! {}).await;
    assert_eq!(db.count("c").await, 1);
}

#[tokio::test]
async fn a_cancel_and_a_deadline_during_a_slow_commit_lose() {
    let (db, _server) = Db::own().await;
    db.run(r#"{"insert": "c", "documents": [{"_id": 0}]}"#).await.report();
    let slow = doc! { "failCommands": ["commitTransaction"], "blockConnection": true, "blockTimeMS": 1_500 };
    db.fail(doc! { "times": 2 }, slow).await;
    let outcome = db.run_and_cancel(&db.order(INSERT).await, Duration::from_millis(700)).await;
    outcome.report();
    let outcome = db.run_as(r#"{"insert": "c", "documents": [{"_id": 2}]}"#, |order| {
        order.limits.timeout = Duration::from_millis(700);
    });
    outcome.await.report();
    assert_eq!(db.count("c").await, 3);
    db.is_quiet().await;
}
