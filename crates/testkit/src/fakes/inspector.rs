//! A look at a target that shows what it was told.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use domain::execution::Credentials;
use domain::ids::InstanceId;
use domain::ports::{ExecutionError, Inspection, RoleReport, TargetInspector};
use domain::target::{Engine, Target};
use domain::text::DatabaseName;

use super::lock;
use crate::builders::database;

/// Fails as often as it was told to, and shows the same picture otherwise: a server with the one database
/// [`database`], until it is told another.
#[derive(Debug)]
pub struct FakeInspector {
    engine: Engine,
    shows: Mutex<Inspection>,
    failures: Mutex<VecDeque<ExecutionError>>,
    looks: Mutex<Vec<(InstanceId, DatabaseName, String)>>,
}

impl FakeInspector {
    pub fn new(engine: Engine) -> Self {
        let picture = Inspection {
            server_version: "15.18".to_owned(),
            latency: Duration::from_millis(2),
            role: RoleReport { name: "portal".to_owned(), may_write: Some(true), ..RoleReport::default() },
            databases: vec![database()],
        };
        Self { engine, shows: Mutex::new(picture), failures: Mutex::default(), looks: Mutex::default() }
    }

    /// Has the server show other databases from now on.
    pub fn shows(&self, databases: &[DatabaseName]) {
        let mut databases = databases.to_vec();
        databases.sort();
        lock(&self.shows).databases = databases;
    }

    /// Has the server tell something else of the portal's role from now on.
    pub fn shows_role(&self, role: RoleReport) {
        lock(&self.shows).role = role;
    }

    /// Makes one look fail.
    pub fn fails(&self, error: ExecutionError) {
        lock(&self.failures).push_back(error);
    }

    /// What was looked at, by which database and as whom, oldest first.
    pub fn looks(&self) -> Vec<(InstanceId, DatabaseName, String)> {
        lock(&self.looks).clone()
    }
}

impl Default for FakeInspector {
    fn default() -> Self {
        Self::new(Engine::Postgresql)
    }
}

#[async_trait]
impl TargetInspector for FakeInspector {
    fn engine(&self) -> Engine {
        self.engine
    }

    async fn inspect(
        &self,
        target: &Target,
        database: &DatabaseName,
        credentials: &Credentials,
    ) -> Result<Inspection, ExecutionError> {
        let look = (target.id.clone(), database.clone(), credentials.username.clone());
        lock(&self.looks).push(look);
        match lock(&self.failures).pop_front() {
            Some(error) => Err(error),
            None => Ok(lock(&self.shows).clone()),
        }
    }
}
