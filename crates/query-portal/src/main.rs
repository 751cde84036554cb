//! The one binary: it reads the configuration, wires the adapters to the rules, and serves.

mod authorities;
mod cli;
mod commands;
mod config;
mod demo;
mod notify;
mod scripts;
mod serve;
mod system;
mod telemetry;
mod wiring;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command, ConfigCommand};
use crate::config::Config;

fn main() -> ExitCode {
    // First of all, and without a runtime: a script process has one thread and reads no configuration.
    if std::env::args_os().nth(1).is_some_and(|command| command == scripts::WORKER) {
        script_sandbox::serve();
    }
    with_runtime()
}

#[tokio::main]
async fn with_runtime() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The last word to the person at the terminal; everything else goes through the log.
            #[expect(clippy::print_stderr, reason = "a command's failure is told on standard error")]
            {
                eprintln!("query-portal: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let config = || Config::load(cli.config.as_deref());
    match cli.command {
        Command::Serve => serve::serve(Config::load_for_serving(cli.config.as_deref())?).await,
        Command::Migrate => commands::migrate(&config()?).await,
        Command::User(command) => commands::user(&config()?, command).await,
        Command::Pod(command) => commands::pod(&config()?, command).await,
        Command::Target(command) => commands::target(&config()?, command).await,
        Command::Credential(command) => commands::credential(&config()?, command).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Config(ConfigCommand::Check) => {
            Config::load_for_serving(cli.config.as_deref())?;
            commands::config_is_complete()
        }
        Command::Doctor => scripts::doctor(&config()?).await,
        Command::ScriptWorker => anyhow::bail!("the server starts script processes by itself"),
        Command::Health => commands::health(config()?.server.listen),
        Command::Openapi => commands::openapi(),
    }
}
