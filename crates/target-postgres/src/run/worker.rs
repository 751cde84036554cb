//! One session at work under one watch: how a transaction begins, runs a statement and ends, whoever asks for it.
//!
//! This module must not know what the statements are for: a request's run in one transaction, and a script's in as
//! many as it likes.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::ending::{lost, unknown};
use domain::execution::{DatabaseError, ExecutionOrder};
use domain::ports::ExecutionError;
use domain::watch::{ASK_AGAIN, Stop, Waited, Watch};
use tokio::time::{Instant, timeout};
use tokio_postgres::SimpleQueryRow;
use tokio_postgres::error::{DbError, SqlState};
use tokio_util::sync::CancellationToken;

use super::MAX_COLUMNS;
use super::answer::Answer;
use super::describe::{Describer, Prepared, TextValue};
use super::errors::{
    Broken, Progress, Spot, ends_session, not_utf8, of_break, of_break_on, of_server, too_many_columns,
    unknown_on,
};
use crate::connect::{Endpoint, Session, rows};
use crate::value::LongNumbers;

/// A commit in flight at the deadline is awaited: the server decides, not the clock.
const COMMIT_GRACE: Duration = Duration::from_secs(30);

/// Until then the rollback after an error should have come back; closing the connection does the same later.
const ROLLBACK_GRACE: Duration = Duration::from_secs(5);

/// How the server cuts a text into statements depends on these settings, and any function can change them, even
/// while a statement is prepared. They are sent directly before every text, so that no code of a submitter runs
/// in between: what was prepared and what runs are the one statement that was reviewed.
pub(super) const LEXING: &str = "SET standard_conforming_strings = on; SET client_encoding = 'UTF8'";

/// What would otherwise happen inside of the commit, where the server's limit on time does not hold and a cancel
/// has no clear answer: deferred constraints are checked, and cursors `WITH HOLD` would be run to their end. It
/// fails in a transaction that has failed, where the server would answer COMMIT with ROLLBACK and no error.
const FINISH: &str = "CLOSE ALL; SET CONSTRAINTS ALL IMMEDIATE";

/// Whether the transaction has done more than read: the server numbers no other ones. It comes after what deferred
/// constraints do, and its names say their schema, for a script's search path may lead elsewhere first. A number is
/// not needed for notifications, which get theirs inside of the commit, nor for what only another server writes.
const HAS_WRITTEN: &str = "SELECT pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL";

/// How a transaction begins. In a read-only one the first query takes a snapshot, after which nothing can make it
/// writable again.
pub(crate) const fn begin(read_only: bool) -> &'static str {
    if read_only { "BEGIN READ ONLY; SELECT 1" } else { "BEGIN" }
}

/// What became of work inside of a transaction that did not end well.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The transaction has failed and has to be rolled back; the session is as good as before.
    Failed(DatabaseError),
    /// Nothing more is to be had from the session, and the transaction has ended as this says.
    Over(ExecutionError),
}

/// A session, and what stands behind everything that it is made to do.
pub(crate) struct Worker {
    pub(crate) session: Session,
    pub(crate) watch: Watch,
    endpoint: Endpoint,
    describer: Describer,
    /// The session was ended from outside, with certainty.
    terminated: AtomicBool,
}

impl Worker {
    /// The order's limit on time begins now.
    pub(crate) fn start(
        order: &ExecutionOrder,
        session: Session,
        stop: CancellationToken,
        long_numbers: LongNumbers,
    ) -> io::Result<Self> {
        let describer = Describer::start(session.client.clone(), long_numbers)?;
        let watch = Watch::new(stop, order.limits.timeout);
        let endpoint = Endpoint::of(order);
        Ok(Self { session, watch, endpoint, describer, terminated: AtomicBool::new(false) })
    }

    /// Lets the server make sure that this is exactly one statement, and asks for its columns. A transaction is
    /// begun before, if the text says so.
    pub(crate) async fn prepare(&self, begin: Option<&str>, sql: &str) -> Result<Prepared, Broken> {
        let before = match begin {
            Some(begin) => format!("{begin}; {LEXING}"),
            None => LEXING.to_owned(),
        };
        self.describer.describe(before, sql).await.ok_or(Broken::Stopped)?.map_err(Broken::Server)
    }

    /// Sends a statement that was prepared before.
    pub(crate) async fn send(&self, sql: &str) -> Result<Answer, Broken> {
        if self.watch.is_stopping() {
            return Err(Broken::Stopped);
        }
        Answer::to(&self.session.client, sql).await
    }

    /// Runs a statement that returns no rows, with values for its parameters. Its text is read by the server once.
    pub(crate) async fn send_with(&self, sql: &str, values: Vec<TextValue>) -> Result<(), Broken> {
        if self.watch.is_stopping() {
            return Err(Broken::Stopped);
        }
        let given = values.len();
        let ran = self.describer.run(LEXING.to_owned(), sql, values).await.ok_or(Broken::Stopped)?;
        if ran?.parameters == given { Ok(()) } else { Err(Broken::Stopped) }
    }

    /// Makes an outcome of what came of waiting for work inside of a transaction.
    pub(crate) async fn judge<T>(
        &self,
        at: Progress,
        spot: Option<Spot<'_>>,
        waited: Waited<Result<T, Broken>>,
    ) -> Result<T, Fault> {
        let broken = match waited {
            Waited::Done(Ok(done)) => return Ok(done),
            Waited::Done(Err(Broken::Unclear(how))) | Waited::Stopped(_, Err(Broken::Unclear(how))) => {
                self.session.cancel().await;
                return Err(Fault::Over(unknown(how)));
            }
            Waited::Stopped(stop, _) => {
                self.roll_back().await;
                return Err(Fault::Over(stop.into()));
            }
            Waited::Silent(stop) => return Err(Fault::Over(self.put_an_end(stop).await)),
            Waited::Done(Err(broken)) => broken,
        };
        Err(match broken {
            Broken::Server(error) => match error.as_db_error() {
                Some(db) => self.of_server(db, spot).await,
                None => Fault::Over(of_break_on(&self.session, &error, at)),
            },
            Broken::Sink(error) => Fault::Over(ExecutionError::Sink(error)),
            Broken::NotUtf8 => Fault::Failed(not_utf8(at)),
            Broken::TooManyColumns => Fault::Failed(too_many_columns(MAX_COLUMNS, at)),
            Broken::Unclear(how) => Fault::Over(unknown(how)),
            Broken::Stopped => Fault::Over(lost("the columns of a statement could not be found out")),
        })
    }

    /// An error of the server inside a transaction, which takes no effect.
    async fn of_server(&self, db: &DbError, spot: Option<Spot<'_>>) -> Fault {
        if self.hit_the_limit(db) {
            self.roll_back().await;
            return Fault::Over(ExecutionError::TimedOut);
        }
        let error = of_server(db, spot);
        if ends_session(db) { Fault::Over(ExecutionError::Database(error)) } else { Fault::Failed(error) }
    }

    /// The server has the same limit as the portal. Anybody else's cancel request is an error like others.
    pub(crate) fn hit_the_limit(&self, db: &DbError) -> bool {
        *db.code() == SqlState::QUERY_CANCELED && Instant::now() >= self.watch.deadline
    }

    /// Ends a statement whose answer nobody reads any more, so that the session can go on.
    pub(crate) async fn interrupt(&self) -> Result<(), Broken> {
        // An empty text changes nothing, and is answered once the statement has ended.
        let mut ended = pin!(self.session.client.batch_execute(""));
        loop {
            self.session.cancel_to_the_end().await;
            match timeout(ASK_AGAIN, &mut ended).await {
                Ok(Err(error)) if error.as_db_error().is_none_or(ends_session) => return Err(error.into()),
                Ok(_) => return Ok(()),
                Err(_elapsed) => {}
            }
        }
    }

    /// Ends a transaction that does not listen to cancel requests. Closing its connection would not do: code can
    /// switch off everything by which the server would notice.
    pub(crate) async fn put_an_end(&self, stop: Stop) -> ExecutionError {
        if self.terminate().await {
            return stop.into();
        }
        unknown("the server did not answer the cancel request, and its session could not be ended")
    }

    /// Ends the session from outside. Returns whether it has certainly ended.
    pub(crate) async fn terminate(&self) -> bool {
        if self.terminated.load(Ordering::Relaxed) {
            return true;
        }
        let terminated = self.session.terminate(&self.endpoint).await;
        self.terminated.store(terminated, Ordering::Relaxed);
        terminated
    }

    /// Returns whether the server has rolled back and waits for more. Where nothing more is to come, an answer only
    /// means that locks are free earlier; the connection is closed in any case.
    pub(crate) async fn roll_back(&self) -> bool {
        // A cancel request that comes late can hit the first one.
        for _ in 0..2 {
            match timeout(ROLLBACK_GRACE, self.session.client.batch_execute("ROLLBACK")).await {
                Ok(Ok(())) => return true,
                Ok(Err(error)) if error.as_db_error().is_some_and(|db| !ends_session(db)) => {}
                _ => return false,
            }
        }
        false
    }

    /// Drops a prepared statement after a rollback, which does not take it back. Whether it is there is not known,
    /// and no matter.
    pub(crate) async fn forget(&self, name: &str) {
        let forget = format!("DEALLOCATE {name}");
        let _ = timeout(ROLLBACK_GRACE, self.session.client.batch_execute(&forget)).await;
    }

    /// Commits, or fails with nothing having taken effect, or does not know.
    pub(crate) async fn commit(&self, at: Progress) -> Result<(), Fault> {
        self.commit_after(FINISH, at).await.map(drop)
    }

    /// Commits in the same way, and tells whether that was more than the end of a mere read.
    pub(crate) async fn commit_and_tell(&self, at: Progress) -> Result<bool, Fault> {
        let asked = self.commit_after(&format!("{FINISH}; {HAS_WRITTEN}"), at).await?;
        // Nothing but a clear "no" is taken for one.
        Ok(asked.first().is_none_or(|row| row.try_get(0).ok().flatten() != Some("f")))
    }

    async fn commit_after(&self, finish: &str, at: Progress) -> Result<Vec<SimpleQueryRow>, Fault> {
        let finished = self.watch.over(&self.session, rows(&self.session.client, finish, 1)).await;
        // A wish to stop is heard until here. From now on the server decides.
        let (stop, finished) = match finished {
            Waited::Done(finished) => (self.watch.now(), finished),
            Waited::Stopped(stop, finished) => (Some(stop), finished),
            Waited::Silent(stop) => return Err(Fault::Over(self.put_an_end(stop).await)),
        };
        if let Some(stop) = stop {
            self.roll_back().await;
            return Err(Fault::Over(stop.into()));
        }
        let asked = match finished {
            Ok(asked) => asked,
            Err(error) => {
                return Err(match error.as_db_error() {
                    Some(db) => self.of_server(db, None).await,
                    None => Fault::Over(of_break_on(&self.session, &error, at)),
                });
            }
        };
        if self.session.client.is_closed() {
            // The commit cannot be sent any more, so the server has rolled back.
            return Err(Fault::Over(of_break("the connection was closed before the commit".to_owned(), at)));
        }
        self.send_commit().await?;
        Ok(asked)
    }

    async fn send_commit(&self) -> Result<(), Fault> {
        let latest = self.watch.deadline.max(Instant::now()) + COMMIT_GRACE;
        let committed = tokio::time::timeout_at(latest, self.session.client.batch_execute("COMMIT")).await;
        let Ok(committed) = committed else {
            return Err(Fault::Over(unknown("the server did not answer the commit")));
        };
        let Err(error) = committed else { return Ok(()) };
        Err(match error.as_db_error() {
            Some(db) if ends_session(db) || *db.code() == SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN => {
                let code = db.code().code();
                Fault::Over(unknown(format!(
                    "the server ended the session during the commit (SQLSTATE {code})"
                )))
            }
            Some(db) => self.of_server(db, None).await,
            None => Fault::Over(unknown_on(&self.session, &error)),
        })
    }

    /// Ends the session politely.
    pub(crate) async fn close(self) {
        // Its thread shares the client, and the connection ends only when nobody has the client any more.
        drop(self.describer);
        self.session.close().await;
    }
}
