//! TLS to a target, with a server of this test's own: one whose certificate no known authority has signed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dev_stack::{EphemeralMongo, MongoTls};
use domain::ports::ExecutionError;
use domain::target::TlsMode;
use target_mongodb::{MongoExecutor, MongoExecutorConfig};
use tokio_util::sync::CancellationToken;

use super::connecting::tells_no_secret;
use super::harness::Db;

/// For `localhost`, signed by the authority below. The keys of both authorities are gone, and the key of the server
/// opens nothing but this test.
const CERTIFICATE: &str = include_str!("certificates/server.pem");
const KEY: &str = include_str!("certificates/server.key");

const AUTHORITY: &str = include_str!("certificates/authority.pem");
const STRANGER: &str = include_str!("certificates/stranger.pem");

async fn with_tls() -> (Db, EphemeralMongo) {
    let tls = MongoTls { certificate_and_key: format!("{CERTIFICATE}\n{KEY}"), client_authority: None };
    let server = EphemeralMongo::start_with(&[], Some(&tls)).unwrap();
    // The test itself looks at no certificate.
    let url = format!("{}&tlsAllowInvalidCertificates=true", server.url());
    (Db::on(&url, server.port()).await, server)
}

struct Files(PathBuf);

impl Files {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("authorities-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.0.join(name);
        std::fs::write(&file, text).unwrap();
        file
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn executor(authorities: Option<PathBuf>) -> Arc<MongoExecutor> {
    let connect_timeout = Duration::from_secs(2);
    Arc::new(MongoExecutor::new(MongoExecutorConfig {
        connect_timeout,
        authorities,
        ..MongoExecutorConfig::default()
    }))
}

#[tokio::test]
async fn each_mode_asks_for_what_it_says() {
    let (mut db, _server) = with_tls().await;
    let files = Files::new();
    let own = Some(files.file("own.pem", AUTHORITY));
    let stranger = Some(files.file("stranger.pem", STRANGER));
    let bundle = Some(files.file("bundle.pem", &format!("{STRANGER}\n{AUTHORITY}")));
    let missing = Some(PathBuf::from("/no/such.pem"));
    let tries = [
        (TlsMode::Require, "127.0.0.1", None, true),
        (TlsMode::Require, "localhost", stranger.clone(), true),
        (TlsMode::VerifyFull, "localhost", own.clone(), true),
        (TlsMode::VerifyFull, "localhost", bundle, true),
        (TlsMode::VerifyCa, "localhost", own.clone(), true),
        (TlsMode::VerifyFull, "127.0.0.1", own.clone(), false),
        (TlsMode::VerifyFull, "localhost", stranger.clone(), false),
        (TlsMode::VerifyCa, "localhost", stranger, false),
        (TlsMode::VerifyFull, "localhost", None, false),
        (TlsMode::VerifyFull, "localhost", missing, false),
        (TlsMode::Disable, "127.0.0.1", None, false),
    ];
    db.target.connection_options = Some("directConnection=true".to_owned());
    for (mode, host, authorities, works) in tries {
        let given = format!("{mode:?} {host} {authorities:?}");
        db.executor = executor(authorities);
        (db.target.tls, db.target.host) = (mode, host.to_owned());
        let outcome = db.run(r#"{"insert": "c", "documents": [{}]}"#).await;
        if works {
            assert!(outcome.result.is_ok(), "{given}: {:?}", outcome.result);
            continue;
        }
        let all = tells_no_secret(&outcome, &[&db.user_name()]);
        assert!(matches!(outcome.error(), ExecutionError::Unavailable { .. }), "{given}: {all}");
        let expected = match (mode, host) {
            (TlsMode::Disable, _) => "unexpected end of file",
            (_, "127.0.0.1") => "not valid for name",
            _ if given.contains("/no/such") => "/no/such.pem",
            _ => "UnknownIssuer",
        };
        assert!(all.contains(expected), "{given}: {all}");
    }
    db.executor = executor(None);
    (db.target.tls, db.target.host) = (TlsMode::Require, "127.0.0.1".to_owned());
    db.target.admits.server_javascript = true;
    let sleeping = r#"{"find": "c", "filter": {"$where": "sleep(60000) || true"}}"#;
    let outcome = db.run_and_cancel(&db.order(sleeping).await, Duration::from_millis(700)).await;
    assert!(matches!(outcome.error(), ExecutionError::Cancelled), "{:?}", outcome.result);
    db.is_quiet().await;
}

#[tokio::test]
async fn tls_to_a_server_that_speaks_none_is_unavailable() {
    let mut db = Db::new().await;
    db.executor = executor(None);
    for mode in [TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull] {
        db.target.tls = mode;
        let order = db.order(r#"{"find": "c"}"#).await;
        let outcome = db.run_order(&order, CancellationToken::new()).await;
        tells_no_secret(&outcome, &[&db.user_name()]);
        assert!(
            matches!(outcome.error(), ExecutionError::Unavailable { .. }),
            "{mode:?} {:?}",
            outcome.result
        );
    }
}
