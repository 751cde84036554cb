//! The one session of a script: its calls, its transactions, its streams.
//!
//! This module must not know what a script is: it is asked for one thing at a time, by somebody whom it does not
//! trust. Each statement passes the rules that a submitted text passes, whatever was approved.

mod check;
mod collected;
mod steps;
mod told;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use domain::ending::{again, lost, unknown};
use domain::execution::ExecutionOrder;
use domain::ports::{ExecutionError, ScriptSession, ScriptTarget};
use domain::script::{CallAnswer, CallError, DatabaseCall, ScriptStatement};
use domain::target::Engine;
use domain::watch::Stop;
use tokio_util::sync::CancellationToken;

use self::check::{Checked, check};
use self::collected::{Collected, Size};
use self::steps::{Stepped, Steps, fetch, nothing};
use self::told::{
    answer_too_large, no_stream, no_transaction, not_a_query, stream_open, transaction_failed,
    transaction_open,
};
use crate::connect::while_configuring;
use crate::executor::PostgresExecutor;
use crate::run::{Fault, Prepared, Progress, Worker, begin};
use crate::value::LongNumbers;

/// Of the rows of one answer: a script reads more than that as a stream.
const MAX_ANSWER_BYTES: u64 = 16 * 1024 * 1024;

/// The most rows of a stream that are asked for at a time.
const MAX_FETCH: u32 = 10_000;

#[async_trait]
impl ScriptTarget for PostgresExecutor {
    fn engine(&self) -> Engine {
        Engine::Postgresql
    }

    async fn open(
        &self,
        order: &ExecutionOrder,
        stop: CancellationToken,
    ) -> Result<Box<dyn ScriptSession>, ExecutionError> {
        let session = async {
            let session = self.session(order).await?;
            // What a script reads by a cursor it nearly always reads to the end.
            let all = session.client.batch_execute("SET cursor_tuple_fraction = 1");
            all.await.map_err(|error| while_configuring(&error))?;
            Ok::<_, ExecutionError>(session)
        };
        let session = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(ExecutionError::Cancelled),
            session = session => session?,
        };
        let worker = Worker::start(order, session, stop, LongNumbers::Quoted)
            .map_err(|source| ExecutionError::Unavailable { source: Box::new(source) })?;
        let bytes = order.limits.max_bytes.min(MAX_ANSWER_BYTES);
        Ok(Box::new(PostgresScript {
            worker,
            read_only: order.read_only,
            most: Size { rows: order.limits.max_rows, bytes },
            open: Open::Nothing,
            streams: HashMap::new(),
            prefix: format!("query_portal_{:016x}", RandomState::new().hash_one(order.request)),
            names: 0,
            calling: false,
            ended: None,
        }))
    }
}

/// What is open between two calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Open {
    Nothing,
    /// The script's own transaction.
    Transaction,
    /// The script's own transaction after an error: rolled back already, which the script has yet to say itself.
    Failed,
    /// The transaction of this stream, which the script has opened outside of any other.
    Stream(u32),
}

/// A cursor on the server.
struct Stream {
    name: String,
    prepared: Prepared,
}

struct PostgresScript {
    worker: Worker,
    read_only: bool,
    most: Size,
    open: Open,
    streams: HashMap<u32, Stream>,
    /// What the names of this session on the server begin with: nothing that a script's own code could guess. Whoever
    /// lists what is open on the server still sees it.
    prefix: String,
    /// How many names were given on the server.
    names: u32,
    /// A call was begun and has not been answered.
    calling: bool,
    /// Why nothing more can be had here.
    ended: Option<ExecutionError>,
}

#[async_trait]
impl ScriptSession for PostgresScript {
    async fn call(&mut self, call: DatabaseCall) -> Result<CallAnswer, CallError> {
        if self.calling && self.ended.is_none() {
            self.ended = Some(unknown("a call was given up before it was answered"));
        }
        if let Some(ended) = &self.ended {
            return Err(CallError::Ended(again(ended)));
        }
        self.calling = true;
        let answered = self.answer(call).await;
        self.calling = false;
        // Nobody reads what the server said along the way.
        self.worker.session.take_notices();
        if let Err(CallError::Ended(error)) = &answered {
            self.ended = Some(again(error));
        }
        answered
    }

    async fn close(self: Box<Self>) -> Result<(), ExecutionError> {
        let quiet = match (self.calling, &self.ended) {
            (false, None) => !self.is_open() || self.worker.roll_back().await,
            // Nothing of the last call takes effect, but a connection that broke meanwhile leaves open whether it ran on.
            (false, Some(ExecutionError::TimedOut | ExecutionError::Cancelled)) => {
                self.worker.roll_back().await
            }
            _ => false,
        };
        let quiet = quiet || self.worker.terminate().await;
        // Whatever commits begins by forgetting what is open, so nothing else was committing when it was given up.
        let given_up = self.calling && self.open == Open::Nothing;
        let unclear = given_up || matches!(self.ended, Some(ExecutionError::OutcomeUnknown { .. }));
        self.worker.close().await;
        let how = "the session could not be ended on the server";
        match (quiet, unclear) {
            (true, _) => Ok(()),
            (false, true) => Err(unknown(how)),
            (false, false) => Err(lost(how)),
        }
    }
}

impl PostgresScript {
    async fn answer(&mut self, call: DatabaseCall) -> Result<CallAnswer, CallError> {
        if let Some(stop) = self.worker.watch.now() {
            return Err(self.stop(stop).await);
        }
        match call {
            DatabaseCall::Query(statement) => self.query(statement).await,
            DatabaseCall::Begin => self.begin().await,
            DatabaseCall::Commit => self.commit().await,
            DatabaseCall::Rollback => self.roll_back().await,
            DatabaseCall::Open(statement) => self.open_stream(statement).await,
            DatabaseCall::Fetch { stream, rows } => self.fetch(stream, rows).await,
            DatabaseCall::Close { stream } => self.close_stream(stream).await,
        }
    }

    async fn query(&mut self, given: ScriptStatement) -> Result<CallAnswer, CallError> {
        let own = !given.in_transaction;
        if let Some(refused) = self.out_of_place(given.in_transaction) {
            return Err(refused);
        }
        let checked = self.check(given).await?;
        let name = self.next_name();
        let steps = self.steps(&checked, own, &name);
        let waited = self.worker.watch.over(&self.worker.session, steps.run(self.most)).await;
        let own_text = steps.own_text.into_inner();
        let stepped = self.worker.judge(Progress::Call, own_text.then(|| checked.spot()), waited).await;
        let failed = !matches!(stepped, Ok(Stepped::Done(_)));
        let answered = self.settle(own, stepped).await;
        if failed && !own_text && !checked.is_query() && !matches!(answered, Err(CallError::Ended(_))) {
            self.worker.forget(&name).await;
        }
        let answer = answered?;
        let committed = own && self.finish().await?;
        Ok(CallAnswer { committed, ..answer })
    }

    async fn begin(&mut self) -> Result<CallAnswer, CallError> {
        match self.open {
            Open::Nothing => {}
            Open::Transaction | Open::Failed => return Err(transaction_open()),
            Open::Stream(_) => return Err(stream_open()),
        }
        let begun = async { Ok(self.worker.session.client.batch_execute(begin(self.read_only)).await?) };
        let waited = self.worker.watch.over(&self.worker.session, begun).await;
        let begun = self.worker.judge(Progress::Call, None, waited).await.map(Stepped::Done);
        self.settle(true, begun).await?;
        self.open = Open::Transaction;
        Ok(said("BEGIN"))
    }

    async fn commit(&mut self) -> Result<CallAnswer, CallError> {
        match self.open {
            Open::Transaction => {}
            Open::Failed => return Err(transaction_failed()),
            Open::Nothing | Open::Stream(_) => return Err(no_transaction()),
        }
        let committed = self.finish().await?;
        Ok(CallAnswer { committed, ..said("COMMIT") })
    }

    async fn roll_back(&mut self) -> Result<CallAnswer, CallError> {
        match self.open {
            Open::Transaction => self.undo().await?,
            Open::Failed => {}
            Open::Nothing | Open::Stream(_) => return Err(no_transaction()),
        }
        self.nothing_is_open();
        Ok(said("ROLLBACK"))
    }

    async fn open_stream(&mut self, given: ScriptStatement) -> Result<CallAnswer, CallError> {
        let own = !given.in_transaction;
        if let Some(refused) = self.out_of_place(given.in_transaction) {
            return Err(refused);
        }
        let checked = self.check(given).await?;
        if !checked.is_query() {
            return Err(not_a_query());
        }
        let name = self.next_name();
        let steps = self.steps(&checked, own, &name);
        let waited = self.worker.watch.over(&self.worker.session, steps.open()).await;
        let spot = steps.own_text.into_inner().then(|| checked.spot());
        let opened = self.worker.judge(Progress::Call, spot, waited).await;
        let prepared = self.settle(own, opened).await?;
        let stream = self.names;
        if own {
            self.open = Open::Stream(stream);
        }
        let columns = prepared.columns.iter().map(crate::run::column).collect();
        self.streams.insert(stream, Stream { name, prepared });
        Ok(CallAnswer { columns, stream: Some(stream), ..said(&checked.statement.command) })
    }

    async fn fetch(&mut self, number: u32, rows: u32) -> Result<CallAnswer, CallError> {
        let Some(stream) = self.streams.get(&number) else { return Err(no_stream(number)) };
        if self.open == Open::Failed {
            return Err(transaction_failed());
        }
        let most = Size { rows: u64::from(MAX_FETCH), ..self.most };
        let worker = &self.worker;
        let work = async {
            let mut collected = Collected::new(most);
            let (name, rows) = (&stream.name, rows.clamp(1, MAX_FETCH));
            let fetched = fetch(worker, name, &stream.prepared, &mut collected, Some(rows)).await?;
            let Some(done) = fetched else { return Ok(Stepped::TooLarge) };
            if done {
                nothing(worker, &format!("CLOSE {name}")).await?;
            }
            Ok(Stepped::Done(CallAnswer { done, ..collected.into_answer("FETCH", false) }))
        };
        let waited = worker.watch.over(&worker.session, work).await;
        let fetched = worker.judge(Progress::Call, None, waited).await;
        let answer = self.settle(self.open == Open::Stream(number), fetched).await?;
        let committed = answer.done && self.end_stream(number).await?;
        Ok(CallAnswer { stream: Some(number), committed, ..answer })
    }

    async fn close_stream(&mut self, number: u32) -> Result<CallAnswer, CallError> {
        let Some(stream) = self.streams.get(&number) else { return Err(no_stream(number)) };
        if self.open == Open::Transaction {
            let close = format!("CLOSE {}", stream.name);
            let waited = self.worker.watch.over(&self.worker.session, nothing(&self.worker, &close)).await;
            let closed = self.worker.judge(Progress::Call, None, waited).await.map(Stepped::Done);
            self.settle(false, closed).await?;
        }
        let committed = self.end_stream(number).await?;
        Ok(CallAnswer { stream: Some(number), done: true, committed, ..said("CLOSE") })
    }

    /// Forgets a stream that is closed on the server, or will be with the transaction that was opened for it. Tells
    /// whether something was committed with it.
    async fn end_stream(&mut self, number: u32) -> Result<bool, CallError> {
        self.streams.remove(&number);
        if self.open == Open::Stream(number) { self.finish().await } else { Ok(false) }
    }

    /// Why a statement may not run now. One that may begins a transaction of its own unless it belongs to an open one.
    fn out_of_place(&self, in_transaction: bool) -> Option<CallError> {
        match (self.open, in_transaction) {
            (Open::Nothing, false) | (Open::Transaction, true) => None,
            (Open::Stream(_), false) => Some(stream_open()),
            (Open::Transaction | Open::Failed, false) => Some(transaction_open()),
            (Open::Failed, true) => Some(transaction_failed()),
            (Open::Nothing | Open::Stream(_), true) => Some(no_transaction()),
        }
    }

    async fn check(&mut self, given: ScriptStatement) -> Result<Checked, CallError> {
        let stop = tokio::select! {
            biased;
            stop = self.worker.watch.stop() => stop,
            checked = check(given, self.read_only) => return checked.map_err(CallError::Refused),
        };
        Err(self.stop(stop).await)
    }

    fn next_name(&mut self) -> String {
        self.names = self.names.wrapping_add(1);
        format!("{}_{}", self.prefix, self.names)
    }

    fn steps<'a>(&'a self, checked: &'a Checked, own: bool, name: &'a str) -> Steps<'a> {
        Steps {
            worker: &self.worker,
            checked,
            begin: own.then_some(begin(self.read_only)),
            name,
            own_text: AtomicBool::new(true),
        }
    }

    /// After this, nothing of what failed can take effect any more.
    async fn settle<T>(&mut self, own: bool, stepped: Result<Stepped<T>, Fault>) -> Result<T, CallError> {
        let problem = match stepped {
            Ok(Stepped::Done(done)) => return Ok(done),
            // The transaction is as it was before.
            Ok(Stepped::Refused(refusal)) if !own => return Err(CallError::Refused(refusal)),
            Ok(Stepped::Refused(refusal)) => CallError::Refused(refusal),
            Ok(Stepped::TooLarge) => answer_too_large(),
            Err(Fault::Failed(error)) => CallError::Database(error),
            Err(Fault::Over(error)) => return Err(CallError::Ended(error)),
        };
        self.undo().await?;
        Err(problem)
    }

    /// Rolls back what is open. A transaction of the script's own stays one in which nothing can be done any more.
    async fn undo(&mut self) -> Result<(), CallError> {
        match self.open {
            Open::Transaction | Open::Failed => self.open = Open::Failed,
            Open::Nothing | Open::Stream(_) => self.nothing_is_open(),
        }
        if self.worker.roll_back().await {
            return Ok(());
        }
        Err(CallError::Ended(lost("the server did not answer a rollback")))
    }

    /// Lets the transaction take effect, or ends it without effect on a target that is not to be written to. Tells
    /// whether something was committed.
    async fn finish(&mut self) -> Result<bool, CallError> {
        self.nothing_is_open();
        if self.read_only {
            self.undo().await?;
            return Ok(false);
        }
        let committed = self.worker.commit_and_tell(Progress::Call).await.map(Stepped::Done);
        self.settle(true, committed).await
    }

    fn nothing_is_open(&mut self) {
        self.open = Open::Nothing;
        self.streams.clear();
    }

    fn is_open(&self) -> bool {
        matches!(self.open, Open::Transaction | Open::Stream(_))
    }

    /// Ends what is open, in which nothing runs now.
    async fn stop(&mut self, stop: Stop) -> CallError {
        let over = if !self.is_open() || self.worker.roll_back().await {
            stop.into()
        } else {
            self.worker.put_an_end(stop).await
        };
        self.nothing_is_open();
        CallError::Ended(over)
    }
}

fn said(command: &str) -> CallAnswer {
    CallAnswer { command: command.to_owned(), ..CallAnswer::default() }
}
