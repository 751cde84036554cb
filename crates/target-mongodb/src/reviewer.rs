//! Looks at submissions for MongoDB targets.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bson::Document;
use domain::ports::{ScriptCheckError, ShellEvaluator, SubmissionReviewer};
use domain::request::{Submission, SubmissionKind};
use domain::review::{Refusal, Review, Scope};
use domain::target::Engine;
use domain::text::{DatabaseName, SubmissionText};

use crate::beside::beside;
use crate::ejson;
use crate::rules::{self, Checked, refusal};

/// Compiles and reviews what is submitted for MongoDB targets.
pub struct MongoReviewer {
    /// Absent on a portal that evaluates nothing: it takes Extended JSON only.
    shell: Option<Arc<dyn ShellEvaluator>>,
}

impl fmt::Debug for MongoReviewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoReviewer").field("shell", &self.shell.is_some()).finish()
    }
}

impl MongoReviewer {
    pub fn new(shell: Option<Arc<dyn ShellEvaluator>>) -> Self {
        Self { shell }
    }
}

/// What starts so is Extended JSON, and everything else shell syntax: no expression of the shell that is a command does.
fn is_extended_json(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim_start().starts_with(['{', '['])
}

fn written(document: &Document) -> Result<String, Refusal> {
    ejson::canonical(document)
        .map_err(|error| refusal("extended_json", format!("The command cannot be kept: {error}.")))
}

/// The commands of a submission, as they were stored; of one that was not compiled, as its text says.
pub(crate) fn commands_of(submission: &Submission) -> Result<Vec<Document>, Refusal> {
    if submission.compiled.is_empty() {
        return ejson::commands(submission.text.as_str());
    }
    submission.compiled.iter().map(|command| ejson::document(command)).collect()
}

pub(crate) async fn check(submission: &Submission, scope: &Scope) -> Result<Checked, Refusal> {
    if submission.kind != SubmissionKind::Query {
        return Err(refusal("not_a_query", "A script is no query: it runs where scripts run."));
    }
    let bytes = submission.text.as_str().len() + submission.compiled.iter().map(String::len).sum::<usize>();
    let (submission, scope) = (submission.clone(), scope.clone());
    beside(bytes, move || rules::check(commands_of(&submission)?, &scope)).await
}

/// Commands are stored with their request, and everybody who looks at it gets them.
const MOST_BYTES: usize = 2 * SubmissionText::MAX_BYTES;

/// Commands as they are stored, from what reads so many bytes of them.
async fn stored(
    bytes: usize,
    read: impl FnOnce() -> Result<Vec<Document>, Refusal> + Send + 'static,
) -> Result<Vec<String>, Refusal> {
    beside(bytes, move || limited(read()?.iter().map(written).collect::<Result<_, _>>()?)).await
}

fn limited(commands: Vec<String>) -> Result<Vec<String>, Refusal> {
    let bytes: usize = commands.iter().map(String::len).sum();
    if bytes <= MOST_BYTES {
        return Ok(commands);
    }
    let message = format!(
        "The text comes to {bytes} bytes of commands; a request has at most {MOST_BYTES}. Use a script, or several \
         requests."
    );
    Err(refusal("commands_too_large", message))
}

#[async_trait]
impl SubmissionReviewer for MongoReviewer {
    fn engine(&self) -> Engine {
        Engine::Mongodb
    }

    async fn compile<'a>(
        &self,
        text: &SubmissionText,
        database: Option<&'a DatabaseName>,
    ) -> Result<Vec<String>, ScriptCheckError> {
        let stored = if is_extended_json(text.as_str()) {
            let text = text.clone();
            stored(text.as_str().len(), move || ejson::commands(text.as_str())).await
        } else if let Some(shell) = &self.shell {
            // Read and written once more: what is stored is what this crate says it is, whoever evaluated it.
            let evaluated = shell.evaluate(text, database).await?;
            let bytes = evaluated.iter().map(String::len).sum();
            stored(bytes, move || evaluated.iter().map(|command| ejson::document(command)).collect()).await
        } else {
            let message = "This portal evaluates no shell syntax, because scripts are switched off: write the command as \
                           an Extended JSON document, which starts with {.";
            Err(refusal("no_shell", message))
        };
        stored.map_err(ScriptCheckError::Refused)
    }

    async fn review(&self, submission: &Submission, scope: &Scope) -> Result<Review, Refusal> {
        let Checked { commands, effect, findings } = check(submission, scope).await?;
        let statements = u32::try_from(commands.len()).unwrap_or(u32::MAX);
        Ok(Review { effect, statements, findings })
    }
}
