//! Scripts on MongoDB: both styles on one `db`, cursors, transactions, errors with their place.

use mongodb::bson::{Document, doc};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::Scene;

async fn value(scene: &Scene, text: &str) -> Value {
    let ended = scene.script(text).await;
    let rows = scene.rows_of(&ended).await;
    rows.into_iter().map(|mut row| row[0].take()).collect()
}

async fn console(scene: &Scene, id: &Value) -> Vec<String> {
    let (status, body) =
        scene.dev.get(&format!("/api/queries/{}/log?limit=1000", id.as_str().unwrap())).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let lines = body["items"].as_array().unwrap().clone();
    lines.iter().filter_map(|line| Some(line["console"]["text"].as_str()?.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_styles_work_with_await_and_without() {
    let scene = Scene::new().await;
    let told = value(
        &scene,
        r#"
        const users = db.collection("users");
        await users.insertMany([{_id: 1, name: "Ada", age: 36}, {_id: 2, name: "Grace", age: 85}]);
        db.users.insertOne({_id: 3, name: "Alan", age: 41});
        const result = await db.users.updateMany({age: {$gt: 40}}, {$inc: {age: 1}});
        const names = [];
        for (const user of db.users.find().sort({_id: 1})) names.push(user.name);
        for await (const user of users.find({}).sort({_id: -1}).limit(1)) names.push(user.name);
        db.users.find({_id: 2}).forEach((user) => names.push(user.age));
        return {
          names, result, count: db.users.countDocuments(), one: db.users.findOne({_id: 1}),
          mapped: users.find({_id: {$lt: 3}}).map((user) => user._id).toArray(),
        };"#,
    )
    .await;
    assert_eq!(
        told[0],
        json!({
            "names": ["Ada", "Grace", "Alan", "Alan", 86],
            "result": told[0]["result"], "count": 3, "one": { "_id": 1, "name": "Ada", "age": 36 }, "mapped": [1, 2],
        })
    );
    assert_eq!(told[0]["result"]["modifiedCount"], 2, "{told}");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_take_effect_together_or_not_at_all() {
    let scene = Scene::new().await;
    scene.insert("accounts", vec![doc! { "_id": "a", "sum": 10 }, doc! { "_id": "b", "sum": 0 }]).await;
    let transfer = |amount: i32| {
        format!(
            r#"const session = db.getMongo().startSession();
               const accounts = session.getDatabase(db.getName()).accounts;
               return session.withTransaction(() => {{
                 const from = accounts.findOneAndUpdate({{_id: "a"}}, {{$inc: {{sum: -{amount}}}}}, {{returnDocument: "after"}});
                 accounts.updateOne({{_id: "b"}}, {{$inc: {{sum: {amount}}}}});
                 if (from.sum < 0) throw new Error("too little is there");
                 return from.sum;
               }});"#
        )
    };
    assert_eq!(value(&scene, &transfer(4)).await, json!([6]));
    let ended = scene.script(&transfer(40)).await;
    assert_eq!((&ended["status"], &ended["error"]["kind"]), (&json!("failed"), &json!("script")), "{ended}");
    assert!(ended["error"]["message"].as_str().unwrap().contains("too little"), "{ended}");
    let left = scene.find("db.accounts.find().sort({_id: 1})").await;
    assert_eq!(left, json!([{ "_id": "a", "sum": 6 }, { "_id": "b", "sum": 4 }]));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_have_their_place_and_what_was_done_is_told() {
    let scene = Scene::new().await;
    let ended = scene.script("db.u.insertOne({_id: 1});\n  db.u.insertOne({_id: 1});").await;
    let error = &ended["error"];
    assert_eq!(
        (&error["kind"], &error["code"], &error["number"]),
        (&json!("database"), &json!("DuplicateKey"), &json!(11000)),
        "{ended}"
    );
    assert_eq!((&error["line"], &error["commits"]), (&json!(2), &json!(1)), "{ended}");
    assert_eq!(scene.stored("u").await, 1);
    let ended = scene
        .script(
            r#"try { db.u.insertOne({_id: 1}) } catch (e) { console.log(e.name, e.code, e.codeName) }
               try { db.u.aggregate([{$currentOp: {}}]).toArray() } catch (e) { console.log(e.refused, e.code) }
               try { db.u.findd() } catch (e) { console.log(e.message.includes("find, findOne")) }
               console.log(db.u.findOne(), NumberLong("9007199254740993"), ISODate("2026-01-01"));"#,
        )
        .await;
    assert_eq!(ended["status"], "completed", "{ended}");
    let said = console(&scene, &ended["id"]).await;
    assert_eq!(said[..3], ["MongoServerError 11000 DuplicateKey", "true stage_not_allowed", "true"]);
    assert!(said[3].contains("_id: 1") && said[3].contains("9007199254740993"), "{said:?}");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_collection_is_read_document_by_document() {
    let scene = Scene::new().await;
    for part in 0..5 {
        let documents: Vec<Document> =
            (0..10_000).map(|n| doc! { "_id": part * 10_000 + n, "n": n }).collect();
        scene.insert("many", documents).await;
    }
    let told = value(
        &scene,
        "let sum = 0, count = 0;
           for (const { n } of db.many.find({}, { n: 1 })) { sum += n; count += 1; }
           let first = 0;
           for (const d of db.many.find()) { first += 1; if (first === 10) break; }
           return [count, sum, first];",
    )
    .await;
    assert_eq!(told, json!([50_000, 5 * 49_995_000, 10]));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_transaction_holds_stays_and_is_counted() {
    let scene = Scene::new().await;
    let told = value(
        &scene,
        r#"db.u.insertMany([{_id: 1, n: 1}, {_id: 2, n: 1}]);
           db.u.aggregate([{$match: {n: 1}}, {$out: "v"}]);
           return [db.v.countDocuments(), db.u.find({}, {limit: 1, n: 1}).sort({_id: 1}).toArray()];"#,
    )
    .await;
    assert_eq!(told, json!([2, [{ "_id": 1, "n": 1 }, { "_id": 2, "n": 1 }]]));
    let options = mongodb::options::CreateCollectionOptions::builder().capped(true).size(100_000).build();
    scene.documents().create_collection("capped").with_options(options).await.unwrap();
    let ended = scene.script("db.capped.insertMany([{_id: 1}, {_id: 2}, {_id: 1}]);").await;
    let error = &ended["error"];
    assert_eq!((&error["kind"], &error["commits"]), (&json!("database"), &json!(1)), "{ended}");
    assert!(
        error["message"].as_str().unwrap().contains("2 documents were written before and stay"),
        "{ended}"
    );
    assert_eq!(scene.stored("capped").await, 2);
    // Cancelled afterwards, it is no script of which nothing took effect.
    let text = "try { db.capped.insertMany([{_id: 3}, {_id: 1}]) } catch (e) {} await sleep(60000)";
    let submitted = scene.submit(text, json!({ "submissionType": "script" })).await;
    let id = submitted["id"].as_str().unwrap();
    scene.manager.post(&format!("/api/queries/{id}/approve"), json!({})).await;
    while scene.stored("capped").await < 3 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    scene.dev.post(&format!("/api/queries/{id}/cancel"), json!({})).await;
    let (_, ended) = scene.dev.get(&format!("/api/queries/{id}?wait=20")).await;
    assert_eq!((&ended["status"], &ended["error"]["kind"]), (&json!("failed"), &json!("stopped")), "{ended}");
    scene.end().await;
}
