//! A reviewer that says what it was told.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use domain::ports::{ScriptCheckError, SubmissionReviewer};
use domain::request::Submission;
use domain::review::{Effect, Position, Refusal, Review, Scope};
use domain::target::Engine;
use domain::text::{DatabaseName, SubmissionText};
use tokio::sync::Semaphore;

use super::lock;

/// Why [`FakeReviewer`] compiles no text.
#[derive(Clone, Debug)]
enum Complaint {
    Refused(Refusal),
    Unavailable,
}

/// Takes everything for one reading statement, until it is told otherwise. What changes something is refused on a
/// read-only target. For MongoDB a text comes to one command, which is another one each time: whoever compiles twice
/// sees it.
#[derive(Debug)]
pub struct FakeReviewer {
    engine: Engine,
    answer: Mutex<Result<Review, Refusal>>,
    complaint: Mutex<Option<Complaint>>,
    compiled: Mutex<Vec<(String, Option<DatabaseName>)>>,
    reviewed: Mutex<Vec<(Submission, Scope)>>,
    holds: AtomicBool,
    started: Semaphore,
    released: Semaphore,
}

impl FakeReviewer {
    pub fn new(engine: Engine) -> Self {
        let review = Review { effect: Effect::Read, statements: 1, findings: vec![] };
        Self {
            engine,
            answer: Mutex::new(Ok(review)),
            complaint: Mutex::default(),
            compiled: Mutex::default(),
            reviewed: Mutex::default(),
            holds: AtomicBool::default(),
            started: Semaphore::new(0),
            released: Semaphore::new(0),
        }
    }

    pub fn answers(&self, review: Review) {
        *lock(&self.answer) = Ok(review);
    }

    pub fn refuses(&self, code: &str, message: &str) {
        let refusal = Refusal { code: code.to_owned(), message: message.to_owned(), position: None };
        *lock(&self.answer) = Err(refusal);
    }

    /// Compiles no text from now on.
    pub fn cannot_make_sense(&self, message: &str, line: u32, column: u32) {
        let refusal = Refusal {
            code: "shell_syntax".to_owned(),
            message: message.to_owned(),
            position: Some(Position { line, column }),
        };
        *lock(&self.complaint) = Some(Complaint::Refused(refusal));
    }

    /// Has no process to evaluate texts from now on.
    pub fn cannot_compile(&self) {
        *lock(&self.complaint) = Some(Complaint::Unavailable);
    }

    /// Takes its time to compile from now on: each text waits for its [`Self::release`], and counts as
    /// [`Self::started`] while it does.
    pub fn holds(&self) {
        self.holds.store(true, Ordering::SeqCst);
    }

    /// Lets one text go on that waits, or will wait.
    pub fn release(&self) {
        self.released.add_permits(1);
    }

    /// Waits for a text that is being compiled; each is seen once.
    pub async fn started(&self) {
        self.started.acquire().await.expect("the semaphore is never closed").forget();
    }

    /// What was to be compiled, and for which database, oldest first.
    pub fn compiled(&self) -> Vec<(String, Option<DatabaseName>)> {
        lock(&self.compiled).clone()
    }

    /// What was reviewed, oldest first.
    pub fn reviewed(&self) -> Vec<(Submission, Scope)> {
        lock(&self.reviewed).clone()
    }
}

impl Default for FakeReviewer {
    fn default() -> Self {
        Self::new(Engine::Postgresql)
    }
}

#[async_trait]
impl SubmissionReviewer for FakeReviewer {
    fn engine(&self) -> Engine {
        self.engine
    }

    async fn compile<'a>(
        &self,
        text: &SubmissionText,
        database: Option<&'a DatabaseName>,
    ) -> Result<Vec<String>, ScriptCheckError> {
        let number = {
            let mut compiled = lock(&self.compiled);
            compiled.push((text.as_str().to_owned(), database.cloned()));
            compiled.len()
        };
        if self.holds.load(Ordering::SeqCst) {
            self.started.add_permits(1);
            self.released.acquire().await.expect("the semaphore is never closed").forget();
        }
        match lock(&self.complaint).clone() {
            Some(Complaint::Refused(refusal)) => Err(ScriptCheckError::Refused(refusal)),
            Some(Complaint::Unavailable) => {
                Err(ScriptCheckError::Unavailable { source: "no process could be started".into() })
            }
            None => match self.engine {
                Engine::Postgresql => Ok(vec![]),
                Engine::Mongodb => {
                    Ok(vec![format!("{{\"find\":\"users\",\"comment\":\"evaluation {number}\"}}")])
                }
            },
        }
    }

    async fn review(&self, submission: &Submission, scope: &Scope) -> Result<Review, Refusal> {
        lock(&self.reviewed).push((submission.clone(), scope.clone()));
        let review = lock(&self.answer).clone()?;
        if scope.read_only && review.effect != Effect::Read {
            let message = "The target is read-only.".to_owned();
            return Err(Refusal { code: "read_only".to_owned(), message, position: None });
        }
        Ok(review)
    }
}
