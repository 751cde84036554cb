//! The migrations, compiled in. They run as the owner of the tables, never as the server's own role.

use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use secrecy::SecretString;

use crate::config::InvalidStoreConfig;
use crate::grants;
use crate::pool::chain;
use crate::tls::Connector;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// Any number that nothing else in the database locks: "portal" in ASCII.
const LOCK: i64 = 0x706f_7274_616c;

/// What [`migrate`] did.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct MigrationReport {
    /// Names of the migrations that were applied, in their order; empty when there was nothing to do.
    pub applied: Vec<String>,
    /// The role that was given its rights.
    pub granted_to: Option<String>,
}

/// Why the database was not migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error(transparent)]
    Config(#[from] InvalidStoreConfig),
    #[error("the portal database cannot be reached: {0}")]
    Unreachable(String),
    #[error("a migration failed")]
    Failed { source: Box<dyn std::error::Error + Send + Sync> },
    #[error("there is no database role {0:?}: create it before it is granted its rights")]
    UnknownRole(String),
    #[error(
        "the database role {0:?} owns the tables or is a superuser, so that no grant limits it: \
         let the server use a role of its own"
    )]
    UnlimitedRole(String),
}

/// Applies what is missing, and gives `server_role` what the server needs and no more. May be called again, and by
/// several processes at once.
pub async fn migrate(url: &SecretString, server_role: Option<&str>) -> Result<MigrationReport, MigrateError> {
    let server_role = server_role.map(str::to_owned);
    on_own_runtime(url, async move |connection| {
        let mut harness = AsyncMigrationHarness::new(connection);
        let pending = harness.pending_migrations(MIGRATIONS).map_err(failed)?;
        let mut report = MigrationReport::default();
        for migration in pending {
            harness.run_migration(&*migration).map_err(failed)?;
            report.applied.push(migration.name().to_string());
        }
        if let Some(role) = server_role {
            let mut connection = harness.into_inner();
            grants::grant(&mut connection, &role).await?;
            report.granted_to = Some(role);
        }
        Ok(report)
    })
    .await
}

/// The names of the migrations that are not applied yet, in their order.
pub async fn pending_migrations(url: &SecretString) -> Result<Vec<String>, MigrateError> {
    on_own_runtime(url, async move |connection| {
        let mut harness = AsyncMigrationHarness::new(connection);
        let pending = harness.pending_migrations(MIGRATIONS).map_err(failed)?;
        Ok(pending.iter().map(|migration| migration.name().to_string()).collect())
    })
    .await
}

/// Reverts every migration, newest first: everything in the database is gone. For tests.
pub async fn revert_all(url: &SecretString) -> Result<(), MigrateError> {
    on_own_runtime(url, async move |connection| {
        AsyncMigrationHarness::new(connection).revert_all_migrations(MIGRATIONS).map_err(failed)?;
        Ok(())
    })
    .await
}

/// The names of the migrations whose versions are not among these.
pub(crate) fn not_in(applied: &[String]) -> Vec<String> {
    let migrations: Vec<Box<dyn Migration<Pg>>> =
        MIGRATIONS.migrations().expect("embedded migrations are always there");
    let mut missing: Vec<String> = migrations
        .iter()
        .filter(|migration| !applied.contains(&migration.name().version().to_string()))
        .map(|migration| migration.name().to_string())
        .collect();
    missing.sort();
    missing
}

/// diesel's migrations block, and their asynchronous harness needs a runtime with several threads. The caller's
/// may have one (actix's workers, plain tests), so the work gets a thread and a runtime of its own.
async fn on_own_runtime<T, F>(url: &SecretString, work: F) -> Result<T, MigrateError>
where
    T: Send + 'static,
    F: AsyncFnOnce(AsyncPgConnection) -> Result<T, MigrateError> + Send + 'static,
{
    let connector = Connector::of(url)?;
    let outcome = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| MigrateError::Failed { source: error.into() })?;
        runtime.block_on(async move {
            let (client, connection) = connector.connect().await.map_err(MigrateError::Unreachable)?;
            let mut connection = AsyncPgConnection::try_from_client_and_connection(client, connection)
                .await
                .map_err(|error| MigrateError::Unreachable(chain(&error)))?;
            // One at a time. The lock goes with the connection.
            diesel::sql_query("SELECT pg_advisory_lock($1)")
                .bind::<diesel::sql_types::BigInt, _>(LOCK)
                .execute(&mut connection)
                .await
                .map_err(|e| failed(e.into()))?;
            work(connection).await
        })
    });
    outcome.await.map_err(|error| MigrateError::Failed { source: error.into() })?
}

pub(crate) fn failed(source: Box<dyn std::error::Error + Send + Sync>) -> MigrateError {
    MigrateError::Failed { source }
}
