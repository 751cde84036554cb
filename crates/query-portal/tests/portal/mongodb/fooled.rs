//! What was shown to the approver is what runs, byte for byte, whatever the text does.

use mongodb::bson::{Bson, doc};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::Scene;

/// The commands that a request shows, at submission and whenever it is looked at.
fn commands(request: &Value) -> Vec<String> {
    let commands = request["commands"].as_array().unwrap_or_else(|| panic!("{request}"));
    commands.iter().map(|command| command.as_str().unwrap().to_owned()).collect()
}

/// Texts that come to something else every time, or try to.
const TEXTS: &[&str] = &[
    "Date.now() % 2 ? db.u.find() : db.u.drop()",
    "Math.random() < 0.5 ? db.u.find() : db.u.deleteMany({})",
    "db.u.insertOne({at: new Date(), r: Math.random(), id: ObjectId()})",
    "db.u.find({get a() { return globalThis.n = (globalThis.n ?? 0) + 1 }})",
    "db.u.find(new Proxy({a: 1}, {get: (t, k) => Math.random() < 0.5 ? t[k] : 2}))",
    "db.u.updateMany({_id: {$in: [{toJSON: () => 1}, {toBSON: () => Math.random()}]}}, {$set: {x: {valueOf: () => 3}}})",
    "db[Math.random() < 0.5 ? 'u' : 'v'].find()",
    "(() => { const f = {a: 1}; const c = db.u.find(f); f.a = Math.random(); return c })()",
    "(() => { const c = db.u.find(); c.toJSON = () => 1; c.then = undefined; return c.limit(Date.now() % 7 + 1) })()",
    "(() => { Object.prototype.$where = 'true'; Array.prototype.toJSON = () => [1]; return db.u.find({a: [1, 2]}) })()",
    "(() => { JSON.stringify = () => '{}'; EJSON.stringify = () => '{}'; return db.u.find({a: 1}) })()",
    "(() => { globalThis.db = {find: 1}; return 1 })() && db.u",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_shown_is_what_runs() {
    let scene = Scene::new().await;
    // The server tells what it was really sent.
    let profile = doc! { "profile": 2 };
    let mut seen = 0;
    for text in TEXTS {
        scene.insert("u", vec![doc! { "a": 1 }]).await;
        let (status, submitted) = scene.try_submit(text, json!({})).await;
        if status != StatusCode::CREATED {
            assert_eq!(status, StatusCode::BAD_REQUEST, "{text}: {submitted}");
            continue;
        }
        let id = submitted["id"].as_str().unwrap().to_owned();
        let shown = commands(&submitted);
        assert_eq!(shown.len(), 1, "{text}: {shown:?}");
        for _ in 0..3 {
            let (_, looked_at) = scene.manager.get(&format!("/api/queries/{id}")).await;
            assert_eq!(commands(&looked_at), shown, "{text}");
            assert_eq!(looked_at["digest"], submitted["digest"], "{text}");
        }
        scene.documents().run_command(profile.clone()).await.unwrap();
        let ended = scene.manager.approve(&id).await;
        scene.documents().run_command(doc! { "profile": 0 }).await.unwrap();
        assert_eq!(commands(&ended), shown, "{text}");
        let sent = scene
            .documents()
            .collection::<mongodb::bson::Document>("system.profile")
            .find_one(doc! { "command.comment": format!("query-portal/{id}") })
            .sort(doc! { "ts": 1 })
            .await
            .unwrap();
        // What does nothing is not always in the profile.
        let Some(sent) = sent else { continue };
        let sent = sent.get_document("command").unwrap();
        let shown: Value = serde_json::from_str(&shown[0]).unwrap();
        let Ok(Bson::Document(shown)) = Bson::try_from(shown) else { panic!("{text}") };
        for (name, value) in sent {
            match name.as_str() {
                // The portal's and the driver's own; a batch size stands in a cursor, too.
                "lsid" | "$db" | "$clusterTime" | "comment" | "maxTimeMS" | "cursor" | "batchSize"
                | "txnNumber" | "startTransaction" | "autocommit" | "readConcern" | "writeConcern" => {}
                // A write stands there with its parts.
                "ordered" => assert_eq!(value, &Bson::Boolean(true), "{text}"),
                "q" | "u" | "limit" | "multi" | "upsert" => {
                    let parts = shown.get_array("deletes").or_else(|_| shown.get_array("updates")).unwrap();
                    let part = parts[0].as_document().unwrap().get(name);
                    assert!(
                        part == Some(value) || matches!(value, Bson::Boolean(false)),
                        "{text}: {name}: {value}"
                    );
                }
                // Of an insert it tells the number of documents only.
                "documents" if value.as_array().is_none() => {}
                _ => assert_eq!(shown.get(name), Some(value), "{text}: {name}"),
            }
        }
        seen += 1;
        scene.documents().collection::<mongodb::bson::Document>("system.profile").drop().await.unwrap();
    }
    assert!(seen >= 4, "{seen}");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_evaluation_is_a_second_request_or_an_edit() {
    let scene = Scene::new().await;
    let submitted = scene.submit("db.u.insertOne({r: Math.random()})", json!({})).await;
    let id = submitted["id"].as_str().unwrap();
    let digest = submitted["digest"].clone();
    let edited = json!({ "queryContent": "db.u.insertOne({r: Math.random()})" });
    let (status, edited) = scene.dev.patch(&format!("/api/queries/{id}"), edited).await;
    assert_eq!(status, StatusCode::OK, "{edited}");
    assert_ne!(commands(&edited), commands(&submitted));
    assert_ne!(edited["digest"], digest);
    // Who looked at the first one does not approve the second.
    let (status, body) =
        scene.manager.post(&format!("/api/queries/{id}/approve"), json!({ "digest": digest })).await;
    assert_eq!(status, StatusCode::CONFLICT, "{body}");
    let body = json!({ "digest": edited["digest"] });
    let (status, ended) = scene.manager.post(&format!("/api/queries/{id}/approve?wait=30"), body).await;
    assert_eq!((status, &ended["status"]), (StatusCode::OK, &json!("completed")), "{ended}");
    let stored = scene.find("db.u.find({}, {_id: 0})").await;
    assert!(commands(&edited)[0].contains(&stored[0]["r"].to_string()), "{stored} {edited}");
    assert_eq!(scene.stored("u").await, 1);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_are_told_in_sentences() {
    let scene = Scene::new().await;
    for (text, code, says) in [
        ("db.users.find({a: 1)", "shell_syntax", "Unexpected"),
        ("db.users.find(); db.orders.find()", "several_commands", "2 commands"),
        ("db.users.findd()", "unknown_method", "findOne"),
        ("db.users.find().sortt({a: 1})", "unknown_method", "sort"),
        ("db.users.find().forEach(print)", "needs_a_script", "script"),
        ("db.users.findOne().name", "needs_a_script", "script"),
        ("use shop", "shell_helper", "database"),
        ("show collections", "shell_helper", "getCollectionNames"),
        ("1 + 1", "no_command", "no database command"),
        ("while (true) {}", "", "3 seconds of processor time"),
        ("const a = []; while (true) a.push(new Array(1e6).fill(a.length))", "", "memory"),
        (
            r#"db.users.find({$expr: {$_internalJsEmit: {eval: "f", this: "$$ROOT"}}})"#,
            "operator_not_allowed",
            "operators",
        ),
        (
            "db.users.find(Object.fromEntries(Array.from({length: 40000}, (_, i) => ['$' + i, 1])))",
            "operator_not_allowed",
            "operators",
        ),
        ("db.users.find({a: {$in: Array.from({length: 300000}, (_, i) => i)}})", "", "at most"),
        (r#"db.users.find({$where: "true"})"#, "server_javascript", "JavaScript"),
        (
            r#"{"mapReduce": "users", "map": {"$code": "1"}, "reduce": {"$code": "1"}, "out": {"inline": 1}}"#,
            "server_javascript",
            "JavaScript",
        ),
        (r#"db.getSiblingDB("other").users.find()"#, "other_database", "other"),
        ("db.adminCommand({listDatabases: 1})", "other_database", "admin"),
        ("db.runCommand({usersInfo: 1})", "command_not_allowed", "rights"),
        ("db.system.users.find()", "system_collection", "system.users"),
        ("db.users.aggregate([{$changeStream: {}}])", "stage_not_allowed", "never ends"),
        (r#"{"find": "users", "filter": {"a": }}"#, "extended_json", "JSON"),
        (r#"{"find": "users", "filtr": {}}"#, "field_not_allowed", "filter"),
        (r#"{"find": "users", "lsid": {}}"#, "field_not_allowed", "portal"),
        ("[]", "no_command", "no command"),
        ("db.users.insertOne({a: () => 1})", "", "a"),
        ("db.users.updateOne({}, {name: 'x'})", "", "updateOne"),
    ] {
        let (found, message) = scene.refused(text).await;
        assert!(code.is_empty() || found == code, "{text}: {found}: {message}");
        assert!(message.contains(says), "{text}: {found}: {message}");
        assert!(!message.contains(super::PASSWORD) && !message.contains(&scene.user), "{text}: {message}");
    }
    scene.end().await;
}
