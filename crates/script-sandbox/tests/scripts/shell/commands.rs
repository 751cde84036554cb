//! Texts as people type them into the shell, and the command that each comes to, to the letter.

use super::{come_to, runner};
use crate::harness::evaluate_on;

#[tokio::test]
async fn reads_come_to_their_commands() {
    come_to(&[
        ("db.users.find()", r#"{"find":"users","filter":{}}"#),
        ("db.users.find({});", r#"{"find":"users","filter":{}}"#),
        ("// all of them\ndb.users.find( ) // really\n;\n", r#"{"find":"users","filter":{}}"#),
        ("/* a */ db.users.find() /* b */", r#"{"find":"users","filter":{}}"#),
        ("db.users.find({ age: { $gt: 30 } }).sort({ age: -1 }).limit(5)", r#"{"find":"users","filter":{"age":{"$gt":{"$numberInt":"30"}}},"sort":{"age":{"$numberInt":"-1"}},"limit":{"$numberInt":"5"}}"#),
        (r#"db.users.find({ name: 'O\'Neil', tags: { $in: ["a", 'b'] } }, { name: 1, _id: 0 })"#, r#"{"find":"users","filter":{"name":"O'Neil","tags":{"$in":["a","b"]}},"projection":{"name":{"$numberInt":"1"},"_id":{"$numberInt":"0"}}}"#),
        ("db.users.find({ $or: [{ a: 1 }, { b: { $exists: false } }] }).skip(10).limit(20).toArray()", r#"{"find":"users","filter":{"$or":[{"a":{"$numberInt":"1"}},{"b":{"$exists":false}}]},"skip":{"$numberInt":"10"},"limit":{"$numberInt":"20"}}"#),
        ("db.users.find().project({ name: 1 }).pretty()", r#"{"find":"users","filter":{},"projection":{"name":{"$numberInt":"1"}}}"#),
        ("db.users.find({}, {}, { sort: { a: 1 }, limit: 3, collation: { locale: 'de' } })", r#"{"find":"users","filter":{},"sort":{"a":{"$numberInt":"1"}},"projection":{},"limit":{"$numberInt":"3"},"collation":{"locale":"de"}}"#),
        ("db.users.find().hint('age_1').maxTimeMS(500).comment('why').batchSize(50)", r#"{"find":"users","filter":{},"hint":"age_1","batchSize":{"$numberInt":"50"},"comment":"why","maxTimeMS":{"$numberInt":"500"}}"#),
        (r#"db.users.find().hint({ age: 1 }).collation({ locale: "en", strength: 2 }).allowDiskUse()"#, r#"{"find":"users","filter":{},"hint":{"age":{"$numberInt":"1"}},"collation":{"locale":"en","strength":{"$numberInt":"2"}},"allowDiskUse":true}"#),
        ("db.users.find().min({ age: 1 }).max({ age: 9 }).hint({ age: 1 }).returnKey().showRecordId()", r#"{"find":"users","filter":{},"hint":{"age":{"$numberInt":"1"}},"min":{"age":{"$numberInt":"1"}},"max":{"age":{"$numberInt":"9"}},"returnKey":true,"showRecordId":true}"#),
        ("db.users.find().readConcern('majority')", r#"{"find":"users","filter":{},"readConcern":{"level":"majority"}}"#),
        ("db.users.find().limit(-3)", r#"{"find":"users","filter":{},"limit":{"$numberInt":"3"},"singleBatch":true}"#),
        ("db.users.find().limit(0)", r#"{"find":"users","filter":{}}"#),
        ("db.users.find().itcount()", r#"{"find":"users","filter":{}}"#),
        ("db.users.find({ a: 1 }).count()", r#"{"count":"users","query":{"a":{"$numberInt":"1"}}}"#),
        ("db.users.find({ a: 1 }).skip(2).limit(3).size()", r#"{"count":"users","query":{"a":{"$numberInt":"1"}},"limit":{"$numberInt":"3"},"skip":{"$numberInt":"2"}}"#),
        ("db.users.findOne()", r#"{"find":"users","filter":{},"limit":{"$numberInt":"1"},"singleBatch":true}"#),
        ("db.users.findOne({ _id: ObjectId('507f1f77bcf86cd799439011') }, { name: 1 })", r#"{"find":"users","filter":{"_id":{"$oid":"507f1f77bcf86cd799439011"}},"projection":{"name":{"$numberInt":"1"}},"limit":{"$numberInt":"1"},"singleBatch":true}"#),
        ("db.users.findOne({ a: 1 }, null, { sort: { b: -1 } })", r#"{"find":"users","filter":{"a":{"$numberInt":"1"}},"sort":{"b":{"$numberInt":"-1"}},"limit":{"$numberInt":"1"},"singleBatch":true}"#),
        ("db.users.countDocuments()", r#"{"aggregate":"users","pipeline":[{"$match":{}},{"$group":{"_id":{"$numberInt":"1"},"n":{"$sum":{"$numberInt":"1"}}}}],"cursor":{}}"#),
        ("db.users.countDocuments({ a: 1 }, { skip: 2, limit: 3, hint: 'a_1' })", r#"{"aggregate":"users","pipeline":[{"$match":{"a":{"$numberInt":"1"}}},{"$skip":{"$numberInt":"2"}},{"$limit":{"$numberInt":"3"}},{"$group":{"_id":{"$numberInt":"1"},"n":{"$sum":{"$numberInt":"1"}}}}],"cursor":{},"hint":"a_1"}"#),
        ("db.users.estimatedDocumentCount()", r#"{"count":"users"}"#),
        ("db.users.estimatedDocumentCount({ maxTimeMS: 100 })", r#"{"count":"users","maxTimeMS":{"$numberInt":"100"}}"#),
        ("db.users.count({ a: 1 })", r#"{"count":"users","query":{"a":{"$numberInt":"1"}}}"#),
        ("db.users.distinct('country')", r#"{"distinct":"users","key":"country","query":{}}"#),
        ("db.users.distinct('country', { age: { $gte: 18 } }, { collation: { locale: 'fr' } })", r#"{"distinct":"users","key":"country","query":{"age":{"$gte":{"$numberInt":"18"}}},"collation":{"locale":"fr"}}"#),
        ("db.users.aggregate()", r#"{"aggregate":"users","pipeline":[],"cursor":{}}"#),
        ("db.users.aggregate([{ $match: { a: 1 } }, { $group: { _id: '$b', n: { $sum: 1 } } }])", r#"{"aggregate":"users","pipeline":[{"$match":{"a":{"$numberInt":"1"}}},{"$group":{"_id":"$b","n":{"$sum":{"$numberInt":"1"}}}}],"cursor":{}}"#),
        ("db.users.aggregate({ $match: { a: 1 } }, { $limit: 2 })", r#"{"aggregate":"users","pipeline":[{"$match":{"a":{"$numberInt":"1"}}},{"$limit":{"$numberInt":"2"}}],"cursor":{}}"#),
        ("db.users.aggregate([{ $sort: { a: 1 } }], { allowDiskUse: true, cursor: { batchSize: 7 }, let: { x: 1 } })", r#"{"aggregate":"users","pipeline":[{"$sort":{"a":{"$numberInt":"1"}}}],"cursor":{"batchSize":{"$numberInt":"7"}},"allowDiskUse":true,"let":{"x":{"$numberInt":"1"}}}"#),
        ("db.users.aggregate([{ $match: {} }]).sort({ a: 1 }).limit(2).toArray()", r#"{"aggregate":"users","pipeline":[{"$match":{}},{"$sort":{"a":{"$numberInt":"1"}}},{"$limit":{"$numberInt":"2"}}],"cursor":{}}"#),
        ("db.users.aggregate([{ $match: { a: 1 } }, { $out: 'b' }])", r#"{"aggregate":"users","pipeline":[{"$match":{"a":{"$numberInt":"1"}}},{"$out":"b"}],"cursor":{}}"#),
        ("db.aggregate([{ $documents: [{ a: 1 }] }])", r#"{"aggregate":{"$numberInt":"1"},"pipeline":[{"$documents":[{"a":{"$numberInt":"1"}}]}],"cursor":{}}"#),
    ])
    .await;
}

#[tokio::test]
async fn writes_come_to_their_commands() {
    come_to(&[
        ("db.users.insertOne({ _id: 1, name: 'Ada' })", r#"{"insert":"users","documents":[{"_id":{"$numberInt":"1"},"name":"Ada"}]}"#),
        ("db.users.insertMany([{ _id: 1 }, { _id: 2 }])", r#"{"insert":"users","documents":[{"_id":{"$numberInt":"1"}},{"_id":{"$numberInt":"2"}}]}"#),
        ("db.users.insertMany([{ _id: 1 }], { ordered: false, writeConcern: { w: 'majority' }, comment: 'c' })", r#"{"insert":"users","documents":[{"_id":{"$numberInt":"1"}}],"ordered":false,"comment":"c","writeConcern":{"w":"majority"}}"#),
        ("db.users.updateOne({ _id: 1 }, { $set: { a: 1 }, $inc: { n: 1 } })", r#"{"update":"users","updates":[{"q":{"_id":{"$numberInt":"1"}},"u":{"$set":{"a":{"$numberInt":"1"}},"$inc":{"n":{"$numberInt":"1"}}}}]}"#),
        ("db.users.updateMany({ a: 1 }, { $unset: { b: '' } }, { upsert: true })", r#"{"update":"users","updates":[{"q":{"a":{"$numberInt":"1"}},"u":{"$unset":{"b":""}},"multi":true,"upsert":true}]}"#),
        ("db.users.updateMany({}, [{ $set: { a: '$b' } }])", r#"{"update":"users","updates":[{"q":{},"u":[{"$set":{"a":"$b"}}],"multi":true}]}"#),
        ("db.users.updateOne({ a: 1 }, { $set: { 'g.$[x]': 100 } }, { arrayFilters: [{ x: { $gte: 100 } }], hint: 'a_1', let: { y: 1 } })", r#"{"update":"users","updates":[{"q":{"a":{"$numberInt":"1"}},"u":{"$set":{"g.$[x]":{"$numberInt":"100"}}},"arrayFilters":[{"x":{"$gte":{"$numberInt":"100"}}}],"hint":"a_1"}],"let":{"y":{"$numberInt":"1"}}}"#),
        ("db.users.replaceOne({ _id: 1 }, { name: 'Bo' }, { upsert: true })", r#"{"update":"users","updates":[{"q":{"_id":{"$numberInt":"1"}},"u":{"name":"Bo"},"upsert":true}]}"#),
        ("db.users.deleteOne({ _id: 1 })", r#"{"delete":"users","deletes":[{"q":{"_id":{"$numberInt":"1"}},"limit":{"$numberInt":"1"}}]}"#),
        ("db.users.deleteMany({})", r#"{"delete":"users","deletes":[{"q":{},"limit":{"$numberInt":"0"}}]}"#),
        ("db.users.deleteMany({ a: 1 }, { collation: { locale: 'en' }, hint: { a: 1 } })", r#"{"delete":"users","deletes":[{"q":{"a":{"$numberInt":"1"}},"limit":{"$numberInt":"0"},"collation":{"locale":"en"},"hint":{"a":{"$numberInt":"1"}}}]}"#),
        ("db.users.findOneAndUpdate({ a: 1 }, { $inc: { n: 1 } }, { returnDocument: 'after', sort: { b: 1 }, projection: { n: 1 }, upsert: true })", r#"{"findAndModify":"users","query":{"a":{"$numberInt":"1"}},"sort":{"b":{"$numberInt":"1"}},"update":{"$inc":{"n":{"$numberInt":"1"}}},"new":true,"fields":{"n":{"$numberInt":"1"}},"upsert":true}"#),
        ("db.users.findOneAndUpdate({ a: 1 }, { $inc: { n: 1 } }, { returnNewDocument: true })", r#"{"findAndModify":"users","query":{"a":{"$numberInt":"1"}},"update":{"$inc":{"n":{"$numberInt":"1"}}},"new":true}"#),
        ("db.users.findOneAndReplace({ a: 1 }, { b: 2 }, { returnDocument: 'before' })", r#"{"findAndModify":"users","query":{"a":{"$numberInt":"1"}},"update":{"b":{"$numberInt":"2"}}}"#),
        ("db.users.findOneAndDelete({ a: 1 }, { sort: { b: -1 }, maxTimeMS: 5 })", r#"{"findAndModify":"users","query":{"a":{"$numberInt":"1"}},"sort":{"b":{"$numberInt":"-1"}},"remove":true,"maxTimeMS":{"$numberInt":"5"}}"#),
        ("db.users.bulkWrite([{ insertOne: { document: { _id: 1 } } }, { insertOne: { document: { _id: 2 } } }], { ordered: false })", r#"{"insert":"users","documents":[{"_id":{"$numberInt":"1"}},{"_id":{"$numberInt":"2"}}],"ordered":false}"#),
    ])
    .await;
}

#[tokio::test]
async fn what_is_about_collections_comes_to_its_commands() {
    come_to(&[
        ("db.users.createIndex({ a: 1 })", r#"{"createIndexes":"users","indexes":[{"key":{"a":{"$numberInt":"1"}},"name":"a_1"}]}"#),
        ("db.users.createIndex({ a: 1, 'b.c': -1 }, { unique: true, name: 'mine', partialFilterExpression: { a: { $gt: 5 } } })", r#"{"createIndexes":"users","indexes":[{"key":{"a":{"$numberInt":"1"},"b.c":{"$numberInt":"-1"}},"name":"mine","unique":true,"partialFilterExpression":{"a":{"$gt":{"$numberInt":"5"}}}}]}"#),
        ("db.users.createIndex({ place: '2dsphere', t: 'text' }, { background: true, expireAfterSeconds: 60 })", r#"{"createIndexes":"users","indexes":[{"key":{"place":"2dsphere","t":"text"},"name":"place_2dsphere_t_text","expireAfterSeconds":{"$numberInt":"60"},"background":true}]}"#),
        ("db.users.createIndexes([{ a: 1 }, { b: 'hashed' }], { sparse: true })", r#"{"createIndexes":"users","indexes":[{"key":{"a":{"$numberInt":"1"}},"name":"a_1","sparse":true},{"key":{"b":"hashed"},"name":"b_hashed","sparse":true}]}"#),
        ("db.users.createIndex({ a: 1 }, {}, 'majority')", r#"{"createIndexes":"users","indexes":[{"key":{"a":{"$numberInt":"1"}},"name":"a_1"}],"commitQuorum":"majority"}"#),
        ("db.users.dropIndex('a_1')", r#"{"dropIndexes":"users","index":"a_1"}"#),
        ("db.users.dropIndex({ a: 1 })", r#"{"dropIndexes":"users","index":{"a":{"$numberInt":"1"}}}"#),
        ("db.users.dropIndexes()", r#"{"dropIndexes":"users","index":"*"}"#),
        ("db.users.dropIndexes(['a_1', 'b_1'])", r#"{"dropIndexes":"users","index":["a_1","b_1"]}"#),
        ("db.users.getIndexes()", r#"{"listIndexes":"users","cursor":{}}"#),
        ("db.users.drop()", r#"{"drop":"users"}"#),
        ("db.users.stats()", r#"{"collStats":"users"}"#),
        ("db.users.stats({ scale: 1024 })", r#"{"collStats":"users","scale":{"$numberInt":"1024"}}"#),
        ("db.users.stats(1024)", r#"{"collStats":"users","scale":{"$numberInt":"1024"}}"#),
        ("db.users.find({ a: 1 }).explain()", r#"{"explain":{"find":"users","filter":{"a":{"$numberInt":"1"}}},"verbosity":"queryPlanner"}"#),
        ("db.users.find({ a: 1 }).sort({ a: 1 }).explain('executionStats')", r#"{"explain":{"find":"users","filter":{"a":{"$numberInt":"1"}},"sort":{"a":{"$numberInt":"1"}}},"verbosity":"executionStats"}"#),
        ("db.users.explain().find({ a: 1 }).limit(2)", r#"{"explain":{"find":"users","filter":{"a":{"$numberInt":"1"}},"limit":{"$numberInt":"2"}},"verbosity":"queryPlanner"}"#),
        ("db.users.explain('executionStats').aggregate([{ $match: { a: 1 } }])", r#"{"explain":{"aggregate":"users","pipeline":[{"$match":{"a":{"$numberInt":"1"}}}],"cursor":{}},"verbosity":"executionStats"}"#),
        ("db.users.explain(true).updateMany({}, { $set: { a: 1 } })", r#"{"explain":{"update":"users","updates":[{"q":{},"u":{"$set":{"a":{"$numberInt":"1"}}},"multi":true}]},"verbosity":"allPlansExecution"}"#),
        ("db.users.explain().deleteOne({ a: 1 })", r#"{"explain":{"delete":"users","deletes":[{"q":{"a":{"$numberInt":"1"}},"limit":{"$numberInt":"1"}}]},"verbosity":"queryPlanner"}"#),
        ("db.users.explain().count({ a: 1 })", r#"{"explain":{"count":"users","query":{"a":{"$numberInt":"1"}}},"verbosity":"queryPlanner"}"#),
        ("db.users.explain().distinct('a')", r#"{"explain":{"distinct":"users","key":"a","query":{}},"verbosity":"queryPlanner"}"#),
        ("db.users.explain().findOneAndDelete({ a: 1 })", r#"{"explain":{"findAndModify":"users","query":{"a":{"$numberInt":"1"}},"remove":true},"verbosity":"queryPlanner"}"#),
        ("db.users.aggregate([]).explain()", r#"{"explain":{"aggregate":"users","pipeline":[],"cursor":{}},"verbosity":"queryPlanner"}"#),
        ("db.users.aggregate([{ $match: {} }], { explain: true })", r#"{"explain":{"aggregate":"users","pipeline":[{"$match":{}}],"cursor":{}},"verbosity":"allPlansExecution"}"#),
        ("db.getCollectionNames()", r#"{"listCollections":{"$numberInt":"1"},"nameOnly":true,"authorizedCollections":true,"cursor":{}}"#),
        ("db.getCollectionInfos({ name: /^u/ }, { nameOnly: true })", r#"{"listCollections":{"$numberInt":"1"},"filter":{"name":{"$regularExpression":{"pattern":"^u","options":""}}},"nameOnly":true,"cursor":{}}"#),
        ("db.createCollection('logs', { capped: true, size: 4096 })", r#"{"create":"logs","capped":true,"size":{"$numberInt":"4096"}}"#),
        ("db.createView('adults', 'users', [{ $match: { age: { $gte: 18 } } }])", r#"{"create":"adults","viewOn":"users","pipeline":[{"$match":{"age":{"$gte":{"$numberInt":"18"}}}}]}"#),
        ("db.stats()", r#"{"dbStats":{"$numberInt":"1"}}"#),
        ("db.version()", r#"{"buildInfo":{"$numberInt":"1"}}"#),
        ("db.hello()", r#"{"hello":{"$numberInt":"1"}}"#),
    ])
    .await;
}

#[tokio::test]
async fn names_are_found() {
    come_to(&[
        ("db.runCommand({ ping: 1 })", r#"{"ping":{"$numberInt":"1"}}"#),
        ("db.runCommand('ping')", r#"{"ping":{"$numberInt":"1"}}"#),
        ("db.runCommand({ find: 'users', filter: { a: 1 }, limit: 1 })", r#"{"find":"users","filter":{"a":{"$numberInt":"1"}},"limit":{"$numberInt":"1"}}"#),
        ("db.adminCommand({ listDatabases: 1 })", r#"{"listDatabases":{"$numberInt":"1"},"$db":"admin"}"#),
        ("db.getCollection('a-b').find()", r#"{"find":"a-b","filter":{}}"#),
        ("db['a b'].find()", r#"{"find":"a b","filter":{}}"#),
        ("db.a.b.c.find()", r#"{"find":"a.b.c","filter":{}}"#),
        ("db.getCollection('users')['x'].find()", r#"{"find":"users.x","filter":{}}"#),
        ("db.collection('users').find({}).toArray()", r#"{"find":"users","filter":{}}"#),
        ("db.getSiblingDB('other').users.find()", r#"{"find":"users","filter":{},"$db":"other"}"#),
        ("db.getSiblingDB('app').users.find()", r#"{"find":"users","filter":{}}"#),
        ("db.getSiblingDB('other').getSiblingDB('app').users.find()", r#"{"find":"users","filter":{}}"#),
        ("db.getSiblingDB('other').aggregate([{ $currentOp: {} }])", r#"{"aggregate":{"$numberInt":"1"},"pipeline":[{"$currentOp":{}}],"cursor":{},"$db":"other"}"#),
        ("db.getMongo().getDB('other').users.drop()", r#"{"drop":"users","$db":"other"}"#),
        ("db.getCollection('find').find()", r#"{"find":"find","filter":{}}"#),
        ("var q = { a: 1 }; q.b = 2; db.users.find(q)", r#"{"find":"users","filter":{"a":{"$numberInt":"1"},"b":{"$numberInt":"2"}}}"#),
        ("const c = db.users.find(); c.sort({ a: 1 }); c.limit(1); c", r#"{"find":"users","filter":{},"sort":{"a":{"$numberInt":"1"}},"limit":{"$numberInt":"1"}}"#),
        ("if (true) { db.users.find() } else { db.users.drop() }", r#"{"find":"users","filter":{}}"#),
        ("for (const n of ['a']) db[n].find()", r#"{"find":"a","filter":{}}"#),
        ("(function () { return db.users.find({ at: { $lt: new Date(0) } }) })()", r#"{"find":"users","filter":{"at":{"$lt":{"$date":{"$numberLong":"0"}}}}}"#),
        ("await db.users.find()", r#"{"find":"users","filter":{}}"#),
        ("  \n await\tdb.users.find()", r#"{"find":"users","filter":{}}"#),
        ("db.users.find({ 1: 'a', b: { __proto__: null, c: 1 }, ['__proto__']: 1 })", r#"{"find":"users","filter":{"1":"a","b":{"c":{"$numberInt":"1"}},"__proto__":{"$numberInt":"1"}}}"#),
        ("db.users.find({ 'a.b': 1, $expr: { $gt: ['$a', '$b'] }, n: { $regex: '^a', $options: 'i' } })", r#"{"find":"users","filter":{"a.b":{"$numberInt":"1"},"$expr":{"$gt":["$a","$b"]},"n":{"$regex":"^a","$options":"i"}}}"#),
    ])
    .await;
}

#[tokio::test]
async fn bulk_writes_are_a_command_for_each_run_of_one_kind() {
    let runner = runner();
    let models = "{ insertOne: { document: { _id: 1 } } }, { updateOne: { filter: { a: 1 }, update: { $set: { b: 1 } }, upsert: true } },
                  { replaceOne: { filter: { a: 2 }, replacement: { c: 1 } } }, { deleteMany: { filter: {} } }, { insertOne: { document: { _id: 2 } } }";
    let update = r#""updates":[{"q":{"a":{"$numberInt":"1"}},"u":{"$set":{"b":{"$numberInt":"1"}}},"upsert":true},{"q":{"a":{"$numberInt":"2"}},"u":{"c":{"$numberInt":"1"}}}]"#;
    let delete = r#""deletes":[{"q":{},"limit":{"$numberInt":"0"}}]"#;
    let ordered = evaluate_on(&runner, &format!("db.u.bulkWrite([{models}])")).await.unwrap();
    assert_eq!(
        ordered,
        [
            r#"{"insert":"u","documents":[{"_id":{"$numberInt":"1"}}]}"#.to_owned(),
            format!(r#"{{"update":"u",{update}}}"#),
            format!(r#"{{"delete":"u",{delete}}}"#),
            r#"{"insert":"u","documents":[{"_id":{"$numberInt":"2"}}]}"#.to_owned(),
        ]
    );
    let text = format!(
        "db.getSiblingDB('x').u.bulkWrite([{models}], {{ ordered: false, bypassDocumentValidation: true }})"
    );
    let unordered = evaluate_on(&runner, &text).await.unwrap();
    let both = r#""ordered":false,"bypassDocumentValidation":true,"$db":"x""#;
    assert_eq!(
        unordered,
        [
            format!(
                r#"{{"insert":"u","documents":[{{"_id":{{"$numberInt":"1"}}}},{{"_id":{{"$numberInt":"2"}}}}],{both}}}"#
            ),
            format!(r#"{{"update":"u",{update},{both}}}"#),
            format!(r#"{{"delete":"u",{delete},"ordered":false,"$db":"x"}}"#),
        ]
    );
}

#[tokio::test]
async fn a_document_without_an_id_gets_a_fresh_one_in_front() {
    let runner = runner();
    let mut ids = vec![];
    for text in [
        "db.u.insertOne({ a: 1 })",
        "db.u.insertMany([{ a: 1 }])",
        "db.u.bulkWrite([{ insertOne: { document: new Map([['a', 1]]) } }])",
    ] {
        let [command]: [String; 1] = evaluate_on(&runner, text).await.unwrap().try_into().unwrap();
        let id = command.strip_prefix(r#"{"insert":"u","documents":[{"_id":{"$oid":""#).unwrap();
        let (id, rest) = id.split_at(24);
        assert_eq!(rest, r#""},"a":{"$numberInt":"1"}}]}"#, "{text}");
        assert!(id.bytes().all(|b| b.is_ascii_hexdigit()), "{command}");
        ids.push(id.to_owned());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn without_a_database_db_has_no_name_and_others_are_named() {
    use domain::ports::ShellEvaluator as _;
    use domain::text::SubmissionText;
    let runner = runner();
    for (text, expected) in [
        ("db.u.find()", r#"{"find":"u","filter":{}}"#),
        ("db.getSiblingDB('app').u.find()", r#"{"find":"u","filter":{},"$db":"app"}"#),
    ] {
        let commands = runner.evaluate(&SubmissionText::parse(text).unwrap(), None).await.unwrap();
        assert_eq!(commands, [expected], "{text}");
    }
    assert!(runner.evaluate(&SubmissionText::parse("db.getName()").unwrap(), None).await.is_err());
}
