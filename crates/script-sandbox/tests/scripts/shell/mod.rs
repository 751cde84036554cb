//! MongoDB's shell: texts that are evaluated into commands, and scripts that run them.

mod commands;
mod failing;
mod hostile;
mod mistakes;
mod running;
mod sessions;
mod types;

use super::harness::{evaluate_on, settings};
use domain::review::Refusal;
use script_runner::{ProcessScriptRunner, ProcessSettings, ScriptSettings};

/// A runner for many texts, each in a process of its own.
pub(crate) fn runner() -> ProcessScriptRunner {
    ProcessScriptRunner::start(ScriptSettings {
        processes: ProcessSettings { warm: 2, most: 2, checks: 2 },
        ..settings()
    })
    .unwrap()
}

/// Each text comes to exactly this command.
pub(crate) async fn come_to(table: &[(&str, &str)]) {
    let runner = runner();
    for (text, expected) in table {
        let commands = evaluate_on(&runner, text).await;
        assert_eq!(commands, Ok(vec![(*expected).to_owned()]), "{text}");
    }
}

/// Why a text comes to no command: the code and the message.
pub(crate) async fn refused(runner: &ProcessScriptRunner, text: &str) -> Refusal {
    match evaluate_on(runner, text).await {
        Err(refusal) => refusal,
        Ok(commands) => panic!("{text} came to {commands:?}"),
    }
}
