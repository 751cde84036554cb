//! The demo's databases: the portal's own, and two to query.

use std::time::Duration;

use anyhow::Context as _;
use dev_stack::PostgresServer;
use tokio_postgres::{Client, NoTls};

use super::state::DemoState;

pub(super) const PORTAL: &str = "portal";
pub(super) const PORTAL_OWNER: &str = "portal_owner";
pub(super) const PORTAL_SERVER: &str = "portal_server";
pub(super) const SHOP: &str = "shop";
pub(super) const SHOP_ROLE: &str = "shop_portal";
pub(super) const SHOP_REFERENCE: &str = "TARGET_SHOP";
pub(super) const ANALYTICS: &str = "analytics";
pub(super) const ANALYTICS_ROLE: &str = "analytics_portal";
pub(super) const ANALYTICS_REFERENCE: &str = "TARGET_ANALYTICS";

/// Sample data in the shape of the product notes: users, products, orders.
const SAMPLE_DATA: &str = include_str!("sample_data.sql");

/// Makes what is missing; what is there stays as it is.
pub(super) async fn databases(server: &PostgresServer, state: &DemoState) -> anyhow::Result<()> {
    let admin = connect(&server.url("postgres")).await?;
    for (role, password) in [
        (PORTAL_OWNER, &state.owner_password),
        (PORTAL_SERVER, &state.server_password),
        (SHOP_ROLE, &state.shop_password),
        (ANALYTICS_ROLE, &state.analytics_password),
    ] {
        let exists = admin.query_opt("SELECT 1 FROM pg_roles WHERE rolname = $1", &[&role]).await?.is_some();
        let verb = if exists { "ALTER" } else { "CREATE" };
        // Role names and passwords are ours: letters, digits, '-' and '_'.
        admin.batch_execute(&format!("{verb} ROLE {role} LOGIN PASSWORD '{password}'")).await?;
    }
    for (database, owner) in [(PORTAL, PORTAL_OWNER), (SHOP, "postgres"), (ANALYTICS, "postgres")] {
        let exists =
            admin.query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&database]).await?.is_some();
        if !exists {
            admin.batch_execute(&format!("CREATE DATABASE {database} OWNER {owner}")).await?;
        }
    }
    // Everybody may connect to a new database. A role that may not does not find it in its list.
    for (database, role) in
        [("postgres", "postgres"), (PORTAL, PORTAL_SERVER), (SHOP, SHOP_ROLE), (ANALYTICS, ANALYTICS_ROLE)]
    {
        let connect = format!(
            "REVOKE CONNECT ON DATABASE {database} FROM PUBLIC; GRANT CONNECT ON DATABASE {database} TO {role}"
        );
        admin.batch_execute(&connect).await?;
    }
    for (database, role, rights) in
        [(SHOP, SHOP_ROLE, "SELECT, INSERT, UPDATE, DELETE"), (ANALYTICS, ANALYTICS_ROLE, "SELECT")]
    {
        sample_data(&server.url(database), role, rights)
            .await
            .with_context(|| format!("database {database}"))?;
    }
    Ok(())
}

/// In one transaction, so that an interrupted start leaves nothing half done.
async fn sample_data(url: &str, role: &str, rights: &str) -> anyhow::Result<()> {
    let mut client = connect(url).await?;
    let transaction = client.transaction().await?;
    let there = transaction.query_one("SELECT to_regclass('public.orders') IS NOT NULL", &[]).await?;
    if !there.get::<_, bool>(0) {
        transaction.batch_execute(SAMPLE_DATA).await?;
        let grants = format!(
            "GRANT USAGE ON SCHEMA public TO {role};
             GRANT {rights} ON ALL TABLES IN SCHEMA public TO {role};
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role};"
        );
        transaction.batch_execute(&grants).await?;
    }
    transaction.commit().await?;
    Ok(())
}

async fn connect(url: &str) -> anyhow::Result<Client> {
    let mut config: tokio_postgres::Config = url.parse().context("the demo server's address")?;
    config.connect_timeout(Duration::from_secs(5));
    let (client, connection) =
        config.connect(NoTls).await.context("the demo's PostgreSQL does not answer")?;
    tokio::spawn(async move {
        // The client sees the same error with its next statement.
        drop(connection.await);
    });
    Ok(client)
}
