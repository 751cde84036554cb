//! What people paste: commands of MongoDB's manual (the pages of "CRUD Operations", "Aggregation" and of the methods of
//! `mongosh`) and of the drivers' CRUD specification, over the collections that the pages use.

use serde_json::{Value, json};

use super::Scene;

/// What a command does: `Rows` in this order, `Set` in any order, or `Affects` so many.
enum Does {
    Rows(Value),
    Set(Value),
    Affects(u64),
    /// Done, without rows and counts.
    Done,
    /// Rows of which only the number is the same everywhere.
    Count(usize),
}

use Does::{Affects, Count, Done, Rows, Set};

async fn all(scene: &Scene, steps: Vec<(&str, Does)>) -> usize {
    let count = steps.len();
    for (text, does) in steps {
        let request = scene.run(text).await;
        assert_eq!(request["status"], "completed", "{text}: {request}");
        let statements = request["execution"]["statements"].as_array().unwrap();
        let mut rows: Vec<Value> = if statements.len() == 1 { scene.rows_of(&request).await } else { vec![] };
        let mut rows: Vec<Value> = rows.iter_mut().map(|row| row[0].take()).collect();
        match does {
            Rows(expected) => assert_eq!(Value::Array(rows), expected, "{text}"),
            Set(Value::Array(mut expected)) => {
                let text_of = |value: &Value| value.to_string();
                rows.sort_by_key(text_of);
                expected.sort_by_key(text_of);
                assert_eq!(rows, expected, "{text}");
            }
            Set(other) => panic!("{other} is no array"),
            Affects(expected) => {
                let affected: u64 = statements.iter().map(|s| s["affected"].as_u64().unwrap()).sum();
                assert_eq!(affected, expected, "{text}: {request}");
            }
            Done => assert!(rows.is_empty(), "{text}: {rows:?}"),
            Count(expected) => assert_eq!(rows.len(), expected, "{text}: {rows:?}"),
        }
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_and_writes_of_the_manual() {
    let scene = Scene::new().await;
    let done = all(
        &scene,
        vec![
            // Insert Documents
            (
                r#"db.inventory.insertOne(
               { item: "canvas", qty: 100, tags: ["cotton"], size: { h: 28, w: 35.5, uom: "cm" } }
            )"#,
                Affects(1),
            ),
            (
                "db.inventory.find( { item: \"canvas\" }, { _id: 0 } )",
                Rows(json!([
            {"item": "canvas", "qty": 100, "tags": ["cotton"], "size": {"h": 28, "w": 35.5, "uom": "cm"}}])),
            ),
            ("db.inventory.deleteMany({})", Affects(1)),
            // Query Documents
            (
                r#"db.inventory.insertMany([
               { item: "journal", qty: 25, size: { h: 14, w: 21, uom: "cm" }, status: "A" },
               { item: "notebook", qty: 50, size: { h: 8.5, w: 11, uom: "in" }, status: "A" },
               { item: "paper", qty: 100, size: { h: 8.5, w: 11, uom: "in" }, status: "D" },
               { item: "planner", qty: 75, size: { h: 22.85, w: 30, uom: "cm" }, status: "D" },
               { item: "postcard", qty: 45, size: { h: 10, w: 15.25, uom: "cm" }, status: "A" }
            ]);"#,
                Affects(5),
            ),
            ("db.inventory.find( {} )", Count(5)),
            ("db.inventory.find()", Count(5)),
            (
                r#"db.inventory.find( { status: "D" }, { item: 1, _id: 0 } )"#,
                Set(json!([{"item": "paper"}, {"item": "planner"}])),
            ),
            (r#"db.inventory.find( { status: { $in: [ "A", "D" ] } } )"#, Count(5)),
            (r#"db.inventory.find( { status: "A", qty: { $lt: 30 } } )"#, Count(1)),
            (r#"db.inventory.find( { $or: [ { status: "A" }, { qty: { $lt: 30 } } ] } )"#, Count(3)),
            (
                r#"db.inventory.find( {
                 status: "A",
                 $or: [ { qty: { $lt: 30 } }, { item: /^p/ } ]
            } )"#,
                Count(2),
            ),
            (r#"db.inventory.find( { size: { h: 14, w: 21, uom: "cm" } } )"#, Count(1)),
            (r#"db.inventory.find(  { size: { w: 21, h: 14, uom: "cm" } }  )"#, Count(0)),
            (
                r#"db.inventory.find( { "size.uom": "in" }, {_id: 0, item: 1} ).pretty()"#,
                Set(json!([{"item": "notebook"}, {"item": "paper"}])),
            ),
        ],
    )
    .await;
    let more = all(&scene, vec![
        (r#"db.inventory.find( { "size.h": { $lt: 15 }, "size.uom": "in", status: "D" }, { item: 1, _id: 0 } )"#,
            Rows(json!([{"item": "paper"}]))),
        // Project Fields
        (r#"db.inventory.find( { status: "A" }, { status: 0, _id: 0, qty: 0, size: 0 } ).sort( { item: 1 } )"#,
            Rows(json!([{"item": "journal"}, {"item": "notebook"}, {"item": "postcard"}]))),
        (r#"db.inventory.find( { item: "paper" }, { _id: 0, item: 1, "size.uom": 1 } )"#,
            Rows(json!([{"item": "paper", "size": {"uom": "in"}}]))),
        (r#"db.inventory.find({ }, { _id: 0, item: 1, status: { $switch: { branches: [
                 { case: { $eq: [ "$status", "A" ] }, then: "Available" },
                 { case: { $eq: [ "$status", "D" ] }, then: "Discontinued" } ], default: "No status found" } } }
            ).sort({ item: 1 }).limit(1)"#, Rows(json!([{"item": "journal", "status": "Available"}]))),
        // Query for Null or Missing Fields
        ("db.nulls.insertMany([ { _id: 1, item: null }, { _id: 2 } ])", Affects(2)),
        ("db.nulls.find( { item: null } )", Set(json!([{"_id": 1, "item": null}, {"_id": 2}]))),
        ("db.nulls.find( { item : { $type: 10 } } )", Rows(json!([{"_id": 1, "item": null}]))),
        ("db.nulls.find( { item : { $exists: false } } )", Rows(json!([{"_id": 2}]))),
        // Arrays
        (r#"db.arrays.insertMany([
               { item: "journal", qty: 25, tags: ["blank", "red"], dim_cm: [ 14, 21 ] },
               { item: "notebook", qty: 50, tags: ["red", "blank"], dim_cm: [ 14, 21 ] },
               { item: "paper", qty: 100, tags: ["red", "blank", "plain"], dim_cm: [ 14, 21 ] },
               { item: "planner", qty: 75, tags: ["blank", "red"], dim_cm: [ 22.85, 30 ] },
               { item: "postcard", qty: 45, tags: ["blue"], dim_cm: [ 10, 15.25 ] }
            ])"#, Affects(5)),
        (r#"db.arrays.find( { tags: ["red", "blank"] } )"#, Count(1)),
        (r#"db.arrays.find( { tags: { $all: ["red", "blank"] } } )"#, Count(4)),
        ("db.arrays.find( { dim_cm: { $elemMatch: { $gt: 22, $lt: 30 } } }, { _id: 0, item: 1 } )",
            Rows(json!([{"item": "planner"}]))),
        (r#"db.arrays.find( { "dim_cm.1": { $gt: 25 } } )"#, Count(1)),
        (r#"db.arrays.find( { "tags": { $size: 3 } }, { _id: 0, item: 1 } )"#, Rows(json!([{"item": "paper"}]))),
        // Update Documents
        (r#"db.inventory.updateOne(
               { item: "paper" },
               { $set: { "size.uom": "cm", status: "P" }, $currentDate: { lastModified: true } }
            )"#, Affects(1)),
        (r#"db.inventory.updateMany(
               { "qty": { $lt: 50 } },
               { $set: { "size.uom": "in", status: "P" }, $currentDate: { lastModified: true } }
            )"#, Affects(2)),
        (r#"db.inventory.replaceOne(
               { item: "paper" },
               { item: "paper", instock: [ { warehouse: "A", qty: 60 }, { warehouse: "B", qty: 40 } ] }
            )"#, Affects(1)),
        (r#"db.inventory.find( { item: "paper" }, { _id: 0 } )"#, Rows(json!([
            {"item": "paper", "instock": [{"warehouse": "A", "qty": 60}, {"warehouse": "B", "qty": 40}]}]))),
        // Updates with Aggregation Pipeline
        (r#"db.students.insertMany( [
               { _id: 1, test1: 95, test2: 92, test3: 90, modified: new Date("01/05/2020") },
               { _id: 2, test1: 98, test2: 100, test3: 102, modified: new Date("01/05/2020") },
               { _id: 3, test1: 95, test2: 110, modified: new Date("01/04/2020") }
            ] )"#, Affects(3)),
        (r#"db.students.updateOne( { _id: 3 }, [ { $set: { "test3": 98, modified: "$$NOW"} } ] )"#, Affects(1)),
        (r#"db.students.updateMany( { }, [
               { $set: { average : { $trunc: [ { $avg: ["$test1","$test2","$test3"] }, 0 ] } } },
               { $set: { grade: { $switch: { branches: [ { case: { $gte: [ "$average", 100 ] }, then: "A" } ], default: "B" } } } }
            ] )"#, Affects(3)),
        ("db.students.find({}, { grade: 1 }).sort({ _id: 1 })", Rows(json!([
            {"_id": 1, "grade": "B"}, {"_id": 2, "grade": "A"}, {"_id": 3, "grade": "A"}]))),
        // $[<identifier>]
        ("db.grades.insertMany( [ { _id: 1, grades: [ 95, 92, 90 ] }, { _id: 2, grades: [ 98, 100, 102 ] } ] )", Affects(2)),
        (r#"db.grades.updateMany(
               { grades: { $gte: 100 } },
               { $set: { "grades.$[element]" : 100 } },
               { arrayFilters: [ { "element": { $gte: 100 } } ] }
            )"#, Affects(1)),
        ("db.grades.find({ _id: 2 })", Rows(json!([{"_id": 2, "grades": [98, 100, 100]}]))),
        // Delete Documents
        (r#"db.inventory.deleteMany({ status : "A" })"#, Affects(1)),
        (r#"db.inventory.deleteOne( { status: "D" } )"#, Affects(1)),
        // Counting
        (r#"db.inventory.countDocuments( { status: "P" } )"#, Rows(json!([2]))),
        ("db.inventory.countDocuments( { status: 'none' } )", Rows(json!([0]))),
        ("db.inventory.estimatedDocumentCount()", Rows(json!([3]))),
        ("db.inventory.find().count()", Rows(json!([3]))),
        (r#"db.arrays.distinct( "tags" )"#, Rows(json!(["blank", "blue", "plain", "red"]))),
        (r#"db.arrays.distinct( "item", { qty: { $gt: 60 } } )"#, Rows(json!(["paper", "planner"]))),
    ]).await;
    assert!(done + more >= 45, "{}", done + more);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aggregations_modifications_and_indexes_of_the_manual() {
    let scene = Scene::new().await;
    let done = all(&scene, vec![
        // Aggregation: orders of pizzas
        (r#"db.orders.insertMany( [
               { _id: 0, name: "Pepperoni", size: "small", price: 19, quantity: 10, date: ISODate( "2021-03-13T08:14:30Z" ) },
               { _id: 1, name: "Pepperoni", size: "medium", price: 20, quantity: 20, date : ISODate( "2021-03-13T09:13:24Z" ) },
               { _id: 2, name: "Pepperoni", size: "large", price: 21, quantity: 30, date : ISODate( "2021-03-17T09:22:12Z" ) },
               { _id: 3, name: "Cheese", size: "small", price: 12, quantity: 15, date : ISODate( "2021-03-13T11:21:39.736Z" ) },
               { _id: 4, name: "Cheese", size: "medium", price: 13, quantity:50, date : ISODate( "2022-01-12T21:23:13.331Z" ) },
               { _id: 5, name: "Cheese", size: "large", price: 14, quantity: 10, date : ISODate( "2022-01-12T05:08:13Z" ) },
               { _id: 6, name: "Vegan", size: "small", price: 17, quantity: 10, date : ISODate( "2021-01-13T05:08:13Z" ) },
               { _id: 7, name: "Vegan", size: "medium", price: 18, quantity: 10, date : ISODate( "2021-01-13T05:10:13Z" ) }
            ] )"#, Affects(8)),
        (r#"db.orders.aggregate( [
               { $match: { size: "medium" } },
               { $group: { _id: "$name", totalQuantity: { $sum: "$quantity" } } }
            ] )"#, Set(json!([{"_id": "Cheese", "totalQuantity": 50}, {"_id": "Pepperoni", "totalQuantity": 20},
                {"_id": "Vegan", "totalQuantity": 10}]))),
        (r#"db.orders.aggregate( [
               { $match: { "date": { $gte: new ISODate( "2020-01-30" ), $lt: new ISODate( "2022-01-30" ) } } },
               { $group: { _id: { $dateToString: { format: "%Y-%m-%d", date: "$date" } },
                   totalOrderValue: { $sum: { $multiply: [ "$price", "$quantity" ] } },
                   averageOrderQuantity: { $avg: "$quantity" } } },
               { $sort: { totalOrderValue: -1 } }
             ] )"#, Rows(json!([
                {"_id": "2022-01-12", "totalOrderValue": 790, "averageOrderQuantity": 30.0},
                {"_id": "2021-03-13", "totalOrderValue": 770, "averageOrderQuantity": 15.0},
                {"_id": "2021-03-17", "totalOrderValue": 630, "averageOrderQuantity": 30.0},
                {"_id": "2021-01-13", "totalOrderValue": 350, "averageOrderQuantity": 10.0}]))),
        (r#"db.orders.aggregate({ $sortByCount: "$name" }, { $limit: 1 })"#, Count(1)),
        (r#"db.orders.aggregate([ { $facet: { small: [ { $match: { size: "small" } }, { $count: "n" } ], all: [ { $count: "n" } ] } } ])"#,
            Rows(json!([{"small": [{"n": 3}], "all": [{"n": 8}]}]))),
        (r#"db.orders.aggregate([ { $bucket: { groupBy: "$price", boundaries: [ 10, 15, 25 ], output: { count: { $sum: 1 } } } } ])"#,
            Rows(json!([{"_id": 10, "count": 3}, {"_id": 15, "count": 5}]))),
        // $lookup
        (r#"db.pizzas.insertMany([ { _id: "Cheese", vegetarian: true }, { _id: "Vegan", vegetarian: true } ])"#, Affects(2)),
        (r#"db.orders.aggregate([
               { $match: { _id: { $in: [ 2, 3 ] } } },
               { $lookup: { from: "pizzas", localField: "name", foreignField: "_id", as: "pizza" } },
               { $project: { pizza: 1 } }, { $sort: { _id: 1 } }
            ])"#, Rows(json!([{"_id": 2, "pizza": []}, {"_id": 3, "pizza": [{"_id": "Cheese", "vegetarian": true}]}]))),
        (r#"db.pizzas.aggregate([ { $unionWith: { coll: "orders", pipeline: [ { $match: { _id: 0 } }, { $project: { _id: "$name" } } ] } } ])"#,
            Count(3)),
        (r#"db.orders.aggregate([ { $unwind: "$size" }, { $sample: { size: 3 } } ], { allowDiskUse: true })"#, Count(3)),
        (r#"db.orders.aggregate([ { $setWindowFields: { partitionBy: "$name", sortBy: { date: 1 }, output: { total: {
               $sum: "$quantity", window: { documents: [ "unbounded", "current" ] } } } } }, { $match: { _id: 2 } }, { $project: { total: 1 } } ])"#,
            Rows(json!([{"_id": 2, "total": 60}]))),
        (r#"db.orders.aggregate([ { $group: { _id: "$name", n: { $sum: 1 } } }, { $out: "perName" } ])"#, Done),
        ("db.perName.find().sort({ _id: 1 })", Rows(json!([
            {"_id": "Cheese", "n": 3}, {"_id": "Pepperoni", "n": 3}, {"_id": "Vegan", "n": 2}]))),
        (r#"db.orders.aggregate([ { $group: { _id: "$name", n: { $sum: "$quantity" } } },
               { $merge: { into: "perName", on: "_id", whenMatched: "replace", whenNotMatched: "insert" } } ])"#, Done),
        (r#"db.perName.find({ _id: "Vegan" })"#, Rows(json!([{"_id": "Vegan", "n": 20}]))),
        // findAndModify and its kin
        (r#"db.scores.insertMany([ { _id: 1, team: "Fearful Mallards", score: 25000 }, { _id: 2, team: "Tactful Mooses", score: 23500 } ])"#, Affects(2)),
        (r#"db.scores.findOneAndUpdate( { team: "Fearful Mallards" }, { $inc: { score: 5 } } )"#,
            Rows(json!([{"_id": 1, "team": "Fearful Mallards", "score": 25000}]))),
        (r#"db.scores.findOneAndUpdate( { team: "Fearful Mallards" }, { $inc: { score: 5 } }, { returnDocument: "after", projection: { score: 1 } } )"#,
            Rows(json!([{"_id": 1, "score": 25010}]))),
        (r#"db.scores.findOneAndReplace( { score: { $lt: 24000 } }, { team: "Observant Badgers", score: 20000 }, { returnNewDocument: true } )"#,
            Rows(json!([{"_id": 2, "team": "Observant Badgers", "score": 20000}]))),
        (r#"db.scores.findOneAndDelete( { team: "nobody" } )"#, Rows(json!([]))),
        ("db.scores.findOneAndDelete( { score: { $gt: 1 } }, { sort: { score: 1 } } )",
            Rows(json!([{"_id": 2, "team": "Observant Badgers", "score": 20000}]))),
        ("db.scores.updateOne( { _id: 7 }, { $setOnInsert: { score: 1 } }, { upsert: true } )", Affects(1)),
        (r#"db.scores.bulkWrite( [
               { insertOne: { document: { _id: 8, team: "new" } } },
               { insertOne: { document: { _id: 9, team: "newer" } } },
               { updateOne: { filter: { _id: 8 }, update: { $set: { score: 3 } } } },
               { deleteOne: { filter: { _id: 9 } } },
               { replaceOne: { filter: { _id: 8 }, replacement: { team: "other" } } }
            ] )"#, Affects(5)),
        // Indexes and collections
        ("db.orders.createIndex( { name: 1, date: -1 } )", Done),
        (r#"db.orders.createIndex( { price: 1 }, { unique: false, name: "byPrice", partialFilterExpression: { price: { $gt: 5 } } } )"#, Done),
        ("db.orders.getIndexes()", Rows(json!([
            {"v": 2, "key": {"_id": 1}, "name": "_id_"},
            {"v": 2, "key": {"name": 1, "date": -1}, "name": "name_1_date_-1"},
            {"v": 2, "key": {"price": 1}, "name": "byPrice", "partialFilterExpression": {"price": {"$gt": 5}}}]))),
        (r#"db.orders.find( { price: { $gt: 18 } }, { _id: 1 } ).hint( "byPrice" ).sort( { price: 1 } ).skip( 1 ).limit( 1 )"#,
            Rows(json!([{"_id": 1}]))),
        (r#"db.orders.find( { name: "CHEESE" }, { _id: 1 } ).collation( { locale: "en", strength: 2 } ).sort({ _id: 1 })"#,
            Rows(json!([{"_id": 3}, {"_id": 4}, {"_id": 5}]))),
        (r#"db.orders.dropIndex( "byPrice" )"#, Done),
        (r#"db.createCollection( "log", { capped: true, size: 5242880, max: 5000 } )"#, Done),
        ("db.log.insertOne( { a: 1 } )", Affects(1)),
        (r#"db.getCollection("log").find({}, { _id: 0 }).toArray()"#, Rows(json!([{"a": 1}]))),
        ("db.getCollectionNames()", Count(5)),
        (r#"db.orders.find( { price: 20 } ).explain("executionStats")"#, Count(1)),
        ("db.orders.explain().aggregate([ { $match: { price: 20 } } ])", Count(1)),
        ("db.orders.stats()", Count(1)),
        ("db.stats()", Count(1)),
        (r#"db.runCommand( { count: "orders", query: { size: "small" } } )"#, Rows(json!([3]))),
        (r#"db.runCommand( { distinct: "orders", key: "size" } )"#, Rows(json!(["large", "medium", "small"]))),
        (r#"{ "find": "orders", "filter": { "_id": 3 }, "projection": { "price": 1 } }"#, Rows(json!([{"_id": 3, "price": 12}]))),
        ("db.log.drop()", Done),
    ]).await;
    assert!(done >= 40, "{done}");
    scene.end().await;
}
