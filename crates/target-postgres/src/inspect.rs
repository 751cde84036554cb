//! A look at a target on an admin's behalf: whether the portal gets in, and which databases there are.

use async_trait::async_trait;
use domain::execution::Credentials;
use domain::ports::{ExecutionError, Inspection, TargetInspector};
use domain::target::{Engine, Target};
use domain::text::DatabaseName;

use crate::connect::{Endpoint, Failure, Session, rows, timed_out, while_configuring};
use crate::executor::PostgresExecutor;

/// More databases than anybody has. A server that never stops answering must not fill the memory.
const MOST_ROWS: usize = 10_000;

/// Every name says its schema: a database's search path may lead elsewhere first.
const VERSION: &str = "SELECT pg_catalog.current_setting('server_version')";
const DATABASES: &str = "SELECT datname FROM pg_catalog.pg_database
    WHERE datallowconn AND NOT datistemplate AND pg_catalog.has_database_privilege(oid, 'CONNECT')";

#[async_trait]
impl TargetInspector for PostgresExecutor {
    fn engine(&self) -> Engine {
        Engine::Postgresql
    }

    async fn inspect(
        &self,
        target: &Target,
        database: &DatabaseName,
        credentials: &Credentials,
    ) -> Result<Inspection, ExecutionError> {
        let limit = self.connect_timeout();
        let look = async {
            let session = self.open(&Endpoint::new(target, database, credentials)).await?;
            if let Some(objection) = session.role_objection(target.allow_privileged_role) {
                return Err(objection);
            }
            let server_version = texts(&session, VERSION).await?.pop().unwrap_or_default();
            let mut databases: Vec<DatabaseName> = texts(&session, DATABASES)
                .await?
                .iter()
                // What the portal could not name in a request is of no use in its list.
                .filter_map(|name| DatabaseName::parse(name).ok())
                .collect();
            databases.sort();
            session.close().await;
            Ok(Inspection { server_version, databases })
        };
        match tokio::time::timeout(limit, look).await {
            Ok(looked) => looked,
            Err(_elapsed) => Err(timed_out(limit)),
        }
    }
}

/// The first column of all rows.
async fn texts(session: &Session, query: &str) -> Result<Vec<String>, ExecutionError> {
    let found =
        rows(&session.client, query, MOST_ROWS + 1).await.map_err(|error| while_configuring(&error))?;
    if found.len() > MOST_ROWS {
        return Err(Failure::Unexpected.into());
    }
    Ok(found.iter().filter_map(|row| row.get(0)).map(str::to_owned).collect())
}
