//! A look at a server on an admin's behalf.

use bson::doc;
use domain::execution::Credentials;
use domain::ports::{ExecutionError, TargetInspector as _};
use domain::text::DatabaseName;
use secrecy::SecretString;

use super::harness::{Db, PASSWORD};

fn credentials(db: &Db, password: &str) -> Credentials {
    Credentials::new(db.user_name(), SecretString::from(password.to_owned()))
}

#[tokio::test]
async fn a_look_tells_the_version_and_the_databases_that_people_work_in() {
    let (db, _server) = Db::own().await;
    for name in ["zebra", "Alpha", "beta-2", "config2"] {
        db.admin.database(name).collection("c").insert_one(doc! {}).await.unwrap();
    }
    let grant = doc! { "grantRolesToUser": db.user_name(), "roles": ["readAnyDatabase"] };
    db.admin.database("admin").run_command(grant).await.unwrap();
    let admin = DatabaseName::parse("admin").unwrap();
    let looked = db.executor.inspect(&db.target, &admin, &credentials(&db, PASSWORD)).await.unwrap();
    let expected = db.admin.database("admin").run_command(doc! { "buildInfo": 1 }).await.unwrap();
    assert_eq!(looked.server_version, expected.get_str("version").unwrap());
    let names: Vec<&str> = looked.databases.iter().map(DatabaseName::as_str).collect();
    assert_eq!(names, ["Alpha", "beta-2", "config2", "zebra"]);
}

#[tokio::test]
async fn a_look_without_the_right_to_list_all_shows_ones_own() {
    let (db, _server) = Db::own().await;
    db.insert("c", vec![doc! {}]).await;
    db.admin.database("zebra").collection("c").insert_one(doc! {}).await.unwrap();
    let admin = DatabaseName::parse("admin").unwrap();
    let looked = db.executor.inspect(&db.target, &admin, &credentials(&db, PASSWORD)).await.unwrap();
    let names: Vec<&str> = looked.databases.iter().map(DatabaseName::as_str).collect();
    assert_eq!(names, [db.name.as_str()]);
}

#[tokio::test]
async fn a_look_sees_the_server_as_it_is_now() {
    let db = Db::new().await;
    let admin = DatabaseName::parse("admin").unwrap();
    db.executor.inspect(&db.target, &admin, &credentials(&db, PASSWORD)).await.unwrap();
    let refused = db.executor.inspect(&db.target, &admin, &credentials(&db, "wrong")).await.unwrap_err();
    assert!(matches!(refused, ExecutionError::CredentialsRejected { .. }), "{refused:?}");
    let grant = doc! { "grantRolesToUser": db.user_name(), "roles": ["userAdminAnyDatabase"] };
    db.admin.database("admin").run_command(grant).await.unwrap();
    let refused = db.executor.inspect(&db.target, &admin, &credentials(&db, PASSWORD)).await.unwrap_err();
    assert!(matches!(refused, ExecutionError::RoleNotAllowed { .. }), "{refused:?}");
    let gone = doc! { "dropUser": db.user_name() };
    db.admin.database("admin").run_command(gone).await.unwrap();
    let refused = db.executor.inspect(&db.target, &admin, &credentials(&db, PASSWORD)).await.unwrap_err();
    assert!(matches!(refused, ExecutionError::CredentialsRejected { .. }), "{refused:?}");
}
