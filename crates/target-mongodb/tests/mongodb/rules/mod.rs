//! What the rules call a read changes nothing on a server, whatever the login may do there. The table of verdicts stands
//! beside the rules themselves.

use std::fmt::Write as _;

use bson::{Document, RawDocumentBuf, doc};
use domain::ports::ExecutionError;
use domain::target::Admits;
use futures_util::TryStreamExt as _;

use super::harness::{Db, Outcome};

const READS: &str = include_str!("reads.txt");

async fn fill(db: &Db, name: &str) {
    let database = db.admin.database(name);
    let users = vec![
        doc! { "_id": 1, "age": 31, "name": "Ada", "boss": 2, "tags": ["a", { "b": 1 }], "place": { "type": "Point", "coordinates": [0, 1] } },
        doc! { "_id": 2, "age": 61, "tags": [] },
    ];
    database.collection("users").insert_many(users).await.unwrap();
    database
        .collection("orders")
        .insert_many(vec![doc! { "_id": 1, "user": 1 }, doc! { "_id": 2, "user": 9 }])
        .await
        .unwrap();
    let index =
        doc! { "createIndexes": "users", "indexes": [{ "key": { "place": "2dsphere" }, "name": "place" }] };
    database.run_command(index).await.unwrap();
}

/// Everything in these databases: collections with their options, indexes, documents byte by byte.
async fn dump(db: &Db, names: &[&str]) -> String {
    let mut dump = String::new();
    for name in names {
        let database = db.admin.database(name);
        let mut collections: Vec<_> = database.list_collections().await.unwrap().try_collect().await.unwrap();
        collections.sort_by(|a, b| a.name.cmp(&b.name));
        for collection in collections {
            writeln!(dump, "{name} {collection:?}").unwrap();
            let it = database.collection::<RawDocumentBuf>(&collection.name);
            let indexes: Vec<_> = it.list_indexes().await.unwrap().try_collect().await.unwrap();
            let documents: Vec<_> =
                it.find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap().try_collect().await.unwrap();
            writeln!(dump, "{indexes:?}\n{documents:?}").unwrap();
        }
    }
    let databases = db.admin.list_database_names().await.unwrap();
    writeln!(dump, "{databases:?}").unwrap();
    dump
}

#[tokio::test]
async fn whatever_is_called_a_read_changes_nothing() {
    let (mut db, _server) = Db::own().await;
    let (shop, other) = (db.name.clone(), format!("{}x", db.name));
    let role = |role: &str, on: &str| doc! { "role": role, "db": on };
    // No missing right keeps anything from being changed.
    let roles = [
        role("readWriteAnyDatabase", "admin"),
        role("dbAdminAnyDatabase", "admin"),
        role("clusterMonitor", "admin"),
    ];
    let grant = doc! { "grantRolesToUser": db.user_name(), "roles": roles.to_vec() };
    db.admin.database("admin").run_command(grant).await.unwrap();
    db.target.admits = Admits { other_databases: true, server_javascript: true };
    for name in [&shop, &other] {
        fill(&db, name).await;
    }
    let before = dump(&db, &[&shop, &other]).await;
    let mut ends = String::new();
    for line in READS.lines().filter(|line| !line.starts_with('#')) {
        let text =
            line.replace("\"shop\"", &format!("\"{shop}\"")).replace("\"other\"", &format!("\"{other}\""));
        let outcome = db.run_as(&text, |order| order.read_only = true).await;
        match &outcome.result {
            Ok(_) => {}
            Err(ExecutionError::Database(error)) => writeln!(ends, "{line}\n    {}", error.code).unwrap(),
            Err(error) => panic!("{line}: {error:?}"),
        }
        assert_eq!(dump(&db, &[&shop, &other]).await, before, "{line}");
    }
    // The few that a server does not do, which is its to say.
    insta::assert_snapshot!(ends);
}

/// The condition of `$pull` is no place for it, so the rules need not look for it there.
#[tokio::test]
async fn the_server_evaluates_no_code_in_the_operators_of_an_update() {
    let db = Db::new().await;
    db.insert("c", vec![doc! { "_id": 1, "tags": [{ "x": 1 }, 2] }]).await;
    let before = db.raw("c").await;
    for u in [
        r#"{"$pull": {"tags": {"$where": "true"}}}"#,
        r#"{"$pull": {"tags": {"$elemMatch": {"$where": "true"}}}}"#,
        r#"{"$pull": {"tags": {"x": {"$where": "true"}}}}"#,
        r#"{"$pull": {"tags": {"$expr": {"$function": {"body": "function() { return true }", "args": [], "lang": "js"}}}}}"#,
    ] {
        let outcome =
            db.run(&format!(r#"{{"update": "c", "updates": [{{"q": {{"_id": 1}}, "u": {u}}}]}}"#)).await;
        assert!(matches!(outcome.error(), ExecutionError::Database(_)), "{u} {:?}", outcome.result);
        assert_eq!(db.raw("c").await, before);
    }
    let data = r#"{"update": "c", "updates": [{"q": {"_id": 1}, "u": {"$set": {"x": {"$function": {"body": "f"}, "$where": "1"}}}}]}"#;
    db.run(data).await.report();
    let kept = db.database().collection::<Document>("c").find_one(doc! {}).await.unwrap().unwrap();
    assert_eq!(kept.get_document("x").unwrap(), &doc! { "$function": { "body": "f" }, "$where": "1" });
}

#[tokio::test]
async fn the_executor_looks_at_the_stored_commands_again() {
    let db = Db::new().await;
    let order = db.order(r#"{"find": "users"}"#).await;
    let run = async |compiled: &str, read_only: bool| -> Outcome {
        let mut order = db.order_of(order.submission.text.clone(), vec![compiled.to_owned()]);
        order.read_only = read_only;
        db.run_order(&order, tokio_util::sync::CancellationToken::new()).await
    };
    assert_eq!(run(r#"{"insert":"users","documents":[{"a":1}]}"#, true).await.refusal(), "read_only");
    assert_eq!(
        run(r#"{"find":"users","filter":{"$where":"1"}}"#, false).await.refusal(),
        "server_javascript"
    );
    assert_eq!(run(r#"{"find":"users","$db":"admin"}"#, false).await.refusal(), "other_database");
    assert_eq!(run(r#"{"shutdown":1}"#, false).await.refusal(), "command_not_allowed");
    assert_eq!(run("no json", false).await.refusal(), "extended_json");
    assert_eq!(
        db.run_order(
            &db.order_of(order.submission.text.clone(), vec![]),
            tokio_util::sync::CancellationToken::new()
        )
        .await
        .refusal(),
        "not_compiled"
    );
    assert_eq!(db.count("users").await, 0);
}
