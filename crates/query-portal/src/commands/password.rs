//! Asks for a password: at the terminal without echo, or from standard input. Never from an argument,
//! where every process on the machine could read it.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::{Context as _, bail};
use domain::text::NewPassword;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

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
    // With room from the start, so that what grows leaves no copy behind.
    let mut line = Zeroizing::new(Vec::with_capacity(4096));
    std::io::stdin().lock().read_until(b'\n', &mut line).context("standard input cannot be read")?;
    read(&line)
}

/// Without the end of the line, and nothing else of it.
fn read(line: &[u8]) -> anyhow::Result<SecretString> {
    let line = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
    // What Utf8Error says holds nothing of the text.
    let text = std::str::from_utf8(line).context("the password is not in UTF-8")?;
    Ok(SecretString::from(text))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_end_of_the_line_is_cut_and_nothing_else() {
        for (line, password) in [
            ("secret", "secret"),
            ("secret\n", "secret"),
            ("secret\r\n", "secret"),
            ("secret\r\r\n", "secret\r"),
            ("secret\r", "secret\r"),
            (" secret \n", " secret "),
            ("\n", ""),
            ("", ""),
        ] {
            assert_eq!(read(line.as_bytes()).unwrap().expose_secret(), password, "{line:?}");
        }
    }

    #[test]
    fn what_is_not_utf_8_is_told_and_not_shown() {
        let error = format!("{:#}", read(b"hunter2\xff\n").unwrap_err());
        assert!(error.contains("not in UTF-8") && !error.contains("hunter2"), "{error}");
    }
}
