//! Looks at SQL before anybody decides on it.

use async_trait::async_trait;
use domain::ports::SubmissionReviewer;
use domain::request::{Submission, SubmissionKind};
use domain::review::{Refusal, Review};
use domain::target::Engine;

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

    async fn review(&self, submission: &Submission, read_only: bool) -> Result<Review, Refusal> {
        let text = analyse_submission(submission, read_only).await?;
        Ok(Review {
            effect: text.effect(read_only),
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
