//! The rules that every credential source keeps, for the environment.

use std::sync::Arc;

use domain::ports::CredentialSource;
use domain::target::{CredentialRef, CredentialSourceKind};
use secrets::EnvCredentialSource;
use testkit::contract::{CredentialHarness, Login};

/// All that is in the environment.
const VARIABLES: [(&str, &str); 15] = [
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
    ("PORTAL_DATABASE_USERNAME", "the-portal-itself"),
    ("PORTAL_DATABASE_PASSWORD", "nobody may have this"),
    ("QP_SIGNING_KEY", "0123456789abcdef0123456789abcdef"),
];

struct Environment(Arc<EnvCredentialSource>);

async fn environment() -> Arc<dyn CredentialHarness> {
    let prefixes = ["TARGET_", "ARCHIVE_"].map(str::to_owned).to_vec();
    let variables = VARIABLES.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Arc::new(Environment(Arc::new(EnvCredentialSource::new(prefixes, variables))))
}

fn references(names: &[&str]) -> Vec<CredentialRef> {
    let reference =
        |name: &&str| CredentialRef { source: CredentialSourceKind::Env, reference: (*name).to_owned() };
    names.iter().map(reference).collect()
}

impl CredentialHarness for Environment {
    fn source(&self) -> Arc<dyn CredentialSource> {
        self.0.clone()
    }

    fn printed(&self) -> String {
        format!("{:?} {:#?}", self.0, self.0)
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
        references(&["TARGET_SHOP", "TARGET_DEPOT", "ARCHIVE_DB"]).into_iter().map(login).collect()
    }

    fn missing(&self) -> Vec<CredentialRef> {
        references(&[
            "TARGET_NONE",
            "TARGET_",
            "TARGET_SHOP_",
            "TARGET_SHOP_USERNAME",
            "TARGET_shop",
            "TARGET_NAMED",
            "TARGET_BARE",
        ])
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
        references(&["TARGET_NAMELESS", "TARGET_EMPTY"])
    }

    fn secrets(&self) -> Vec<String> {
        VARIABLES
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(_, value)| (*value).to_owned())
            .collect()
    }
}

testkit::credential_contract!(environment);
