//! The command line.

#![expect(clippy::doc_markdown, reason = "the comments are the text of --help, where backticks are noise")]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "query-portal",
    version,
    about = "Ad-hoc queries against production databases: submitted, approved, executed and audited, without anybody holding a credential."
)]
pub(crate) struct Cli {
    /// Configuration file (TOML). QUERY_PORTAL_* variables override it, with two underscores for the dot:
    /// QUERY_PORTAL_DATABASE__URL sets database.url.
    #[arg(long, global = true, env = "QUERY_PORTAL_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the HTTP API and execute approved requests.
    Serve,
    /// Bring the portal's database up to date, and grant the server's role what it needs.
    Migrate,
    /// Accounts.
    #[command(subcommand)]
    User(UserCommand),
    /// PODs (teams).
    #[command(subcommand)]
    Pod(PodCommand),
    /// Instances: the database servers that requests run against.
    #[command(subcommand)]
    Target(TargetCommand),
    /// Credentials that the portal keeps itself (source `sealed`).
    #[command(subcommand)]
    Credential(CredentialCommand),
    /// A complete portal to try out: its own PostgreSQL, sample users, PODs and data. Nothing else is touched.
    Demo(DemoArgs),
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Tell which layers of isolation for scripts this host gives, and what is missing for the others.
    Doctor,
    /// A script process: the server starts these by itself.
    #[command(hide = true, name = crate::scripts::WORKER)]
    ScriptWorker,
    /// Ask the server that runs with this configuration whether it can work; fails when it cannot.
    Health,
    /// Print the OpenAPI description of the API.
    Openapi,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Read the configuration as the server would, and tell everything that is missing or wrong.
    Check,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Create an account. The password is asked for, or read from standard input with --password-stdin.
    Create(UserCreate),
    /// Change an account; it acts on the person's next call.
    Update(UserUpdateArgs),
    /// Set a new password, which ends all sessions of the account.
    Password {
        #[arg(long)]
        email: String,
        /// Read the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// List the accounts.
    List,
}

#[derive(Debug, Args)]
pub(crate) struct UserCreate {
    #[arg(long)]
    pub(crate) email: String,
    #[arg(long)]
    pub(crate) name: String,
    /// developer, manager, admin, operator, viewer, or another row of the table roles. May be repeated.
    #[arg(long = "role", required = true)]
    pub(crate) roles: Vec<String>,
    /// The POD that the person belongs to.
    #[arg(long)]
    pub(crate) pod: Option<String>,
    /// Read the password from the first line of standard input.
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UserUpdateArgs {
    #[arg(long)]
    pub(crate) email: String,
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Replaces all roles. May be repeated.
    #[arg(long = "role")]
    pub(crate) roles: Vec<String>,
    #[arg(long, conflicts_with = "no_pod")]
    pub(crate) pod: Option<String>,
    /// Take the person out of their POD.
    #[arg(long)]
    pub(crate) no_pod: bool,
    #[arg(long, conflicts_with = "deactivate")]
    pub(crate) activate: bool,
    /// The account in Slack whose presses of buttons are this person's, as U0123456789.
    #[arg(long, conflicts_with = "no_slack_user")]
    pub(crate) slack_user_id: Option<String>,
    /// Untie the account from Slack.
    #[arg(long)]
    pub(crate) no_slack_user: bool,
    /// Lock the account; all of its sessions end.
    #[arg(long)]
    pub(crate) deactivate: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PodCommand {
    /// Add a POD.
    Add {
        /// 1 to 63 of a-z, 0-9, '.', '_', '-'.
        #[arg(long)]
        id: String,
        #[arg(long)]
        name: String,
        /// Manages this POD beside the managers who belong to it; needs the role manager.
        #[arg(long)]
        manager_email: Option<String>,
        #[arg(long)]
        description: Option<String>,
        /// The channel in Slack in which its requests are announced: id or name.
        #[arg(long)]
        slack_channel: Option<String>,
    },
    /// List the PODs.
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TargetCommand {
    /// Add an instance. Its credentials are named, never given.
    Add(Box<TargetAdd>),
    /// List the instances.
    List,
    /// Allow requests to an instance again.
    Activate {
        #[arg(long)]
        id: String,
    },
    /// Refuse requests to an instance, approved ones included.
    Deactivate {
        #[arg(long)]
        id: String,
    },
    /// Replace the PODs that may use an instance.
    SetPods {
        #[arg(long)]
        id: String,
        /// May be repeated; none takes every access away.
        #[arg(long = "pod")]
        pods: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TargetAdd {
    /// 1 to 63 of a-z, 0-9, '.', '_', '-'.
    #[arg(long)]
    pub(crate) id: String,
    #[arg(long)]
    pub(crate) name: String,
    /// postgresql or mongodb.
    #[arg(long, default_value = "postgresql")]
    pub(crate) engine: String,
    /// postgresql: one host name or address, or the folder of a Unix socket. mongodb: one or several, separated by commas,
    /// each with a port of its own if you like, or mongodb+srv:// with a name that DNS resolves.
    #[arg(long)]
    pub(crate) host: String,
    /// 5432 when left out, 27017 for mongodb.
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// mongodb: what else belongs to the address, as in a connection string: authMechanism, authSource,
    /// directConnection, readPreference, replicaSet. For example replicaSet=rs0&authSource=admin.
    #[arg(long, value_name = "OPTIONS")]
    pub(crate) connection_options: Option<String>,
    /// disable, require, verify-ca (postgresql only) or verify-full. `disable` says that credentials may travel in the clear.
    #[arg(long, default_value = "verify-full")]
    pub(crate) tls: String,
    /// SOURCE:REFERENCE. env:TARGET_SHOP stands for the variables TARGET_SHOP_USERNAME and TARGET_SHOP_PASSWORD
    /// in the environment of the server, or for TARGET_SHOP that holds a connection string; aws:prod/shop for a secret in AWS
    /// Secrets Manager; sealed:shop for what `credential set` keeps.
    #[arg(long)]
    pub(crate) credentials: String,
    /// A database on the instance. May be repeated.
    #[arg(long = "database", required = true)]
    pub(crate) databases: Vec<String>,
    /// A POD that may submit to the instance and decide on what is submitted. May be repeated.
    #[arg(long = "pod")]
    pub(crate) pods: Vec<String>,
    #[arg(long)]
    pub(crate) description: Option<String>,
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Accept a role that is a superuser or reaches files or programs of the server.
    #[arg(long)]
    pub(crate) allow_privileged_role: bool,
    /// mongodb: let commands name other databases than the one of the request, and `admin`.
    #[arg(long)]
    pub(crate) allow_other_databases: bool,
    /// mongodb: accept JavaScript that the database server itself runs ($where, $function, $accumulator).
    #[arg(long)]
    pub(crate) allow_server_javascript: bool,
    /// postgresql: search_path of executions.
    #[arg(long, value_name = "LIST")]
    pub(crate) search_path: Option<String>,
    /// Longest execution.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub(crate) timeout: u64,
    /// Longest wait for a lock.
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub(crate) lock_timeout: u64,
    /// Rows kept per request.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) max_rows: u64,
    /// Bytes of JSON kept per request.
    #[arg(long, default_value_t = 268_435_456)]
    pub(crate) max_bytes: u64,
    /// Distinct approvers that a request needs.
    #[arg(long, default_value_t = 1)]
    pub(crate) approvals: u16,
    /// What messages in Slack show of results: preview, counts or none.
    #[arg(long, default_value = "preview")]
    pub(crate) slack_results: String,
    /// Let people decide in the portal only, not by the buttons in Slack.
    #[arg(long)]
    pub(crate) no_slack_decisions: bool,
    /// How long a request waits for its approval, and an approval for its execution.
    #[arg(long, default_value_t = 72, value_name = "HOURS", value_parser = clap::value_parser!(u64).range(1..=8760))]
    pub(crate) approval_ttl: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CredentialCommand {
    /// Keep a login, sealed, under a name that instances can refer to as sealed:REFERENCE. Replaces what is kept there.
    Set {
        /// Has to begin with one of secrets.sealed_prefixes; 512 bytes at most.
        #[arg(long)]
        reference: String,
        #[arg(long)]
        username: String,
        /// A server that the login is for, as the instance has it; may be repeated. The login goes to instances with
        /// these servers only. Without any it goes wherever an admin enters its reference.
        #[arg(long = "host", value_name = "HOST:PORT")]
        hosts: Vec<String>,
        /// Read the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// List what is kept: reference, id of the key, and when it was sealed. Never a login.
    List,
    /// Forget a login.
    Remove {
        #[arg(long)]
        reference: String,
    },
    /// Seal everything under the first of secrets.sealed_keys. After that the other keys can be taken away.
    Reseal,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where the demo keeps its data. Default: /var/lib/query-portal-demo for root, else
    /// ~/.local/share/query-portal-demo.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data: Option<PathBuf>,
    /// Port on 127.0.0.1.
    #[arg(long, default_value_t = 8080)]
    pub(crate) port: u16,
}
