//! Logins, roles, and what sessions pass on to one another: nothing.

use std::time::{Duration, Instant};

use domain::execution::Credentials;
use domain::ports::{ExecutionError, TargetInspector};
use domain::target::TlsMode;
use domain::text::DatabaseName;
use secrecy::SecretString;
use target_postgres::{PostgresExecutor, PostgresExecutorConfig};
use testkit::everything_said;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::harness::{Db, PASSWORD};

#[tokio::test]
async fn a_wrong_password_is_rejected_and_not_everything_said() {
    let db = Db::cold().await;
    let mut order = db.order("SELECT 1");
    order.credentials.password = SecretString::from("wrong-and-secret");
    let outcome = db.run_order(&order, CancellationToken::new()).await;
    // A server that trusts everybody on the loopback address would make this test worthless.
    assert!(matches!(outcome.error(), ExecutionError::CredentialsRejected { .. }), "{:?}", outcome.result);
    let text = everything_said(outcome.error());
    assert!(text.contains("28P01"), "{text}");
    assert!(!text.contains("wrong-and-secret") && !text.contains(&db.role), "{text}");
    db.finish().await;
}

/// A server of somebody who wants the password: it answers the beginning of each connection with `request`, and keeps
/// all that it is sent afterwards.
async fn thief(request: &'static [u8]) -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let got = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let length = socket.read_u32().await.unwrap();
        let mut startup = vec![0; length as usize - 4];
        socket.read_exact(&mut startup).await.unwrap();
        socket.write_all(request).await.unwrap();
        let mut got = vec![];
        // However the portal ends it.
        let _ = socket.read_to_end(&mut got).await;
        got
    });
    (port, got)
}

#[tokio::test]
async fn no_server_gets_the_password_itself() {
    let mut db = Db::cold().await;
    let (port, got) = thief(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3]).await;
    db.target.port = port;
    let outcome = db.run("SELECT 1").await;
    assert!(matches!(outcome.error(), ExecutionError::Unavailable { .. }), "{:?}", outcome.result);
    let text = everything_said(outcome.error());
    assert!(text.contains("asks for the password in the clear, which the portal never sends"), "{text}");
    assert_eq!(got.await.unwrap(), b"", "nothing at all is sent");

    // A look is no way around that.
    let (port, got) = thief(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3]).await;
    db.target.port = port;
    let order = db.order("SELECT 1");
    let found = db.executor.inspect(&order.target, &order.database, &order.credentials).await;
    assert!(matches!(found, Err(ExecutionError::Unavailable { .. })), "{found:?}");
    assert_eq!(got.await.unwrap(), b"");

    // The control: a thief who asks for a proof gets an answer, and the password is not in it.
    let (port, got) = thief(&[b'R', 0, 0, 0, 12, 0, 0, 0, 5, 1, 2, 3, 4]).await;
    db.target.port = port;
    let order = db.order("SELECT 1");
    let asked =
        tokio::time::timeout(Duration::from_secs(1), db.run_order(&order, CancellationToken::new())).await;
    assert!(asked.is_err(), "the portal waits for the thief's verdict");
    let got = String::from_utf8_lossy(&got.await.unwrap()).into_owned();
    assert!(got.starts_with('p') && got.contains("md5") && !got.contains(PASSWORD), "{got:?}");
    db.finish().await;
}

#[tokio::test]
async fn a_login_that_begins_with_another_role_is_as_good_as_any() {
    let db = Db::cold().await;
    let other = format!("other_{}", db.role);
    for sql in [
        format!("CREATE ROLE {other} NOLOGIN"),
        format!("GRANT {other} TO {}", db.role),
        format!("ALTER ROLE {} SET role = '{other}'", db.role),
    ] {
        db.admin.batch_execute(&sql).await.unwrap();
    }
    assert_eq!(db.run("SELECT current_user::text").await.lines(), [format!("[\"{other}\"]")]);
    db.admin.batch_execute(&format!("DROP ROLE {other}")).await.unwrap();
    db.finish().await;
}

#[tokio::test]
async fn a_target_that_is_away_is_not_available() {
    let mut db = Db::cold().await;
    let port = db.target.port;
    db.target.port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let outcome = db.run("SELECT 1").await;
    assert!(matches!(outcome.error(), ExecutionError::Unavailable { .. }));
    assert!(!everything_said(outcome.error()).contains(PASSWORD));
    db.target.port = port;
    db.target.host = "no-such-host.invalid".to_owned();
    assert!(matches!(db.run("SELECT 1").await.error(), ExecutionError::Unavailable { .. }));
    db.finish().await;
}

#[tokio::test]
async fn a_target_that_never_answers_is_not_available_in_time() {
    let mut db = Db::cold().await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    db.target.port = silent.local_addr().unwrap().port();
    let config = PostgresExecutorConfig {
        connect_timeout: Duration::from_millis(300),
        warm_sessions: 0,
        ..PostgresExecutorConfig::default()
    };
    db.executor = PostgresExecutor::new(config);
    let started = Instant::now();
    assert!(matches!(db.run("SELECT 1").await.error(), ExecutionError::Unavailable { .. }));
    assert!(started.elapsed() < Duration::from_secs(3));
    db.finish().await;
}

#[tokio::test]
async fn an_unknown_database_is_the_servers_error() {
    let db = Db::cold().await;
    let mut order = db.order("SELECT 1");
    order.database = DatabaseName::parse("no_such_database").unwrap();
    let outcome = db.run_order(&order, CancellationToken::new()).await;
    assert_eq!(outcome.database_error().code, "3D000");
    db.finish().await;
}

#[tokio::test]
async fn tls_is_never_given_up_silently() {
    let mut db = Db::cold().await;
    for mode in [TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull] {
        db.target.tls = mode;
        let outcome = db.run("SELECT 1").await;
        assert!(matches!(outcome.error(), ExecutionError::Unavailable { .. }), "{:?}", outcome.result);
    }
    db.finish().await;
}

#[tokio::test]
async fn a_privileged_role_is_refused_unless_the_target_allows_it() {
    let mut db = Db::cold().await;
    for (grant, revoke) in [
        (format!("ALTER ROLE {} SUPERUSER", db.role), format!("ALTER ROLE {} NOSUPERUSER", db.role)),
        (
            format!("GRANT pg_read_server_files TO {}", db.role),
            format!("REVOKE pg_read_server_files FROM {}", db.role),
        ),
        (
            format!("CREATE ROLE m{0} IN ROLE pg_execute_server_program; GRANT m{0} TO {0}", db.role),
            format!("DROP ROLE m{}", db.role),
        ),
    ] {
        db.admin.batch_execute(&grant).await.unwrap();
        db.target.allow_privileged_role = false;
        let outcome = db.run("SELECT 1").await;
        assert!(matches!(outcome.error(), ExecutionError::RoleNotAllowed { .. }), "{grant}");
        db.target.allow_privileged_role = true;
        db.run("SELECT 1").await.report();
        db.admin.batch_execute(&revoke).await.unwrap();
    }
    db.target.allow_privileged_role = false;
    db.run("SELECT 1").await.report();
    db.finish().await;
}

#[tokio::test]
async fn a_session_is_used_once_and_the_next_is_clean() {
    let db = Db::new().await;
    let first = db
        .run("CREATE TEMP TABLE left_behind (id int); SET work_mem = '77MB'; SELECT set_config('a.b', 'x', false), pg_backend_pid(), pg_advisory_lock(7)")
        .await;
    // The second execution gets a session that was opened during the first.
    let second = db.run("SELECT to_regclass('left_behind'), current_setting('work_mem'), current_setting('a.b', true), pg_backend_pid(), pg_try_advisory_lock(7)").await;
    assert_eq!(second.rows()[0][0], serde_json::Value::Null);
    assert_ne!(second.rows()[0][1], "77MB");
    assert_eq!(second.rows()[0][2], serde_json::Value::Null);
    assert_ne!(first.rows()[0][1], second.rows()[0][3]);
    assert_eq!(second.rows()[0][4], true);
    db.finish().await;
}

#[tokio::test]
async fn a_session_is_kept_ready_and_closed_in_the_end() {
    let mut db = Db::new().await;
    db.run("SELECT 1").await.report();
    let wait_for = async |db: &Db, wanted: i64| {
        let deadline = Instant::now() + Duration::from_secs(5);
        while db.sessions().await != wanted {
            assert!(Instant::now() < deadline, "{} sessions", db.sessions().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    wait_for(&db, 1).await;
    // One that died while it waited is replaced without anybody noticing.
    let kill = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{}'",
        db.role
    );
    // The one session may still be that of the execution, which ends by itself.
    let deadline = Instant::now() + Duration::from_secs(5);
    while db.count(&kill).await == 0 {
        assert!(Instant::now() < deadline, "no session was kept ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What was killed may also be the next one while it was being opened; then it is the next execution that makes another.
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        db.run("SELECT 1").await.report();
        tokio::time::sleep(Duration::from_millis(200)).await;
        if db.sessions().await == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "{} sessions", db.sessions().await);
    }
    db.executor.shut_down();
    wait_for(&db, 0).await;
    db.run("SELECT 1").await.report();
    wait_for(&db, 0).await;
    let config =
        PostgresExecutorConfig { max_idle: Duration::from_millis(300), ..PostgresExecutorConfig::default() };
    db.executor = PostgresExecutor::new(config);
    db.run("SELECT 1").await.report();
    wait_for(&db, 1).await;
    wait_for(&db, 0).await;
    db.executor = PostgresExecutor::default();
    db.run("SELECT 1").await.report();
    wait_for(&db, 1).await;
    db.executor = PostgresExecutor::default();
    wait_for(&db, 0).await;
    db.finish().await;
}

#[tokio::test]
async fn another_password_does_not_get_somebody_elses_session() {
    let db = Db::new().await;
    db.run("SELECT 1").await.report();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut order = db.order("SELECT 1");
    order.credentials = Credentials::new(db.role.clone(), SecretString::from("wrong"));
    let outcome = db.run_order(&order, CancellationToken::new()).await;
    assert!(matches!(outcome.error(), ExecutionError::CredentialsRejected { .. }));
    db.finish().await;
}

#[tokio::test]
async fn the_session_is_set_up_as_ordered() {
    let mut db = Db::new().await;
    db.admin.batch_execute(&format!("CREATE SCHEMA \"Odd, name\" AUTHORIZATION {}", db.role)).await.unwrap();
    db.target.search_path = Some("\"Odd, name\", public".to_owned());
    let sql = "SELECT current_setting('application_name'), current_setting('statement_timeout'),
        current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout'),
        current_schema(), current_setting('client_connection_check_interval')";
    let found = db.run(sql).await;
    let request = db.order(sql).request;
    let expected =
        serde_json::json!([format!("query-portal/{request}"), "30s", "5s", "30s", "Odd, name", "500ms"]);
    assert_eq!(found.rows(), [expected]);
    db.finish().await;
}
