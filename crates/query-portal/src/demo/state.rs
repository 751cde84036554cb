//! What the demo made up at its first start: passwords, keys, a port. Kept in one file that only its
//! owner can read.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::people::PEOPLE;
use super::{mongo, provision};
use crate::system::random_text;

const FILE: &str = "demo.json";
const PASSWORD_LENGTH: usize = 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DemoState {
    pub(super) postgres_port: u16,
    pub(super) owner_password: String,
    pub(super) server_password: String,
    pub(super) shop_password: String,
    pub(super) analytics_password: String,
    pub(super) signing_key: String,
    /// Absent in folders of before the demo had a MongoDB.
    #[serde(default)]
    mongo: Option<MongoState>,
    /// In the order of [`PEOPLE`].
    pub(super) user_passwords: Vec<String>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MongoState {
    pub(super) port: u16,
    pub(super) password: String,
}

impl MongoState {
    fn generate() -> anyhow::Result<Self> {
        let port = dev_stack::free_port().context("no free port was found")?;
        Ok(Self { port, password: random_text(PASSWORD_LENGTH) })
    }
}

impl DemoState {
    pub(super) fn load_or_create(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| {
            format!("the folder {} cannot be made; name another one with --data", folder.display())
        })?;
        let file = folder.join(FILE);
        if file.exists() {
            let text =
                fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
            let mut state: Self = serde_json::from_str(&text).with_context(|| {
                format!(
                    "{} is damaged; remove the folder to start afresh, or name another one with --data",
                    file.display()
                )
            })?;
            if state.mongo.is_some() {
                return Ok(state);
            }
            state.mongo = Some(MongoState::generate()?);
            state.save(folder, &file).with_context(|| format!("{} cannot be written", file.display()))?;
            return Ok(state);
        }
        let state = Self::generate()?;
        state.save(folder, &file).with_context(|| format!("{} cannot be written", file.display()))?;
        Ok(state)
    }

    fn generate() -> anyhow::Result<Self> {
        Ok(Self {
            postgres_port: dev_stack::free_port().context("no free port was found")?,
            owner_password: random_text(PASSWORD_LENGTH),
            server_password: random_text(PASSWORD_LENGTH),
            shop_password: random_text(PASSWORD_LENGTH),
            analytics_password: random_text(PASSWORD_LENGTH),
            signing_key: random_text(64),
            mongo: Some(MongoState::generate()?),
            user_passwords: PEOPLE.iter().map(|_| random_text(PASSWORD_LENGTH)).collect(),
        })
    }

    /// Written beside and renamed, so that a crash leaves no half of a file.
    fn save(&self, folder: &Path, file: &Path) -> anyhow::Result<()> {
        let beside = folder.join(format!("{FILE}.new"));
        let mut options = OpenOptions::new();
        let mut out = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        out.write_all(serde_json::to_string_pretty(self)?.as_bytes())?;
        out.sync_all()?;
        fs::rename(&beside, file)?;
        Ok(())
    }

    pub(super) fn mongo(&self) -> anyhow::Result<&MongoState> {
        self.mongo.as_ref().context("the demo's state has no place for MongoDB")
    }

    /// The credentials of the demo's targets, as the variables that a real installation would set.
    pub(super) fn target_variables(&self) -> Vec<(String, String)> {
        let pair = |reference: &str, user: &str, password: &str| {
            [
                (format!("{reference}_USERNAME"), user.to_owned()),
                (format!("{reference}_PASSWORD"), password.to_owned()),
            ]
        };
        let shop = pair(provision::SHOP_REFERENCE, provision::SHOP_ROLE, &self.shop_password);
        let analytics =
            pair(provision::ANALYTICS_REFERENCE, provision::ANALYTICS_ROLE, &self.analytics_password);
        let activity =
            self.mongo.iter().flat_map(|mongo| pair(mongo::REFERENCE, mongo::user(), &mongo.password));
        shop.into_iter().chain(analytics).chain(activity).collect()
    }
}
