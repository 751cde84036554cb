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
async fn a_look_tells_who_the_portal_is_there_and_what_it_may_do() {
    let db = Db::cold().await;
    let order = db.order("SELECT 1");
    let look = async || {
        let found = db.executor.inspect(&order.target, &order.database, &order.credentials).await.unwrap();
        assert!(found.latency > std::time::Duration::ZERO);
        found.role
    };
    let run = async |sql: &str| db.admin.batch_execute(&sql.replace("ROLE_", &db.role)).await.unwrap();
    let role = &db.role;
    // A schema of its own, in which the harness may have given it rights already, is not what this is about.
    run(&format!("ALTER DATABASE {} OWNER TO CURRENT_USER", db.name)).await;
    run("REVOKE ALL ON SCHEMA public FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM ROLE_;
         REVOKE ALL ON ALL TABLES IN SCHEMA public FROM ROLE_; CREATE SCHEMA kept; CREATE TABLE kept.t (n int)")
    .await;
    let before = look().await;
    assert_eq!((&before.name, before.may_write), (role, Some(false)), "{before:?}");
    assert_eq!((before.privileges, before.member_of), (vec![], vec![]));

    run("GRANT SELECT ON kept.t TO ROLE_; GRANT USAGE ON SCHEMA kept TO ROLE_").await;
    assert_eq!(look().await.may_write, Some(false), "who reads does not write");
    let owned = format!("CREATE ON DATABASE {}", db.name);
    for right in [
        &owned,
        "INSERT ON kept.t",
        "UPDATE ON kept.t",
        "DELETE ON kept.t",
        "TRUNCATE ON kept.t",
        "INSERT (n) ON kept.t",
        "UPDATE (n) ON kept.t",
        "CREATE ON SCHEMA kept",
    ] {
        run(&format!("GRANT {right} TO ROLE_")).await;
        assert_eq!(look().await.may_write, Some(true), "{right}");
        run(&format!("REVOKE {right} FROM ROLE_")).await;
    }
    run("GRANT INSERT ON kept.t TO ROLE_; REVOKE USAGE ON SCHEMA kept FROM ROLE_").await;
    assert_eq!(look().await.may_write, Some(false), "there is no way to the table");
    run("REVOKE INSERT ON kept.t FROM ROLE_").await;

    run("ALTER ROLE ROLE_ CREATEROLE CREATEDB; GRANT pg_read_all_settings, pg_monitor TO ROLE_").await;
    let strong = look().await;
    assert_eq!(strong.privileges, ["createdb", "createrole"]);
    let expected = ["pg_monitor", "pg_read_all_settings"];
    assert!(expected.iter().all(|role| strong.member_of.contains(&(*role).to_owned())), "{strong:?}");

    // Whoever owns the database cannot lead the look astray.
    run("CREATE SCHEMA astray; CREATE TABLE astray.pg_roles (rolname name, oid oid, rolsuper boolean);
         CREATE FUNCTION astray.yes(name, name) RETURNS boolean LANGUAGE sql AS 'SELECT true';
         CREATE OPERATOR astray.= (LEFTARG = name, RIGHTARG = name, FUNCTION = astray.yes);
         GRANT USAGE ON SCHEMA astray TO ROLE_; ALTER ROLE ROLE_ SET search_path = astray, pg_catalog")
    .await;
    assert_eq!(look().await, strong);
    db.finish().await;
}

#[tokio::test]
async fn a_look_counts_what_the_role_may_do_as_another_that_it_may_become() {
    let db = Db::cold().await;
    let order = db.order("SELECT 1");
    let may_write = async || {
        let found = db.executor.inspect(&order.target, &order.database, &order.credentials).await.unwrap();
        found.role.may_write
    };
    let run = async |sql: &str| {
        let sql = sql.replace("ROLE_", &db.role).replace("DATABASE_", &db.name);
        db.admin.batch_execute(&sql).await.unwrap();
    };
    run("ALTER DATABASE DATABASE_ OWNER TO CURRENT_USER; ALTER ROLE ROLE_ NOINHERIT;
         REVOKE ALL ON SCHEMA public FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM ROLE_;
         REVOKE ALL ON ALL TABLES IN SCHEMA public FROM ROLE_;
         CREATE SCHEMA kept; CREATE TABLE kept.t (n int, m int);
         CREATE ROLE ROLE__way NOLOGIN; CREATE ROLE ROLE__writer NOLOGIN; CREATE ROLE ROLE__stranger NOLOGIN;
         GRANT ROLE__way, ROLE__writer TO ROLE_; GRANT ALL ON kept.t TO ROLE__stranger;
         GRANT USAGE ON SCHEMA kept TO ROLE__way, ROLE__stranger; GRANT SELECT ON kept.t TO ROLE__way")
    .await;
    assert_eq!(may_write().await, Some(false), "it is no member of who may");
    for right in
        ["DELETE ON kept.t", "UPDATE (m) ON kept.t", "CREATE ON SCHEMA kept", "CREATE ON DATABASE DATABASE_"]
    {
        run(&format!("GRANT {right} TO ROLE__writer")).await;
        assert_eq!(may_write().await, Some(true), "{right}");
        run(&format!("REVOKE {right} FROM ROLE__writer")).await;
        assert_eq!(may_write().await, Some(false), "{right}");
    }
    // This is how a right that only another role has is used through the way that only this one has.
    run("GRANT DELETE ON kept.t TO ROLE__writer").await;
    run("SET SESSION AUTHORIZATION ROLE_; SET ROLE ROLE__way; PREPARE it AS DELETE FROM kept.t;
         SET ROLE ROLE__writer; EXECUTE it; DEALLOCATE it; RESET SESSION AUTHORIZATION; RESET ROLE")
    .await;
    run("REVOKE DELETE ON kept.t FROM ROLE__writer").await;

    // Owners can give themselves back what they took away.
    run("ALTER TABLE kept.t OWNER TO ROLE__writer; REVOKE ALL ON kept.t FROM ROLE__writer").await;
    assert_eq!(may_write().await, Some(true), "it may become the owner");
    // What is inherited counts as before.
    run("ALTER TABLE kept.t OWNER TO CURRENT_USER; ALTER ROLE ROLE_ INHERIT; GRANT INSERT ON kept.t TO ROLE__way;
         REVOKE ROLE__way FROM ROLE_; GRANT ROLE__way TO ROLE_")
    .await;
    assert_eq!(may_write().await, Some(true));
    run("DROP OWNED BY ROLE__way, ROLE__writer, ROLE__stranger; DROP ROLE ROLE__way, ROLE__writer, ROLE__stranger")
        .await;
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
