//! What a look at a target tells an admin.

use domain::ports::{ExecutionError, TargetInspector};
use domain::text::DatabaseName;
use secrecy::SecretString;

use super::harness::Db;

#[tokio::test]
async fn a_look_gives_the_version_and_the_databases_that_the_role_may_enter() {
    let db = Db::cold().await;
    let closed = format!("{}_closed", db.name);
    db.admin.batch_execute(&format!("CREATE DATABASE {closed}")).await.unwrap();
    db.admin.batch_execute(&format!("REVOKE CONNECT ON DATABASE {closed} FROM PUBLIC")).await.unwrap();
    let order = db.order("SELECT 1");
    let found = db.executor.inspect(&order.target, &order.database, &order.credentials).await.unwrap();
    let row = db.admin.query_one("SHOW server_version", &[]).await.unwrap();
    assert_eq!(found.server_version, row.get::<_, String>(0));
    let names: Vec<&str> = found.databases.iter().map(DatabaseName::as_str).collect();
    assert!(names.contains(&db.name.as_str()) && names.contains(&"postgres"), "{names:?}");
    assert!(!names.contains(&closed.as_str()) && !names.contains(&"template0"), "{names:?}");
    assert!(names.is_sorted());
    db.admin.batch_execute(&format!("DROP DATABASE {closed}")).await.unwrap();
    db.finish().await;
}

#[tokio::test]
async fn a_look_reports_a_login_that_is_not_accepted() {
    let db = Db::cold().await;
    let mut order = db.order("SELECT 1");
    order.credentials.password = SecretString::from("wrong-and-secret");
    let found = db.executor.inspect(&order.target, &order.database, &order.credentials).await;
    assert!(matches!(found, Err(ExecutionError::CredentialsRejected { .. })), "{found:?}");
    db.finish().await;
}

#[tokio::test]
async fn a_look_reports_a_role_that_the_target_does_not_allow() {
    let db = Db::cold().await;
    db.admin.batch_execute(&format!("GRANT pg_read_server_files TO {}", db.role)).await.unwrap();
    let mut order = db.order("SELECT 1");
    let found = db.executor.inspect(&order.target, &order.database, &order.credentials).await;
    assert!(matches!(found, Err(ExecutionError::RoleNotAllowed { .. })), "{found:?}");
    order.target.allow_privileged_role = true;
    assert!(db.executor.inspect(&order.target, &order.database, &order.credentials).await.is_ok());
    db.finish().await;
}

#[tokio::test]
async fn a_look_at_a_server_that_never_answers_ends_in_time() {
    let mut db = Db::cold().await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    db.target.port = silent.local_addr().unwrap().port();
    let order = db.order("SELECT 1");
    let begun = std::time::Instant::now();
    let found = db.executor.inspect(&order.target, &order.database, &order.credentials).await;
    assert!(matches!(found, Err(ExecutionError::Unavailable { .. })), "{found:?}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(30));
    db.finish().await;
}
