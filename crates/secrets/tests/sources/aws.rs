//! AWS Secrets Manager, as moto speaks it: the rules that every source keeps, and rotation.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_secretsmanager::primitives::Blob;
use domain::ports::{CredentialError, CredentialSource};
use domain::target::{CredentialRef, CredentialSourceKind};
use secrecy::ExposeSecret;
use secrets::{AwsCredentialSource, Cached};
use testkit::contract::{CredentialHarness, Login};

use crate::moto::{OWN_KEY, OWN_TOKEN, Space};

fn reference(name: &str) -> CredentialRef {
    CredentialRef { source: CredentialSourceKind::Aws, reference: name.to_owned() }
}

fn rds(password: &str) -> String {
    format!(
        r#"{{"username": "shop-login", "password": "{password}", "engine": "postgres", "host": "shop.example",
            "port": 5432, "dbname": "shop", "dbInstanceIdentifier": "shop-1"}}"#
    )
}

/// Secrets that are no logins, by name.
const NO_LOGINS: [(&str, &str); 8] = [
    ("word", "k3-Rv8_tTq"),
    ("broken", r#"{"username": "wm4-xTz", "password": "hF6-Rc29"#),
    ("array", r#"["hF6-Rc29"]"#),
    ("number", r#"{"username": "wm4-xTz", "password": 830174629}"#),
    ("bare", r#"{"username": "wm4-xTz"}"#),
    ("other-words", r#"{"user": "wm4-xTz", "pwd": "hF6-Rc29"}"#),
    ("empty", r#"{"username": "wm4-xTz", "password": ""}"#),
    ("open", "postgresql://wm4-xTz@shop.example/shop"),
];

const BINARY: &[u8] = br#"{"username": "wm4-xTz", "password": "hF6-Rc29"}"#;

struct Aws {
    source: Arc<AwsCredentialSource>,
    prefix: String,
}

async fn aws() -> Arc<dyn CredentialHarness> {
    let space = Space::new();
    let name = |name: &str| format!("{}{name}", space.prefix);
    space.create(&name("shop"), &rds("correct horse battery")).await;
    space.create(&name("depot"), "mongodb+srv://depot-login:p%C3%A4%C3%9Fw%40rter@depot.example/?w=1").await;
    space.create(&format!("other-{}shop", space.prefix), &rds("nobody may have this")).await;
    for (no_login, text) in NO_LOGINS {
        space.create(&name(no_login), text).await;
    }
    let binary = space.admin.create_secret().name(name("binary")).secret_binary(Blob::new(BINARY));
    binary.send().await.expect("moto keeps a binary secret");
    space.create(&name("deleted"), &rds("Zq7-uVx_93 kLm")).await;
    let deletion = space.admin.delete_secret().secret_id(name("deleted")).recovery_window_in_days(7);
    deletion.send().await.expect("moto marks it for deletion");
    Arc::new(Aws { source: Arc::new(space.source()), prefix: space.prefix })
}

impl Aws {
    fn references<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Vec<CredentialRef> {
        names.into_iter().map(|name| reference(&format!("{}{name}", self.prefix))).collect()
    }
}

impl CredentialHarness for Aws {
    fn source(&self) -> Arc<dyn CredentialSource> {
        self.source.clone()
    }

    fn printed(&self) -> String {
        format!("{:?} {:#?}", self.source, self.source)
    }

    fn kept(&self) -> Vec<Login> {
        let logins = [("shop-login", "correct horse battery"), ("depot-login", "päßw@rter")];
        let login = |(reference, (username, password)): (_, (&str, &str))| Login {
            reference,
            username: username.to_owned(),
            password: password.to_owned(),
        };
        self.references(["shop", "depot"]).into_iter().zip(logins).map(login).collect()
    }

    fn missing(&self) -> Vec<CredentialRef> {
        self.references(["", "none", "SHOP", "shop/"])
    }

    fn forbidden(&self) -> Vec<CredentialRef> {
        [format!("other-{}shop", self.prefix), self.prefix.to_uppercase()]
            .map(|name| reference(&name))
            .to_vec()
    }

    fn malformed(&self) -> Vec<CredentialRef> {
        self.references(NO_LOGINS.iter().map(|(name, _)| *name).chain(["binary", "deleted"]))
    }

    fn secrets(&self) -> Vec<String> {
        let logins =
            ["shop-login", "correct horse battery", "depot-login", "p%C3%A4%C3%9Fw%40rter", "päßw@rter"];
        let others =
            ["k3-Rv8_tTq", "wm4-xTz", "hF6-Rc29", "830174629", "nobody may have this", "Zq7-uVx_93 kLm"];
        logins.into_iter().chain(others).chain([OWN_KEY, OWN_TOKEN]).map(str::to_owned).collect()
    }
}

testkit::credential_contract!(aws);

#[tokio::test]
async fn a_secret_that_is_no_login_is_told_apart_by_a_reason() {
    let h = aws().await;
    let prefix = h.kept()[0].reference.reference.trim_end_matches("shop").to_owned();
    for (name, expected) in [
        ("word", "neither a connection string"),
        ("broken", "`username` and `password`"),
        ("bare", "`username` and `password`"),
        ("empty", "is empty"),
        ("binary", "binary secret"),
        ("deleted", "marked for deletion"),
    ] {
        let error = h.source().fetch(&reference(&format!("{prefix}{name}"))).await.unwrap_err();
        let CredentialError::Malformed { reason } = error else { panic!("{name}: {error:?}") };
        assert!(reason.contains(expected), "{name}: {reason}");
    }
}

#[tokio::test]
async fn only_a_connection_string_says_for_which_servers_a_login_is() {
    let h = aws().await;
    let mut hosts = vec![];
    for login in h.kept() {
        hosts.push(h.source().fetch(&login.reference).await.unwrap().hosts);
    }
    assert_eq!(hosts, [None, Some(["depot.example".to_owned()].into())]);
}

#[tokio::test]
async fn a_rotated_secret_is_seen_when_a_target_refuses_the_old_one_or_its_time_is_over() {
    let space = Space::new();
    let shop = reference(&format!("{}shop", space.prefix));
    space.create(&shop.reference, &rds("first password")).await;
    let long = Cached::new(Arc::new(space.source()), Duration::from_hours(1));
    let short = Cached::new(Arc::new(space.source()), Duration::from_millis(300));
    let kept = long.fetch(&shop).await.unwrap();
    assert_eq!(kept.password.expose_secret(), "first password");
    assert_eq!(short.fetch(&shop).await.unwrap().password.expose_secret(), "first password");

    let rotation =
        space.admin.put_secret_value().secret_id(&shop.reference).secret_string(rds("second password"));
    rotation.send().await.expect("moto rotates the secret");

    let still = long.fetch(&shop).await.unwrap();
    assert_eq!(still.password.expose_secret(), "first password", "nobody was refused yet");
    let anew = long.fetch_anew(&shop, &kept).await.unwrap();
    assert_eq!(anew.password.expose_secret(), "second password");
    assert_eq!(long.fetch(&shop).await.unwrap().password.expose_secret(), "second password");

    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(short.fetch(&shop).await.unwrap().password.expose_secret(), "second password");
}
