//! From a target's entry to a client of the driver.

use domain::ending::lost;
use domain::execution::Credentials;
use domain::ports::ExecutionError;
use domain::target::{MongoAddress, Target, TlsMode};
use mongodb::Client;
use mongodb::options::{AuthMechanism, ClientOptions, Credential, Tls, TlsOptions};
use secrecy::ExposeSecret as _;

use super::not_connected;
use crate::executor::MongoExecutorConfig;

/// Shown in the server's log and in its list of operations.
const APP_NAME: &str = "query-portal";

/// Connections of one client that do nothing are closed after so long.
const MAX_IDLE: std::time::Duration = std::time::Duration::from_mins(1);

const MAX_CONNECTIONS: u32 = 1_000;

pub(super) async fn client(
    target: &Target,
    credentials: &Credentials,
    config: &MongoExecutorConfig,
) -> Result<Client, ExecutionError> {
    let address = MongoAddress::parse(&target.host, target.port, target.connection_options.as_deref())
        .map_err(|error| lost(format!("the instance's address {error}")))?;
    // Only what `MongoAddress` lets through stands in here; the login does not.
    let mut options = ClientOptions::parse(uri(&address)).await.map_err(|error| not_connected(&error))?;
    options.app_name = Some(APP_NAME.to_owned());
    options.connect_timeout = Some(config.connect_timeout);
    options.server_selection_timeout = Some(config.connect_timeout);
    options.max_idle_time = Some(MAX_IDLE);
    // How many executions there are is the portal's to say, and whoever stops one must not wait for another.
    options.max_pool_size = Some(MAX_CONNECTIONS);
    // What a person submitted runs once.
    options.retry_reads = Some(false);
    options.retry_writes = Some(false);
    options.tls = Some(tls(target.tls, config));
    let mut credential = Credential::default();
    credential.username = Some(credentials.username.clone());
    credential.password = Some(credentials.password.expose_secret().to_owned());
    credential.source = Some(address.option("authSource").unwrap_or("admin").to_owned());
    credential.mechanism = match address.option("authMechanism") {
        Some("SCRAM-SHA-1") => Some(AuthMechanism::ScramSha1),
        Some("SCRAM-SHA-256") => Some(AuthMechanism::ScramSha256),
        _ => None,
    };
    options.credential = Some(credential);
    Client::with_options(options).map_err(|error| not_connected(&error))
}

/// The login goes in beside it: its options are about a login that the driver would miss.
fn uri(address: &MongoAddress) -> String {
    let scheme = if address.srv { "mongodb+srv" } else { "mongodb" };
    let options: Vec<String> = address
        .options
        .iter()
        .filter(|(name, _)| !matches!(*name, "authSource" | "authMechanism"))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!("{scheme}://{}/?{}", address.hosts.join(","), options.join("&"))
}

fn tls(mode: TlsMode, config: &MongoExecutorConfig) -> Tls {
    let checks_certificate = match mode {
        TlsMode::Disable => return Tls::Disabled,
        TlsMode::Require => false,
        TlsMode::VerifyCa | TlsMode::VerifyFull => true,
    };
    let mut options = TlsOptions::default();
    options.allow_invalid_certificates = Some(!checks_certificate);
    options.ca_file_path.clone_from(&config.authorities);
    Tls::Enabled(options)
}
