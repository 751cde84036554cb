//! The rules that every credential source keeps, for the environment.

use std::fmt::Debug;
use std::sync::Arc;

use domain::ports::CredentialSource;
use domain::target::{CredentialRef, CredentialSourceKind};
use secrets::EnvCredentialSource;
use testkit::contract::{CredentialHarness, Login};

/// All that is in the environment.
const VARIABLES: [(&str, &str); 21] = [
    ("TARGET_SHOP_USERNAME", "shop-login"),
    ("TARGET_SHOP_PASSWORD", "correct horse battery"),
    ("TARGET_DEPOT_USERNAME", "depot-login"),
    ("TARGET_DEPOT_PASSWORD", "staple = and päßwörter"),
    ("ARCHIVE_DB_USERNAME", "archivist"),
    ("ARCHIVE_DB_PASSWORD", " blanks around it "),
    ("TARGET_NAMED_USERNAME", "nobody-in-particular"),
    ("TARGET_BARE_PASSWORD", "bArE-xY42-wVz"),
    ("TARGET_NAMELESS_USERNAME", ""),
    ("TARGET_NAMELESS_PASSWORD", "Zq7-uVx_93 kLm"),
    ("TARGET_EMPTY_USERNAME", "svc_qx77_zed"),
    ("TARGET_EMPTY_PASSWORD", ""),
    ("TARGET_STOCK", "postgresql://stock-login:pa%3Ass%40word@stock.example:5433/stock?sslmode=require"),
    ("TARGET_WORD", "k3-Rv8_tTq"),
    ("TARGET_OPEN_URL", "postgresql://wm4-xTz@db.example/shop"),
    ("TARGET_TWICE", "postgresql://nR5_login:hF6-secret@db.example/shop"),
    ("TARGET_TWICE_PASSWORD", "Jb9+second"),
    ("PORTAL_DATABASE", "postgresql://the-portal-itself:nobody may have this@db.example/portal"),
    ("PORTAL_DATABASE_USERNAME", "the-portal-itself"),
    ("PORTAL_DATABASE_PASSWORD", "nobody may have this"),
    ("QP_SIGNING_KEY", "0123456789abcdef0123456789abcdef"),
];

/// The environment, asked through `source`.
pub(crate) struct Environment {
    source: Arc<dyn CredentialSource>,
    printed: String,
}

impl Environment {
    pub(crate) fn behind<S>(wrap: impl FnOnce(EnvCredentialSource) -> S) -> Self
    where
        S: CredentialSource + Debug + 'static,
    {
        let prefixes = ["TARGET_", "ARCHIVE_"].map(str::to_owned).to_vec();
        let variables = VARIABLES.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let source = wrap(EnvCredentialSource::new(prefixes, variables));
        Self { printed: format!("{source:?} {source:#?}"), source: Arc::new(source) }
    }
}

async fn environment() -> Arc<dyn CredentialHarness> {
    Arc::new(Environment::behind(|source| source))
}

fn references(names: &[&str]) -> Vec<CredentialRef> {
    let reference =
        |name: &&str| CredentialRef { source: CredentialSourceKind::Env, reference: (*name).to_owned() };
    names.iter().map(reference).collect()
}

impl CredentialHarness for Environment {
    fn source(&self) -> Arc<dyn CredentialSource> {
        self.source.clone()
    }

    fn printed(&self) -> String {
        self.printed.clone()
    }

    fn kept(&self) -> Vec<Login> {
        let value = |name: &str, part: &str| {
            let name = format!("{name}_{part}");
            VARIABLES.iter().find(|(known, _)| *known == name).expect("it is set").1.to_owned()
        };
        let login = |reference: CredentialRef| Login {
            username: value(&reference.reference, "USERNAME"),
            password: value(&reference.reference, "PASSWORD"),
            reference,
        };
        let mut kept: Vec<Login> =
            references(&["TARGET_SHOP", "TARGET_DEPOT", "ARCHIVE_DB"]).into_iter().map(login).collect();
        kept.extend(references(&["TARGET_STOCK"]).into_iter().map(|reference| Login {
            reference,
            username: "stock-login".to_owned(),
            password: "pa:ss@word".to_owned(),
        }));
        kept
    }

    fn missing(&self) -> Vec<CredentialRef> {
        references(&["TARGET_NONE", "TARGET_", "TARGET_SHOP_", "TARGET_shop", "TARGET_NAMED", "TARGET_BARE"])
    }

    fn forbidden(&self) -> Vec<CredentialRef> {
        references(&[
            "PORTAL_DATABASE",
            "QP_SIGNING_KEY",
            "QP_SIGNING",
            "TARGET",
            "target_SHOP",
            "XTARGET_SHOP",
        ])
    }

    fn malformed(&self) -> Vec<CredentialRef> {
        references(&[
            "TARGET_NAMELESS",
            "TARGET_EMPTY",
            "TARGET_SHOP_USERNAME",
            "TARGET_SHOP_PASSWORD",
            "TARGET_WORD",
            "TARGET_OPEN_URL",
            "TARGET_TWICE",
        ])
    }

    fn secrets(&self) -> Vec<String> {
        // Of a connection string what is secret in it: messages may name its scheme.
        let secret = |(_, value): &(&str, &str)| {
            let after_scheme = value.split_once("://").map_or(*value, |(_, rest)| rest);
            after_scheme.to_owned()
        };
        VARIABLES.iter().map(secret).filter(|value| !value.is_empty()).collect()
    }
}

testkit::credential_contract!(environment);
