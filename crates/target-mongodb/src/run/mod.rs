//! Runs the commands of a request: in one transaction where they write, and their rows into the sink.

mod errors;
mod killer;
mod reading;
mod worker;

use std::time::Instant;

use bson::Document;
use domain::execution::{DatabaseError, ExecutionOrder, ExecutionReport, Notice, StatementReport};
use domain::ports::{ExecutionError, ResultSink};
use domain::review::Effect;
use domain::rows::RowKeeper;
use domain::watch::Waited;

pub(crate) use self::errors::{Broken, NOT_IN_TRANSACTION};
use self::reading::{Shown, affected, notice, notices, number_row, rows_of};
pub(crate) use self::reading::{as_document, reply_row, row};
pub(crate) use self::worker::{Fault, Lost, Worker, whole};
use crate::numbers::int;
use crate::rules::{Checked, Command, refusal};

/// A run of the commands of one request.
pub(crate) struct Run<'a> {
    pub(crate) order: &'a ExecutionOrder,
    pub(crate) checked: &'a Checked,
    pub(crate) worker: Worker,
}

/// How commands that write take effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// Nothing is written.
    Reads,
    /// All together or not at all.
    Transaction,
    /// By itself: the server has no transactions, or none for this.
    Alone,
}

impl Way {
    /// Why commands cannot run here together is told instead.
    pub(crate) fn of(commands: &[Command], has_transactions: bool) -> Result<Self, ExecutionError> {
        let writes = commands.iter().any(|command| command.effect != Effect::Read);
        Ok(match commands {
            _ if !writes => Self::Reads,
            // What cannot be in a transaction is by itself; the rules have seen to that.
            [one] if !one.in_transaction || !has_transactions => Self::Alone,
            _ if has_transactions => Self::Transaction,
            _ => {
                let message = "The server has no transactions, because it is no member of a replica set: several commands \
                               of which one writes could take effect in part. Submit each by itself.";
                return Err(ExecutionError::Refused(refusal("no_transactions", message)));
            }
        })
    }
}

/// What may be left of a command that runs alone when it is stopped.
pub(crate) fn alone(commands: &[Command]) -> Lost {
    // What changes the collections themselves is done as a whole.
    let whole = commands.iter().all(|command| command.effect == Effect::Administrative);
    if whole { Lost::Unclear } else { Lost::Partly }
}

impl Run<'_> {
    pub(crate) async fn execute(
        mut self,
        sink: &mut (dyn ResultSink + 'static),
    ) -> Result<ExecutionReport, ExecutionError> {
        let begun = Instant::now();
        let way = Way::of(&self.checked.commands, self.worker.has_transactions)?;
        let mut rows = RowKeeper::new(sink, self.order.limits);
        let outcome = match way {
            Way::Reads => self.commands(&mut rows, Lost::Nothing).await,
            Way::Transaction => self.in_transaction(&mut rows).await,
            Way::Alone => self.commands(&mut rows, alone(&self.checked.commands)).await,
        };
        let outcome = match outcome {
            Ok(mut report) => {
                report.duration = begun.elapsed();
                Ok(report)
            }
            Err(Fault::Failed(error) | Fault::Partly(error)) => Err(ExecutionError::Database(error)),
            Err(Fault::Over(error)) => Err(error),
        };
        if matches!(outcome, Err(ExecutionError::TimedOut | ExecutionError::Cancelled)) {
            self.worker.make_quiet().await;
        }
        outcome
    }

    async fn in_transaction(&mut self, rows: &mut RowKeeper<'_>) -> Result<ExecutionReport, Fault> {
        let begun = self.worker.begin().await;
        self.worker.judge(Waited::Done(begun), Lost::Nothing)?;
        let ran = self.commands(rows, Lost::Nothing).await;
        match ran {
            Ok(report) => {
                self.worker.commit().await?;
                Ok(report)
            }
            Err(fault) => {
                self.worker.abort().await;
                // The server has refused before it did anything: a collection that no transaction can write to.
                let refused =
                    matches!(&fault, Fault::Failed(error) if error.number == Some(NOT_IN_TRANSACTION));
                if !refused || self.checked.commands.len() > 1 {
                    return Err(fault);
                }
                let mut report = self.commands(rows, Lost::Partly).await?;
                let message = "The collection is of a kind that no transaction can write to, so the command ran by itself.";
                report.notices.push(notice("NOTICE", "ran_alone", message));
                Ok(report)
            }
        }
    }

    async fn commands(&mut self, rows: &mut RowKeeper<'_>, lost: Lost) -> Result<ExecutionReport, Fault> {
        let mut report = ExecutionReport::default();
        let several = self.checked.commands.len() > 1;
        for (index, command) in self.checked.commands.iter().enumerate() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            if let Some(stop) = self.worker.watch.now() {
                return Err(Fault::Over(stop.into()));
            }
            rows.begin(index);
            let ran = one(&mut self.worker, command, rows, self.order, lost, &mut report.notices).await;
            let statement = ran.map_err(|fault| match fault {
                Fault::Failed(error) if several => {
                    Fault::Failed(DatabaseError { statement: Some(index), ..error })
                }
                other => other,
            })?;
            report.statements.push(statement);
        }
        Ok(report)
    }
}

async fn one(
    worker: &mut Worker,
    command: &Command,
    rows: &mut RowKeeper<'_>,
    order: &ExecutionOrder,
    lost: Lost,
    told: &mut Vec<Notice>,
) -> Result<StatementReport, Fault> {
    let shown = Shown::of(command);
    let (counted, reply) = match shown {
        Shown::Documents | Shown::Number => {
            let read = read(worker, command, shown, rows, order, lost).await;
            (read.map_err(|fault| told_what_stays(fault, command, 0))?, None)
        }
        _ => {
            let reply = send(worker, command, lost).await?;
            for line in worker.judge(Waited::Done(rows_of(shown, &reply, order.extended_json)), lost)? {
                worker.judge(Waited::Done(add(rows, &line).await), lost)?;
            }
            (affected(command, &reply), Some(reply))
        }
    };
    let flushed = rows.flush().await.map_err(Broken::from);
    worker.judge(Waited::Done(flushed), lost)?;
    if let Some(reply) = &reply {
        told.extend(notices(command, reply));
    }
    Ok(StatementReport {
        command: command.spec.name.to_owned(),
        columns: shown.columns(),
        rows: rows.kept(),
        affected: counted,
        truncated: rows.is_truncated(),
    })
}

/// Sends a command that answers with a reply, of which all parts have to be done.
pub(crate) async fn send(worker: &mut Worker, command: &Command, lost: Lost) -> Result<Document, Fault> {
    let waited = worker.reply(command).await;
    let reply = worker.judge(waited, lost).map_err(|fault| told_what_stays(fault, command, 0))?;
    let written = int(reply.get("n")).unwrap_or_default();
    let whole = worker.judge(Waited::Done(whole(reply)), lost);
    whole.map_err(|fault| told_what_stays(fault, command, written))
}

/// The error of a command that ran outside of a transaction. How far it came is not always told by the server.
pub(crate) fn told_what_stays(fault: Fault, command: &Command, written: i64) -> Fault {
    let Fault::Partly(error) = fault else { return fault };
    if writes_one(&command.document) {
        return Fault::Failed(error);
    }
    let stop = if error.message.ends_with(['.', '!', '?']) { "" } else { "." };
    let stays = match written {
        0 => "what it had done stays in effect".to_owned(),
        1 => "1 document was written before and stays".to_owned(),
        n => format!("{n} documents were written before and stay"),
    };
    let message = format!("{}{stop} It ran outside of a transaction: {stays}.", error.message);
    Fault::Partly(DatabaseError { message, ..error })
}

/// Whether a command writes one document at most, so that its error means that nothing was written.
fn writes_one(command: &Document) -> bool {
    let one = |name: &str| command.get_array(name).ok().filter(|items| items.len() == 1);
    let part = |name: &str| one(name)?.first()?.as_document();
    command.contains_key("findAndModify")
        || one("documents").is_some()
        || part("updates").is_some_and(|update| !update.get_bool("multi").unwrap_or_default())
        || part("deletes").is_some_and(|delete| int(delete.get("limit")) == Some(1))
}

/// Adds a row that is written already.
async fn add(rows: &mut RowKeeper<'_>, line: &[u8]) -> Result<(), Broken> {
    let write = |out: &mut Vec<u8>| {
        out.extend_from_slice(line);
        Ok(())
    };
    rows.add(write).await
}

/// Reads a cursor to its end, or to the limit.
async fn read(
    worker: &mut Worker,
    command: &Command,
    shown: Shown,
    rows: &mut RowKeeper<'_>,
    order: &ExecutionOrder,
    lost: Lost,
) -> Result<Option<u64>, Fault> {
    let waited = worker.open(command).await;
    let mut cursor = worker.judge(waited, lost)?;
    let mut counted = None;
    loop {
        let waited = worker.next(&mut cursor).await;
        let Some(batch) = worker.judge(waited, lost)? else { break };
        let kept = async {
            for document in batch.doc_slices()? {
                let document = as_document(document?)?;
                if shown == Shown::Number {
                    counted = Some(document.to_owned());
                    continue;
                }
                // What does not fit is left out, and nothing after it is read.
                rows.add(|out| row(out, document, order.extended_json)).await?;
                if rows.is_truncated() {
                    return Ok(false);
                }
            }
            Ok::<_, Broken>(true)
        };
        let kept = kept.await;
        if !worker.judge(Waited::Done(kept), lost)? {
            break;
        }
    }
    if shown == Shown::Number {
        let line = worker.judge(Waited::Done(number_row(counted.as_deref(), order.extended_json)), lost)?;
        worker.judge(Waited::Done(add(rows, &line).await), lost)?;
    }
    // What was written elsewhere is counted by nobody.
    let counts = command.effect == Effect::Read && !rows.is_truncated();
    Ok(counts.then(|| rows.kept()))
}
