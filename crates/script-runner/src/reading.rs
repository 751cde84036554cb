//! A process that reads or evaluates a text: one question, one answer, within limits.

use std::time::Duration;

use domain::ports::ScriptCheckError;
use domain::review::{Position, Refusal};
use domain::text::SubmissionText;
use script_protocol::{FromWorker, ToWorker};

use crate::process::{Death, Process};
use crate::translate::shortened;
use crate::usage::{LOOK_EVERY, Usage};

/// How much processor time reading a text may take. Only a text made for it takes longer.
const PROCESSOR: Duration = Duration::from_secs(3);

/// How long it may take altogether, on a busy host.
const LIMIT: Duration = Duration::from_secs(20);

/// What a process may say is wrong with a text that it evaluates. It is not trusted with words of its own.
const CODES: &[&str] = &[
    "invalid_command",
    "needs_a_script",
    "no_command",
    "not_the_value",
    "several_commands",
    "shell_error",
    "shell_helper",
    "shell_syntax",
    "unknown_method",
];

/// Why there is no answer.
pub(crate) enum Unread {
    /// The text is at fault, and will be every time.
    TooMuch,
    /// The text is not at fault.
    Unavailable(ScriptCheckError),
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotRead(&'static str);

fn not_read(why: &'static str) -> Unread {
    Unread::Unavailable(ScriptCheckError::Unavailable { source: Box::new(NotRead(why)) })
}

/// Asks a process that is ready. What it answers is for the caller to check.
pub(crate) async fn ask(
    process: &mut Process,
    memory_bytes: u64,
    message: &ToWorker,
    text: &SubmissionText,
) -> Result<(FromWorker, Vec<u8>), Unread> {
    let Process { usage, reader, writer, life } = process;
    let answered = async {
        writer.send(message, text.as_str().as_bytes()).await.ok()?;
        reader.next().await.ok().flatten()
    };
    // A busy host is no fault of the text, so it is time on a processor that counts.
    let worked_enough = async {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let processor = usage.as_ref().and_then(Usage::processor);
            let resident = usage.as_ref().and_then(Usage::resident);
            if processor.is_some_and(|time| time > PROCESSOR)
                || resident.is_some_and(|now| now > memory_bytes)
            {
                break;
            }
        }
    };
    let answered = async {
        tokio::select! {
            answered = answered => Ok(answered),
            () = worked_enough => Err(Unread::TooMuch),
        }
    };
    match tokio::time::timeout(LIMIT, answered).await {
        Ok(Ok(Some(answer))) => Ok(answer),
        Ok(Ok(None)) if life.how().await == Death::KILLED => Err(not_read("the process was killed")),
        // Reading a text is the same every time: what takes too much now, or what V8 does not survive, it will later.
        Ok(Ok(None) | Err(_)) => Err(Unread::TooMuch),
        Err(_elapsed) => Err(not_read("it took too long on this busy host")),
    }
}

/// JavaScript's own messages seldom end as a sentence does.
pub(crate) fn sentence(message: String) -> String {
    if message.ends_with(['.', '!', '?']) { message } else { message + "." }
}

pub(crate) fn refused(code: &str, message: String, position: Option<Position>) -> ScriptCheckError {
    ScriptCheckError::Refused(Refusal { code: code.to_owned(), message: shortened(message), position })
}

pub(crate) fn too_much(code: &str, what: &str) -> ScriptCheckError {
    let message = format!(
        "{what} with {} seconds of processor time and the memory that a script may use. Make it smaller.",
        PROCESSOR.as_secs()
    );
    refused(code, message, None)
}

/// One of the codes that there are.
pub(crate) fn known(code: &str) -> &'static str {
    CODES.iter().find(|known| **known == code).copied().unwrap_or("shell_error")
}
