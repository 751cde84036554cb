//! Logins and roles, the way to a server, and what nobody may read in an error.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bson::{Document, doc};
use domain::execution::Credentials;
use domain::ports::{ExecutionError, TargetInspector as _};
use domain::text::DatabaseName;
use mongodb::Client;
use secrecy::SecretString;
use target_mongodb::{MongoExecutor, MongoExecutorConfig};
use testkit::everything_said;
use tokio_util::sync::CancellationToken;

use super::harness::{Db, Outcome, PASSWORD};

/// Neither the login nor what the portal and the driver add to a command.
pub(crate) fn tells_no_secret(outcome: &Outcome, secrets: &[&str]) -> String {
    let all = everything_said(outcome.error());
    for secret in secrets.iter().chain(&[PASSWORD, "lsid", "$clusterTime", "saslStart", "saslContinue"]) {
        assert!(!all.contains(secret), "{secret}: {all}");
    }
    all
}

fn login(name: &str, password: &str) -> Credentials {
    Credentials::new(name, SecretString::from(password.to_owned()))
}

async fn run_with(db: &Db, text: &str, credentials: Credentials) -> Outcome {
    db.run_as(text, |order| order.credentials = credentials).await
}

#[tokio::test]
async fn a_wrong_login_is_rejected_without_a_word_about_it() {
    let db = Db::new().await;
    let user = db.user_name();
    for (name, password) in [
        (&*user, "not-for-your-eyes"),
        ("nobody-there", PASSWORD),
        (&*user, ""),
        ("", PASSWORD),
        ("a@b:c/%", "p@:/%é"),
    ] {
        let outcome = run_with(&db, r#"{"find": "c"}"#, login(name, password)).await;
        let password = if password.is_empty() { "not-for-your-eyes" } else { password };
        let secrets: Vec<&str> = [name, password].into_iter().filter(|secret| !secret.is_empty()).collect();
        tells_no_secret(&outcome, &secrets);
        assert!(
            matches!(
                outcome.error(),
                ExecutionError::CredentialsRejected { .. } | ExecutionError::Unavailable { .. }
            ),
            "{name}: {:?}",
            outcome.result
        );
        if !name.is_empty() {
            assert!(
                matches!(outcome.error(), ExecutionError::CredentialsRejected { .. }),
                "{name}: {:?}",
                outcome.result
            );
        }
        let target = &db.target;
        let inspected =
            db.executor.inspect(target, &DatabaseName::parse("admin").unwrap(), &login(name, password)).await;
        let all = everything_said(&inspected.unwrap_err());
        assert!(secrets.iter().all(|secret| !all.contains(secret)), "{all}");
    }
    db.run(r#"{"find": "c"}"#).await.report();
}

#[tokio::test]
async fn a_missing_right_is_told_in_a_sentence_without_the_command() {
    let db = Db::new().await;
    let name = format!("r{}", db.name);
    db.user(&name, vec![doc! { "role": "read", "db": &db.name }]).await;
    for text in [
        r#"{"insert": "c", "documents": [{"secret": "in the text"}]}"#,
        r#"{"update": "c", "updates": [{"q": {"secret": "in the text"}, "u": {"a": 1}}]}"#,
        r#"{"createIndexes": "c", "indexes": [{"key": {"secret": 1}, "name": "in the text"}]}"#,
        r#"{"aggregate": "c", "pipeline": [{"$match": {"secret": "in the text"}}, {"$out": "x"}], "cursor": {}}"#,
        r#"{"drop": "c", "comment": "in the text"}"#,
    ] {
        let outcome = run_with(&db, text, login(&name, PASSWORD)).await;
        let all = tells_no_secret(&outcome, &[&name, "in the text", "query-portal/"]);
        let error = outcome.database_error();
        assert_eq!((error.code.as_str(), error.number), ("Unauthorized", Some(13)), "{all}");
        assert!(error.message.starts_with("not authorized on "), "{all}");
        assert!(error.hint.as_ref().unwrap().contains("Ask an admin"), "{all}");
    }
    run_with(&db, r#"{"find": "c"}"#, login(&name, PASSWORD)).await.report();
    db.admin.database("admin").run_command(doc! { "dropUser": name }).await.unwrap();
}

#[tokio::test]
async fn a_role_with_more_rights_than_queries_need_is_used_only_where_that_is_allowed() {
    let mut db = Db::new().await;
    let own = db.name.clone();
    let role = |role: &str, on: &str| doc! { "role": role, "db": on };
    let create = doc! { "createRole": "nested", "privileges": [], "roles": [role("dbOwner", &own)] };
    db.database().run_command(create).await.unwrap();
    let create =
        doc! { "createRole": "outer", "privileges": [], "roles": [role("nested", &own), role("read", &own)] };
    db.database().run_command(create).await.unwrap();
    let rights = doc! { "resource": { "db": "", "collection": "" }, "actions": ["createUser", "grantRole"] };
    let by_hand = format!("by_hand{own}");
    let create = doc! { "createRole": &by_hand, "privileges": [rights], "roles": [] };
    db.admin.database("admin").run_command(create).await.unwrap();
    for (n, (name, on, named)) in [
        ("root", "admin", "root on admin"),
        ("dbOwner", &own, "dbOwner on"),
        ("userAdmin", &own, "userAdmin on"),
        ("userAdminAnyDatabase", "admin", "userAdminAnyDatabase on admin"),
        ("clusterAdmin", "admin", "clusterAdmin on admin"),
        ("hostManager", "admin", "hostManager on admin"),
        ("restore", "admin", "restore on admin"),
        ("outer", &own, "dbOwner on"),
        (&by_hand, "admin", "createUser, grantRole"),
    ]
    .into_iter()
    .enumerate()
    {
        let user = format!("p{n}{own}");
        db.user(&user, vec![role(name, on)]).await;
        db.target.allow_privileged_role = false;
        let outcome = run_with(&db, r#"{"ping": 1}"#, login(&user, PASSWORD)).await;
        let all = tells_no_secret(&outcome, &[&user]);
        assert!(matches!(outcome.error(), ExecutionError::RoleNotAllowed { .. }), "{name} {all}");
        assert!(all.contains(named), "{name} {all}");
        db.target.allow_privileged_role = true;
        run_with(&db, r#"{"ping": 1}"#, login(&user, PASSWORD)).await.report();
        db.admin.database("admin").run_command(doc! { "dropUser": user }).await.unwrap();
    }
    for (n, name) in ["read", "readWrite", "dbAdmin"].into_iter().enumerate() {
        let user = format!("o{n}{own}");
        db.user(&user, vec![role(name, &own)]).await;
        db.target.allow_privileged_role = false;
        run_with(&db, r#"{"ping": 1}"#, login(&user, PASSWORD)).await.report();
        db.admin.database("admin").run_command(doc! { "dropUser": user }).await.unwrap();
    }
    db.admin.database("admin").run_command(doc! { "dropRole": format!("by_hand{own}") }).await.unwrap();
}

#[tokio::test]
async fn a_new_password_works_at_once_and_the_old_one_does_not_any_more() {
    let db = Db::new().await;
    let find = r#"{"find": "c"}"#;
    db.run(find).await.report();
    let change = async |password: &str| {
        let update = doc! { "updateUser": db.user_name(), "pwd": password };
        db.admin.database("admin").run_command(update).await.unwrap();
    };
    change("a-new-password").await;
    run_with(&db, find, login(&db.user_name(), "a-new-password")).await.report();
    let outcome = run_with(&db, find, login(&db.user_name(), PASSWORD)).await;
    tells_no_secret(&outcome, &[&db.user_name(), "a-new-password"]);
    assert!(matches!(outcome.error(), ExecutionError::CredentialsRejected { .. }), "{:?}", outcome.result);
    run_with(&db, find, login(&db.user_name(), "a-new-password")).await.report();
    // And the other way round: rejected first, and right as soon as the server knows it.
    let outcome = run_with(&db, find, login(&db.user_name(), "a-later-password")).await;
    assert!(matches!(outcome.error(), ExecutionError::CredentialsRejected { .. }), "{:?}", outcome.result);
    change("a-later-password").await;
    run_with(&db, find, login(&db.user_name(), "a-later-password")).await.report();
}

#[tokio::test]
async fn a_login_that_is_refused_for_one_more_connection_is_a_refused_login_and_nothing_was_sent() {
    let mut db = Db::new().await;
    db.insert("c", vec![doc! { "_id": 1 }]).await;
    db.target.admits.server_javascript = true;
    db.run(r#"{"find": "c"}"#).await.report();
    let update = doc! { "updateUser": db.user_name(), "pwd": "a-new-password" };
    db.admin.database("admin").run_command(update).await.unwrap();
    // The one connection that was there is at work, and others need the login.
    let slow = db.run(r#"{"find": "c", "filter": {"$where": "sleep(3000) || true"}}"#);
    let others = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        for text in [r#"{"insert": "c", "documents": [{"_id": 2}]}"#, r#"{"find": "c"}"#] {
            let outcome = db.run(text).await;
            tells_no_secret(&outcome, &[&db.user_name(), "a-new-password"]);
            assert!(
                matches!(outcome.error(), ExecutionError::CredentialsRejected { .. }),
                "{:?}",
                outcome.result
            );
        }
    };
    let (slow, ()) = tokio::join!(slow, others);
    slow.report();
    let now = run_with(&db, r#"{"find": "c"}"#, login(&db.user_name(), "a-new-password")).await;
    assert_eq!(now.report().statements[0].rows, 1, "the document was not inserted");
}

#[tokio::test]
async fn a_server_that_is_not_there_or_is_none_is_unavailable() {
    let mut db = Db::new().await;
    let config =
        MongoExecutorConfig { connect_timeout: Duration::from_secs(1), ..MongoExecutorConfig::default() };
    db.executor = Arc::new(MongoExecutor::new(config));
    // Nobody listens, and somebody who never answers, and a name that no one has.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (host, port) in [
        ("127.0.0.1", closed),
        ("127.0.0.1", silent.local_addr().unwrap().port()),
        ("no.such.host.invalid", 27017),
        ("mongodb+srv://no.such.host.invalid", 27017),
    ] {
        (db.target.host, db.target.port) = (host.to_owned(), port);
        let begun = std::time::Instant::now();
        let outcome = db.run(r#"{"insert": "c", "documents": [{}]}"#).await;
        let all = tells_no_secret(&outcome, &[&db.user_name()]);
        assert!(matches!(outcome.error(), ExecutionError::Unavailable { .. }), "{host} {all}");
        assert!(begun.elapsed() < Duration::from_secs(8), "{host}: {:?}", begun.elapsed());
        let cancel = CancellationToken::new();
        cancel.cancel();
        let order = db.order(r#"{"ping": 1}"#).await;
        assert!(matches!(db.run_order(&order, cancel).await.error(), ExecutionError::Cancelled));
    }
}

/// A server that is no member of a replica set, as a test starts none otherwise.
struct Standalone {
    server: Child,
    folder: std::path::PathBuf,
}

impl Drop for Standalone {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn standalone(port: u16) -> Standalone {
    let program = std::env::var("MONGOD_BIN").unwrap_or_else(|_| "mongod".to_owned());
    let folder = std::env::temp_dir().join(format!("standalone-{}-{port}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let server = Command::new(program)
        .args([
            "--port",
            &port.to_string(),
            "--bind_ip",
            "127.0.0.1",
            "--nounixsocket",
            "--wiredTigerCacheSizeGB",
            "0.25",
        ])
        .arg("--dbpath")
        .arg(&folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let standalone = Standalone { server, folder };
    let create = doc! { "createUser": "first", "pwd": PASSWORD, "roles": ["root"] };
    let client =
        Client::with_uri_str(format!("mongodb://127.0.0.1:{port}/?directConnection=true")).await.unwrap();
    client.database("admin").run_command(create).await.unwrap();
    standalone
}

#[tokio::test]
async fn a_server_without_transactions_takes_one_write_at_a_time() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let _server = standalone(port).await;
    let mut db =
        Db::on(&format!("mongodb://first:{PASSWORD}@127.0.0.1:{port}/?authSource=admin"), port).await;
    db.target.admits.server_javascript = true;
    let insert = r#"{"insert": "c", "documents": [{"_id": 1}, {"_id": 2}]}"#;
    assert_eq!(db.run(insert).await.report().statements[0].affected, Some(2));
    assert_eq!(db.run(&format!(r#"[{insert}, {{"find": "c"}}]"#)).await.refusal(), "no_transactions");
    db.run(r#"[{"find": "c"}, {"count": "c"}]"#).await.report();
    let outcome = db.run(r#"{"insert": "c", "documents": [{"_id": 3}, {"_id": 1}]}"#).await;
    assert!(
        outcome.database_error().message.contains("1 document was written before and stays."),
        "{:?}",
        outcome.result
    );
    assert_eq!(db.count("c").await, 3);
    // Stopped in its middle, a part of it stays.
    let update = r#"{"update": "c", "updates": [{"q": {"$where": "function() { if (this._id == 3) sleep(60000); return true }"},
        "u": {"$set": {"x": 1}}, "multi": true}]}"#;
    let outcome = db.run_as(update, |order| order.limits.timeout = Duration::from_millis(500)).await;
    assert!(matches!(outcome.error(), ExecutionError::OutcomeUnknown { .. }), "{:?}", outcome.result);
    let changed = db.database().collection::<Document>("c").count_documents(doc! { "x": 1 }).await.unwrap();
    assert_eq!(changed, 2);
    db.is_quiet().await;
}

/// The one member is a primary, which `primaryPreferred` and `nearest` take; `secondary` finds nobody.
#[tokio::test]
async fn reads_go_where_the_instance_says_and_writes_to_the_primary() {
    let mut db = Db::new().await;
    for preference in ["primaryPreferred", "nearest"] {
        db.target.connection_options = Some(format!("replicaSet=rs0&readPreference={preference}"));
        db.run(r#"[{"insert": "c", "documents": [{"x": 1}]}, {"find": "c"}]"#).await.report();
        db.run(r#"{"find": "c"}"#).await.report();
        db.run(r#"{"count": "c"}"#).await.report();
    }
    db.target.connection_options = Some("replicaSet=rs0&readPreference=secondary".to_owned());
    db.run(r#"{"insert": "c", "documents": [{"x": 1}]}"#).await.report();
    let outcome = db.run(r#"{"find": "c"}"#).await;
    assert!(outcome.result.is_err(), "{:?}", outcome.result);
    assert_eq!(db.count("c").await, 3);
}
