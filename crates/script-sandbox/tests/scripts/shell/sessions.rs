//! Sessions and transactions of scripts for MongoDB.

use domain::script::{CallAnswer, CallError, DatabaseCall};

use super::running::{documents, duplicate_key, mongodb, query, query_inside};
use crate::harness::refusal;

const INSERT: &str = r#"{"insert":"u","documents":[{"_id":{"$numberInt":"1"}}]}"#;

fn done() -> CallAnswer {
    documents(&[r#"{"n":{"$numberInt":"1"}}"#])
}

/// Runs a script after `const session = …`, with an answer that is good enough for each call.
async fn calls_of(text: &str, answers: Vec<Result<CallAnswer, CallError>>) -> (Vec<DatabaseCall>, String) {
    let text = format!(
        "const session = db.getMongo().startSession(); const u = session.getDatabase('app').u;\n{text}"
    );
    let seen = mongodb(&text, answers).run().await;
    (seen.calls.clone(), seen.value())
}

#[tokio::test]
async fn what_happens_in_a_transaction_says_so() {
    let text = "
        session.startTransaction();
        u.insertOne({ _id: 1 });
        db.collection('u').insertOne({ _id: 1 }, { session });
        db.u.insertOne({ _id: 1 });
        session.commitTransaction();
        u.insertOne({ _id: 1 });
        session.endSession();
        return [session.inTransaction(), session.hasEnded()]";
    let (calls, value) = calls_of(text, (0..6).map(|_| Ok(done())).collect()).await;
    assert_eq!(value, "[false,true]");
    assert_eq!(
        calls,
        [
            DatabaseCall::Begin,
            query_inside(INSERT),
            query_inside(INSERT),
            query(INSERT),
            DatabaseCall::Commit,
            query(INSERT),
        ]
    );
}

#[tokio::test]
async fn a_callback_is_committed_or_undone() {
    for text in [
        "return session.withTransaction(() => { u.insertOne({ _id: 1 }); return 7 })",
        "return await session.withTransaction(async () => { await u.insertOne({ _id: 1 }); return 7 })",
    ] {
        let (calls, value) = calls_of(text, (0..3).map(|_| Ok(done())).collect()).await;
        assert_eq!(value, "7", "{text}");
        assert_eq!(calls, [DatabaseCall::Begin, query_inside(INSERT), DatabaseCall::Commit], "{text}");
    }
    for text in [
        "try { session.withTransaction(() => { u.insertOne({ _id: 1 }); throw 'mine' }) } catch (e) { return e }",
        "try { await session.withTransaction(async () => { u.insertOne({ _id: 1 }); throw 'mine' }) } catch (e) { return e }",
    ] {
        let (calls, value) = calls_of(text, (0..3).map(|_| Ok(done())).collect()).await;
        assert_eq!(value, r#""mine""#, "{text}");
        assert_eq!(calls, [DatabaseCall::Begin, query_inside(INSERT), DatabaseCall::Rollback], "{text}");
    }
}

#[tokio::test]
async fn a_commit_that_was_refused_is_undone_and_one_that_failed_is_over() {
    let text =
        "try { session.withTransaction(() => 1) } catch (e) { return [e.code, session.inTransaction()] }";
    let (calls, value) = calls_of(text, vec![Ok(done()), Err(refusal()), Ok(done())]).await;
    assert_eq!(value, r#"["transaction_control",false]"#);
    assert_eq!(calls, [DatabaseCall::Begin, DatabaseCall::Commit, DatabaseCall::Rollback]);
    let (calls, value) = calls_of(text, vec![Ok(done()), Err(duplicate_key())]).await;
    assert_eq!(value, "[11000,false]");
    assert_eq!(calls, [DatabaseCall::Begin, DatabaseCall::Commit]);
}

#[tokio::test]
async fn there_is_one_transaction_at_a_time_and_none_without_a_beginning() {
    let text = "
        const said = [];
        const tell = (work) => { try { work() } catch (e) { said.push(e.message) } };
        tell(() => session.commitTransaction());
        session.startTransaction();
        tell(() => db.getMongo().startSession().startTransaction());
        tell(() => session.startTransaction());
        session.abortTransaction();
        session.endSession();
        tell(() => session.startTransaction());
        tell(() => u.insertOne({ _id: 1 }));
        return said";
    let (calls, value) = calls_of(text, vec![Ok(done()), Ok(done())]).await;
    assert_eq!(
        value,
        "[\"no transaction is open in this session\",\"a transaction is open already; a script has one at a time\",\
         \"a transaction is open already; a script has one at a time\",\"the session has ended\",\
         \"session.getDatabase('app').u.insertOne: the session has ended\"]"
    );
    assert_eq!(calls, [DatabaseCall::Begin, DatabaseCall::Rollback]);
}

#[tokio::test]
async fn cursors_of_a_transaction_are_read_in_it() {
    let opened = CallAnswer { stream: Some(1), ..CallAnswer::default() };
    let text = "session.startTransaction(); const n = u.find().toArray().length; session.abortTransaction(); return n";
    let (calls, value) =
        calls_of(text, vec![Ok(done()), Ok(opened), Ok(documents(&["{}", "{}"])), Ok(done())]).await;
    assert_eq!(value, "2");
    let DatabaseCall::Open(statement) = &calls[1] else { panic!("{calls:?}") };
    assert!(statement.in_transaction);
}

#[tokio::test]
async fn what_is_open_at_the_end_is_told_as_undone() {
    let text = "const s = db.getMongo().startSession(); s.startTransaction(); return 1";
    let seen = mongodb(text, vec![Ok(done())]).run().await;
    assert_eq!(seen.value(), "1");
    assert!(seen.end.undone);
}
