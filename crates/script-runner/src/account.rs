//! What a script has done on its target: its calls, what they committed, and the records of both.

use std::time::{Duration, Instant};

use domain::ports::ExecutionError;
use domain::script::{CallAnswer, CallError, CallKind, CallRecord, DatabaseCall};

use crate::journal::Journal;

/// The account of one script. One call is under way at a time.
pub(crate) struct Account {
    pub(crate) journal: Journal,
    calls: u64,
    commits: u64,
    in_transaction: bool,
    /// A stream outside of a transaction is open; it is a transaction of its own.
    own_stream: bool,
    under_way: Option<UnderWay>,
}

/// A call that goes into the log once it is answered.
struct UnderWay {
    number: u64,
    kind: Option<CallKind>,
    statement: Option<String>,
    stream: Option<StreamCall>,
    begun: Instant,
}

/// What a call does to a stream that is a transaction of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StreamCall {
    Open,
    Fetch,
    Close,
}

impl Account {
    pub(crate) fn new(journal: Journal) -> Self {
        Self { journal, calls: 0, commits: 0, in_transaction: false, own_stream: false, under_way: None }
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls
    }

    /// Transactions that were committed and were no mere reads.
    pub(crate) fn commits(&self) -> u64 {
        self.commits
    }

    /// Takes the next call in. False when it has another number, or is one more than there may be.
    pub(crate) fn next(&mut self, number: u64, most: u64) -> bool {
        self.calls += 1;
        number == self.calls && number <= most
    }

    pub(crate) fn begin(&mut self, call: &DatabaseCall, kind: Option<CallKind>) {
        let text = match call {
            DatabaseCall::Query(statement) | DatabaseCall::Open(statement) => statement.text.as_str(),
            _ => "",
        };
        let stream = match call {
            DatabaseCall::Open(statement) if !statement.in_transaction => Some(StreamCall::Open),
            DatabaseCall::Fetch { .. } if self.own_stream => Some(StreamCall::Fetch),
            DatabaseCall::Close { .. } if self.own_stream => Some(StreamCall::Close),
            _ => None,
        };
        let statement = kind.and_then(|kind| self.journal.statement(kind, text));
        self.under_way =
            Some(UnderWay { number: self.calls, kind, statement, stream, begun: Instant::now() });
    }

    /// Writes down what became of the call that was under way, and returns its number.
    pub(crate) fn end(&mut self, answer: &Result<CallAnswer, CallError>) -> u64 {
        let Some(UnderWay { number, kind, statement, stream, begun }) = self.under_way.take() else {
            return 0;
        };
        let committed = stays(answer);
        self.commits += u64::from(committed);
        match (kind, answer) {
            (Some(CallKind::Begin), Ok(_)) => self.in_transaction = true,
            // A server's error at the commit has undone the transaction; a refusal has not.
            (Some(CallKind::Commit | CallKind::Rollback), Ok(_))
            | (Some(CallKind::Commit), Err(CallError::Database(_))) => self.in_transaction = false,
            _ => {}
        }
        let failed = matches!(answer, Err(CallError::Database(_)));
        let ended = self.end_of_stream(stream, answer);
        // The end of a stream outside of a transaction is the end of a transaction; a mere read's is not worth a line.
        let end = (ended && (committed || failed)).then_some(CallKind::Commit);
        if let Some(kind) = kind.or(end) {
            let affected = answer.as_ref().ok().and_then(|answer| answer.affected);
            let (error, duration) = (code(answer), begun.elapsed());
            self.journal.call(CallRecord { number, kind, statement, affected, error, duration });
        }
        number
    }

    /// Whether a stream outside of a transaction is over with this answer.
    fn end_of_stream(&mut self, stream: Option<StreamCall>, answer: &Result<CallAnswer, CallError>) -> bool {
        let failed = matches!(answer, Err(CallError::Database(_)));
        let ended = match stream {
            Some(StreamCall::Open) => {
                self.own_stream = answer.is_ok();
                false
            }
            Some(StreamCall::Fetch) => failed || answer.as_ref().is_ok_and(|answer| answer.done),
            Some(StreamCall::Close) => failed || answer.is_ok(),
            None => false,
        };
        self.own_stream &= !ended;
        ended
    }

    /// Writes down that what is open will be undone. False when nothing is.
    pub(crate) fn undo(&mut self) -> bool {
        if !self.in_transaction && !self.own_stream {
            return false;
        }
        self.journal.call(CallRecord {
            number: self.calls + 1,
            kind: CallKind::Rollback,
            statement: None,
            affected: None,
            error: None,
            duration: Duration::ZERO,
        });
        true
    }
}

/// Whether something that the call did stays whatever becomes of the script, or may.
pub(crate) fn stays(answer: &Result<CallAnswer, CallError>) -> bool {
    match answer {
        Ok(answer) => answer.committed,
        Err(CallError::Partly(_)) => true,
        Err(CallError::Database(_) | CallError::Refused(_) | CallError::Ended(_)) => false,
    }
}

/// The code of a call that failed.
fn code(answer: &Result<CallAnswer, CallError>) -> Option<String> {
    Some(match answer {
        Ok(_) => return None,
        Err(CallError::Refused(refusal)) => refusal.code.clone(),
        Err(CallError::Database(error) | CallError::Partly(error)) => error.code.clone(),
        Err(CallError::Ended(ExecutionError::TimedOut)) => "timed_out".to_owned(),
        Err(CallError::Ended(ExecutionError::Cancelled)) => "cancelled".to_owned(),
        Err(CallError::Ended(_)) => "session_ended".to_owned(),
    })
}
