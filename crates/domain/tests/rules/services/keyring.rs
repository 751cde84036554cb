//! The way to credentials: to which servers a login may go, and what is done about one that was refused.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::execution::Credentials;
use domain::ports::{CredentialError, CredentialSource};
use domain::services::Keyring;
use domain::target::{CredentialRef, CredentialSourceKind, Engine, Target};
use secrecy::ExposeSecret;
use testkit::builders::target;
use testkit::fakes::FakeCredentials;

/// A source that remembers a login, and looks up what is kept by now only when it has to.
pub(super) struct Vault {
    remembers: Credentials,
    kept: Mutex<VecDeque<Result<Credentials, CredentialError>>>,
    /// The passwords that were refused, oldest first.
    refused: Mutex<Vec<String>>,
}

impl Vault {
    pub(super) fn remembers(password: &str) -> Self {
        Self { remembers: login(password), kept: Mutex::default(), refused: Mutex::default() }
    }

    /// What the next look finds. After the last one it finds what is remembered.
    pub(super) fn keeps(self, found: Result<&str, CredentialError>) -> Self {
        self.kept.lock().expect("no test panics with this lock").push_back(found.map(login));
        self
    }

    pub(super) fn keyring(self: &Arc<Self>) -> Keyring {
        Keyring::from_iter([self.clone() as Arc<dyn CredentialSource>])
    }

    pub(super) fn refused(&self) -> Vec<String> {
        self.refused.lock().expect("no test panics with this lock").clone()
    }
}

pub(super) fn login(password: &str) -> Credentials {
    Credentials::new("portal", password.into())
}

#[async_trait]
impl CredentialSource for Vault {
    fn kind(&self) -> CredentialSourceKind {
        CredentialSourceKind::Env
    }

    async fn fetch(&self, _: &CredentialRef) -> Result<Credentials, CredentialError> {
        Ok(self.remembers.clone())
    }

    async fn fetch_anew(
        &self,
        _: &CredentialRef,
        refused: &Credentials,
    ) -> Result<Credentials, CredentialError> {
        let refused = refused.password.expose_secret().to_owned();
        self.refused.lock().expect("no test panics with this lock").push(refused);
        let found = self.kept.lock().expect("no test panics with this lock").pop_front();
        found.unwrap_or_else(|| Ok(self.remembers.clone()))
    }
}

/// A source whose login names servers.
struct Labelled(BTreeSet<String>);

#[async_trait]
impl CredentialSource for Labelled {
    fn kind(&self) -> CredentialSourceKind {
        CredentialSourceKind::Env
    }

    async fn fetch(&self, _: &CredentialRef) -> Result<Credentials, CredentialError> {
        Ok(Credentials { hosts: Some(self.0.clone()), ..login("secret") })
    }
}

fn at(engine: Engine, host: &str, port: u16) -> Target {
    Target { host: host.to_owned(), port, ..target("orders-db").engine(engine).build() }
}

#[tokio::test]
async fn a_login_that_names_its_servers_goes_to_these_and_to_no_others() {
    use Engine::{Mongodb, Postgresql};
    let cases: [(Target, &[&str], bool); 14] = [
        (at(Postgresql, "db.internal", 5432), &["db.internal:5432"], true),
        (at(Postgresql, "DB.Internal", 5432), &["db.internal:5432"], true),
        (at(Postgresql, "db.internal", 5433), &["db.internal:5432"], false),
        (at(Postgresql, "thief.internal", 5432), &["db.internal:5432"], false),
        (at(Postgresql, "db.internal", 5432), &["db.internal:5432", "two.internal:5432"], true),
        (at(Postgresql, "db.internal", 5432), &["db.internal"], false),
        (at(Postgresql, "db.internal", 5432), &[], false),
        (at(Mongodb, "b.example:27018,A.example", 27017), &["a.example:27017", "b.example:27018"], true),
        (at(Mongodb, "a.example", 27017), &["a.example:27017", "b.example:27018"], true),
        (at(Mongodb, "not a host", 27017), &[], false),
        (at(Mongodb, "a.example,b.example,thief.example", 1), &["a.example:1", "b.example:1"], false),
        (at(Mongodb, "a.example:27018", 27017), &["a.example:27017"], false),
        (at(Mongodb, "mongodb+srv://Cluster.example", 27017), &["cluster.example"], true),
        (at(Mongodb, "mongodb+srv://thief.example", 27017), &["cluster.example"], false),
    ];
    for (target, named, fits) in cases {
        let hosts: BTreeSet<String> = named.iter().map(|&host| host.to_owned()).collect();
        let keyring = Keyring::from_iter([Arc::new(Labelled(hosts)) as Arc<dyn CredentialSource>]);
        let context = format!("{}:{} with a login for {named:?}", target.host, target.port);
        match keyring.fetch(&target).await {
            Ok(found) => assert!(fits && found.is_same_login(&login("secret")), "{context}"),
            Err(CredentialError::OtherServer) => assert!(!fits, "{context}"),
            Err(error) => panic!("{context}: {error:?}"),
        }
        let anew = keyring.fetch_anew(&target, &login("refused")).await;
        assert_eq!(anew.is_ok(), fits, "{context}: no way around that");
    }
}

#[tokio::test]
async fn a_login_that_names_no_server_goes_where_it_is_bound() {
    let vault = Arc::new(Vault::remembers("secret"));
    for target in [at(Engine::Postgresql, "any.internal", 1), at(Engine::Mongodb, "a,b", 2)] {
        vault.keyring().fetch(&target).await.expect("nothing says otherwise");
    }
}

#[tokio::test]
async fn each_target_is_served_by_the_source_that_it_names_and_one_that_is_not_set_up_by_none() {
    let source = |kind, password: &str| {
        let source = FakeCredentials::new(kind).with("TARGET_ORDERS-DB", "portal", password);
        Arc::new(source) as Arc<dyn CredentialSource>
    };
    let env = source(CredentialSourceKind::Env, "of-env");
    let keyring = Keyring::from_iter([env, source(CredentialSourceKind::Aws, "of-aws")]);
    let of = |source| {
        let mut target = target("orders-db").build();
        target.credentials.source = source;
        target
    };
    for (kind, password) in [(CredentialSourceKind::Env, "of-env"), (CredentialSourceKind::Aws, "of-aws")] {
        let found = keyring.fetch(&of(kind)).await.expect("it is kept there");
        assert_eq!(found.password.expose_secret(), password);
    }
    let sealed = of(CredentialSourceKind::Sealed);
    let error = keyring.fetch(&sealed).await.expect_err("it is not set up");
    assert!(matches!(error, CredentialError::NoSuchSource), "{error:?}");
    let error = keyring.fetch_anew(&sealed, &login("refused")).await.expect_err("it is not set up");
    assert!(matches!(error, CredentialError::NoSuchSource), "{error:?}");
}

#[tokio::test]
async fn a_refused_login_that_is_the_same_still_is_no_reason_to_try_again() {
    let target = target("orders-db").build();
    let other_name = Credentials::new("somebody", "secret".into());
    let vault = Arc::new(Vault::remembers("secret").keeps(Ok("secret")).keeps(Ok("new")).keeps(Ok("secret")));
    let keyring = vault.keyring();
    let same = keyring.fetch_anew(&target, &login("secret")).await.expect("it is kept");
    assert!(same.is_none());
    let new = keyring.fetch_anew(&target, &login("secret")).await.expect("it is kept");
    assert!(new.is_some_and(|new| new.is_same_login(&login("new"))));
    let renamed = keyring.fetch_anew(&target, &other_name).await.expect("it is kept");
    assert!(renamed.is_some(), "another user name is another login");
    assert_eq!(vault.refused(), ["secret", "secret", "secret"]);
}

#[tokio::test]
async fn a_keyring_shows_which_sources_it_has_and_nothing_of_what_they_keep() {
    let vault = Arc::new(Vault::remembers("s3cret"));
    assert_eq!(format!("{:?}", vault.keyring()), "Keyring([Env])");
}
