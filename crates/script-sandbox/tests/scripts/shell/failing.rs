//! Scripts for MongoDB that fail, are stopped, or ask for what is not there.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::script::{CallAnswer, LogEntry, ScriptOutcome};

use super::running::{CLOSE, documents, duplicate_key, mongodb, opened, piece};
use crate::harness::{refusal, script};

#[tokio::test]
async fn errors_of_the_server_can_be_caught_and_have_their_code() {
    let text = "
        try { db.u.insertOne({ _id: 1 }) } catch (e) {
          return [e.name, e.code, e.codeName, e.message, e.detail, e.refused, e instanceof MongoServerError, e instanceof DatabaseError]
        }";
    let seen = mongodb(text, vec![Err(duplicate_key())]).run().await;
    assert_eq!(
        seen.value(),
        r#"["MongoServerError",11000,"DuplicateKey","E11000 duplicate key error","{ _id: 1 }",false,true,true]"#
    );
    let text = "try { db.u.drop() } catch (e) { return [e.name, e.code, e.message, e.refused, e instanceof DatabaseError] }";
    let seen = mongodb(text, vec![Err(refusal())]).run().await;
    assert_eq!(
        seen.value(),
        r#"["DatabaseError","transaction_control","COMMIT may not be submitted.",true,true]"#
    );
}

#[tokio::test]
async fn uncaught_errors_lead_to_the_servers_words_and_the_line() {
    for (text, answers, place) in [
        ("const a = 1;\n  db.u.insertOne({ _id: 1 })", vec![Err(duplicate_key())], (2, 8)),
        (
            "function f() {\n  return db.getSiblingDB('x').getCollection('u').deleteMany({})\n}\n[1].map(() => f())",
            vec![Err(duplicate_key())],
            (2, 50),
        ),
        (
            "\nfor (const d of db.u.find()) {}",
            vec![Ok(opened()), Err(duplicate_key()), Ok(CallAnswer::default())],
            (2, 12),
        ),
        ("db.u.find()\n  .toArray()", vec![Err(duplicate_key())], (2, 4)),
    ] {
        let seen = mongodb(text, answers).run().await;
        let error = seen.error();
        assert_eq!(error.message, "MongoServerError: E11000 duplicate key error", "{text}");
        let server = error.database_error.as_ref().unwrap();
        assert_eq!((server.code.as_str(), server.number), ("DuplicateKey", Some(11_000)), "{text}");
        assert_eq!(error.position.map(|p| (p.line, p.column)), Some(place), "{text}: {}", error.stack);
    }
}

#[tokio::test]
async fn a_fetch_that_fails_ends_its_cursor() {
    let text = "const c = db.u.find(); try { c.toArray() } catch (e) { return [e.code, c.isExhausted()] }";
    let answers = vec![Ok(opened()), Ok(piece(&["{}"], false)), Err(duplicate_key()), Err(refusal())];
    let seen = mongodb(text, answers).run().await;
    assert_eq!(seen.value(), "[11000,true]");
    assert_eq!(seen.calls[3], CLOSE);
}

#[tokio::test]
async fn mistakes_in_scripts_are_errors_that_name_what_there_is() {
    for (text, said) in [
        ("db.u.findd()", "TypeError: db.u.findd is not a function of a collection; there are: find,"),
        ("db.u.deleteMany()", "write {} if every document is meant"),
        ("db.u.insertOne({ a: db.v.find() })", "take its documents with toArray() or next()"),
        ("db.u.insertOne({ a: ({}).missing })", "documents[0].a is undefined"),
        ("const c = db.u.find(); c.hasNext(); c.sort({ a: 1 })", "the cursor is in use"),
        ("db.u.insertOne({ s: 'x'.repeat(9e6) })", "longer than 8 MiB"),
        ("db.u.find({}, {}, { session: {} })", "the option session takes what startSession() gave"),
    ] {
        let seen = script(text).for_mongodb().answers(|_| Ok(documents(&[]))).run().await;
        assert!(seen.error().message.contains(said), "{text}: {}", seen.error().message);
    }
}

#[tokio::test]
async fn awaiting_anything_of_the_shell_is_harmless() {
    let text = "
        const d = await db, c = await db.u, f = await db.u.find().limit(1), s = await db.getMongo().startSession();
        return [String(d), String(c), (await f.toArray()).length, await db.getName(), typeof (await s).startTransaction]";
    let seen = mongodb(text, vec![Ok(documents(&["{}"]))]).run().await;
    assert_eq!(seen.value(), r#"["app","app.u",1,"app","function"]"#);
}

#[tokio::test]
async fn a_script_makes_no_more_calls_than_it_may() {
    let calls = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&calls);
    let text = "let n = 0; try { for (;;) { db.runCommand({ ping: 1 }); n += 1 } } catch (e) { return [n, e.message] }";
    let seen = script(text)
        .for_mongodb()
        .answers(move |_| {
            *counted.lock().unwrap() += 1;
            Ok(documents(&[r#"{"ok":{"$numberDouble":"1.0"}}"#]))
        })
        .run()
        .await;
    assert_eq!(seen.value(), r#"[10000,"a script makes no more than 10000 database calls"]"#);
    assert_eq!(*calls.lock().unwrap(), 10_000);
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_stopped_with_its_script() {
    let seen = script("db.u.deleteMany({})")
        .for_mongodb()
        .timeout(Duration::from_millis(400))
        .pace(Duration::from_mins(1))
        .run()
        .await;
    assert!(matches!(seen.end.outcome, ScriptOutcome::TimedOut), "{:?}", seen.end);
    let [LogEntry::Call(record)] = seen.log.as_slice() else { panic!("{:?}", seen.log) };
    assert_eq!(
        record.statement.as_deref(),
        Some(r#"{"delete":"u","deletes":[{"q":{},"limit":{"$numberInt":"0"}}]}"#)
    );
    assert_eq!(record.error.as_deref(), Some("cancelled"));
}

#[tokio::test]
async fn a_cursor_that_piles_up_runs_out_of_memory_by_itself() {
    let document = format!(r#"{{"s":"{}"}}"#, "x".repeat(4_000));
    let many = vec![document.as_str(); 500];
    let many = piece(&many, false);
    let seen = script("return db.u.find().toArray()")
        .for_mongodb()
        .answers(move |call| match call {
            domain::script::DatabaseCall::Open(_) => Ok(opened()),
            _ => Ok(many.clone()),
        })
        .run()
        .await;
    assert!(matches!(seen.end.outcome, ScriptOutcome::OutOfMemory { .. }), "{:?}", seen.end);
}
