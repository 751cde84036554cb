//! One session of the driver at work under one watch: how a command is sent and stopped, how a transaction begins and
//! ends, whoever asks for it.
//!
//! This module must not know what the commands are for: a request's, or a script's.

use std::time::Duration;

use bson::{Bson, Document, RawDocumentBuf, doc};
use domain::ending::unknown;
use domain::execution::{DatabaseError, ExecutionOrder};
use domain::ports::ExecutionError;
use domain::review::Effect;
use domain::watch::{Waited, Watch};
use futures_util::TryStreamExt as _;
use mongodb::action::{Action as _, RunCommand, RunCursorCommand};
use mongodb::error::{ErrorKind, WriteFailure};
use mongodb::options::{ReadConcern, ReadPreference, SelectionCriteria, WriteConcern};
use mongodb::raw_batch_cursor::SessionRawBatchCursor;
use mongodb::{Client, ClientSession};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::errors::{Broken, Cause, MAX_TIME_EXPIRED, is_refused_login, number, write_errors};
use super::killer::Killer;
use crate::connect::{Link, chain, not_connected, refused};
use crate::numbers::int;
use crate::rules::{Answer, Command};

/// A commit in flight at the deadline is awaited: the server decides, not the clock.
const COMMIT_GRACE: Duration = Duration::from_secs(30);

/// How long to wait before asking again what became of a commit.
const ASK_COMMIT_AGAIN: Duration = Duration::from_millis(200);

/// How long the end of a transaction that is given up may take; the server ends it by itself later.
const ABORT_LIMIT: Duration = Duration::from_secs(5);

/// The server ends its work at the deadline by itself, a moment after the portal has asked it to.
const SERVER_GRACE: Duration = Duration::from_millis(500);

/// Documents that come at once. With few of them a large result costs little memory, with many it comes fast.
const BATCH: i32 = 2_000;

/// What became of work that did not end well.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The server's error. Of a transaction nothing takes effect any more.
    Failed(DatabaseError),
    /// The server's error of what ran by itself: a part of it may stay, as the message says.
    Partly(DatabaseError),
    /// Nothing more is to be had here.
    Over(ExecutionError),
}

/// A session, and what stands behind everything that it is made to do.
pub(crate) struct Worker {
    pub(crate) watch: Watch,
    session: ClientSession,
    killer: Killer,
    client: Client,
    database: String,
    comment: String,
    pub(crate) has_transactions: bool,
    in_transaction: bool,
    /// Whether anything of the order may have reached the server.
    sent: bool,
}

impl Worker {
    /// The order's limit on time begins now.
    pub(crate) async fn start(
        order: &ExecutionOrder,
        link: Link,
        stop: CancellationToken,
    ) -> Result<Self, ExecutionError> {
        let watch = Watch::new(stop, order.limits.timeout);
        let session = link.client.start_session().await.map_err(|error| not_connected(&error))?;
        let killer = Killer::new(link.client.clone(), session.id().clone(), link.spoiled);
        Ok(Self {
            watch,
            session,
            killer,
            client: link.client,
            database: order.database.as_str().to_owned(),
            comment: format!("query-portal/{}", order.request),
            has_transactions: link.server.has_transactions,
            in_transaction: false,
            sent: false,
        })
    }

    fn database(&self, command: &Command) -> mongodb::Database {
        self.client.database(command.database.as_deref().unwrap_or(&self.database))
    }

    /// Where the instance wants a read to go. By itself the driver sends commands to the primary.
    fn place(&self, command: &Command) -> Option<SelectionCriteria> {
        let reads = command.effect == Effect::Read && !self.in_transaction;
        reads.then(|| self.client.selection_criteria().cloned()).flatten()
    }

    /// The command with what the portal adds: whose it is, how long it may take, how much comes at once.
    fn prepared(&self, command: &Command) -> Result<RawDocumentBuf, Broken> {
        let mut document = command.document.clone();
        let left = (self.watch.deadline + SERVER_GRACE).saturating_duration_since(Instant::now());
        let left = i64::try_from(left.as_millis()).unwrap_or(i64::MAX).clamp(1, i64::from(i32::MAX));
        let own = int(document.get("maxTimeMS")).filter(|own| *own > 0);
        document.insert("maxTimeMS", own.unwrap_or(left).min(left));
        document.insert("comment", self.comment.clone());
        // Of what is written, a majority of the members has to know; of a transaction its commit says that.
        document.remove("writeConcern");
        if self.in_transaction {
            document.remove("readConcern");
        } else if command.effect != Effect::Read {
            document.insert("writeConcern", doc! { "w": "majority" });
        }
        if command.spec.answer == Answer::Cursor {
            if command.spec.name == "find" {
                limit_batch(&mut document);
            } else {
                let mut cursor = match document.remove("cursor") {
                    Some(Bson::Document(cursor)) => cursor,
                    _ => Document::new(),
                };
                limit_batch(&mut cursor);
                document.insert("cursor", cursor);
            }
        }
        Ok(RawDocumentBuf::try_from(&document)?)
    }

    /// Sends a command and waits for its reply. Errors of parts of a write are errors.
    pub(crate) async fn reply(&mut self, command: &Command) -> Waited<Result<Document, Broken>> {
        let prepared = self.prepared(command);
        let (database, killer, at) = (self.database(command), self.killer.clone(), self.place(command));
        let session = &mut self.session;
        let work = async {
            let ask = database.run_raw_command(prepared?).optional(at, RunCommand::selection_criteria);
            Ok(ask.session(session).await?)
        };
        let waited = self.watch.over(&killer, work).await;
        self.sent |= !was_not_sent(&waited);
        waited
    }

    /// Sends a command that answers with a cursor.
    pub(crate) async fn open(&mut self, command: &Command) -> Waited<Result<SessionRawBatchCursor, Broken>> {
        let prepared = self.prepared(command);
        let (database, killer, at) = (self.database(command), self.killer.clone(), self.place(command));
        let comment = self.comment.clone();
        let session = &mut self.session;
        let work = async {
            let ask =
                database.run_raw_cursor_command(prepared?).optional(at, RunCursorCommand::selection_criteria);
            Ok(ask
                .session(session)
                .batch_size(BATCH.unsigned_abs())
                .comment(Bson::String(comment))
                .batch()
                .await?)
        };
        let waited = self.watch.over(&killer, work).await;
        self.sent |= !was_not_sent(&waited);
        waited
    }

    /// The next documents of a cursor; `None` after the last.
    pub(crate) async fn next(
        &mut self,
        cursor: &mut SessionRawBatchCursor,
    ) -> Waited<Result<Option<mongodb::raw_batch_cursor::RawBatch>, Broken>> {
        let killer = self.killer.clone();
        let session = &mut self.session;
        let work = async { Ok(cursor.stream(session).try_next().await?) };
        self.watch.over(&killer, work).await
    }

    pub(crate) async fn begin(&mut self) -> Result<(), Broken> {
        self.session
            .start_transaction()
            .read_concern(ReadConcern::snapshot())
            .write_concern(WriteConcern::majority())
            // Whatever reads have: the server takes no other one in a transaction.
            .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
            .await?;
        self.in_transaction = true;
        Ok(())
    }

    /// Undoes the transaction. That nothing of it can take effect is certain in any case, because only this session
    /// could commit it.
    pub(crate) async fn abort(&mut self) {
        if !std::mem::take(&mut self.in_transaction) {
            return;
        }
        if !matches!(timeout(ABORT_LIMIT, self.session.abort_transaction()).await, Ok(Ok(()))) {
            tracing::debug!("the target did not confirm the end of a transaction that was given up");
        }
    }

    /// Commits, or fails with nothing having taken effect, or does not know.
    pub(crate) async fn commit(&mut self) -> Result<(), Fault> {
        if let Some(stop) = self.watch.now() {
            self.abort().await;
            return Err(Fault::Over(stop.into()));
        }
        self.in_transaction = false;
        let latest = self.watch.deadline.max(Instant::now()) + COMMIT_GRACE;
        loop {
            let committed = tokio::time::timeout_at(latest, self.session.commit_transaction()).await;
            let error = match committed {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_elapsed) => return Err(Fault::Over(unknown("the server did not answer the commit"))),
            };
            if !error.contains_label(mongodb::error::UNKNOWN_TRANSACTION_COMMIT_RESULT) {
                // It is committed where the answer comes from, but other members may not have it and never get it.
                if matches!(error.kind.as_ref(), ErrorKind::Write(WriteFailure::WriteConcernError(_))) {
                    return Err(Fault::Over(unknown(chain(&error))));
                }
                return Err(match Broken::Driver(error).cause() {
                    Cause::Server(error) | Cause::Gone(error) | Cause::Unread(error) => Fault::Failed(error),
                    // The driver asks a second time by itself: what became of the first one is not known.
                    Cause::NotSent(error) => Fault::Over(unknown(error.message)),
                    Cause::Sink(error) => Fault::Over(ExecutionError::Sink(error)),
                });
            }
            // Asking again does not commit twice: the server knows the transaction by its number.
            if Instant::now() + ASK_COMMIT_AGAIN >= latest {
                return Err(Fault::Over(unknown(chain(&error))));
            }
            tokio::time::sleep(ASK_COMMIT_AGAIN).await;
        }
    }

    /// Makes an outcome of what came of waiting. `lost` tells what it means when the server went away.
    pub(crate) fn judge<T>(&self, waited: Waited<Result<T, Broken>>, lost: Lost) -> Result<T, Fault> {
        let broken = match waited {
            Waited::Done(Ok(done)) => return Ok(done),
            // It was faster than the wish to stop, and cannot be taken back.
            Waited::Stopped(_, Ok(done)) if lost != Lost::Nothing => return Ok(done),
            Waited::Stopped(stop, Ok(_)) => return Err(Fault::Over(stop.into())),
            Waited::Stopped(stop, Err(broken)) => {
                return Err(match (lost, broken.cause()) {
                    (Lost::Unclear | Lost::Partly, Cause::Gone(error)) => Fault::Over(unknown(error.message)),
                    (Lost::Partly, _) => Fault::Over(unknown(IN_PART)),
                    _ => Fault::Over(stop.into()),
                });
            }
            Waited::Silent(stop) => {
                return Err(match lost {
                    Lost::Unclear | Lost::Partly => {
                        Fault::Over(unknown("the server did not stop when it was asked to"))
                    }
                    Lost::Nothing => Fault::Over(stop.into()),
                });
            }
            Waited::Done(Err(broken)) => broken,
        };
        // The server's clock and ours tell the same limit, not the same moment.
        let over = Instant::now() + 2 * SERVER_GRACE >= self.watch.deadline;
        if number(&broken) == Some(MAX_TIME_EXPIRED) && over {
            let over = if lost == Lost::Partly { unknown(IN_PART) } else { ExecutionError::TimedOut };
            return Err(Fault::Over(over));
        }
        Err(match broken.cause() {
            Cause::NotSent(error) => {
                // The client has a login that is good no more; the next one asks for another.
                self.killer.spoil();
                if self.sent { Fault::Failed(error) } else { Fault::Over(refused(&error.message)) }
            }
            Cause::Server(error) if lost == Lost::Partly => Fault::Partly(error),
            Cause::Server(error) => Fault::Failed(error),
            Cause::Sink(error) => Fault::Over(ExecutionError::Sink(error)),
            Cause::Gone(error) | Cause::Unread(error) if lost == Lost::Nothing => Fault::Failed(error),
            Cause::Gone(error) | Cause::Unread(error) => Fault::Over(unknown(error.message)),
        })
    }

    /// Ends what the session still has on the server. Whether nothing of it is at work there any more.
    pub(crate) async fn close(mut self) -> bool {
        self.abort().await;
        self.killer.is_quiet().await
    }

    /// Asks until nothing of the session is at work on the server any more.
    pub(crate) async fn make_quiet(&self) -> bool {
        self.killer.make_quiet().await
    }
}

fn was_not_sent<T>(waited: &Waited<Result<T, Broken>>) -> bool {
    matches!(waited, Waited::Done(Err(Broken::Driver(error))) if is_refused_login(error))
}

/// What it means when the server goes away in the middle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lost {
    /// Nothing can take effect any more.
    Nothing,
    /// It may have taken effect, as a whole.
    Unclear,
    /// It may have taken effect, as a whole or in part; what was done when it is stopped stays.
    Partly,
}

/// How it is told that something was stopped of which a part may stay.
const IN_PART: &str =
    "it was stopped in the middle and ran outside of a transaction, so it may have taken effect in part";

fn limit_batch(document: &mut Document) {
    // All that a limit lets through is read, in as many batches as that takes.
    if document.contains_key("limit") {
        document.remove("singleBatch");
    }
    let own = int(document.get("batchSize"));
    if own.is_none_or(|own| own > i64::from(BATCH)) {
        document.insert("batchSize", BATCH);
    }
}

/// The write errors of a reply are an error, too.
pub(crate) fn whole(reply: Document) -> Result<Document, Broken> {
    match write_errors(&reply) {
        Some(error) => Err(Broken::Write(Box::new(error))),
        None => Ok(reply),
    }
}
