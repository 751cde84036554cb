//! Asks for a password: at the terminal without echo, or from standard input. Never from an argument,
//! where every process on the machine could read it.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::{Context as _, bail};
use domain::text::NewPassword;
use secrecy::{ExposeSecret, SecretString};

pub(crate) async fn ask(from_stdin: bool) -> anyhow::Result<NewPassword> {
    let password = ask_foreign(from_stdin).await?;
    NewPassword::parse(password).map_err(|error| anyhow::anyhow!("the password {error}"))
}

/// A password that somebody else has chosen, whatever it looks like.
pub(crate) async fn ask_foreign(from_stdin: bool) -> anyhow::Result<SecretString> {
    let read = move || if from_stdin { first_line() } else { prompt() };
    tokio::task::spawn_blocking(read).await.context("the password could not be read")?
}

fn first_line() -> anyhow::Result<SecretString> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("standard input cannot be read")?;
    Ok(SecretString::from(line.trim_end_matches(['\n', '\r']).to_owned()))
}

fn prompt() -> anyhow::Result<SecretString> {
    if !std::io::stdin().is_terminal() {
        bail!("there is no terminal to ask for a password; use --password-stdin");
    }
    let ask = |text| {
        rpassword::prompt_password(text).map(SecretString::from).context("the password cannot be read")
    };
    let (first, second) = (ask("Password: ")?, ask("Again: ")?);
    if first.expose_secret() != second.expose_secret() {
        bail!("the two passwords differ");
    }
    Ok(first)
}
