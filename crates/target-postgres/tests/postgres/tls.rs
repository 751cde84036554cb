//! TLS to a target, with a server of this test's own: one whose certificate no known authority has signed.

use domain::ports::ExecutionError;
use domain::target::TlsMode;
use pg_tls::Authorities;
use target_postgres::{PostgresExecutor, PostgresExecutorConfig};
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;

use super::harness::{Db, PASSWORD};

/// For `localhost`, signed by the authority below. The keys of both authorities are gone, and the key of the server
/// opens nothing but this test.
const CERTIFICATE: &str = include_str!("certificates/server.pem");
const KEY: &str = include_str!("certificates/server.key");

const AUTHORITY: &str = include_str!("certificates/authority.pem");
const STRANGER: &str = include_str!("certificates/stranger.pem");

pub(super) async fn server_with_tls(role: &str) -> dev_stack::EphemeralPostgres {
    let server = dev_stack::EphemeralPostgres::start().unwrap();
    let (client, connection) = tokio_postgres::connect(&server.url("postgres"), NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    // Only the server's own user may read the key, so the server writes it.
    for (name, text) in [("test.pem", CERTIFICATE), ("test.key", KEY)] {
        let quoted = text.trim_end().replace('\n', "', '");
        let sql = format!("COPY (SELECT unnest(ARRAY['{quoted}'])) TO PROGRAM 'umask 077; cat > {name}'");
        client.batch_execute(&sql).await.unwrap();
    }
    for sql in [
        "ALTER SYSTEM SET ssl_cert_file = 'test.pem'".to_owned(),
        "ALTER SYSTEM SET ssl_key_file = 'test.key'".to_owned(),
        "ALTER SYSTEM SET ssl = on".to_owned(),
        "SELECT pg_reload_conf()".to_owned(),
        format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'"),
    ] {
        client.batch_execute(&sql).await.unwrap();
    }
    // A new session may be a moment older than the reload.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    drop(client);
    connection.await.unwrap().unwrap();
    server
}

#[tokio::test]
async fn each_mode_asks_for_what_it_says() {
    let mut db = Db::cold().await;
    let server = server_with_tls(&db.role).await;
    db.target.port = server.port();
    let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let run = async |db: &Db| {
        let mut order = db.order(encrypted);
        order.database = domain::text::DatabaseName::parse("postgres").unwrap();
        db.run_order(&order, CancellationToken::new()).await
    };
    assert_eq!(run(&db).await.lines(), ["[false]"]);
    db.target.tls = TlsMode::Require;
    assert_eq!(run(&db).await.lines(), ["[true]"]);
    let mut order = db.order("SELECT pg_sleep(60)");
    order.database = domain::text::DatabaseName::parse("postgres").unwrap();
    order.limits.timeout = std::time::Duration::from_millis(500);
    let outcome = db.run_order(&order, CancellationToken::new()).await;
    assert!(matches!(outcome.error(), ExecutionError::TimedOut));
    for mode in [TlsMode::VerifyCa, TlsMode::VerifyFull] {
        db.target.tls = mode;
        let outcome = run(&db).await;
        assert!(matches!(outcome.error(), ExecutionError::Unavailable { .. }), "{:?}", outcome.result);
        let text = format!("{:?}", outcome.error());
        assert!(text.contains("certificate"), "{text}");
    }
    db.finish().await;
}

#[tokio::test]
async fn an_authority_of_ones_own_is_known_when_its_file_is_named() {
    let mut db = Db::cold().await;
    let server = server_with_tls(&db.role).await;
    db.target.port = server.port();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        Authorities::File(file)
    };
    let own = file("own.pem", AUTHORITY);
    let stranger = file("stranger.pem", STRANGER);
    let bundle = file("bundle.pem", &format!("{STRANGER}\n{AUTHORITY}"));
    let tries = [
        (TlsMode::VerifyFull, "localhost", vec![own.clone()], None),
        (TlsMode::VerifyFull, "localhost", vec![stranger.clone(), own.clone()], None),
        (TlsMode::VerifyFull, "localhost", vec![bundle], None),
        (TlsMode::VerifyFull, "127.0.0.1", vec![own.clone()], Some("not valid for name")),
        (TlsMode::VerifyFull, "localhost", vec![stranger.clone()], Some("UnknownIssuer")),
        (TlsMode::VerifyCa, "127.0.0.1", vec![own], None),
        (TlsMode::VerifyCa, "127.0.0.1", vec![stranger], Some("UnknownIssuer")),
        (
            TlsMode::VerifyCa,
            "127.0.0.1",
            vec![Authorities::File("/no/such.pem".into())],
            Some("/no/such.pem"),
        ),
    ];
    for (mode, host, authorities, expected) in tries {
        let given = format!("{mode:?} {host} {authorities:?}");
        db.executor = PostgresExecutor::new(PostgresExecutorConfig {
            authorities,
            ..PostgresExecutorConfig::default()
        });
        (db.target.tls, db.target.host) = (mode, host.to_owned());
        let mut order = db.order("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
        order.database = domain::text::DatabaseName::parse("postgres").unwrap();
        let outcome = db.run_order(&order, CancellationToken::new()).await;
        match expected {
            None => assert_eq!(outcome.lines(), ["[true]"], "{given}"),
            Some(expected) => {
                let text = format!("{:?}", outcome.error());
                assert!(text.contains(expected), "{given}: {text}");
            }
        }
    }
    db.finish().await;
}
