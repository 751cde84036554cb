//! Looks at SQL before anybody decides on it.

use async_trait::async_trait;
use domain::ports::{ScriptCheckError, SubmissionReviewer};
use domain::request::{Submission, SubmissionKind};
use domain::review::{Refusal, Review, Scope};
use domain::target::Engine;
use domain::text::{DatabaseName, SubmissionText};

use crate::sql::{Text, analyse};

/// Reviews SQL texts without touching a target.
#[derive(Clone, Copy, Debug, Default)]
pub struct PostgresReviewer;

impl PostgresReviewer {
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl SubmissionReviewer for PostgresReviewer {
    fn engine(&self) -> Engine {
        Engine::Postgresql
    }

    /// PostgreSQL runs the text itself.
    async fn compile<'a>(
        &self,
        _text: &SubmissionText,
        _database: Option<&'a DatabaseName>,
    ) -> Result<Vec<String>, ScriptCheckError> {
        Ok(vec![])
    }

    async fn review(&self, submission: &Submission, scope: &Scope) -> Result<Review, Refusal> {
        let text = analyse_submission(submission, scope.read_only).await?;
        Ok(Review {
            effect: text.effect(scope.read_only),
            statements: u32::try_from(text.statements.len()).unwrap_or(u32::MAX),
            findings: text.findings().to_vec(),
        })
    }
}

/// What the reviewer and the executor have to agree on.
pub(crate) async fn analyse_submission(submission: &Submission, read_only: bool) -> Result<Text, Refusal> {
    match submission.kind {
        SubmissionKind::Query => analyse(submission.text.as_str().to_owned(), read_only).await,
        SubmissionKind::Script => Err(Refusal {
            code: "not_a_query".to_owned(),
            message: "This is a script: it is not run as SQL, and only its statements are looked at as such."
                .to_owned(),
            position: None,
        }),
    }
}
