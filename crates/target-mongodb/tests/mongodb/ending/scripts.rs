//! Sessions of scripts that are stopped.

use std::time::Duration;

use bson::{Document, doc};
use domain::ports::{ExecutionError, ScriptSession, ScriptTarget as _};
use domain::script::{CallAnswer, CallError, DatabaseCall, ScriptStatement};
use domain::text::SubmissionText;
use tokio_util::sync::CancellationToken;

use super::{at_work, busy, sleeping_at};
use crate::harness::Db;

fn statement(text: &str, in_transaction: bool) -> ScriptStatement {
    ScriptStatement { text: text.to_owned(), parameters: vec![], in_transaction }
}

async fn open(db: &Db, timeout: Duration) -> (Box<dyn ScriptSession>, CancellationToken) {
    let mut order = db.order_of(SubmissionText::parse("-").unwrap(), vec![]);
    order.limits.timeout = timeout;
    let stop = CancellationToken::new();
    (db.executor.open(&order, stop.clone()).await.unwrap(), stop)
}

async fn call(session: &mut Box<dyn ScriptSession>, call: DatabaseCall) -> CallAnswer {
    session.call(call).await.unwrap_or_else(|error| panic!("{error:?}"))
}

/// The end by a cancel and by the deadline, of a session that this has prepared, in this call.
async fn both_ends(
    db: &Db,
    op: &'static str,
    prepare: impl AsyncFn(&mut Box<dyn ScriptSession>) -> DatabaseCall,
    check: impl AsyncFn(),
) {
    for cancels in [true, false] {
        let timeout = if cancels { Duration::from_secs(30) } else { Duration::from_secs(5) };
        let (mut session, stop) = open(db, timeout).await;
        let last = prepare(&mut session).await;
        let watch = async {
            db.until(at_work(op, format!("{}.c", db.name))).await;
            if cancels {
                stop.cancel();
            }
        };
        let (answered, ()) = tokio::join!(session.call(last), watch);
        let Err(CallError::Ended(error)) = answered else { panic!("{answered:?}") };
        let expected = if cancels { ExecutionError::Cancelled } else { ExecutionError::TimedOut };
        assert_eq!(format!("{error:?}"), format!("{expected:?}"));
        let again = session.call(DatabaseCall::Query(statement(r#"{"ping": 1}"#, false))).await;
        assert!(matches!(again, Err(CallError::Ended(_))), "{again:?}");
        session.close().await.unwrap();
        db.is_quiet().await;
        check().await;
    }
}

async fn changed(db: &Db) -> u64 {
    db.database().collection::<Document>("c").count_documents(doc! { "x": 1 }).await.unwrap()
}

#[tokio::test]
async fn a_read_of_a_script_that_is_stopped_leaves_nothing() {
    let db = busy(10).await;
    let find = format!(r#"{{"find": "c", "filter": {}}}"#, sleeping_at(5));
    both_ends(&db, "query", async |_| DatabaseCall::Query(statement(&find, false)), async || {}).await;
}

#[tokio::test]
async fn a_cursor_of_a_script_that_is_stopped_leaves_nothing() {
    let db = busy(5_000).await;
    let find = format!(r#"{{"find": "c", "sort": {{"_id": 1}}, "filter": {}}}"#, sleeping_at(4_500));
    let prepare = async |session: &mut Box<dyn ScriptSession>| {
        let stream = call(session, DatabaseCall::Open(statement(&find, false))).await.stream.unwrap();
        assert_eq!(call(session, DatabaseCall::Fetch { stream, rows: 2_000 }).await.rows, 2_000);
        DatabaseCall::Fetch { stream, rows: 3_000 }
    };
    both_ends(&db, "getmore", prepare, async || {}).await;
}

#[tokio::test]
async fn a_transaction_of_a_script_that_is_stopped_has_done_nothing() {
    let db = busy(10).await;
    let update = format!(
        r#"{{"update": "c", "updates": [{{"q": {}, "u": {{"$set": {{"x": 1}}}}, "multi": true}}]}}"#,
        sleeping_at(5)
    );
    let prepare = async |session: &mut Box<dyn ScriptSession>| {
        call(session, DatabaseCall::Begin).await;
        call(session, DatabaseCall::Query(statement(r#"{"insert": "c", "documents": [{"x": 1}]}"#, true)))
            .await;
        DatabaseCall::Query(statement(&update, true))
    };
    both_ends(&db, "update", prepare, async || assert_eq!(changed(&db).await, 0)).await;
}

#[tokio::test]
async fn a_script_that_goes_away_leaves_nothing_open() {
    let db = busy(5_000).await;
    let (mut session, _stop) = open(&db, Duration::from_secs(30)).await;
    call(&mut session, DatabaseCall::Open(statement(r#"{"find": "c", "batchSize": 10}"#, false))).await;
    call(&mut session, DatabaseCall::Begin).await;
    call(&mut session, DatabaseCall::Query(statement(r#"{"insert": "c", "documents": [{"x": 1}]}"#, true)))
        .await;
    call(&mut session, DatabaseCall::Open(statement(r#"{"find": "c", "batchSize": 10}"#, true))).await;
    session.close().await.unwrap();
    db.is_quiet().await;
    assert_eq!(changed(&db).await, 0);
}

#[tokio::test]
async fn a_script_that_is_dropped_without_a_word_leaves_nothing_open() {
    let db = busy(5_000).await;
    let (mut session, _stop) = open(&db, Duration::from_secs(30)).await;
    call(&mut session, DatabaseCall::Begin).await;
    call(&mut session, DatabaseCall::Query(statement(r#"{"insert": "c", "documents": [{"x": 1}]}"#, true)))
        .await;
    call(&mut session, DatabaseCall::Open(statement(r#"{"find": "c", "batchSize": 10}"#, true))).await;
    drop(session);
    db.is_quiet().await;
    assert_eq!(changed(&db).await, 0);
}
