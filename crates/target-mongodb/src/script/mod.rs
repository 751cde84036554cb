//! The one session of a script: its commands, its transactions, its cursors.
//!
//! This module must not know what a script is: it is asked for one thing at a time, by somebody whom it does not trust.
//! Each command passes the rules that a submitted one passes, whatever was approved.

mod cursors;
mod told;

use std::collections::HashMap;

use async_trait::async_trait;
use bson::RawDocument;
use bytes::Bytes;
use domain::ending::{again, lost, unknown};
use domain::execution::{Column, ExecutionOrder};
use domain::ports::{ExecutionError, ScriptSession, ScriptTarget};
use domain::request::ExtendedJson;
use domain::review::{Effect, Scope};
use domain::script::{CallAnswer, CallError, DatabaseCall, ScriptStatement};
use domain::target::Engine;
use domain::watch::Waited;
use mongodb::raw_batch_cursor::RawBatch;
use tokio_util::sync::CancellationToken;

use self::cursors::Cursor;
use self::told::{
    answer_too_large, no_transaction, not_in_transaction, transaction_failed, transaction_open,
};
use crate::beside::beside;
use crate::ejson;
use crate::executor::{MongoExecutor, scope};
use crate::rules::{Answer, Command, check_one};
use crate::run::{
    Broken, Fault, Lost, Way, Worker, alone, as_document, reply_row, row, send, told_what_stays,
};

/// Of the documents of one answer: a script reads more than that with a cursor.
const MAX_ANSWER_BYTES: u64 = 16 * 1024 * 1024;

#[async_trait]
impl ScriptTarget for MongoExecutor {
    fn engine(&self) -> Engine {
        Engine::Mongodb
    }

    async fn open(
        &self,
        order: &ExecutionOrder,
        stop: CancellationToken,
    ) -> Result<Box<dyn ScriptSession>, ExecutionError> {
        let worker = self.worker(order, stop).await?;
        Ok(Box::new(MongoScript {
            worker,
            scope: scope(order),
            most_rows: order.limits.max_rows,
            most_bytes: order.limits.max_bytes.min(MAX_ANSWER_BYTES),
            transaction: Transaction::None,
            wrote: false,
            cursors: HashMap::new(),
            names: 0,
            calling: false,
            committing: false,
            ended: None,
        }))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Transaction {
    None,
    Open,
    /// After an error: nothing of it takes effect, which the script has yet to say itself.
    Failed,
}

struct MongoScript {
    worker: Worker,
    scope: Scope,
    most_rows: u64,
    most_bytes: u64,
    transaction: Transaction,
    /// Something was written in the open transaction.
    wrote: bool,
    cursors: HashMap<u32, Cursor>,
    names: u32,
    /// A call was begun and has not been answered.
    calling: bool,
    /// That call may commit something.
    committing: bool,
    /// Why nothing more can be had here.
    ended: Option<ExecutionError>,
}

/// Rows on their way into an answer.
#[derive(Default)]
struct Collected {
    rows: u32,
    ndjson: Vec<u8>,
}

impl Collected {
    fn add(&mut self, document: &RawDocument) -> Result<(), Broken> {
        // Scripts get every type.
        row(&mut self.ndjson, document, ExtendedJson::Canonical)?;
        self.rows += 1;
        Ok(())
    }
}

#[async_trait]
impl ScriptSession for MongoScript {
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
        self.committing = false;
        if let Err(CallError::Ended(error)) = &answered {
            self.ended = Some(again(error));
        }
        answered
    }

    async fn close(self: Box<Self>) -> Result<(), ExecutionError> {
        let unclear = (self.calling && self.committing)
            || matches!(self.ended, Some(ExecutionError::OutcomeUnknown { .. }));
        let stopped = self.calling || self.ended.is_some();
        let Self { mut worker, cursors, .. } = *self;
        drop(cursors);
        worker.abort().await;
        let quiet = if stopped { worker.make_quiet().await } else { worker.close().await };
        let how = "the session could not be ended on the server";
        match (quiet, unclear) {
            (true, false) => Ok(()),
            (_, true) => Err(unknown(how)),
            (false, false) => Err(lost(how)),
        }
    }
}

impl MongoScript {
    async fn answer(&mut self, call: DatabaseCall) -> Result<CallAnswer, CallError> {
        if let Some(stop) = self.worker.watch.now() {
            return Err(CallError::Ended(stop.into()));
        }
        match call {
            DatabaseCall::Query(statement) => self.query(statement).await,
            DatabaseCall::Begin => self.begin().await,
            DatabaseCall::Commit => self.commit().await,
            DatabaseCall::Rollback => self.roll_back().await,
            DatabaseCall::Open(statement) => self.open_cursor(statement).await,
            DatabaseCall::Fetch { stream, rows } => self.fetch(stream, rows).await,
            DatabaseCall::Close { stream } => {
                self.cursors.remove(&stream);
                Ok(CallAnswer { done: true, ..CallAnswer::default() })
            }
        }
    }

    /// The command of a statement, when it may run now.
    async fn command(&self, statement: &ScriptStatement) -> Result<Command, CallError> {
        let refused = CallError::Refused;
        match (statement.in_transaction, self.transaction) {
            (true, Transaction::None) => return Err(no_transaction()),
            (true, Transaction::Failed) => return Err(transaction_failed()),
            (true, Transaction::Open) | (false, Transaction::None) => {}
            (false, Transaction::Open | Transaction::Failed) => return Err(transaction_open()),
        }
        let (text, scope) = (statement.text.clone(), self.scope.clone());
        let read = move || check_one(ejson::document(&text)?, &scope);
        let (command, _) = beside(statement.text.len(), read).await.map_err(refused)?;
        if statement.in_transaction && !command.in_transaction {
            return Err(not_in_transaction(command.spec.name));
        }
        Ok(command)
    }

    async fn query(&mut self, statement: ScriptStatement) -> Result<CallAnswer, CallError> {
        let command = self.command(&statement).await?;
        let writes = command.effect != Effect::Read;
        if statement.in_transaction {
            let ran = self.run(&command, Lost::Nothing).await;
            self.wrote |= writes && ran.is_ok();
            return self.in_open_transaction(ran).await;
        }
        self.committing = writes;
        let answer = match Way::of(std::slice::from_ref(&command), self.worker.has_transactions) {
            Ok(Way::Reads) => self.run(&command, Lost::Nothing).await?,
            Ok(Way::Alone) => self.run(&command, alone(std::slice::from_ref(&command))).await?,
            Ok(Way::Transaction) => self.by_itself(&command).await?,
            Err(error) => return Err(CallError::Ended(error)),
        };
        Ok(CallAnswer { committed: writes, ..answer })
    }

    /// A transaction of this one command.
    async fn by_itself(&mut self, command: &Command) -> Result<CallAnswer, CallError> {
        let begun = self.worker.begin().await;
        self.worker.judge(Waited::Done(begun), Lost::Nothing).map_err(of_fault)?;
        match self.run(command, Lost::Nothing).await {
            Ok(answer) => {
                self.worker.commit().await.map_err(of_fault)?;
                Ok(answer)
            }
            Err(error) => {
                self.worker.abort().await;
                // The server has refused before it did anything: a collection that no transaction can write to.
                if matches!(&error, CallError::Database(e) if e.number == Some(crate::run::NOT_IN_TRANSACTION))
                {
                    return self.run(command, Lost::Partly).await;
                }
                Err(error)
            }
        }
    }

    /// An error of the server has ended the transaction there.
    async fn in_open_transaction(
        &mut self,
        ran: Result<CallAnswer, CallError>,
    ) -> Result<CallAnswer, CallError> {
        if matches!(&ran, Err(CallError::Database(_))) {
            self.fail().await;
        }
        ran
    }

    async fn fail(&mut self) {
        self.cursors.retain(|_, cursor| !cursor.in_transaction);
        self.worker.abort().await;
        self.transaction = Transaction::Failed;
        self.wrote = false;
    }

    async fn run(&mut self, command: &Command, lost: Lost) -> Result<CallAnswer, CallError> {
        if command.spec.answer != Answer::Cursor {
            let reply = send(&mut self.worker, command, lost).await.map_err(of_fault)?;
            let ndjson = self.judge(reply_row(&reply, ExtendedJson::Canonical), lost)?;
            return Ok(CallAnswer { rows: 1, ndjson: Bytes::from(ndjson), done: true, ..named(command) });
        }
        let opened = self.worker.open(command).await;
        let mut cursor = self.worker.judge(opened, lost).map_err(|fault| of(fault, command))?;
        let mut collected = Collected::default();
        loop {
            let next = self.worker.next(&mut cursor).await;
            let next = self.worker.judge(next, lost).map_err(|fault| of(fault, command));
            let Some(batch) = next? else { break };
            let added = documents(&batch).and_then(|all| all.iter().try_for_each(|one| collected.add(one)));
            self.judge(added, lost)?;
            if u64::from(collected.rows) > self.most_rows || collected.ndjson.len() as u64 > self.most_bytes {
                return Err(answer_too_large());
            }
        }
        let Collected { rows, ndjson } = collected;
        Ok(CallAnswer { rows, ndjson: Bytes::from(ndjson), done: true, ..named(command) })
    }

    fn judge<T>(&self, done: Result<T, Broken>, lost: Lost) -> Result<T, CallError> {
        self.worker.judge(Waited::Done(done), lost).map_err(of_fault)
    }

    async fn begin(&mut self) -> Result<CallAnswer, CallError> {
        if self.transaction != Transaction::None {
            return Err(transaction_open());
        }
        if !self.worker.has_transactions {
            return Err(told::no_transactions());
        }
        let begun = self.worker.begin().await;
        self.worker.judge(Waited::Done(begun), Lost::Nothing).map_err(of_fault)?;
        self.transaction = Transaction::Open;
        self.wrote = false;
        Ok(done("startTransaction"))
    }

    async fn commit(&mut self) -> Result<CallAnswer, CallError> {
        match self.transaction {
            Transaction::None => return Err(no_transaction()),
            Transaction::Failed => return Err(transaction_failed()),
            Transaction::Open => {}
        }
        self.cursors.retain(|_, cursor| !cursor.in_transaction);
        self.transaction = Transaction::None;
        let wrote = std::mem::take(&mut self.wrote);
        self.committing = wrote;
        self.worker.commit().await.map_err(of_fault)?;
        Ok(CallAnswer { committed: wrote, ..done("commitTransaction") })
    }

    async fn roll_back(&mut self) -> Result<CallAnswer, CallError> {
        if self.transaction == Transaction::None {
            return Err(no_transaction());
        }
        self.fail().await;
        self.transaction = Transaction::None;
        Ok(done("abortTransaction"))
    }
}

fn documents(batch: &RawBatch) -> Result<Vec<&RawDocument>, Broken> {
    batch.doc_slices()?.into_iter().map(|value| as_document(value?)).collect()
}

fn named(command: &Command) -> CallAnswer {
    let column = Column { name: "document".to_owned(), type_name: "bson".to_owned() };
    CallAnswer { command: command.spec.name.to_owned(), columns: vec![column], ..CallAnswer::default() }
}

fn done(command: &str) -> CallAnswer {
    CallAnswer { command: command.to_owned(), done: true, ..CallAnswer::default() }
}

/// The same for a command that may have run outside of a transaction.
fn of(fault: Fault, command: &Command) -> CallError {
    of_fault(told_what_stays(fault, command, 0))
}

fn of_fault(fault: Fault) -> CallError {
    match fault {
        Fault::Failed(error) => CallError::Database(error),
        Fault::Partly(error) => CallError::Partly(error),
        Fault::Over(error) => CallError::Ended(error),
    }
}
