//! The one binary: it reads the configuration, wires the adapters to the rules, and serves.

mod cli;
mod commands;
mod config;
mod demo;
mod notify;
mod serve;
mod system;
mod telemetry;
mod wiring;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command, ConfigCommand};
use crate::config::Config;

#[tokio::main]
async fn main() -> ExitCode {
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
        Command::Demo(args) => demo::run(args).await,
        Command::Config(ConfigCommand::Check) => {
            Config::load_for_serving(cli.config.as_deref())?;
            commands::config_is_complete()
        }
        Command::Health => commands::health(config()?.server.listen),
        Command::Openapi => commands::openapi(),
    }
}
