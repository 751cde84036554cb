//! A runner of scripts that plays what it was told.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::ports::{
    ExecutionError, ScriptCheckError, ScriptConnect, ScriptConnection, ScriptLog, ScriptRunner, SinkError,
};
use domain::review::{Position, Refusal};
use domain::script::{
    CallAnswer, CallError, CallKind, CallRecord, DatabaseCall, LogEntry, ReturnedValue, ScriptEnd,
    ScriptOrder, ScriptOutcome,
};
use domain::text::SubmissionText;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::lock;

/// What one script does: say lines, make calls, wait, and end.
#[derive(Debug)]
pub struct Play {
    says: Vec<Vec<LogEntry>>,
    calls: Vec<DatabaseCall>,
    waits_for_release: bool,
    last_words: Vec<LogEntry>,
    outcome: ScriptOutcome,
    commits: u64,
    undone: bool,
    console_dropped: u64,
}

impl Play {
    pub fn ends(outcome: ScriptOutcome) -> Self {
        Self {
            says: vec![],
            calls: vec![],
            waits_for_release: false,
            last_words: vec![],
            outcome,
            commits: 0,
            undone: false,
            console_dropped: 0,
        }
    }

    pub fn returns(value: ReturnedValue) -> Self {
        Self::ends(ScriptOutcome::Returned(value))
    }

    /// Writes to the log first, each time these entries at once.
    pub fn says(mut self, entries: Vec<LogEntry>) -> Self {
        self.says.push(entries);
        self
    }

    /// Then makes a call, which is logged as well.
    pub fn calls(mut self, call: DatabaseCall) -> Self {
        self.calls.push(call);
        self
    }

    /// Then waits until [`FakeScriptRunner::release`], a cancel, or the limit on time.
    pub fn waits_for_release(mut self) -> Self {
        self.waits_for_release = true;
        self
    }

    /// Writes this to the log right before the end.
    pub fn says_last(mut self, entries: Vec<LogEntry>) -> Self {
        self.last_words = entries;
        self
    }

    /// Reports so many commits at the end.
    pub fn commits(mut self, commits: u64) -> Self {
        self.commits = commits;
        self
    }

    /// Reports that a transaction was open at the end, and was undone.
    pub fn leaves_a_transaction_open(mut self) -> Self {
        self.undone = true;
        self
    }

    /// Reports so many bytes of the console that were not kept.
    pub fn drops(mut self, bytes: u64) -> Self {
        self.console_dropped = bytes;
        self
    }
}

/// Why [`FakeScriptRunner`] accepts no script.
#[derive(Clone, Debug)]
enum Complaint {
    Refused(Refusal),
    Unavailable,
}

/// Plays one [`Play`] for each script, in the order in which they were given, and returns nothing when there is none.
/// Accepts every text until it is told otherwise.
#[derive(Debug)]
pub struct FakeScriptRunner {
    plays: Mutex<VecDeque<Play>>,
    orders: Mutex<Vec<ScriptOrder>>,
    checked: Mutex<Vec<String>>,
    complaint: Mutex<Option<Complaint>>,
    holds_checks: AtomicBool,
    answers: Mutex<Vec<Result<CallAnswer, CallError>>>,
    started: Semaphore,
    released: Semaphore,
}

impl Default for FakeScriptRunner {
    fn default() -> Self {
        Self {
            plays: Mutex::default(),
            orders: Mutex::default(),
            checked: Mutex::default(),
            complaint: Mutex::default(),
            holds_checks: AtomicBool::default(),
            answers: Mutex::default(),
            started: Semaphore::new(0),
            released: Semaphore::new(0),
        }
    }
}

impl FakeScriptRunner {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn plays(&self, play: Play) {
        lock(&self.plays).push_back(play);
    }

    /// Refuses every text from now on.
    pub fn refuses(&self, message: &str, line: u32, column: u32) {
        let refusal = Refusal {
            code: "script_syntax".to_owned(),
            message: message.to_owned(),
            position: Some(Position { line, column }),
        };
        *lock(&self.complaint) = Some(Complaint::Refused(refusal));
    }

    /// Has no process to look at texts from now on.
    pub fn cannot_check(&self) {
        *lock(&self.complaint) = Some(Complaint::Unavailable);
    }

    /// Takes its time to look at texts from now on: each waits for its [`Self::release`], and counts as
    /// [`Self::started`] while it does.
    pub fn holds_checks(&self) {
        self.holds_checks.store(true, Ordering::SeqCst);
    }

    /// What was run, oldest first.
    pub fn orders(&self) -> Vec<ScriptOrder> {
        lock(&self.orders).clone()
    }

    /// The texts that were looked at, oldest first.
    pub fn checked(&self) -> Vec<String> {
        lock(&self.checked).clone()
    }

    /// What calls were answered, oldest first; each is told once.
    pub fn answers(&self) -> Vec<Result<CallAnswer, CallError>> {
        std::mem::take(&mut *lock(&self.answers))
    }

    /// Lets one script go on that waits, or will wait.
    pub fn release(&self) {
        self.released.add_permits(1);
    }

    /// Waits for a script that has said and done everything but to end; each is seen once.
    pub async fn started(&self) {
        self.started.acquire().await.expect("the semaphore is never closed").forget();
    }

    async fn act(
        &self,
        play: &mut Play,
        connection: &mut ScriptConnection,
        log: &mut (dyn ScriptLog + 'static),
    ) -> Result<(), SinkError> {
        for entries in std::mem::take(&mut play.says) {
            log.write(entries).await?;
        }
        for (call, number) in std::mem::take(&mut play.calls).into_iter().zip(1..) {
            let mut record = record_of(&call, number);
            let answer = connection.session.call(call).await;
            match &answer {
                Ok(answer) => record.affected = answer.affected,
                Err(CallError::Refused(refusal)) => record.error = Some(refusal.code.clone()),
                Err(CallError::Database(error) | CallError::Partly(error)) => {
                    record.error = Some(error.code.clone());
                }
                Err(CallError::Ended(_)) => record.error = Some("ended".to_owned()),
            }
            lock(&self.answers).push(answer);
            log.write(vec![LogEntry::Call(record)]).await?;
        }
        Ok(())
    }

    /// What ended the wait, if it was not the release.
    async fn wait(&self, limit: Duration, cancel: &CancellationToken) -> Option<ScriptOutcome> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Some(ScriptOutcome::Cancelled),
            permit = self.released.acquire() => {
                permit.expect("the semaphore is never closed").forget();
                None
            }
            () = tokio::time::sleep(limit) => Some(ScriptOutcome::TimedOut),
        }
    }
}

#[async_trait]
impl ScriptRunner for FakeScriptRunner {
    async fn check(&self, text: &SubmissionText) -> Result<(), ScriptCheckError> {
        lock(&self.checked).push(text.as_str().to_owned());
        if self.holds_checks.load(Ordering::SeqCst) {
            self.started.add_permits(1);
            self.released.acquire().await.expect("the semaphore is never closed").forget();
        }
        match lock(&self.complaint).clone() {
            None => Ok(()),
            Some(Complaint::Refused(refusal)) => Err(ScriptCheckError::Refused(refusal)),
            Some(Complaint::Unavailable) => {
                Err(ScriptCheckError::Unavailable { source: "no process could be started".into() })
            }
        }
    }

    async fn run(
        &self,
        order: &ScriptOrder,
        connect: ScriptConnect,
        log: &mut (dyn ScriptLog + 'static),
        cancel: CancellationToken,
    ) -> ScriptEnd {
        let mut connection = match connect.await {
            Ok(connection) => connection,
            Err(error) => return ended_before_it_began(error),
        };
        lock(&self.orders).push(order.clone());
        let mut play = lock(&self.plays).pop_front().unwrap_or_else(|| Play::returns(ReturnedValue::Nothing));
        // Each commit was a call, whether it is played or only told.
        let calls = (play.calls.len() as u64).max(play.commits);
        let mut acted = self.act(&mut play, &mut connection, log).await;
        self.started.add_permits(1);
        let waited =
            if play.waits_for_release { self.wait(order.limits.timeout, &cancel).await } else { None };
        if acted.is_ok() {
            acted = log.write(play.last_words).await;
        }
        connection.stop.cancel();
        let closed = connection.session.close().await;
        let outcome = match (acted, waited, closed) {
            (Err(error), _, _) => ScriptOutcome::Ended(ExecutionError::Sink(error)),
            (Ok(()), Some(outcome), _) => outcome,
            (Ok(()), None, Err(error)) => ScriptOutcome::Ended(error),
            (Ok(()), None, Ok(())) => play.outcome,
        };
        ScriptEnd {
            outcome,
            calls,
            commits: play.commits,
            undone: play.undone,
            console_dropped: play.console_dropped,
            duration: Duration::from_millis(5),
        }
    }
}

/// There was no session for it.
fn ended_before_it_began(error: ExecutionError) -> ScriptEnd {
    ScriptEnd::not_begun(ScriptOutcome::Ended(error), Duration::ZERO)
}

fn record_of(call: &DatabaseCall, number: u64) -> CallRecord {
    let (kind, statement) = match call {
        DatabaseCall::Query(statement) => (CallKind::Query, Some(statement.text.clone())),
        DatabaseCall::Open(statement) => (CallKind::Stream, Some(statement.text.clone())),
        DatabaseCall::Fetch { .. } | DatabaseCall::Close { .. } => (CallKind::Stream, None),
        DatabaseCall::Begin => (CallKind::Begin, None),
        DatabaseCall::Commit => (CallKind::Commit, None),
        DatabaseCall::Rollback => (CallKind::Rollback, None),
    };
    CallRecord { number, kind, statement, affected: None, error: None, duration: Duration::from_millis(1) }
}
