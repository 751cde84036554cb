//! Sealed credentials: the rules that every source keeps, what a seal withstands, and keys.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::Timestamp;
use domain::audit::AuditEntry;
use domain::execution::Credentials;
use domain::ports::{CredentialError, CredentialSource, SealedCredential, SealedStore, StoreError};
use domain::target::{CredentialRef, CredentialSourceKind};
use proptest::prelude::*;
use secrecy::{ExposeSecret, SecretString};
use secrets::{SealedCredentialSource, SealingKeyError, SealingKeys};
use testkit::contract::{CredentialHarness, Login};
use testkit::everything_said;

const OLD: &str = "2025-q1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const NEW: &str = "2026-q3:YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU=";

fn keys(text: &str) -> SealingKeys {
    SealingKeys::parse(&SecretString::from(text)).unwrap_or_else(|error| panic!("{error}"))
}

fn seal(keys: &SealingKeys, reference: &str, username: &str, password: &str) -> SealedCredential {
    keys.seal(reference, &Credentials::new(username, SecretString::from(password)), Timestamp::UNIX_EPOCH)
}

/// Rows by what is asked for, which is not what is in them when somebody has tampered with the store.
#[derive(Default)]
struct InMemorySealedStore {
    rows: Mutex<BTreeMap<String, SealedCredential>>,
    away: bool,
}

impl InMemorySealedStore {
    fn holding(rows: impl IntoIterator<Item = SealedCredential>) -> Arc<Self> {
        let rows = rows.into_iter().map(|row| (row.reference.clone(), row)).collect();
        Arc::new(Self { rows: Mutex::new(rows), away: false })
    }
}

#[async_trait]
impl SealedStore for InMemorySealedStore {
    async fn find(&self, reference: &str) -> Result<Option<SealedCredential>, StoreError> {
        if self.away {
            return Err(StoreError::Unavailable { source: "the database is away".into() });
        }
        Ok(self.rows.lock().unwrap().get(reference).cloned())
    }

    async fn list(&self) -> Result<Vec<SealedCredential>, StoreError> {
        Ok(self.rows.lock().unwrap().values().cloned().collect())
    }

    async fn put<'a>(
        &self,
        before: Option<&'a SealedCredential>,
        after: &SealedCredential,
        _audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut rows = self.rows.lock().unwrap();
        if rows.get(&after.reference) != before {
            return Ok(false);
        }
        rows.insert(after.reference.clone(), after.clone());
        Ok(true)
    }

    async fn remove(&self, reference: &str, _audit: &AuditEntry) -> Result<bool, StoreError> {
        Ok(self.rows.lock().unwrap().remove(reference).is_some())
    }
}

fn source(keys: SealingKeys, store: Arc<InMemorySealedStore>) -> SealedCredentialSource {
    SealedCredentialSource::new(vec!["targets/".to_owned()], Arc::new(keys), store)
}

fn reference(name: &str) -> CredentialRef {
    CredentialRef { source: CredentialSourceKind::Sealed, reference: name.to_owned() }
}

const LOGINS: [(&str, &str, &str); 3] = [
    ("targets/shop", "shop-login", "correct horse battery"),
    ("targets/depot", "depot-login", "päßwörter: 密码密码密码"),
    ("targets/ärger", "umlaut-login", " blanks around it "),
];

struct Sealed(Arc<SealedCredentialSource>);

async fn sealed() -> Arc<dyn CredentialHarness> {
    let both = keys(&format!("{NEW},{OLD}"));
    let mut rows: Vec<SealedCredential> =
        LOGINS.iter().map(|(name, username, password)| seal(&both, name, username, password)).collect();
    rows.push(seal(&keys(OLD), "targets/old-key", "depot-login", "correct horse battery"));
    rows.push(seal(&both, "other/shop", "nobody-in-particular", "Zq7-uVx_93 kLm"));
    rows.push(seal(&both, "targets/nameless", "", "bArE-xY42-wVz"));
    rows.push(seal(&both, "targets/bare", "svc_qx77_zed", ""));
    let lost = keys("lost:enl4d3Z1dHNycXBvbm1sa2ppaGdmZWRjYmEwMTIzNDU=");
    rows.push(seal(&lost, "targets/lost-key", "svc_qx77_zed", "bArE-xY42-wVz"));
    let mut broken = seal(&both, "targets/broken", "svc_qx77_zed", "bArE-xY42-wVz");
    broken.ciphertext[3] ^= 1;
    rows.push(broken);
    Arc::new(Sealed(Arc::new(source(both, InMemorySealedStore::holding(rows)))))
}

impl CredentialHarness for Sealed {
    fn source(&self) -> Arc<dyn CredentialSource> {
        self.0.clone()
    }

    fn printed(&self) -> String {
        format!("{:?} {:#?}", self.0, self.0)
    }

    fn kept(&self) -> Vec<Login> {
        let old = ("targets/old-key", "depot-login", "correct horse battery");
        LOGINS
            .into_iter()
            .chain([old])
            .map(|(name, username, password)| Login {
                reference: reference(name),
                username: username.to_owned(),
                password: password.to_owned(),
            })
            .collect()
    }

    fn missing(&self) -> Vec<CredentialRef> {
        ["targets/", "targets/none", "targets/SHOP", "targets/shop/"].map(reference).to_vec()
    }

    fn forbidden(&self) -> Vec<CredentialRef> {
        ["other/shop", "target", "Targets/shop"].map(reference).to_vec()
    }

    fn malformed(&self) -> Vec<CredentialRef> {
        ["targets/nameless", "targets/bare", "targets/lost-key", "targets/broken"].map(reference).to_vec()
    }

    fn secrets(&self) -> Vec<String> {
        let key = |text: &str| text.split_once(':').unwrap().1.to_owned();
        let more = ["nobody-in-particular", "Zq7-uVx_93 kLm", "bArE-xY42-wVz", "svc_qx77_zed"];
        LOGINS
            .iter()
            .flat_map(|(_, username, password)| [*username, *password])
            .chain(more)
            .map(str::to_owned)
            .chain([key(OLD), key(NEW)])
            .collect()
    }
}

testkit::credential_contract!(sealed);

fn refusal(keys: &SealingKeys, sealed: &SealedCredential) -> String {
    match keys.open(sealed) {
        Err(CredentialError::Malformed { reason }) => reason,
        other => panic!("it opened, or failed otherwise: {other:?}"),
    }
}

proptest! {
    #[test]
    fn what_is_sealed_opens_again_with_the_servers_that_it_is_for(
        reference in any::<String>(),
        username in ".+",
        password in ".+",
        hosts in prop::option::of(prop::collection::btree_set(".*", 0..4)),
    ) {
        let keys = keys(&format!("{NEW},{OLD}"));
        let mut login = Credentials::new(username.clone(), SecretString::from(password.clone()));
        login.hosts.clone_from(&hosts);
        let sealed = keys.seal(&reference, &login, Timestamp::UNIX_EPOCH);
        let old = self::keys(OLD).seal(&reference, &login, Timestamp::UNIX_EPOCH);
        let resealed = keys.reseal(&old, Timestamp::UNIX_EPOCH).unwrap().unwrap();
        for sealed in [sealed, resealed] {
            let opened = keys.open(&sealed).unwrap();
            prop_assert_eq!(&opened.username, &username);
            prop_assert_eq!(opened.password.expose_secret(), &password);
            prop_assert_eq!(&opened.hosts, &hosts);
        }
    }

    #[test]
    fn one_changed_bit_anywhere_is_noticed(
        username in ".{1,9}", password in ".{1,9}", place in any::<prop::sample::Index>(), bit in 0..8_u8,
    ) {
        let keys = keys(NEW);
        let sealed = seal(&keys, "targets/shop", &username, &password);
        let flip = |bytes: &mut Vec<u8>| { let at = place.index(bytes.len()); bytes[at] ^= 1_u8 << bit; };
        let mut nonce = sealed.clone();
        flip(&mut nonce.nonce);
        let mut ciphertext = sealed.clone();
        flip(&mut ciphertext.ciphertext);
        for changed in [nonce, ciphertext] {
            prop_assert!(refusal(&keys, &changed).contains("\"2026-q3\""));
        }
    }

    #[test]
    fn a_part_of_what_was_sealed_does_not_open(username in ".{1,9}", cut in any::<prop::sample::Index>()) {
        let keys = keys(NEW);
        let mut sealed = seal(&keys, "targets/shop", &username, "secret");
        sealed.ciphertext.truncate(cut.index(sealed.ciphertext.len()));
        refusal(&keys, &sealed);
    }
}

#[test]
fn a_seal_holds_for_its_own_reference_and_key_only() {
    let same_bytes = keys(&format!("{NEW},alias:{}", NEW.split_once(':').unwrap().1));
    let sealed = seal(&same_bytes, "targets/shop", "app", "secret");
    let moved = SealedCredential { reference: "targets/depot".to_owned(), ..sealed.clone() };
    assert!(refusal(&same_bytes, &moved).contains("does not open it"));
    let renamed = SealedCredential { key_id: "alias".to_owned(), ..sealed.clone() };
    assert!(refusal(&same_bytes, &renamed).contains("\"alias\" does not open it"));
    // The border between reference and key id cannot be moved either.
    let shifted = SealedCredential { reference: "targets/sho".to_owned(), ..sealed };
    assert!(refusal(&same_bytes, &shifted).contains("does not open it"));
}

#[test]
fn an_unknown_key_and_a_wrong_one_are_told_apart_by_their_id() {
    let sealed = seal(&keys(OLD), "targets/shop", "app", "secret");
    assert!(refusal(&keys(NEW), &sealed).contains("\"2025-q1\", which is not configured"));
    let wrong = keys(&format!("2025-q1:{}", NEW.split_once(':').unwrap().1));
    assert!(refusal(&wrong, &sealed).contains("\"2025-q1\" does not open it"));
}

#[test]
fn the_same_login_is_sealed_differently_each_time() {
    let keys = keys(NEW);
    let (one, other) = (seal(&keys, "a", "app", "secret"), seal(&keys, "a", "app", "secret"));
    assert_eq!(one.nonce.len(), 12);
    assert_ne!(one.nonce, other.nonce);
    assert_ne!(one.ciphertext, other.ciphertext);
}

#[test]
fn a_login_is_sealed_anew_under_the_first_key_and_only_when_it_is_not_under_it() {
    let later = Timestamp::from_timestamp(1_800_000_000, 0).unwrap();
    let both = keys(&format!("{NEW},{OLD}"));
    let old = seal(&keys(OLD), "targets/shop", "app", "secret");
    let new = both.reseal(&old, later).unwrap().expect("it is under the old key");
    assert_eq!(
        (new.reference.as_str(), new.key_id.as_str(), new.sealed_at),
        ("targets/shop", "2026-q3", later)
    );
    assert_eq!(keys(NEW).open(&new).unwrap().password.expose_secret(), "secret");
    assert!(both.reseal(&new, later).unwrap().is_none());
    assert!(keys(NEW).reseal(&old, later).is_err(), "without the old key it cannot be opened");
    let another = keys(&format!("2026-q3:{}", OLD.split_once(':').unwrap().1));
    let told = another.reseal(&new, later).unwrap_err().to_string();
    assert!(told.contains("\"2026-q3\" does not open it"), "another key under the first one's id: {told}");
}

#[test]
fn keys_are_read_and_mistakes_are_named_by_their_place() {
    assert_eq!(keys(&format!(" {NEW} ,\n{OLD}\n")).sealing_id(), "2026-q3");
    let fails = |text: &str| SealingKeys::parse(&SecretString::from(text)).unwrap_err();
    let key = NEW.split_once(':').unwrap().1;
    assert_eq!(fails(""), SealingKeyError::None);
    assert_eq!(fails(" , "), SealingKeyError::None);
    assert_eq!(fails(key), SealingKeyError::NoId(1));
    assert_eq!(fails(&format!(":{key}")), SealingKeyError::Id(1));
    assert_eq!(fails(&format!("a b:{key}")), SealingKeyError::Id(1));
    assert_eq!(fails(&format!("{}:{key}", "x".repeat(65))), SealingKeyError::Id(1));
    assert_eq!(fails(&format!("{NEW},ä:{key}")), SealingKeyError::Id(2));
    assert_eq!(fails(&format!("{NEW},{OLD},{NEW}")), SealingKeyError::SameId(3));
    for wrong in
        ["", "short", "MDEyMw==", &key[..key.len() - 1], &format!("{key}{key}"), &format!("AAAA{key}")]
    {
        assert_eq!(fails(&format!("{NEW},k:{wrong}")), SealingKeyError::Key(2), "{wrong}");
    }
    let printed = format!("{:?}", keys(NEW));
    assert!(printed.contains("2026-q3") && !printed.contains(&key[..6]), "{printed}");
}

#[tokio::test]
async fn a_store_that_is_away_makes_the_source_unavailable() {
    let store = Arc::new(InMemorySealedStore { away: true, ..InMemorySealedStore::default() });
    let error = source(keys(NEW), store).fetch(&reference("targets/shop")).await.unwrap_err();
    assert!(matches!(error, CredentialError::Unavailable { .. }), "{error:?}");
    assert!(everything_said(&error).contains("the database is away"));
}

#[tokio::test]
async fn a_row_that_the_store_hands_out_for_another_is_refused() {
    let keys = keys(NEW);
    let depot = seal(&keys, "targets/depot", "depot-login", "secret");
    let store = InMemorySealedStore::default();
    store.rows.lock().unwrap().insert("targets/shop".to_owned(), depot);
    let error = source(keys, Arc::new(store)).fetch(&reference("targets/shop")).await.unwrap_err();
    assert!(matches!(error, CredentialError::Malformed { .. }), "{error:?}");
}
