//! TLS to the portal database, with a server of this test's own.

use std::path::PathBuf;
use std::time::Duration;

use dev_stack::EphemeralPostgres;
use domain::ports::{Change, ChangeFeed as _, Health as _, StoreError};
use store_postgres::{MigrateError, PgChangeFeed, PgHealth, PgStore, StoreConfig, migrate};
use tokio_postgres::{Client, NoTls};

/// For `localhost`, signed by the authority. The key opens nothing but this test.
const CERTIFICATE: &str = include_str!("certificates/server.pem");
const KEY: &str = include_str!("certificates/server.key");

/// Whoever logs in as `portal` has to use TLS.
struct TlsServer {
    server: EphemeralPostgres,
    admin: Client,
}

impl TlsServer {
    async fn start() -> Self {
        let server = tokio::task::spawn_blocking(|| EphemeralPostgres::start().unwrap()).await.unwrap();
        let admin = connect(&server.url("postgres")).await;
        let hba = "hostssl all portal all scram-sha-256\nhost all portal all reject\nhost all all all scram-sha-256";
        // Only the server's own user may read the key, so the server writes it.
        for (name, text) in [("test.pem", CERTIFICATE), ("test.key", KEY), ("pg_hba.conf", hba)] {
            let lines = text.trim_end().replace('\n', "', '");
            let sql = format!("COPY (SELECT unnest(ARRAY['{lines}'])) TO PROGRAM 'umask 077; cat > {name}'");
            admin.batch_execute(&sql).await.unwrap();
        }
        for sql in [
            "CREATE ROLE portal LOGIN PASSWORD 'secret'",
            "CREATE DATABASE portal OWNER portal",
            "ALTER SYSTEM SET ssl_cert_file = 'test.pem'",
            "ALTER SYSTEM SET ssl_key_file = 'test.key'",
            "ALTER SYSTEM SET ssl = on",
            "SELECT pg_reload_conf()",
        ] {
            admin.batch_execute(sql).await.unwrap();
        }
        let this = Self { server, admin };
        // The server takes a moment to read them.
        for _ in 0..500 {
            if PgStore::connect(&this.config("localhost", "sslmode=require"))
                .map(PgHealth::new)
                .unwrap()
                .check()
                .await
                .is_err_and(|error| matches!(error, StoreError::Rejected { .. }))
            {
                return this;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the server does not speak TLS");
    }

    fn config(&self, host: &str, parameters: &str) -> StoreConfig {
        let url = format!("postgres://portal:secret@{host}:{}/portal?{parameters}", self.server.port());
        StoreConfig::new(url.into())
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn certificate(name: &str) -> String {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/store/certificates").join(name);
    format!("sslrootcert={}", file.display())
}

/// Why the database cannot be reached, or nothing.
async fn objection(config: &StoreConfig) -> String {
    match PgHealth::new(PgStore::connect(config).unwrap()).check().await {
        Ok(()) => String::new(),
        Err(StoreError::Unavailable { source }) => {
            let text = format!("{source} {source:?}");
            assert!(!text.contains("secret"), "{text}");
            text
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn pool_feed_and_migrations_are_encrypted() {
    let server = TlsServer::start().await;
    let trusted = format!("sslmode=verify-full&{}", certificate("authority.pem"));
    let config = server.config("localhost", &trusted);
    migrate(&config.url, None).await.unwrap();
    assert_eq!(objection(&config).await, "");
    let store = PgStore::connect(&config).unwrap();
    PgHealth::new(store.clone()).check().await.unwrap();
    let feed = PgChangeFeed::start(&config).unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(10), feed.subscribe().recv()).await;
    assert_eq!(heard.unwrap().unwrap(), Change::Jobs);
    let sessions = "SELECT count(*), count(*) FILTER (WHERE ssl AND version = 'TLSv1.3')
        FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE usename = 'portal'";
    let row = server.admin.query_one(sessions, &[]).await.unwrap();
    assert!(row.get::<_, i64>(0) >= 2, "{row:?}");
    assert_eq!(row.get::<_, i64>(0), row.get::<_, i64>(1));

    // The server refuses clear text, so what worked above was encrypted, the migrations too.
    let clear = server.config("localhost", "sslmode=disable");
    let refused = migrate(&clear.url, None).await.unwrap_err();
    assert!(
        matches!(&refused, MigrateError::Unreachable(why) if why.contains("no encryption")),
        "{refused:?}"
    );
    assert!(objection(&clear).await.contains("no encryption"));
}

#[tokio::test]
async fn each_mode_looks_at_the_certificate_as_libpq_does() {
    let server = TlsServer::start().await;
    migrate(&server.config("localhost", "sslmode=require").url, None).await.unwrap();
    let (known, stranger) = (certificate("authority.pem"), certificate("stranger.pem"));
    let (unknown, other_name) = ("UnknownIssuer", "certificate not valid for name");
    for (host, parameters, expected) in [
        ("localhost", "sslmode=require".to_owned(), ""),
        ("127.0.0.1", "sslmode=require".to_owned(), ""),
        ("localhost", format!("sslmode=verify-ca&{known}"), ""),
        ("127.0.0.1", format!("sslmode=verify-ca&{known}"), ""),
        ("localhost", format!("sslmode=verify-full&{known}"), ""),
        ("localhost", known.clone(), ""),
        // The certificate is for another name.
        ("127.0.0.1", format!("sslmode=verify-full&{known}"), other_name),
        ("127.0.0.1", known, other_name),
        // Somebody else has signed it.
        ("localhost", format!("sslmode=verify-ca&{stranger}"), unknown),
        ("localhost", format!("sslmode=verify-full&{stranger}"), unknown),
        ("localhost", format!("sslmode=require&{stranger}"), unknown),
        ("localhost", "sslmode=verify-ca".to_owned(), unknown),
        ("localhost", "sslmode=verify-full&sslrootcert=system".to_owned(), unknown),
    ] {
        let objection = objection(&server.config(host, &parameters)).await;
        assert_eq!(objection.is_empty(), expected.is_empty(), "{host} {parameters}: {objection}");
        assert!(objection.contains(expected), "{host} {parameters}: {objection}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_unless_the_url_says_that_clear_text_will_do() {
    let database = crate::database::TestDatabase::create().await;
    let url = dev_stack::test_postgres().url(database.name());
    let config = |parameters: &str| StoreConfig::new(format!("{url}?{parameters}").into());
    let known = certificate("authority.pem");
    for parameters in ["sslmode=require", "sslmode=verify-ca", "sslmode=verify-full", known.as_str()] {
        let objection = objection(&config(parameters)).await;
        assert!(objection.contains("server does not support TLS"), "{parameters}: {objection}");
        // Whoever did not ask for TLS is told what may be done.
        assert_eq!(objection.contains("sslmode=disable"), parameters == known, "{parameters}: {objection}");
        let refused = migrate(&config(parameters).url, None).await.unwrap_err();
        assert!(matches!(refused, MigrateError::Unreachable(_)), "{refused:?}");
    }
    for parameters in ["sslmode=disable", ""] {
        assert_eq!(objection(&config(parameters)).await, "", "{parameters}");
    }
}
