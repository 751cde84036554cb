//! Executions that do not come to their own end: nothing of them is left, and what is said of them is true.

mod commits;
mod failovers;
mod races;
mod scripts;

use std::time::Duration;

use bson::{Document, bson, doc};
use domain::execution::ExecutionOrder;
use domain::ports::ExecutionError;
use tokio_util::sync::CancellationToken;

use super::harness::{Db, Outcome};

/// A database in which the server's own JavaScript keeps it busy, and a collection `c` of so many documents.
pub(super) async fn busy(documents: i32) -> Db {
    let mut db = Db::new().await;
    db.target.admits.server_javascript = true;
    if documents > 0 {
        db.insert("c", (0..documents).map(|n| doc! { "_id": n }).collect()).await;
    }
    db
}

/// Sleeps for a minute at this document.
pub(super) fn sleeping_at(id: i32) -> String {
    format!(r#"{{"$where": "function() {{ if (this._id == {id}) sleep(60000); return true }}"}}"#)
}

/// The same in a pipeline, which takes no `$where`.
pub(super) fn stage_sleeping_at(id: i32) -> String {
    let body = format!("function(id) {{ if (id == {id}) sleep(60000); return true }}");
    format!(
        r#"{{"$match": {{"$expr": {{"$function": {{"body": "{body}", "args": ["$_id"], "lang": "js"}}}}}}}}"#
    )
}

/// An operation of this kind in the collection, as the server lists it.
pub(super) fn at_work(op: &'static str, namespace: String) -> impl Fn(&Document) -> bool {
    move |found| {
        let is = |name: &str, value: &str| found.get_str(name).is_ok_and(|there| there == value);
        is("op", op) && is("ns", &namespace) && found.get_bool("active").unwrap_or_default()
    }
}

/// Runs it, and cancels it as soon as the server does this.
pub(super) async fn cancelled_when(
    db: &Db,
    order: &ExecutionOrder,
    busy: impl Fn(&Document) -> bool,
) -> Outcome {
    let cancel = CancellationToken::new();
    let stop = async {
        db.until(busy).await;
        // Somewhere in its middle.
        tokio::time::sleep(Duration::from_millis(50)).await;
        cancel.cancel();
    };
    tokio::join!(db.run_order(order, cancel.clone()), stop).0
}

/// The two ways in which the portal ends an execution.
async fn both_ends(db: &Db, text: &str, op: &'static str, check: impl AsyncFn(Outcome)) {
    let mut order = db.order(text).await;
    let collection = order.submission.compiled[0].split('"').nth(3).unwrap().to_owned();
    let begun = std::time::Instant::now();
    let outcome = cancelled_when(db, &order, at_work(op, format!("{}.{collection}", db.name))).await;
    assert!(
        matches!(outcome.error(), ExecutionError::Cancelled | ExecutionError::OutcomeUnknown { .. }),
        "{:?}",
        outcome.result
    );
    db.is_quiet().await;
    check(outcome).await;
    order.limits.timeout = Duration::from_millis(700);
    let outcome = db.run_order(&order, CancellationToken::new()).await;
    assert!(
        matches!(outcome.error(), ExecutionError::TimedOut | ExecutionError::OutcomeUnknown { .. }),
        "{:?}",
        outcome.result
    );
    db.is_quiet().await;
    check(outcome).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

fn certain(outcome: &Outcome) {
    assert!(
        matches!(outcome.error(), ExecutionError::Cancelled | ExecutionError::TimedOut),
        "{:?}",
        outcome.result
    );
}

#[tokio::test]
async fn a_read_that_is_stopped_leaves_nothing() {
    let db = busy(10).await;
    let text = format!(r#"{{"find": "c", "filter": {}}}"#, sleeping_at(5));
    both_ends(&db, &text, "query", async |outcome| {
        certain(&outcome);
        assert!(outcome.lines.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_read_that_is_stopped_between_two_batches_leaves_nothing() {
    let db = busy(5_000).await;
    let text = format!(
        r#"{{"find": "c", "batchSize": 1000, "sort": {{"_id": 1}}, "filter": {}}}"#,
        sleeping_at(4_500)
    );
    both_ends(&db, &text, "getmore", async |outcome| certain(&outcome)).await;
}

#[tokio::test]
async fn a_write_that_is_stopped_has_done_nothing() {
    let db = busy(100).await;
    let update = format!(r#"{{"q": {}, "u": {{"$set": {{"x": 1}}}}, "multi": true}}"#, sleeping_at(50));
    let text = format!(
        r#"[{{"update": "c", "updates": [{update}]}}, {{"insert": "c", "documents": [{{"x": 1}}]}}]"#
    );
    both_ends(&db, &text, "update", async |outcome| {
        certain(&outcome);
        let changed =
            db.database().collection::<Document>("c").count_documents(doc! { "x": 1 }).await.unwrap();
        assert_eq!(changed, 0);
    })
    .await;
}

#[tokio::test]
async fn an_index_that_is_stopped_is_not_there() {
    let db = busy(0).await;
    let many = bson!({ "$map": { "input": { "$range": [0, 100_000] }, "in": { "_id": "$$this" } } });
    let keys = doc! { "$set": { "k": { "$range": ["$_id", { "$add": ["$_id", 30] }] } } };
    let pipeline = vec![doc! { "$documents": many }, keys, doc! { "$out": "c" }];
    db.database().aggregate(pipeline).await.unwrap();
    let text = r#"{"createIndexes": "c", "indexes": [{"key": {"k": 1}, "name": "k_1"}]}"#;
    both_ends(&db, text, "command", async |outcome| {
        certain(&outcome);
        let indexes = db.database().collection::<Document>("c").list_index_names().await.unwrap();
        assert_eq!(indexes, ["_id_"]);
    })
    .await;
}

/// No transaction holds it: what was written before the end stays, and nobody may say that it does not.
#[tokio::test]
async fn a_merge_that_is_stopped_in_the_middle_is_told_as_what_may_have_happened_in_part() {
    let db = busy(3_000).await;
    // What is written at once is less than what comes before the sleep.
    let large = format!(r#"{{"$set": {{"large": "{}"}}}}"#, "x".repeat(10_000));
    // The server may not put the condition before what makes the documents large.
    let condition = stage_sleeping_at(2_500).replace(r#"["$_id"]"#, r#"["$_id", "$large"]"#);
    let stages = format!(r#"[{large}, {condition}, {{"$merge": "m"}}]"#);
    let text = format!(r#"{{"aggregate": "c", "pipeline": {stages}, "cursor": {{}}}}"#);
    both_ends(&db, &text, "command", async |outcome| {
        assert!(matches!(outcome.error(), ExecutionError::OutcomeUnknown { .. }), "{:?}", outcome.result);
        let said = format!("{:?}", outcome.error());
        assert!(said.contains("in part"), "{said}");
    })
    .await;
    let outcome = db.run_as(&text, |order| order.limits.timeout = Duration::from_secs(4)).await;
    assert!(matches!(outcome.error(), ExecutionError::OutcomeUnknown { .. }), "{:?}", outcome.result);
    assert!((1..3_000).contains(&db.count("m").await), "{}", db.count("m").await);
    db.is_quiet().await;
}

#[tokio::test]
async fn a_cancel_before_the_beginning_begins_nothing() {
    let db = busy(1).await;
    let cancel = CancellationToken::new();
    cancel.cancel();
    let order = db.order(r#"{"insert": "c", "documents": [{"x": 1}]}"#).await;
    certain(&db.run_order(&order, cancel).await);
    assert_eq!(db.count("c").await, 1);
}
