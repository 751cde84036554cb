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
async fn a_look_tells_who_the_portal_is_there_and_what_it_may_do() {
    let (db, _server) = Db::own().await;
    let admin = DatabaseName::parse("admin").unwrap();
    let look = async |db: &Db| {
        let looked = db.executor.inspect(&db.target, &admin, &credentials(db, PASSWORD)).await.unwrap();
        assert!(looked.latency > std::time::Duration::ZERO);
        looked.role
    };
    let roles = async |roles: Vec<bson::Bson>| {
        let update = doc! { "updateUser": db.user_name(), "roles": roles };
        db.admin.database("admin").run_command(update).await.unwrap();
    };
    let role_of = |role: &str| doc! { "role": role, "db": &db.name }.into();
    roles(vec![role_of("read")]).await;
    let reader = look(&db).await;
    assert_eq!(reader.name, format!("{}@admin", db.user_name()));
    assert_eq!((reader.member_of, reader.may_write), (vec![format!("read@{}", db.name)], Some(false)));
    assert_eq!(reader.privileges, Vec::<String>::new());

    roles(vec![role_of("readWrite")]).await;
    assert_eq!(look(&db).await.may_write, Some(true));
    roles(vec![]).await;
    assert_eq!(look(&db).await.may_write, Some(false));

    let mut db = db;
    db.target.allow_privileged_role = true;
    let update = doc! { "updateUser": db.user_name(), "roles": ["root"] };
    db.admin.database("admin").run_command(update).await.unwrap();
    let root = look(&db).await;
    assert_eq!((root.privileges, root.may_write), (vec!["root on admin".to_owned()], Some(true)));
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
