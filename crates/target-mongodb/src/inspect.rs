//! A look at a target on an admin's behalf: whether the portal gets in, and which databases there are.

use std::time::Instant;

use async_trait::async_trait;
use bson::{Bson, doc};
use domain::ending::lost;
use domain::execution::Credentials;
use domain::ports::{ExecutionError, Inspection, TargetInspector};
use domain::target::{Engine, Target};
use domain::text::DatabaseName;

use crate::connect::{not_connected, version};
use crate::executor::MongoExecutor;

/// The server's own, which nobody works in.
const OF_SERVER: &[&str] = &["admin", "config", "local"];

#[async_trait]
impl TargetInspector for MongoExecutor {
    fn engine(&self) -> Engine {
        Engine::Mongodb
    }

    async fn inspect(
        &self,
        target: &Target,
        _database: &DatabaseName,
        credentials: &Credentials,
    ) -> Result<Inspection, ExecutionError> {
        // An admin wants to know how it is now.
        self.clients.forget(target, credentials);
        let look = async {
            let link = self.clients.link(target, credentials).await?;
            let asked = Instant::now();
            let server_version = version(&link.client).await.map_err(|error| not_connected(&error))?;
            let latency = asked.elapsed();
            // Without the right to list all databases the server lists those on which the user has some right.
            let list = doc! { "listDatabases": 1, "nameOnly": true };
            let reply = link.client.database("admin").run_command(list).await;
            let reply = reply.map_err(|error| not_connected(&error))?;
            let found = reply.get_array("databases").into_iter().flatten();
            let mut databases: Vec<DatabaseName> = found
                .filter_map(|one| one.as_document()?.get("name").and_then(Bson::as_str))
                .filter(|name| !OF_SERVER.contains(name))
                // What the portal could not name in a request is of no use in its list.
                .filter_map(|name| DatabaseName::parse(name).ok())
                .collect();
            databases.sort();
            Ok(Inspection { server_version, latency, role: link.server.role().clone(), databases })
        };
        match tokio::time::timeout(self.clients.config().connect_timeout * 2, look).await {
            Ok(looked) => looked,
            Err(_elapsed) => Err(lost("the server did not answer in time")),
        }
    }
}
