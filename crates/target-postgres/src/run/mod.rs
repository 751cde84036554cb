//! Runs the statements of one order on one session, all in one transaction.

mod describe;
mod errors;
mod rows;
mod watch;

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::execution::{ExecutionOrder, ExecutionReport, StatementReport};
use domain::ports::{ExecutionError, ResultSink};
use futures_util::TryStreamExt;
use tokio::time::Instant;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use self::describe::{Described, Describer};
use self::errors::{Broken, Lost, Spot, ends_session, not_utf8, of_break, of_server, unknown};
use self::rows::Rows;
use self::watch::{Waited, Watch};
use crate::connect::{Session, chain};
use crate::sql::{Class, Statement, Text};

/// A commit in flight at the deadline is awaited: the server decides, not the clock.
const COMMIT_GRACE: Duration = Duration::from_secs(30);

/// Until then the rollback after an error should have come back; closing the connection does the same later.
const ROLLBACK_GRACE: Duration = Duration::from_secs(5);

/// The first query takes a snapshot, after which nothing can make the transaction writable again.
const BEGIN_READ_ONLY: &str = "BEGIN READ ONLY; SELECT 1";

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
        Ok(Self { order, text, session, describer, watch, sent: AtomicBool::new(false) })
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
        let mut messages = pin!(self.session.client.simple_query_raw(sql).await?);
        let (mut columns, mut affected) = (None, None);
        while let Some(message) = messages.try_next().await? {
            match message {
                SimpleQueryMessage::Row(row) => rows.add(&row).await?,
                SimpleQueryMessage::RowDescription(found) => columns = Some(rows.columns(&found, &prepared)),
                SimpleQueryMessage::CommandComplete(count) => affected = Some(count),
                // The driver may learn of more kinds; none of them carries rows.
                _ => {}
            }
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
            _ if self.text.runs_alone() => None,
            (0, true) => Some(BEGIN_READ_ONLY),
            (0, false) => Some("BEGIN"),
            _ => None,
        };
        self.describer.describe(begin, sql).await.ok_or(Broken::Stopped)?.map_err(Broken::Server)
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
            // It was faster than the cancel request, and it took effect.
            Waited::Stopped(_, Ok(report)) if alone => Ok(report),
            Waited::Stopped(stop, Err(Broken::Server(error))) if alone => match error.as_db_error() {
                Some(db) if *db.code() == SqlState::QUERY_CANCELED => Err(stop.into()),
                _ => Err(alone_broken(spot, &error)),
            },
            Waited::Done(Err(Broken::Server(error))) if alone => Err(alone_broken(spot, &error)),
            Waited::Silent(_) if alone => Err(unknown("the server did not answer the cancel request")),
            Waited::Stopped(stop, _) => {
                self.roll_back().await;
                Err(stop.into())
            }
            // Its connection is closed next, and an open transaction dies with its connection.
            Waited::Silent(stop) => Err(stop.into()),
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
            Waited::Done(Err(Broken::Server(error))) => match error.as_db_error() {
                Some(db) => {
                    self.roll_back().await;
                    Err(of_server(db, Some(spot)))
                }
                None => Err(of_break(chain(&error), spot.index)),
            },
        }
    }

    fn after_last(&self) -> u32 {
        u32::try_from(self.text.statements.len()).unwrap_or(u32::MAX)
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
            Waited::Stopped(stop, _) | Waited::Silent(stop) => Some(*stop),
        };
        if let Some(stop) = stop {
            self.roll_back().await;
            return Err(stop.into());
        }
        if let Waited::Done(Err(error)) = finished {
            self.roll_back().await;
            return Err(match error.as_db_error() {
                Some(db) => of_server(db, None),
                None => of_break(chain(&error), self.after_last()),
            });
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
            Some(db) => Err(of_server(db, None)),
            None => Err(unknown(chain(&error))),
        }
    }
}

/// What is left of a statement outside of a transaction when it fails.
fn alone_broken(spot: Spot<'_>, error: &tokio_postgres::Error) -> ExecutionError {
    match error.as_db_error() {
        Some(db) if !ends_session(db) => of_server(db, Some(spot)),
        Some(db) => unknown(format!("the server ended the session (SQLSTATE {})", db.code().code())),
        None => unknown(chain(error)),
    }
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
