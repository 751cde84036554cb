//! Runs the statements of one order on one session, all in one transaction.

mod answer;
mod describe;
mod errors;
mod rendering;
mod rows;
mod worker;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use domain::ending::unknown;
use domain::execution::{ExecutionOrder, ExecutionReport, StatementReport};
use domain::ports::{ExecutionError, ResultSink};
use domain::watch::Waited;
use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

pub(crate) use self::answer::Part;
pub(crate) use self::describe::{Prepared, TextValue};
pub(crate) use self::errors::{Broken, Progress, Spot};
pub(crate) use self::rendering::{Rendering, column, raw_length};
pub(crate) use self::worker::{Fault, Worker, begin};

use self::errors::{ends_session, of_server, unknown_on};
use self::rows::Rows;
use crate::connect::Session;
use crate::sql::{Class, Statement, Text};
use crate::value::LongNumbers;

/// The columns of all reports of an execution together; far more than anybody reads.
const MAX_COLUMNS: usize = 20_000;

/// One execution on one session.
pub(crate) struct Run<'a> {
    order: &'a ExecutionOrder,
    text: &'a Text,
    worker: Worker,
    /// The last statement was sent to run, not only to be prepared.
    sent: AtomicBool,
    /// How many columns the reports may still hold.
    columns_left: AtomicUsize,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        order: &'a ExecutionOrder,
        text: &'a Text,
        session: Session,
        cancel: CancellationToken,
    ) -> io::Result<Self> {
        let worker = Worker::start(order, session, cancel, LongNumbers::Bare)?;
        let columns_left = AtomicUsize::new(MAX_COLUMNS);
        Ok(Self { order, text, worker, sent: AtomicBool::new(false), columns_left })
    }

    /// Runs everything and closes the session, whatever comes of it.
    pub(crate) async fn execute(
        self,
        sink: &mut (dyn ResultSink + 'static),
    ) -> Result<ExecutionReport, ExecutionError> {
        let started = Instant::now();
        let mut outcome = self.statements(sink).await;
        // A read-only request has nothing to commit. Its transaction ends with its session, and so do the few
        // things that old servers let a read-only transaction write, large objects among them.
        if outcome.is_ok() && !self.text.runs_alone() && !self.order.read_only {
            let after_last = u32::try_from(self.text.statements.len()).unwrap_or(u32::MAX);
            if let Err(fault) = self.worker.commit(Progress::Statement(after_last)).await {
                outcome = Err(self.settle(fault).await);
            }
        }
        let duration = started.elapsed();
        let notices = self.worker.session.take_notices();
        self.worker.close().await;
        Ok(ExecutionReport { statements: outcome?, notices, duration })
    }

    async fn statements(
        &self,
        sink: &mut (dyn ResultSink + 'static),
    ) -> Result<Vec<StatementReport>, ExecutionError> {
        let mut rows = Rows::new(sink, self.order.limits, self.worker.watch.stopping());
        let mut reports = Vec::with_capacity(self.text.statements.len());
        for (index, statement) in (0_u32..).zip(&self.text.statements) {
            let text = self.order.submission.text.as_str();
            let spot = Spot { text, statement, progress: Progress::Statement(index) };
            rows.begin(index);
            let work = self.statement(index, spot, &mut rows);
            let waited = self.worker.watch.over(&self.worker.session, work).await;
            reports.push(self.judge(spot, waited).await?);
        }
        Ok(reports)
    }

    async fn statement(
        &self,
        index: u32,
        spot: Spot<'_>,
        rows: &mut Rows<'_>,
    ) -> Result<StatementReport, Broken> {
        let sql = &spot.text[spot.statement.range.clone()];
        self.sent.store(false, Ordering::Relaxed);
        let begin = (index == 0 && !self.text.runs_alone()).then_some(begin(self.order.read_only));
        let prepared = self.worker.prepare(begin, sql).await?;
        if self.worker.watch.is_stopping() {
            return Err(Broken::Stopped);
        }
        self.sent.store(true, Ordering::Relaxed);
        let mut answer = self.worker.send(sql).await?;
        let mut columns = None;
        while let Some(part) = answer.next().await? {
            match part {
                Part::Row(row) => rows.add(&row).await?,
                Part::Columns(found) => {
                    let left = self.columns_left.load(Ordering::Relaxed).checked_sub(found.len());
                    self.columns_left.store(left.ok_or(Broken::TooManyColumns)?, Ordering::Relaxed);
                    columns = Some(rows.columns(&found, &prepared.columns));
                }
            }
        }
        let (kept, truncated) = rows.end().await?;
        Ok(StatementReport {
            command: spot.statement.command.clone(),
            columns,
            rows: kept,
            affected: answer.affected().filter(|_| counts(spot.statement)),
            truncated,
        })
    }

    /// Makes an outcome of what came of waiting for a statement; nothing of a transaction is left in case of an error.
    async fn judge(
        &self,
        spot: Spot<'_>,
        waited: Waited<Result<StatementReport, Broken>>,
    ) -> Result<StatementReport, ExecutionError> {
        if self.text.runs_alone() && self.sent.load(Ordering::Relaxed) {
            match waited {
                // It was faster than the cancel request, and it took effect.
                Waited::Stopped(_, Ok(report)) => return Ok(report),
                Waited::Stopped(stop, Err(Broken::Server(error))) => {
                    return Err(match error.as_db_error() {
                        Some(db) if *db.code() == SqlState::QUERY_CANCELED => stop.into(),
                        _ => self.alone_broken(spot, &error),
                    });
                }
                Waited::Done(Err(Broken::Server(error))) => return Err(self.alone_broken(spot, &error)),
                Waited::Silent(_) => {
                    self.worker.terminate().await;
                    return Err(unknown("the server did not answer the cancel request"));
                }
                _ => {}
            }
        }
        if let Waited::Done(Err(Broken::Sink(_) | Broken::NotUtf8 | Broken::TooManyColumns)) = &waited {
            self.worker.session.cancel().await;
        }
        match self.worker.judge(spot.progress, Some(spot), waited).await {
            Ok(report) => Ok(report),
            Err(fault) => Err(self.settle(fault).await),
        }
    }

    /// Nothing of a request is left after a fault.
    async fn settle(&self, fault: Fault) -> ExecutionError {
        match fault {
            Fault::Failed(error) => {
                self.worker.roll_back().await;
                ExecutionError::Database(error)
            }
            Fault::Over(error) => error,
        }
    }

    /// What is left of a statement outside of a transaction when it fails.
    fn alone_broken(&self, spot: Spot<'_>, error: &tokio_postgres::Error) -> ExecutionError {
        match error.as_db_error() {
            Some(db) if !ends_session(db) && self.worker.hit_the_limit(db) => ExecutionError::TimedOut,
            Some(db) if !ends_session(db) => ExecutionError::Database(of_server(db, Some(spot))),
            Some(db) => unknown(format!("the server ended the session (SQLSTATE {})", db.code().code())),
            None => unknown_on(&self.worker.session, error),
        }
    }
}

/// Whether the server's count means rows. For other commands the driver reports 0.
pub(crate) fn counts(statement: &Statement) -> bool {
    match statement.class {
        Class::Read | Class::Write | Class::Cursor => !matches!(
            statement.command.as_str(),
            "EXPLAIN" | "SHOW" | "DECLARE" | "CLOSE" | "TRUNCATE TABLE" | "LOCK TABLE" | "NOTIFY"
        ),
        Class::Administrative => matches!(statement.command.as_str(), "CREATE TABLE AS" | "SELECT INTO"),
        Class::Code | Class::Session | Class::Alone => false,
    }
}
