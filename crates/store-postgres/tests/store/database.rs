//! Databases for tests: each test gets one of its own, cloned from a template that was migrated once.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tokio_postgres::{Client, NoTls};

use store_postgres::{PgStore, StoreConfig, migrate};

/// Any number that the portal itself does not lock: "qp-test" in ASCII.
const LOCK: i64 = 0x71_702d_7465_7374;

/// A database that is dropped at the end of its test.
#[derive(Debug)]
pub(crate) struct TestDatabase {
    name: String,
}

impl TestDatabase {
    /// A migrated database without any user.
    ///
    /// # Panics
    /// When there is no server or it refuses: a test without its database fails.
    pub(crate) async fn create() -> Self {
        let template = template().await;
        let name = new_name();
        run(&connect("postgres").await, &format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        Self { name }
    }

    /// A database with nothing in it, not even tables.
    ///
    /// # Panics
    /// As [`TestDatabase::create`].
    pub(crate) async fn empty() -> Self {
        let name = new_name();
        run(&connect("postgres").await, &format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        Self { name }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A URL for the superuser and this database.
    pub(crate) fn url(&self) -> SecretString {
        url(&self.name).into()
    }

    /// Settings for the superuser and this database.
    pub(crate) fn config(&self) -> StoreConfig {
        StoreConfig::new(self.url())
    }

    /// A pool of its own on this database: two of them are two portal processes.
    ///
    /// # Panics
    /// Never: the settings are good.
    pub(crate) fn store(&self) -> PgStore {
        PgStore::connect(&self.config()).expect("the settings of a test database are good")
    }

    /// A plain connection as the superuser, for looking behind the store's back.
    pub(crate) async fn client(&self) -> Client {
        connect(&self.name).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let name = self.name.clone();
        // A thread of its own, since a runtime cannot be started inside of the test's.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let (client, connection) =
                    tokio_postgres::connect(&url("postgres"), NoTls).await.map_err(std::io::Error::other)?;
                let driven = tokio::spawn(connection);
                let dropped =
                    client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
                driven.abort();
                dropped.map_err(std::io::Error::other)
            })
        });
        // A database that stays is no failure of the test: the server itself goes at the end of the run.
        let _ = dropping.join();
    }
}

fn url(database: &str) -> String {
    dev_stack::test_postgres().url(database)
}

async fn connect(database: &str) -> Client {
    let database = database.to_owned();
    // The first call may start a server, which takes a moment.
    let url = tokio::task::spawn_blocking(move || url(&database)).await.expect("the test server starts");
    let (client, connection) =
        tokio_postgres::connect(&url, NoTls).await.expect("the test server accepts connections");
    tokio::spawn(connection);
    client
}

async fn run(client: &Client, statement: &str) {
    client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
}

/// The name of the migrated template, which is made by whoever comes first.
async fn template() -> String {
    let name = format!("qp_template_{}", fingerprint());
    let client = connect("postgres").await;
    if exists(&client, &name).await {
        return name;
    }
    // Other test processes wait here, and find it done. The lock goes with the connection.
    run(&client, &format!("SELECT pg_advisory_lock({LOCK})")).await;
    if !exists(&client, &name).await {
        let unfinished = format!("{name}_unfinished");
        run(&client, &format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")).await;
        run(&client, &format!("CREATE DATABASE {unfinished} TEMPLATE template0")).await;
        migrate(&url(&unfinished).into(), None).await.expect("the migrations apply to an empty database");
        wait_until_unused(&client, &unfinished).await;
        // Only a whole template has the name, even when a process is killed half way.
        run(&client, &format!("ALTER DATABASE {unfinished} RENAME TO {name}")).await;
    }
    name
}

async fn exists(client: &Client, database: &str) -> bool {
    let found = client.query("SELECT FROM pg_database WHERE datname = $1", &[&database]).await;
    !found.expect("pg_database can be read").is_empty()
}

/// A backend ends a moment after its client has closed the connection.
async fn wait_until_unused(client: &Client, database: &str) {
    for _ in 0..500 {
        let used = client.query("SELECT FROM pg_stat_activity WHERE datname = $1", &[&database]).await;
        if used.expect("pg_stat_activity can be read").is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("somebody stays connected to {database}");
}

/// Changes with the migrations, so that an old template is never used for new ones.
fn fingerprint() -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
    let mut files: Vec<_> = std::fs::read_dir(root)
        .expect("the folder of migrations is there")
        .flat_map(|folder| {
            ["up.sql", "down.sql"].map(|file| folder.as_ref().expect("a folder").path().join(file))
        })
        .collect();
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())));
    }
    hex::encode(&hash.finalize()[..8])
}

fn new_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    format!("qp_test_{}_{}_{since}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
