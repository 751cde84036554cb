//! Writes that a server refuses, in whole or in part, and documents that are too large.

use bson::{Document, RawDocumentBuf, doc};
use domain::execution::ExecutionOrder;
use domain::ports::{ExecutionError, ScriptTarget as _};
use domain::script::{CallError, DatabaseCall, ScriptStatement};
use domain::text::SubmissionText;
use tokio_util::sync::CancellationToken;

use super::harness::{Db, Outcome};

const DOCUMENTS: &str = r#"[{"_id": 1}, {"_id": 1}, {"_id": 2}, {"_id": 1}]"#;

/// A sentence, with what the server says, without what the portal and the driver add to a command.
fn is_readable(outcome: &Outcome) {
    let error = outcome.database_error();
    let all = format!("{error:?}");
    for noise in ["lsid", "$clusterTime", "query-portal/", "signature", "txnNumber"] {
        assert!(!all.contains(noise), "{all}");
    }
    assert!(!error.code.is_empty() && !error.message.is_empty() && error.number.is_some(), "{all}");
}

#[tokio::test]
async fn a_key_that_is_there_already_undoes_all_and_is_told_with_its_number() {
    let db = Db::new().await;
    for ordered in [true, false] {
        let text = format!(r#"{{"insert": "c", "documents": {DOCUMENTS}, "ordered": {ordered}}}"#);
        let outcome = db.run(&text).await;
        is_readable(&outcome);
        let error = outcome.database_error();
        assert_eq!(
            (error.code.as_str(), error.number, error.statement),
            ("DuplicateKey", Some(11_000), None)
        );
        assert!(
            error.detail.as_ref().unwrap().contains("2 (code 11000): E11000 duplicate key error"),
            "{error:?}"
        );
        assert_eq!(db.count("c").await, 0);
    }
    let outcome = db
        .run(r#"[{"insert": "c", "documents": [{"_id": 1}]}, {"insert": "c", "documents": [{"_id": 1}]}]"#)
        .await;
    assert_eq!(outcome.database_error().statement, Some(1));
    assert_eq!(db.count("c").await, 0);
}

/// No transaction holds it, so what was done stays, and every error is told.
#[tokio::test]
async fn a_capped_collection_is_written_to_alone_and_each_error_is_told() {
    let db = Db::new().await;
    db.run(r#"{"create": "c", "capped": true, "size": 100000}"#).await.report();
    let outcome = db.run(r#"{"insert": "c", "documents": [{"_id": 0}]}"#).await;
    assert_eq!(outcome.report().statements[0].affected, Some(1));
    assert!(outcome.report().notices.iter().any(|notice| notice.code == "ran_alone"), "{:?}", outcome.result);
    for (ordered, numbers, kept) in [(true, &["2"][..], 2), (false, &["1", "2", "4"][..], 3)] {
        let text = format!(r#"{{"insert": "c", "documents": {DOCUMENTS}, "ordered": {ordered}}}"#);
        let outcome = db.run(&text).await;
        is_readable(&outcome);
        let error = outcome.database_error();
        for number in numbers {
            let said = format!("{number} (code 11000)");
            assert!(error.detail.as_ref().unwrap().contains(&said), "{ordered} {error:?}");
        }
        assert!(error.message.contains("1 document was written before and stays."), "{error:?}");
        assert_eq!(db.count("c").await, kept);
    }
    let both = r#"[{"insert": "c", "documents": [{}]}, {"insert": "other", "documents": [{}]}]"#;
    let outcome = db.run(both).await;
    assert_eq!(outcome.database_error().number, Some(263));
    assert_eq!((db.count("c").await, db.count("other").await), (3, 0));
}

#[tokio::test]
async fn a_collection_of_time_series_is_written_to_alone() {
    let db = Db::new().await;
    db.run(r#"{"create": "c", "timeseries": {"timeField": "t"}}"#).await.report();
    let outcome =
        db.run(r#"{"insert": "c", "documents": [{"t": {"$date": "2024-01-01T00:00:00Z"}, "x": 1}]}"#).await;
    assert!(outcome.report().notices.iter().any(|notice| notice.code == "ran_alone"), "{:?}", outcome.result);
    assert_eq!(db.count("c").await, 1);
    let outcome = db.run(r#"{"insert": "c", "documents": [{"x": 1}]}"#).await;
    is_readable(&outcome);
}

#[tokio::test]
async fn a_document_that_a_collection_does_not_take_is_told_with_the_reason() {
    let db = Db::new().await;
    let create = r#"{"create": "c", "validator": {"$jsonSchema": {"required": ["name"], "properties": {"age": {"bsonType": "int"}}}}}"#;
    db.run(create).await.report();
    for text in [
        r#"{"insert": "c", "documents": [{"name": "a"}, {"age": 1}]}"#,
        r#"{"findAndModify": "c", "query": {"_id": 1}, "update": {"age": "old"}, "upsert": true}"#,
        r#"{"update": "c", "updates": [{"q": {"_id": 1}, "u": {"$set": {"age": "old"}}, "upsert": true}]}"#,
    ] {
        let outcome = db.run(text).await;
        is_readable(&outcome);
        assert_eq!(outcome.database_error().code, "DocumentValidationFailure", "{text}");
        assert_eq!(db.count("c").await, 0);
    }
}

#[tokio::test]
async fn commands_that_the_server_does_not_understand_are_told_with_the_reason() {
    let db = Db::new().await;
    db.insert("c", vec![doc! { "_id": 1, "a": "x" }]).await;
    for (text, code) in [
        (r#"{"find": "c", "filter": {"$elemMatch": 1}}"#, "BadValue"),
        (r#"{"find": "c", "filter": {"a": {"$elemMatch": 1}}}"#, "BadValue"),
        (r#"{"find": "c", "limit": "many"}"#, "TypeMismatch"),
        (r#"{"aggregate": "c", "pipeline": [{"$group": {"x": 1}}], "cursor": {}}"#, ""),
        (r#"{"aggregate": "c", "pipeline": [{"$project": {"x": {"$divide": [1, 0]}}}], "cursor": {}}"#, ""),
        (r#"{"update": "c", "updates": [{"q": {"_id": 1}, "u": {"$inc": {"a": 1}}}]}"#, "TypeMismatch"),
        (r#"{"update": "c", "updates": [{"q": {"_id": 1}, "u": {"$set": {"_id": 2}}}]}"#, "ImmutableField"),
        (r#"{"drop": "missing"}"#, ""),
        (r#"{"dropIndexes": "missing", "index": "x"}"#, "NamespaceNotFound"),
        (r#"{"dropIndexes": "c", "index": "x"}"#, "IndexNotFound"),
        (r#"{"collStats": "missing"}"#, ""),
        (r#"{"create": "c"}"#, "NamespaceExists"),
        (r#"{"insert": "c", "documents": []}"#, ""),
        (r#"{"insert": "c", "documents": [{"_id": [1]}]}"#, ""),
    ] {
        let outcome = db.run(text).await;
        // Servers differ on what is an error.
        if outcome.result.is_ok() {
            assert_eq!(code, "", "{text}");
            continue;
        }
        is_readable(&outcome);
        assert!(code.is_empty() || outcome.database_error().code == code, "{text}: {:?}", outcome.result);
    }
    assert_eq!(db.raw("c").await, [RawDocumentBuf::try_from(&doc! { "_id": 1, "a": "x" }).unwrap()]);
}

#[tokio::test]
async fn a_write_that_too_few_members_confirm_is_done_and_told() {
    let (db, _server) = Db::own().await;
    db.run(r#"{"create": "c", "capped": true, "size": 100000}"#).await.report();
    let error = doc! { "code": 64, "errmsg": "waiting for replication timed out" };
    let namespace = format!("{}.c", db.name);
    let data = doc! { "failCommands": ["createIndexes"], "writeConcernError": error, "namespace": namespace };
    db.fail(doc! { "times": 1 }, data).await;
    let outcome = db.run(r#"{"createIndexes": "c", "indexes": [{"key": {"a": 1}, "name": "a_1"}]}"#).await;
    let notices = &outcome.report().notices;
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert_eq!((notices[0].severity.as_str(), notices[0].code.as_str()), ("WARNING", "write_concern"));
    assert!(
        notices[0].message.contains("took effect") && notices[0].message.contains("timed out (code 64)"),
        "{notices:?}"
    );
}

fn script_order(db: &Db) -> ExecutionOrder {
    db.order_of(SubmissionText::parse("-").unwrap(), vec![])
}

#[tokio::test]
async fn a_document_that_is_too_large_is_refused_and_the_session_goes_on() {
    let db = Db::new().await;
    let mut session = db.executor.open(&script_order(&db), CancellationToken::new()).await.unwrap();
    let call = |text: String| {
        DatabaseCall::Query(ScriptStatement { text, parameters: vec![], in_transaction: false })
    };
    for megabytes in [17, 20, 60] {
        let large = format!(
            r#"{{"insert": "c", "documents": [{{"_id": 1, "v": "{}"}}]}}"#,
            "x".repeat(megabytes << 20)
        );
        match session.call(call(large)).await {
            Err(CallError::Database(error)) => {
                assert!(
                    error.message.len() < 1_000 && !error.message.is_empty(),
                    "{megabytes}: {}",
                    error.message.len()
                );
                assert!(error.message.contains("BSONObj size") || megabytes == 60, "{megabytes} {error:?}");
            }
            other => panic!("{megabytes}: {:.300}", format!("{other:?}")),
        }
        session
            .call(call(r#"{"ping": 1}"#.to_owned()))
            .await
            .unwrap_or_else(|error| panic!("{megabytes}: {error:?}"));
    }
    session.close().await.unwrap();
    assert_eq!(db.count("c").await, 0);
}

#[tokio::test]
async fn large_documents_pass_and_what_grows_beyond_the_greatest_size_is_told_so() {
    // They fill much of a small server's cache, in which others would have to wait.
    let (db, _server) = Db::own().await;
    let large = |n: i32| doc! { "_id": n, "v": "x".repeat(7 << 20) };
    for n in 0..3 {
        db.insert("c", vec![large(n)]).await;
    }
    let outcome = db.run(r#"{"find": "c"}"#).await;
    assert_eq!(outcome.report().statements[0].rows, 3);
    assert!(outcome.lines.iter().all(|line| line.len() > 7_000_000));
    for text in [
        r#"{"distinct": "c", "key": "v"}"#,
        r#"{"aggregate": "c", "pipeline": [{"$project": {"v": {"$concat": ["$v", "$v", "$v"]}}}], "cursor": {}}"#,
        r#"{"update": "c", "updates": [{"q": {"_id": 1}, "u": [{"$set": {"w": {"$concat": ["$v", "$v"]}}}]}]}"#,
    ] {
        let outcome = db.run(text).await;
        if outcome.result.is_err() {
            is_readable(&outcome);
            assert!(outcome.database_error().message.len() < 1_000, "{text}");
        }
    }
    let count =
        db.database().collection::<Document>("c").count_documents(doc! { "w": { "$exists": true } }).await;
    assert_eq!(count.unwrap(), 0);
}

#[tokio::test]
async fn a_result_that_is_too_large_to_keep_is_cut_and_says_so() {
    let db = Db::new().await;
    db.insert("c", (0..5_000).map(|n| doc! { "_id": n, "v": "x".repeat(100) }).collect()).await;
    let outcome = db.run_as(r#"{"find": "c"}"#, |order| order.limits.max_rows = 10).await;
    assert!(outcome.report().truncated() && outcome.lines.len() == 10);
    assert_eq!(outcome.report().statements[0].affected, None);
    let outcome = db.run_as(r#"{"find": "c"}"#, |order| order.limits.max_bytes = 10_000).await;
    assert!(
        outcome.report().truncated() && (50..100).contains(&outcome.lines.len()),
        "{}",
        outcome.lines.len()
    );
    let outcome = db.run_as(r#"{"distinct": "c", "key": "_id"}"#, |order| order.limits.max_rows = 7).await;
    assert!(outcome.report().truncated() && outcome.lines.len() == 7);
    db.is_quiet().await;
}

#[tokio::test]
async fn a_sink_that_keeps_nothing_undoes_the_write() {
    let db = Db::new().await;
    let order = db.order(r#"[{"insert": "c", "documents": [{"_id": 1}]}, {"find": "c"}]"#).await;
    let mut sink = testkit::fakes::CollectingSink::refusing();
    let result =
        domain::ports::TargetExecutor::execute(&*db.executor, &order, &mut sink, CancellationToken::new())
            .await;
    assert!(matches!(result, Err(ExecutionError::Sink(_))), "{result:?}");
    assert_eq!(db.count("c").await, 0);
    db.is_quiet().await;
}
