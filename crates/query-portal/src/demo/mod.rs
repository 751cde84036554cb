//! `demo`: a complete portal on one machine, with its own PostgreSQL, MongoDB where one can be had, people and data.
//!
//! Everything lives in one folder; a second start finds what the first one made.

mod mongo;
mod people;
mod provision;
mod state;
mod welcome;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use dev_stack::{MongoServer, PostgresOptions, PostgresServer};
use secrecy::SecretString;

use self::state::DemoState;
use crate::cli::DemoArgs;
use crate::commands::say;
use crate::config::{Config, Log, LogFormat};
use crate::notify::ConsoleNotifier;
use crate::wiring::{Surroundings, portal};
use crate::{serve, telemetry};

pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<()> {
    telemetry::init(&Log { format: LogFormat::Text, level: "warn".to_owned() })?;
    let stop = serve::stop_on_signals()?;
    // The port comes first: nothing is started when the demo cannot be reached in the end.
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let listener = serve::bind(address).context("choose another port with --port")?;
    let folder = args.data.map_or_else(default_folder, Ok)?;
    let state = DemoState::load_or_create(&folder)?;
    say(&format!("starting PostgreSQL in {} ...", folder.display()))?;
    let server = start_postgres(&folder, state.postgres_port).await?;
    let mut mongodb = None;
    let outcome = async {
        provision::databases(&server, &state).await.context("the demo's databases could not be set up")?;
        let config = config(&server, &state, address)?;
        let (owner, role) = config.migration()?;
        store_postgres::migrate(owner, role.as_deref()).await.context("migrating failed")?;
        mongodb = mongo::start(&folder, state.mongo()?).await?;
        let ports = Ports { postgres: server.port(), mongodb: mongodb.as_ref().map(MongoServer::port) };
        people::register(&config, &state, ports).await.context("the demo's people could not be set up")?;
        let surroundings =
            Surroundings { variables: state.target_variables(), notifier: Arc::new(ConsoleNotifier) };
        let portal = portal(&config, surroundings)?;
        welcome::print(&state, address, mongodb.is_some())?;
        serve::run(portal, listener, config.server.workers, stop).await
    }
    .await;
    say("stopping the databases ...")?;
    let stop = move || mongodb.map_or(Ok(()), MongoServer::stop).and(server.stop());
    tokio::task::spawn_blocking(stop).await.context("stopping the databases failed")??;
    outcome?;
    say(&format!("stopped; the data stays in {}", folder.display()))
}

/// Where the demo's databases listen.
#[derive(Clone, Copy)]
struct Ports {
    postgres: u16,
    /// Absent where the demo has to do without.
    mongodb: Option<u16>,
}

async fn start_postgres(folder: &Path, port: u16) -> anyhow::Result<PostgresServer> {
    let mut options = PostgresOptions::new(folder.join("postgres"));
    options.port = Some(port);
    let started = tokio::task::spawn_blocking(move || PostgresServer::start(options)).await;
    Ok(started.context("starting PostgreSQL failed")??)
}

/// The configuration of a real installation, filled in.
fn config(server: &PostgresServer, state: &DemoState, address: SocketAddr) -> anyhow::Result<Config> {
    let url = |user: &str, password: &str| {
        SecretString::from(format!(
            "postgres://{user}:{password}@127.0.0.1:{}/{}",
            server.port(),
            provision::PORTAL
        ))
    };
    let mut config = Config::builtin()?;
    config.server.listen = address;
    config.database.url = Some(url(provision::PORTAL_SERVER, &state.server_password));
    config.database.owner_url = Some(url(provision::PORTAL_OWNER, &state.owner_password));
    config.auth.signing_key = Some(SecretString::from(state.signing_key.clone()));
    Ok(config)
}

fn default_folder() -> anyhow::Result<PathBuf> {
    if is_root() {
        // PostgreSQL runs as another user, which could not reach a folder in root's home.
        return Ok(PathBuf::from("/var/lib/query-portal-demo"));
    }
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    let base = data.or_else(home).context("HOME is not set; name a folder with --data")?;
    Ok(base.join("query-portal-demo"))
}

fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}
