//! Scripts for MongoDB, with a session that answers from a list.

use bytes::Bytes;
use domain::execution::DatabaseError;
use domain::script::{CallAnswer, CallError, DatabaseCall, ScriptStatement};

use crate::harness::{Script, committed, in_turn, script};

/// The rows of an answer: documents, each a row of one value.
pub(super) fn documents(documents: &[&str]) -> CallAnswer {
    CallAnswer {
        rows: u32::try_from(documents.len()).unwrap(),
        ndjson: Bytes::from(documents.iter().flat_map(|d| ["[", *d, "]\n"]).collect::<String>()),
        done: true,
        ..CallAnswer::default()
    }
}

pub(super) fn opened() -> CallAnswer {
    CallAnswer { stream: Some(7), ..CallAnswer::default() }
}

pub(super) fn piece(all: &[&str], done: bool) -> CallAnswer {
    CallAnswer { done, ..documents(all) }
}

pub(super) fn mongodb(text: &str, answers: Vec<Result<CallAnswer, CallError>>) -> Script {
    script(text).for_mongodb().answers(in_turn(answers))
}

fn statement(text: &str, in_transaction: bool) -> ScriptStatement {
    ScriptStatement { text: text.to_owned(), parameters: vec![], in_transaction }
}

pub(super) fn query(text: &str) -> DatabaseCall {
    DatabaseCall::Query(statement(text, false))
}

pub(super) fn query_inside(text: &str) -> DatabaseCall {
    DatabaseCall::Query(statement(text, true))
}

pub(super) fn open(text: &str) -> DatabaseCall {
    DatabaseCall::Open(statement(text, false))
}

fn fetch(rows: u32) -> DatabaseCall {
    DatabaseCall::Fetch { stream: 7, rows }
}

pub(super) const CLOSE: DatabaseCall = DatabaseCall::Close { stream: 7 };
const FIND: &str = r#"{"find":"u","filter":{}}"#;

pub(super) fn duplicate_key() -> CallError {
    CallError::Database(DatabaseError {
        code: "DuplicateKey".to_owned(),
        number: Some(11_000),
        message: "E11000 duplicate key error".to_owned(),
        detail: Some("{ _id: 1 }".to_owned()),
        ..DatabaseError::default()
    })
}

#[tokio::test]
async fn a_find_is_read_piece_by_piece() {
    let seen = mongodb(
        "return db.u.find().toArray()",
        vec![
            Ok(opened()),
            Ok(piece(&[r#"{"_id":{"$numberInt":"1"}}"#, r#"{"_id":{"$numberInt":"2"}}"#], false)),
            Ok(piece(&[r#"{"_id":{"$numberInt":"3"}}"#], true)),
        ],
    )
    .run()
    .await;
    assert_eq!(seen.value(), r#"[{"_id":1},{"_id":2},{"_id":3}]"#);
    assert_eq!(seen.calls, [open(FIND), fetch(1000), fetch(1000)]);
}

#[tokio::test]
async fn a_returned_cursor_is_its_documents() {
    for text in ["return db.u.find()", "return await db.u.find().batchSize(5)"] {
        let answers = vec![Ok(opened()), Ok(piece(&[r#"{"a":"x"}"#], true))];
        assert_eq!(mongodb(text, answers).run().await.value(), r#"[{"a":"x"}]"#, "{text}");
    }
}

#[tokio::test]
async fn the_size_of_a_piece_is_the_batch_size() {
    let seen = mongodb(
        "for (const d of db.u.find().batchSize(2)) console.log(d); return 1",
        vec![Ok(opened()), Ok(piece(&[r#"{"a":{"$numberLong":"9007199254740993"}}"#], true))],
    )
    .run()
    .await;
    assert_eq!(seen.console(), ["log: { a: Long('9007199254740993') }"]);
    assert_eq!(seen.calls, [open(r#"{"find":"u","filter":{},"batchSize":{"$numberInt":"2"}}"#), fetch(2)]);
}

#[tokio::test]
async fn leaving_a_loop_early_closes_the_cursor() {
    let two = piece(&[r#"{"a":{"$numberInt":"1"}}"#, r#"{"a":{"$numberInt":"2"}}"#], false);
    for text in [
        "for (const d of db.u.find()) return d.a",
        "for await (const d of db.u.find()) return d.a",
        "try { for (const d of db.u.find()) throw d } catch (d) { return d.a }",
        "const c = db.u.find(); const d = c.next(); c.close(); return d.a",
        "let a; db.u.find().forEach(d => { a = d.a; return false }); return a",
    ] {
        let seen = mongodb(text, vec![Ok(opened()), Ok(two.clone()), Ok(CallAnswer::default())]).run().await;
        assert_eq!(seen.value(), "1", "{text}");
        assert_eq!(seen.calls, [open(FIND), fetch(1000), CLOSE], "{text}");
    }
}

#[tokio::test]
async fn cursors_are_read_in_every_way() {
    let text = "
        const out = [];
        for await (const d of db.u.find()) out.push(d.a);
        const c = db.u.find().map(d => d.a * 10);
        while (c.hasNext()) out.push(c.next());
        out.push(c.next(), c.tryNext(), c.isExhausted());
        await db.u.find().forEach(d => { out.push(-d.a) });
        out.push([...db.u.find()].length, db.u.find().itcount(), await (await db.u.find().toArray()).length);
        return out";
    let pieces = || {
        [
            Ok(opened()),
            Ok(piece(&[r#"{"a":{"$numberInt":"1"}}"#], false)),
            Ok(piece(&[r#"{"a":{"$numberInt":"2"}}"#], true)),
        ]
    };
    let seen = mongodb(text, (0..6).flat_map(|_| pieces()).collect()).run().await;
    assert_eq!(seen.value(), "[1,2,10,20,null,null,true,-1,-2,2,2,2]");
    assert_eq!(seen.calls.len(), 18);
}

#[tokio::test]
async fn what_is_known_to_be_short_is_one_call() {
    let seen = mongodb(
        "return [db.u.findOne(), db.u.findOne({ a: 1 }), db.u.find().limit(2).toArray(), db.u.countDocuments(), db.u.getIndexes(), db.getCollectionNames()]",
        vec![
            Ok(documents(&[r#"{"_id":{"$numberInt":"1"}}"#])),
            Ok(documents(&[])),
            Ok(documents(&["{}", "{}"])),
            Ok(documents(&[r#"{"_id":{"$numberInt":"1"},"n":{"$numberInt":"42"}}"#])),
            Ok(documents(&[r#"{"v":{"$numberInt":"2"},"key":{"_id":{"$numberInt":"1"}},"name":"_id_"}"#])),
            Ok(documents(&[r#"{"name":"b","type":"collection"}"#, r#"{"name":"a","type":"view"}"#])),
        ],
    )
    .run()
    .await;
    assert_eq!(
        seen.value(),
        r#"[{"_id":1},null,[{},{}],42,[{"v":2,"key":{"_id":1},"name":"_id_"}],["a","b"]]"#
    );
    assert!(seen.calls.iter().all(|call| matches!(call, DatabaseCall::Query(_))), "{:?}", seen.calls);
    assert_eq!(seen.calls[2], query(r#"{"find":"u","filter":{},"limit":{"$numberInt":"2"}}"#));
}

#[tokio::test]
async fn every_type_comes_in_goes_out_and_is_shown_as_the_shell_shows_it() {
    let document = r#"{"_id":{"$oid":"507f1f77bcf86cd799439011"},"i":{"$numberInt":"1"},"d":{"$numberDouble":"1.5"},"nan":{"$numberDouble":"NaN"},"zero":{"$numberDouble":"-0.0"},"l":{"$numberLong":"9007199254740993"},"dec":{"$numberDecimal":"1.10"},"at":{"$date":{"$numberLong":"-1"}},"far":{"$date":{"$numberLong":"8640000000000001"}},"b":{"$binary":{"base64":"/wA=","subType":"80"}},"u":{"$binary":{"base64":"ABEiM0RVZneImaq7zN3u/w==","subType":"04"}},"r":{"$regularExpression":{"pattern":"^a","options":"i"}},"x":{"$regularExpression":{"pattern":"a#b","options":"x"}},"t":{"$timestamp":{"t":4294967295,"i":1}},"c":{"$code":"f"},"cs":{"$code":"f","$scope":{"x":{"$numberInt":"1"}}},"s":{"$symbol":"s"},"min":{"$minKey":1},"max":{"$maxKey":1},"ref":{"$ref":"a.b","$id":{"$numberInt":"1"}},"n":null,"o":{"__proto__":{"$numberInt":"1"},"a":[{"$numberInt":"1"},"é"]}}"#;
    let text = "
        const d = db.u.findOne();
        console.log(d._id, d.i, d.d, d.zero, d.l, d.dec, d.at, d.b, d.u, d.r, d.x, d.t, d.c, d.cs, d.s, d.min, d.max);
        console.log(typeof d.i, d.l instanceof Long, d.at instanceof Date, d._id.toString(), Object.keys(d.o), d.r.test('Ab'));
        delete d.far;
        db.v.insertOne(d);
        return d";
    let answers = vec![
        Ok(documents(&[document])),
        Ok(documents(&[r#"{"n":{"$numberInt":"1"},"ok":{"$numberDouble":"1.0"}}"#])),
    ];
    let seen = mongodb(text, answers).run().await;
    assert_eq!(
        seen.console(),
        [
            "log: ObjectId('507f1f77bcf86cd799439011') 1 1.5 -0 Long('9007199254740993') Decimal128('1.10') \
             ISODate('1969-12-31T23:59:59.999Z') Binary.createFromBase64('/wA=', 128) \
             UUID('00112233-4455-6677-8899-aabbccddeeff') /^a/i BSONRegExp('a#b', 'x') Timestamp({ t: 4294967295, i: 1 }) \
             Code('f') Code('f', { x: 1 }) BSONSymbol('s') MinKey() MaxKey()",
            "log: number true true 507f1f77bcf86cd799439011 [ '__proto__', 'a' ] true",
        ]
    );
    let far = r#""far":{"$date":{"$numberLong":"8640000000000001"}},"#;
    let back = document.replace(far, "");
    let DatabaseCall::Query(ScriptStatement { text, .. }) = &seen.calls[1] else {
        panic!("{:?}", seen.calls)
    };
    assert_eq!(text, &format!(r#"{{"insert":"v","documents":[{back}]}}"#));
    let relaxed = back
        .replace(r#"{"$numberInt":"1"}"#, "1")
        .replace(r#"{"$numberDouble":"1.5"}"#, "1.5")
        .replace(r#"{"$numberDouble":"-0.0"}"#, "-0.0")
        .replace(r#"{"$numberLong":"9007199254740993"}"#, "9007199254740993");
    assert_eq!(seen.value(), relaxed);
}

#[tokio::test]
async fn writes_give_what_the_shell_gives() {
    let text = "
        const id = ObjectId('507f1f77bcf86cd799439011');
        return [
          db.u.insertOne({ _id: id }), db.u.insertMany([{ _id: 1 }, { _id: 2 }]),
          db.u.updateOne({}, { $set: { a: 1 } }), db.u.updateMany({}, { $set: { a: 1 } }, { upsert: true }),
          db.u.deleteMany({}), db.u.findOneAndUpdate({}, { $set: { a: 1 } }), db.u.findOneAndDelete({ b: 1 }),
          db.u.distinct('a'), db.u.estimatedDocumentCount(), db.u.createIndex({ a: 1 }), db.u.drop(), db.u.find({ a: 1 }).count(),
        ]";
    let seen = mongodb(
        text,
        vec![
            Ok(committed_with(r#"{"n":{"$numberInt":"1"},"ok":{"$numberDouble":"1.0"}}"#)),
            Ok(committed_with(r#"{"n":{"$numberInt":"2"}}"#)),
            Ok(committed_with(r#"{"n":{"$numberInt":"1"},"nModified":{"$numberInt":"0"}}"#)),
            Ok(committed_with(r#"{"n":{"$numberInt":"1"},"nModified":{"$numberInt":"0"},"upserted":[{"index":{"$numberInt":"0"},"_id":"new"}]}"#)),
            Ok(committed_with(r#"{"n":{"$numberLong":"3"}}"#)),
            Ok(committed_with(r#"{"value":{"_id":{"$numberInt":"1"}}}"#)),
            Ok(committed_with(r#"{"value":null}"#)),
            Ok(documents(&[r#"{"values":[{"$numberInt":"1"},"x"]}"#])),
            Ok(documents(&[r#"{"n":{"$numberInt":"9"}}"#])),
            Ok(committed_with(r#"{"numIndexesBefore":{"$numberInt":"1"}}"#)),
            Err(namespace_not_found()),
            Ok(documents(&[r#"{"n":{"$numberInt":"5"}}"#])),
        ],
    )
    .run()
    .await;
    assert_eq!(
        seen.value(),
        r#"[{"acknowledged":true,"insertedId":{"$oid":"507f1f77bcf86cd799439011"}},{"acknowledged":true,"insertedIds":{"0":1,"1":2}},{"acknowledged":true,"insertedId":null,"matchedCount":1,"modifiedCount":0,"upsertedCount":0,"upsertedId":null},{"acknowledged":true,"insertedId":"new","matchedCount":0,"modifiedCount":0,"upsertedCount":1,"upsertedId":"new"},{"acknowledged":true,"deletedCount":3},{"_id":1},null,[1,"x"],9,"a_1",false,5]"#
    );
    assert_eq!(seen.end.commits, 8);
}

fn committed_with(reply: &str) -> CallAnswer {
    CallAnswer { ndjson: documents(&[reply]).ndjson, rows: 1, done: true, ..committed() }
}

fn namespace_not_found() -> CallError {
    CallError::Database(DatabaseError {
        code: "NamespaceNotFound".to_owned(),
        number: Some(26),
        message: "ns not found".to_owned(),
        ..DatabaseError::default()
    })
}

#[tokio::test]
async fn a_bulk_write_is_several_calls_and_one_result() {
    let text = "return db.u.bulkWrite([
        { insertOne: { document: { _id: 1 } } }, { updateOne: { filter: { a: 1 }, update: { $set: { b: 1 } }, upsert: true } },
        { updateMany: { filter: {}, update: { $set: { c: 1 } } } }, { deleteMany: { filter: { z: 1 } } }])";
    let answers = vec![
        Ok(committed_with(r#"{"n":{"$numberInt":"1"}}"#)),
        Ok(committed_with(
            r#"{"n":{"$numberInt":"4"},"nModified":{"$numberInt":"2"},"upserted":[{"index":{"$numberInt":"0"},"_id":"up"}]}"#,
        )),
        Ok(committed_with(r#"{"n":{"$numberInt":"5"}}"#)),
    ];
    let seen = mongodb(text, answers).run().await;
    assert_eq!(
        seen.value(),
        r#"{"acknowledged":true,"insertedCount":1,"insertedIds":{"0":1},"matchedCount":3,"modifiedCount":2,"deletedCount":5,"upsertedCount":1,"upsertedIds":{"1":"up"}}"#
    );
    assert_eq!(seen.end.commits, 3);
}

#[tokio::test]
async fn commands_answer_as_the_server_does() {
    let text = "
        const listed = db.runCommand({ find: 'u', limit: 1 });
        return [db.runCommand({ ping: 1 }), db.adminCommand('hello').ok, listed.cursor.firstBatch, listed.ok, db.getName(), db.u.getFullName()]";
    let answers = vec![
        Ok(documents(&[r#"{"a":{"$numberInt":"1"}}"#])),
        Ok(documents(&[r#"{"ok":{"$numberDouble":"1.0"}}"#])),
        Ok(documents(&[r#"{"ok":{"$numberDouble":"1.0"}}"#])),
    ];
    let seen = mongodb(text, answers).run().await;
    assert_eq!(seen.value(), r#"[{"ok":1},1,[{"a":1}],1,"app","app.u"]"#);
    assert_eq!(seen.calls[2], query(r#"{"hello":{"$numberInt":"1"},"$db":"admin"}"#));
}

#[tokio::test]
async fn a_pipeline_that_writes_runs_without_being_read() {
    let seen = mongodb("db.u.aggregate([{ $out: 'v' }]); db.u.find(); return 1", vec![Ok(documents(&[]))])
        .run()
        .await;
    assert_eq!(seen.value(), "1");
    assert_eq!(seen.calls.len(), 1, "a find that nobody reads is not run: {:?}", seen.calls);
}

#[tokio::test]
async fn explanations_are_what_the_server_gives() {
    let text = "
        return [db.u.find({}).explain(), db.u.explain().deleteMany({}), db.u.explain().find().toArray(), db.u.explain().aggregate([]).next(),
                db.u.explain().find().count()]";
    let plan = || Ok(documents(&[r#"{"queryPlanner":{"namespace":"app.u"},"ok":{"$numberDouble":"1.0"}}"#]));
    let seen = mongodb(text, (0..5).map(|_| plan()).collect()).run().await;
    let one = r#"{"queryPlanner":{"namespace":"app.u"},"ok":1}"#;
    assert_eq!(seen.value(), format!("[{one},{one},[{one}],{one},{one}]"));
    assert!(
        seen.calls
            .iter()
            .all(|call| matches!(call, DatabaseCall::Query(s) if s.text.starts_with(r#"{"explain":"#))),
        "{:?}",
        seen.calls
    );
    let returned = mongodb("return db.u.explain().find()", vec![plan()]).run().await;
    assert_eq!(returned.value(), one);
}
