//! Texts that come to no command, and what their submitters are told.

use super::{refused, runner};

/// Each text is refused with this code, in words that hold these.
async fn are_refused(code: &str, table: &[(&str, &str)]) {
    let runner = runner();
    for (text, said) in table {
        let refusal = refused(&runner, text).await;
        assert_eq!(refusal.code, code, "{text}: {}", refusal.message);
        assert!(refusal.message.contains(said), "{text}: {}", refusal.message);
    }
}

#[tokio::test]
async fn unbalanced_texts_are_told_with_their_place() {
    let runner = runner();
    for (text, said, line, column) in [
        ("db.users.find(", "SyntaxError: Unexpected end of input", 1, 15),
        ("db.users.find({ a: 1)", "SyntaxError: Unexpected token ')'", 1, 21),
        ("\n\n  db.users.find({ é: 'x })", "SyntaxError: Invalid or unexpected token", 3, 22),
        ("db.users.find() }", "SyntaxError: Unexpected token '}'", 1, 17),
        ("db.users.find({ a: 1 })\n  nonsense here", "SyntaxError: Unexpected identifier 'here'", 2, 12),
        ("//# sourceURL=mine.js\ndb.users.find(]", "SyntaxError: Unexpected token ']'", 2, 15),
        ("x = await db.users.find()", "leave await out, or submit the text as a script", 1, 5),
        ("return db.users.find()", "leave return out, or submit the text as a script", 1, 1),
        ("import x from 'y'", "SyntaxError", 1, 1),
    ] {
        let refusal = refused(&runner, text).await;
        assert_eq!(refusal.code, "shell_syntax", "{text}: {}", refusal.message);
        assert!(refusal.message.contains(said), "{text}: {}", refusal.message);
        let place = refusal.position.map(|p| (p.line, p.column));
        assert_eq!(place, Some((line, column)), "{text}: {}", refusal.message);
    }
}

#[tokio::test]
async fn what_a_text_throws_is_told_with_its_place() {
    let runner = runner();
    for (text, said, line, column) in [
        ("db.users.find({ name: missing.x })", "ReferenceError: missing is not defined", 1, 23),
        ("const f = () => {\n  throw new Error('mine')\n};\nf()", "Error: mine", 2, 9),
        ("//# sourceURL=mine.js\nnull.x", "TypeError: Cannot read properties of null (reading 'x')", 2, 6),
        (
            "db.users.find({ a: 1 })\n  .findd()",
            "db.users.find().findd is not a function of a cursor; there are: sort,",
            2,
            3,
        ),
    ] {
        let refusal = refused(&runner, text).await;
        assert!(refusal.message.contains(said), "{text}: {}", refusal.message);
        assert_eq!(refusal.position.map(|p| (p.line, p.column)), Some((line, column)), "{text}");
    }
}

#[tokio::test]
async fn a_method_that_is_not_there_answers_with_what_there_is() {
    are_refused(
        "unknown_method",
        &[
            (
                "db.users.findd()",
                "db.users.findd is not a function of a collection; there are: find, findOne, aggregate,",
            ),
            ("db.findUsers()", "db.findUsers is not a function of a database; there are: getCollection,"),
            (
                "db.users.find().srot({ a: 1 })",
                "db.users.find().srot is not a function of a cursor; there are: sort,",
            ),
            ("db.users.find().foo", "db.users.find().foo is not a function of a cursor"),
            (
                "db.users.aggregate().count()",
                "is not a function of an aggregation's cursor; there are: sort,",
            ),
            ("db.users.explain().insertOne({})", "there are: find, aggregate, count, distinct, updateOne,"),
            (
                "db.getCollection('a-b').findd()",
                "db.getCollection('a-b').findd is not a function of a collection",
            ),
            ("db.users.insert({ a: 1 })", "use insertOne or insertMany"),
            ("db.users.remove({})", "use deleteOne or deleteMany"),
            ("db.users.mapReduce()", "use aggregate"),
            ("db.dropDatabase()", "dropDatabase is not there"),
            ("db.users.renameCollection('x')", "there are: find,"),
        ],
    )
    .await;
}

#[tokio::test]
async fn arguments_are_checked_as_the_drivers_check_them() {
    are_refused(
        "invalid_command",
        &[
            (
                "db.u.insertOne()",
                "the document of db.u.insertOne is a document, such as { name: 'value' }; this is undefined",
            ),
            ("db.u.insertOne([{ a: 1 }])", "the document of db.u.insertOne is a document"),
            ("db.u.insertMany([])", "db.u.insertMany takes at least one document"),
            ("db.u.insertMany({ a: 1 })", "what db.u.insertMany inserts is an array"),
            ("db.u.insertMany([1])", "document 0 of db.u.insertMany is a document"),
            ("db.u.updateOne({ a: 1 })", "the update of db.u.updateOne is a document"),
            (
                "db.u.updateOne({}, { a: 1 })",
                "takes operators such as { $set: { name: 'value' } }; replaceOne",
            ),
            ("db.u.updateOne({}, { $set: { a: 1 }, b: 1 })", "takes operators"),
            ("db.u.updateOne({}, {})", "takes operators"),
            ("db.u.updateMany({}, [])", "is an empty pipeline"),
            (
                "db.u.updateOne(null, { $set: { a: 1 } })",
                "the filter of db.u.updateOne is null; write {} if every document is meant",
            ),
            (
                "db.u.replaceOne({}, { $set: { a: 1 } })",
                "without operators such as $set; updateOne takes those",
            ),
            ("db.u.replaceOne({}, [{ a: 1 }])", "is a document, and no pipeline"),
            (
                "db.u.deleteOne()",
                "the filter of db.u.deleteOne is undefined; write {} if every document is meant",
            ),
            ("const filter = {}; db.u.deleteMany(filter.missing)", "write {} if every document is meant"),
            (
                "db.u.deleteMany(ObjectId('507f1f77bcf86cd799439011'))",
                "this is ObjectId('507f1f77bcf86cd799439011')",
            ),
            ("db.u.find('x')", "the filter of db.u.find is a document"),
            ("db.u.find({}, { sort: { a: 1 }, limit: 2 })", "options come third"),
            ("db.collection('u').findOne({}, { limit: 5 })", "options come third"),
            ("db.u.find({}, {}, { foo: 1 })", "db.u.find has no option foo; there are: sort, projection,"),
            ("db.u.updateOne({}, { $set: { a: 1 } }, { multi: true })", "db.u.updateOne has no option multi"),
            (
                "db.u.updateOne({}, { $set: { a: 1 } }, { upsert: 1 })",
                "the option upsert of db.u.updateOne is true or false; this is 1",
            ),
            (
                "db.u.findOneAndUpdate({}, { $set: { a: 1 } }, { returnDocument: 'new' })",
                "is 'before' or 'after'",
            ),
            ("db.u.find().sort('a')", "what db.u.find().sort takes is a document"),
            ("db.u.find().skip(-1)", "is an integer, 0 or more; this is -1"),
            ("db.u.aggregate([1])", "stage 1 of db.u.aggregate is a document"),
            (
                "db.u.bulkWrite([{ insert: {} }])",
                "operation 0 of db.u.bulkWrite is one of insertOne, updateOne,",
            ),
            (
                "db.u.bulkWrite([{ deleteOne: { filter: {}, foo: 1 } }])",
                "operation 0 of db.u.bulkWrite (deleteOne) has no option foo",
            ),
            ("db.u.bulkWrite([{ deleteOne: {} }])", "write {} if every document is meant"),
            ("db.u.createIndex({})", "the keys of db.u.createIndex are empty"),
            ("db.u.createIndex({ a: 1 }, { uniqe: true })", "has no option uniqe"),
            ("db.u.dropIndex('*')", "dropIndexes() drops all of them"),
            ("db.u.explain('all')", "takes one of: queryPlanner, executionStats, allPlansExecution"),
            ("db.getCollection('a$b').find()", "'a$b' is no name of a collection"),
            ("db.getSiblingDB('a.b')", "'a.b' is no name of a database"),
            ("db.runCommand({})", "the command is empty"),
            ("db.runCommand({ ping: 1, $db: 'x' })", "$db is not given"),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_no_document_can_hold_is_told_with_its_path() {
    are_refused(
        "invalid_command",
        &[
            ("db.u.deleteMany({ a: undefined })", "deletes[0].q.a is undefined; write null if that is meant"),
            ("db.u.find({ a: [1, { b: undefined }] })", "filter.a[1].b is undefined"),
            ("db.u.find({ a: () => 1 })", "filter.a is a function, which no document can hold"),
            ("db.u.find({ a: Symbol('x') })", "filter.a is a symbol"),
            ("db.u.find({ a: Promise.resolve(1) })", "filter.a is a promise"),
            ("db.u.find({ a: new Set([1]) })", "filter.a is a Set"),
            ("db.u.find({ a: new String('x') })", "filter.a is a String object"),
            ("db.u.find({ a: new Date('x') })", "filter.a is an invalid date"),
            ("db.u.find({ a: /x/g })", "filter.a is a regular expression with the flags \"g\""),
            (
                "db.u.find({ a: 2n ** 63n })",
                "filter.a is 9223372036854775808, which does not fit into 64 bits",
            ),
            ("db.u.find({ a: '\\ud800' })", "filter.a holds half of a surrogate pair"),
            ("db.u.find({ 'a\\0b': 1 })", "filter has a field whose name holds a NUL"),
            ("db.u.find({ a: db.other })", "filter.a is db.other, which no document can hold"),
            (
                "db.u.find({ a: { _bsontype: 'ObjectId', toExtendedJSON() { return 1 } } })",
                "filter.a has the field _bsontype",
            ),
            ("const x = {}; x.x = [x]; db.u.find(x)", "filter.x[0] holds itself"),
            (
                "let d = 1; for (let i = 0; i < 300; i++) d = { d }; db.u.find(d)",
                "is nested more than 180 deep",
            ),
            (
                "db.u.insertOne({ v: { $oid: '507f1f77bcf86cd799439011' } })",
                "documents[0].v.$oid would be read as a type and not as a field; write ObjectId('…')",
            ),
            ("db.u.insertOne({ v: { $date: '2020-01-01' } })", "write ISODate('…')"),
            ("db.u.insertOne({ v: new Map([['$numberLong', '1']]) })", "write NumberLong('…')"),
            ("db.u.insertOne({ v: 'x'.repeat(9e6) })", "longer than 8 MiB"),
            ("db.u.insertOne({ v: 'é'.repeat(5e6) })", "longer than 8 MiB"),
        ],
    )
    .await;
}

#[tokio::test]
async fn constructors_refuse_what_they_cannot_hold() {
    are_refused(
        "invalid_command",
        &[
            ("ObjectId('x')", "ObjectId: input must be a 24 character hex string"),
            ("NumberLong(9007199254740993)", "write it as a string, as in NumberLong(\"9007199254740993\")"),
            ("NumberLong('9223372036854775808')", "takes an integer of 64 bits"),
            ("NumberLong(1.5)", "takes an integer, and not 1.5"),
            ("NumberInt(2147483648)", "takes an integer from -2147483648 to 2147483647"),
            ("NumberDecimal('1.2.3')", "not a valid Decimal128 string"),
            ("NumberDecimal('12345678901234567890123456789012345')", "NumberDecimal("),
            ("ISODate('2023-02-29')", "this is no date as ISO 8601 writes it"),
            ("ISODate('2023-13-01')", "this is no date"),
            ("ISODate('yesterday')", "this is no date"),
            ("ISODate(5)", "this is no date"),
            ("UUID('x')", "UUID string representation must be"),
            ("BinData(0, 'a')", "BinData takes base64"),
            ("BinData(256, '')", "a subtype from 0 to 255"),
            ("HexData(0, 'f')", "pairs of hexadecimal digits"),
            ("Timestamp(-1, 0)", "must provide a positive t"),
            ("Timestamp('x')", "A Timestamp can only be constructed with"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_text_is_one_command_and_that_is_its_value() {
    are_refused(
        "no_command",
        &[
            ("1 + 1", "its value is 2"),
            ("db", "its value is db"),
            ("db.users", "its value is db.users"),
            ("db.users.find", "a function that was not called"),
            ("({ a: ObjectId('507f1f77bcf86cd799439011') })", "{ a: ObjectId('507f1f77bcf86cd799439011') }"),
            ("// nothing", "its value is undefined"),
        ],
    )
    .await;
    are_refused(
        "several_commands",
        &[
            ("db.a.find(); db.b.drop()", "comes to 2 commands (db.a.find(), db.b.drop); a query is one"),
            ("db.a.find(), db.b.find()", "submissionType \"script\""),
            ("[db.a.find(), db.b.find()]", "an array of commands in Extended JSON"),
            ("for (let i = 0; i < 1500; i++) db.a.drop()", "comes to 1500 commands"),
        ],
    )
    .await;
    are_refused(
        "not_the_value",
        &[
            (
                "const q = db.users.find()",
                "The text asks for db.users.find(), but that is not its value, which is undefined",
            ),
            ("[db.users.find()]", "but that is not its value"),
            ("db.users.find(); 1", "which is 1"),
            ("const c = db.a.find(); c.count(); c", "The text asks for db.a.find().count"),
            ("(async () => db.users.find())()", "which is Promise {}"),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_needs_an_answer_is_a_script() {
    are_refused(
        "needs_a_script",
        &[
            ("db.users.find().forEach(print)", "db.users.find().forEach needs an answer from the database"),
            ("db.users.find().map(d => d.a)", "submissionType \"script\""),
            ("db.users.find().next()", "db.users.find().next"),
            ("db.users.find().hasNext()", "db.users.find().hasNext"),
            ("db.users.insertOne({}).insertedId", "Reading what db.users.insertOne gives"),
            ("db.users.findOne().name", "Reading what db.users.findOne gives"),
            ("db.users.find().toArray().length", "Reading what db.users.find() gives"),
            ("for (const d of db.users.find()) print(d)", "Going through db.users.find()"),
            ("`${db.users.countDocuments()}`", "Reading what db.users.countDocuments gives"),
            ("db.users.countDocuments() + 1", "Reading what db.users.countDocuments gives"),
            ("`${db.users.find()}`", "Reading what db.users.find() gives"),
            ("db.b.insertOne(db.a.findOne())", "A command with what db.a.findOne gives"),
            ("db.b.insertMany(db.a.find().toArray())", "A command with what db.a.find() gives"),
            ("db.b.find({ a: db.a.distinct('x') })", "A command with what db.a.distinct gives"),
            ("db.b.find({ a: { b: [db.a.find()] } })", "A command with what db.a.find() gives"),
            ("db.getMongo().startSession()", "A session"),
            ("'x' in db.users.findOne()", "Reading what"),
            ("Object.keys(db.users.findOne())", "Reading what"),
            ("const { name } = db.users.findOne()", "Reading what"),
        ],
    )
    .await;
}

#[tokio::test]
async fn commands_of_the_terminal_are_told_what_to_do_instead() {
    let runner = runner();
    for (text, code, said) in [
        ("use shop", "shell_helper", "`use` is a command of the terminal"),
        ("use shop\ndb.users.find()", "shell_helper", "a request names its database itself"),
        ("show dbs", "shell_helper", "db.adminCommand({ listDatabases: 1 })"),
        ("show collections;", "shell_helper", "db.getCollectionNames()"),
        ("it", "shell_helper", "a result comes whole"),
        ("exit", "shell_helper", "leave it out"),
    ] {
        let refusal = refused(&runner, text).await;
        assert_eq!(refusal.code, code, "{text}: {}", refusal.message);
        assert!(refusal.message.contains(said), "{text}: {}", refusal.message);
    }
}
