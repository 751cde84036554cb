//! Runs the statements of one order on one session, all in one transaction.

mod describe;
mod errors;
mod rows;
mod watch;

use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use domain::execution::{ExecutionOrder, ExecutionReport, StatementReport};
use domain::ports::{ExecutionError, ResultSink};
use futures_util::TryStreamExt;
use futures_util::future::join;
use tokio::time::Instant;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::{SimpleQueryMessage, SimpleQueryStream};
use tokio_util::sync::CancellationToken;

use self::describe::{Described, Describer, telling};
use self::errors::{
    Broken, Lost, Spot, ends_session, not_utf8, of_break, of_break_on, of_server, too_many_columns, unknown,
    unknown_on,
};
use self::rows::Rows;
use self::watch::{Stop, Waited, Watch};
use crate::connect::{Endpoint, Session};
use crate::sql::{Class, Statement, Text};

/// A commit in flight at the deadline is awaited: the server decides, not the clock.
const COMMIT_GRACE: Duration = Duration::from_secs(30);

/// Until then the rollback after an error should have come back; closing the connection does the same later.
const ROLLBACK_GRACE: Duration = Duration::from_secs(5);

/// The first query takes a snapshot, after which nothing can make the transaction writable again.
const BEGIN_READ_ONLY: &str = "BEGIN READ ONLY; SELECT 1; ";

/// How the server cuts a text into statements depends on these settings, and any function can change them, even
/// while a statement is prepared. They are sent directly before every text, so that no code of a submitter runs
/// in between: what was prepared and what runs are the one statement that was reviewed.
const LEXING: &str = "SET standard_conforming_strings = on; SET client_encoding = 'UTF8'";

/// A commit may have been among them, and it cannot be told.
const SEVERAL: &str = "the server took one statement for several";

/// The columns of all reports of an execution together; far more than anybody reads.
const MAX_COLUMNS: usize = 20_000;

/// What would otherwise happen inside of the commit, where the server's limit on time does not hold and a cancel
/// has no clear answer: deferred constraints are checked, and cursors `WITH HOLD` would be run to their end. It
/// fails in a transaction that has failed, where the server would answer COMMIT with ROLLBACK and no error.
const FINISH: &str = "CLOSE ALL; SET CONSTRAINTS ALL IMMEDIATE";

/// One execution on one session.
pub(crate) struct Run<'a> {
    order: &'a ExecutionOrder,
    text: &'a Text,
    session: Session,
    describer: Describer,
    watch: Watch,
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
        let describer = Describer::start(session.client.clone())?;
        let watch = Watch::new(cancel, order.limits.timeout);
        let columns_left = AtomicUsize::new(MAX_COLUMNS);
        Ok(Self { order, text, session, describer, watch, sent: AtomicBool::new(false), columns_left })
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
            outcome = self.commit(outcome).await;
        }
        let duration = started.elapsed();
        let notices = self.session.take_notices();
        // Its thread shares the client, and the connection ends only when nobody has the client any more.
        drop(self.describer);
        self.session.close().await;
        Ok(ExecutionReport { statements: outcome?, notices, duration })
    }

    async fn statements(
        &self,
        sink: &mut (dyn ResultSink + 'static),
    ) -> Result<Vec<StatementReport>, ExecutionError> {
        let mut rows = Rows::new(sink, self.order.limits, self.watch.stopping());
        let mut reports = Vec::with_capacity(self.text.statements.len());
        for (index, statement) in (0_u32..).zip(&self.text.statements) {
            let spot = Spot { text: self.order.submission.text.as_str(), statement, index };
            rows.begin(index);
            let waited = self.watch.over(&self.session, self.statement(spot, &mut rows)).await;
            reports.push(self.judge(spot, waited).await?);
        }
        Ok(reports)
    }

    async fn statement(&self, spot: Spot<'_>, rows: &mut Rows<'_>) -> Result<StatementReport, Broken> {
        let sql = &spot.text[spot.statement.range.clone()];
        self.sent.store(false, Ordering::Relaxed);
        let prepared = self.prepare(spot, sql).await?;
        if self.watch.is_stopping() {
            return Err(Broken::Stopped);
        }
        self.sent.store(true, Ordering::Relaxed);
        let client = &self.session.client;
        // Both are queued before anything is awaited.
        let (set, messages) = join(client.batch_execute(LEXING), client.simple_query_raw(sql)).await;
        let mut messages = pin!(messages?);
        if let Err(error) = set {
            return Err(match drain(messages).await {
                Err(own) => Broken::Server(telling(error, own)),
                Ok(()) => Broken::Unclear("a statement ran without the settings under which it was reviewed"),
            });
        }
        let (mut columns, mut affected) = (None, None);
        loop {
            let message = match messages.try_next().await {
                Ok(Some(message)) => message,
                Ok(None) => break,
                // One statement does not fail after its end. A session that dies then is another matter.
                Err(error) if affected.is_some() && error.as_db_error().is_some_and(|e| !ends_session(e)) => {
                    return Err(Broken::Unclear(SEVERAL));
                }
                Err(error) => return Err(error.into()),
            };
            match message {
                _ if affected.is_some() => return Err(Broken::Unclear(SEVERAL)),
                SimpleQueryMessage::Row(row) => rows.add(&row).await?,
                SimpleQueryMessage::RowDescription(found) => {
                    let left = self.columns_left.load(Ordering::Relaxed).checked_sub(found.len());
                    self.columns_left.store(left.ok_or(Broken::TooManyColumns)?, Ordering::Relaxed);
                    columns = Some(rows.columns(&found, &prepared));
                }
                SimpleQueryMessage::CommandComplete(count) => affected = Some(count),
                // The driver may learn of more kinds; none of them carries rows.
                _ => {}
            }
        }
        if affected.is_none() {
            return Err(Broken::Unclear("the server did not say that the statement has ended"));
        }
        let (kept, truncated) = rows.end().await?;
        Ok(StatementReport {
            command: spot.statement.command.clone(),
            columns,
            rows: kept,
            affected: affected.filter(|_| counts(spot.statement)),
            truncated,
        })
    }

    /// Lets the server make sure that this is exactly one statement, and asks for its columns.
    async fn prepare(&self, spot: Spot<'_>, sql: &str) -> Result<Vec<Described>, Broken> {
        let begin = match (spot.index, self.order.read_only) {
            _ if self.text.runs_alone() => "",
            (0, true) => BEGIN_READ_ONLY,
            (0, false) => "BEGIN; ",
            _ => "",
        };
        self.describer
            .describe(format!("{begin}{LEXING}"), sql)
            .await
            .ok_or(Broken::Stopped)?
            .map_err(Broken::Server)
    }

    /// Makes an outcome of what came of waiting for a statement; nothing of a transaction is left in case of an error.
    async fn judge(
        &self,
        spot: Spot<'_>,
        waited: Waited<Result<StatementReport, Broken>>,
    ) -> Result<StatementReport, ExecutionError> {
        let alone = self.text.runs_alone() && self.sent.load(Ordering::Relaxed);
        match waited {
            Waited::Done(Ok(report)) => Ok(report),
            Waited::Done(Err(Broken::Unclear(how))) | Waited::Stopped(_, Err(Broken::Unclear(how))) => {
                self.session.cancel().await;
                Err(unknown(how))
            }
            // It was faster than the cancel request, and it took effect.
            Waited::Stopped(_, Ok(report)) if alone => Ok(report),
            Waited::Stopped(stop, Err(Broken::Server(error))) if alone => match error.as_db_error() {
                Some(db) if *db.code() == SqlState::QUERY_CANCELED => Err(stop.into()),
                _ => Err(self.alone_broken(spot, &error)),
            },
            Waited::Done(Err(Broken::Server(error))) if alone => Err(self.alone_broken(spot, &error)),
            Waited::Silent(_) if alone => {
                self.session.terminate(&Endpoint::of(self.order)).await;
                Err(unknown("the server did not answer the cancel request"))
            }
            Waited::Stopped(stop, _) => {
                self.roll_back().await;
                Err(stop.into())
            }
            Waited::Silent(stop) => Err(self.put_an_end(stop).await),
            Waited::Done(Err(Broken::Sink(error))) => {
                self.session.cancel().await;
                Err(ExecutionError::Sink(error))
            }
            Waited::Done(Err(Broken::Stopped)) => Err(ExecutionError::Unavailable {
                source: Box::new(Lost("the columns of a statement could not be found out".to_owned())),
            }),
            Waited::Done(Err(Broken::NotUtf8)) => {
                self.session.cancel().await;
                Err(not_utf8(spot.index))
            }
            Waited::Done(Err(Broken::TooManyColumns)) => {
                self.session.cancel().await;
                Err(too_many_columns(MAX_COLUMNS, spot.index))
            }
            Waited::Done(Err(Broken::Server(error))) => match error.as_db_error() {
                Some(db) => {
                    let failed = self.of_server(db, Some(spot));
                    self.roll_back().await;
                    Err(failed)
                }
                None => Err(of_break_on(&self.session, &error, spot.index)),
            },
        }
    }

    fn after_last(&self) -> u32 {
        u32::try_from(self.text.statements.len()).unwrap_or(u32::MAX)
    }

    /// An error of the server inside a transaction: nothing of the request took effect.
    fn of_server(&self, db: &DbError, spot: Option<Spot<'_>>) -> ExecutionError {
        // The server has the same limit as the portal. Anybody else's cancel request is an error like others.
        if *db.code() == SqlState::QUERY_CANCELED && Instant::now() >= self.watch.deadline {
            return ExecutionError::TimedOut;
        }
        of_server(db, spot)
    }

    /// What is left of a statement outside of a transaction when it fails.
    fn alone_broken(&self, spot: Spot<'_>, error: &tokio_postgres::Error) -> ExecutionError {
        match error.as_db_error() {
            Some(db) if !ends_session(db) => self.of_server(db, Some(spot)),
            Some(db) => unknown(format!("the server ended the session (SQLSTATE {})", db.code().code())),
            None => unknown_on(&self.session, error),
        }
    }

    /// Ends a transaction that does not listen to cancel requests. Closing its connection would not do: code can
    /// switch off everything by which the server would notice.
    async fn put_an_end(&self, stop: Stop) -> ExecutionError {
        if self.session.terminate(&Endpoint::of(self.order)).await {
            return stop.into();
        }
        unknown("the server did not answer the cancel request, and its session could not be ended")
    }

    async fn roll_back(&self) {
        // An answer only means that locks are free earlier; the connection is closed in any case.
        let _ = tokio::time::timeout(ROLLBACK_GRACE, self.session.client.batch_execute("ROLLBACK")).await;
    }

    async fn commit(
        &self,
        outcome: Result<Vec<StatementReport>, ExecutionError>,
    ) -> Result<Vec<StatementReport>, ExecutionError> {
        let finished = self.watch.over(&self.session, self.session.client.batch_execute(FINISH)).await;
        // A wish to stop is heard until here. From now on the server decides.
        let stop = match &finished {
            Waited::Done(_) => self.watch.now(),
            Waited::Stopped(stop, _) => Some(*stop),
            Waited::Silent(stop) => return Err(self.put_an_end(*stop).await),
        };
        if let Some(stop) = stop {
            self.roll_back().await;
            return Err(stop.into());
        }
        if let Waited::Done(Err(error)) = finished {
            let failed = match error.as_db_error() {
                Some(db) => self.of_server(db, None),
                None => of_break_on(&self.session, &error, self.after_last()),
            };
            self.roll_back().await;
            return Err(failed);
        }
        if self.session.client.is_closed() {
            // The commit cannot be sent any more, so the server has rolled back.
            return Err(of_break(
                "the connection was closed before the commit".to_owned(),
                self.after_last(),
            ));
        }
        let latest = self.watch.deadline.max(Instant::now()) + COMMIT_GRACE;
        let committed = tokio::time::timeout_at(latest, self.session.client.batch_execute("COMMIT")).await;
        let Ok(committed) = committed else { return Err(unknown("the server did not answer the commit")) };
        let Err(error) = committed else { return outcome };
        match error.as_db_error() {
            Some(db) if ends_session(db) || *db.code() == SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN => {
                Err(unknown(format!(
                    "the server ended the session during the commit (SQLSTATE {})",
                    db.code().code()
                )))
            }
            Some(db) => Err(self.of_server(db, None)),
            None => Err(unknown_on(&self.session, &error)),
        }
    }
}

/// Reads an answer of which nothing is used.
async fn drain(mut messages: Pin<&mut SimpleQueryStream>) -> Result<(), tokio_postgres::Error> {
    while messages.try_next().await?.is_some() {}
    Ok(())
}

/// Whether the server's count means rows. For other commands the driver reports 0.
fn counts(statement: &Statement) -> bool {
    match statement.class {
        Class::Read | Class::Write | Class::Cursor => !matches!(
            statement.command.as_str(),
            "EXPLAIN" | "SHOW" | "DECLARE" | "CLOSE" | "TRUNCATE TABLE" | "LOCK TABLE" | "NOTIFY"
        ),
        Class::Administrative => matches!(statement.command.as_str(), "CREATE TABLE AS" | "SELECT INTO"),
        Class::Code | Class::Session | Class::Alone => false,
    }
}
