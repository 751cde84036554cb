//! `ScriptTarget` and `ScriptSession`, as far as every engine has to do the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::execution::ExecutionOrder;
use domain::ports::{ExecutionError, ScriptSession, ScriptTarget};
use domain::script::{CallAnswer, CallError, DatabaseCall, ScriptStatement};
use domain::target::Limits;
use tokio_util::sync::CancellationToken;

use super::ready;

/// A statement that every engine has in some form. "Writes" means: adds rows to one place that
/// [`ScriptSessionHarness::written_rows`] counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScriptSample {
    /// Returns so many rows: [`ScriptSessionHarness::row`] of 1, 2 and so on.
    Read(u32),
    /// Writes one row.
    Write,
    /// Writes one row before the server reports an error.
    WriteThenFail,
    /// Keeps the server busy for so long before it writes one row.
    SleepThenWrite(Duration),
    /// No text with it may ever run.
    Forbidden,
}

/// A target of scripts, fresh.
#[async_trait]
pub trait ScriptSessionHarness: Send + Sync {
    fn target(&self) -> Arc<dyn ScriptTarget>;

    /// An order under these limits.
    fn order(&self, limits: Limits, read_only: bool) -> ExecutionOrder;

    fn text(&self, sample: ScriptSample) -> String;

    /// How the row with this number looks in an answer.
    fn row(&self, number: u32) -> String {
        format!("[{number}]")
    }

    /// How many rows took effect, as another session of the target sees it.
    async fn written_rows(&self) -> u64;

    /// How many sessions of scripts do something on the server now, or hold something there.
    async fn busy_sessions(&self) -> u64;
}

type Harness = Arc<dyn ScriptSessionHarness>;
type Answered = Result<CallAnswer, CallError>;

struct Script<'a> {
    h: &'a Harness,
    session: Box<dyn ScriptSession>,
}

impl<'a> Script<'a> {
    async fn with(h: &'a Harness, order: ExecutionOrder, stop: CancellationToken) -> Self {
        let session = h.target().open(&order, stop).await.expect("a session");
        Self { h, session }
    }

    async fn new(h: &'a Harness) -> Self {
        Self::with(h, h.order(Limits::default(), false), CancellationToken::new()).await
    }

    fn statement(&self, sample: ScriptSample, in_transaction: bool) -> ScriptStatement {
        ScriptStatement { text: self.h.text(sample), parameters: vec![], in_transaction }
    }

    async fn query(&mut self, sample: ScriptSample) -> Answered {
        let statement = self.statement(sample, false);
        self.session.call(DatabaseCall::Query(statement)).await
    }

    async fn in_transaction(&mut self, sample: ScriptSample) -> Answered {
        let statement = self.statement(sample, true);
        self.session.call(DatabaseCall::Query(statement)).await
    }

    async fn call(&mut self, call: DatabaseCall) -> Answered {
        self.session.call(call).await
    }

    async fn close(self) {
        self.session.close().await.expect("nothing runs there any more");
    }
}

fn lines(answer: &CallAnswer) -> Vec<String> {
    let text = std::str::from_utf8(&answer.ndjson).expect("JSON is UTF-8");
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), answer.rows as usize);
    lines
}

fn rows(h: &Harness, range: std::ops::RangeInclusive<u32>) -> Vec<String> {
    range.map(|number| h.row(number)).collect()
}

/// Stops a call that would take a minute, and tells how the session has ended.
async fn stopped(h: &Harness, explicit: bool) -> ExecutionError {
    let stop = CancellationToken::new();
    let mut script = Script::with(h, h.order(Limits::default(), false), stop.clone()).await;
    let long = ScriptSample::SleepThenWrite(Duration::from_mins(1));
    if explicit {
        script.call(DatabaseCall::Begin).await.expect("it begins");
        script.in_transaction(ScriptSample::Write).await.expect("it writes");
    }
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        stop.cancel();
    };
    let begin = Instant::now();
    let statement = script.statement(long, explicit);
    let (answered, ()) = tokio::join!(script.session.call(DatabaseCall::Query(statement)), stopping);
    assert!(begin.elapsed() < Duration::from_secs(20), "it took {:?}", begin.elapsed());
    let Err(CallError::Ended(error)) = answered else { panic!("{answered:?}") };
    for call in [DatabaseCall::Begin, DatabaseCall::Commit, DatabaseCall::Rollback] {
        let answered = script.call(call).await;
        assert!(matches!(answered, Err(CallError::Ended(_))), "{answered:?}");
    }
    assert_eq!(h.busy_sessions().await, 0);
    script.close().await;
    assert_eq!(h.written_rows().await, 0);
    error
}

rules! { ($) __script_session_rules in script_session, harness: Harness => ready;
    async fn a_query_takes_effect_by_itself_and_its_rows_arrive_in_order(h) {
        let mut script = Script::new(&h).await;
        let answer = script.query(ScriptSample::Read(3)).await.expect("it reads");
        assert_eq!((lines(&answer), answer.done, answer.committed), (rows(&h, 1..=3), true, false));
        assert!(script.query(ScriptSample::Write).await.expect("it writes").committed);
        assert_eq!(h.written_rows().await, 1);
        script.close().await;
        assert_eq!(h.written_rows().await, 1);
    }

    async fn a_query_that_fails_leaves_nothing_and_the_script_goes_on(h) {
        let mut script = Script::new(&h).await;
        let answered = script.query(ScriptSample::WriteThenFail).await;
        assert!(matches!(&answered, Err(CallError::Database(e)) if !e.message.is_empty()), "{answered:?}");
        assert_eq!(h.written_rows().await, 0);
        script.query(ScriptSample::Write).await.expect("it goes on");
        script.close().await;
        assert_eq!(h.written_rows().await, 1);
    }

    async fn a_transaction_takes_effect_with_its_commit_and_not_before(h) {
        let mut script = Script::new(&h).await;
        assert!(!script.call(DatabaseCall::Begin).await.expect("it begins").committed);
        assert!(!script.in_transaction(ScriptSample::Write).await.expect("it writes").committed);
        assert!(!script.in_transaction(ScriptSample::Write).await.expect("it writes").committed);
        assert_eq!(h.written_rows().await, 0);
        assert!(script.call(DatabaseCall::Commit).await.expect("it commits").committed);
        assert_eq!(h.written_rows().await, 2);
        script.close().await;
    }

    async fn the_end_of_a_mere_read_is_no_commit(h) {
        let mut script = Script::new(&h).await;
        script.call(DatabaseCall::Begin).await.expect("it begins");
        script.in_transaction(ScriptSample::Read(1)).await.expect("it reads");
        assert!(!script.call(DatabaseCall::Commit).await.expect("it commits").committed);
        let statement = script.statement(ScriptSample::Read(3), false);
        let opened = script.call(DatabaseCall::Open(statement)).await.expect("it opens");
        let stream = opened.stream.expect("it has a number");
        let piece = script.call(DatabaseCall::Fetch { stream, rows: 9 }).await.expect("it reads");
        assert_eq!((piece.done, opened.committed, piece.committed), (true, false, false));
        script.close().await;
    }

    async fn a_rollback_leaves_nothing_of_its_transaction(h) {
        let mut script = Script::new(&h).await;
        script.call(DatabaseCall::Begin).await.expect("it begins");
        script.in_transaction(ScriptSample::Write).await.expect("it writes");
        assert!(!script.call(DatabaseCall::Rollback).await.expect("it rolls back").committed);
        script.query(ScriptSample::Write).await.expect("it writes");
        script.close().await;
        assert_eq!(h.written_rows().await, 1);
    }

    async fn a_transaction_with_an_error_cannot_be_committed(h) {
        let mut script = Script::new(&h).await;
        script.call(DatabaseCall::Begin).await.expect("it begins");
        script.in_transaction(ScriptSample::Write).await.expect("it writes");
        script.in_transaction(ScriptSample::WriteThenFail).await.expect_err("it fails");
        let answered = script.call(DatabaseCall::Commit).await;
        assert!(matches!(&answered, Err(CallError::Refused(_))), "{answered:?}");
        script.call(DatabaseCall::Rollback).await.expect("it rolls back");
        script.close().await;
        assert_eq!(h.written_rows().await, 0);
    }

    async fn what_is_open_when_a_session_closes_is_undone(h) {
        let mut script = Script::new(&h).await;
        script.call(DatabaseCall::Begin).await.expect("it begins");
        script.in_transaction(ScriptSample::Write).await.expect("it writes");
        script.close().await;
        assert_eq!((h.written_rows().await, h.busy_sessions().await), (0, 0));
    }

    async fn what_no_text_may_do_a_script_may_not_do_either(h) {
        let mut script = Script::new(&h).await;
        let answered = script.query(ScriptSample::Forbidden).await;
        assert!(matches!(&answered, Err(CallError::Refused(r)) if !r.code.is_empty()), "{answered:?}");
        script.call(DatabaseCall::Begin).await.expect("it begins");
        script.in_transaction(ScriptSample::Write).await.expect("it writes");
        let answered = script.in_transaction(ScriptSample::Forbidden).await;
        assert!(matches!(&answered, Err(CallError::Refused(_))), "{answered:?}");
        // A refusal changes nothing.
        script.call(DatabaseCall::Commit).await.expect("it commits");
        script.close().await;
        assert_eq!(h.written_rows().await, 1);
    }

    async fn nothing_is_written_where_nothing_may_be(h) {
        let order = h.order(Limits::default(), true);
        let mut script = Script::with(&h, order, CancellationToken::new()).await;
        script.query(ScriptSample::Write).await.expect_err("it may not write");
        assert_eq!(script.query(ScriptSample::Read(1)).await.expect("it reads").rows, 1);
        script.call(DatabaseCall::Begin).await.expect("it begins");
        script.in_transaction(ScriptSample::Read(1)).await.expect("it reads");
        assert!(!script.call(DatabaseCall::Commit).await.expect("there is nothing to keep").committed);
        script.close().await;
        assert_eq!(h.written_rows().await, 0);
    }

    async fn a_stream_gives_all_rows_piece_by_piece(h) {
        let mut script = Script::new(&h).await;
        let statement = script.statement(ScriptSample::Read(2_500), false);
        let opened = script.call(DatabaseCall::Open(statement)).await.expect("it opens");
        let stream = opened.stream.expect("it has a number");
        let mut seen = vec![];
        loop {
            let piece = script.call(DatabaseCall::Fetch { stream, rows: 1_000 }).await.expect("it reads");
            assert!(piece.rows <= 1_000);
            seen.extend(lines(&piece));
            if piece.done {
                break;
            }
        }
        assert_eq!(seen, rows(&h, 1..=2_500));
        script.query(ScriptSample::Write).await.expect("it goes on");
        script.close().await;
    }

    async fn an_answer_beyond_the_limit_is_no_answer(h) {
        let limits = Limits { max_rows: 100, ..Limits::default() };
        let mut script = Script::with(&h, h.order(limits, false), CancellationToken::new()).await;
        assert_eq!(script.query(ScriptSample::Read(100)).await.expect("it fits").rows, 100);
        let answered = script.query(ScriptSample::Read(101)).await;
        assert!(matches!(&answered, Err(CallError::Refused(r)) if r.code == "answer_too_large"), "{answered:?}");
        script.close().await;
    }

    async fn a_stop_ends_a_call_without_a_write(h) {
        let error = stopped(&h, false).await;
        assert!(matches!(error, ExecutionError::Cancelled), "{error:?}");
    }

    async fn a_stop_ends_a_transaction_without_a_write(h) {
        let error = stopped(&h, true).await;
        assert!(matches!(error, ExecutionError::Cancelled), "{error:?}");
    }

    async fn a_stop_beforehand_opens_nothing(h) {
        let stop = CancellationToken::new();
        stop.cancel();
        let opened = h.target().open(&h.order(Limits::default(), false), stop).await;
        assert!(matches!(opened.err(), Some(ExecutionError::Cancelled)));
    }

    async fn the_limit_on_time_ends_a_call_without_a_write(h) {
        let limits = Limits { timeout: Duration::from_millis(700), ..Limits::default() };
        let mut script = Script::with(&h, h.order(limits, false), CancellationToken::new()).await;
        let begin = Instant::now();
        let answered = script.query(ScriptSample::SleepThenWrite(Duration::from_mins(1))).await;
        assert!(matches!(answered, Err(CallError::Ended(ExecutionError::TimedOut))), "{answered:?}");
        assert!(begin.elapsed() < Duration::from_secs(20), "it took {:?}", begin.elapsed());
        let answered = script.query(ScriptSample::Write).await;
        assert!(matches!(answered, Err(CallError::Ended(_))), "{answered:?}");
        assert_eq!(h.busy_sessions().await, 0);
        script.close().await;
        assert_eq!(h.written_rows().await, 0);
    }
}
