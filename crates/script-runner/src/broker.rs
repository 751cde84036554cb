//! Stands between a script's process and its session: takes messages, makes calls, watches clock and memory.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use domain::execution::DatabaseError;
use domain::ports::{ExecutionError, ScriptConnection, ScriptLog, ScriptSession, SinkError};
use domain::script::{
    CONSOLE_BYTES, CallAnswer, CallError, CallKind, CallRecord, DatabaseCall, ScriptEnd, ScriptOrder,
    ScriptOutcome,
};
use futures_util::future::{BoxFuture, FutureExt as _, join};
use script_protocol::{CallFailure, FromWorker, LEAST_LINE, MAX_LINE, MAX_TO_WORKER, Run, Threw, ToWorker};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::journal::{Journal, journal};
use crate::pool::Lent;
use crate::process::{Death, Life, Process, Reader, Writer};
use crate::translate;
use crate::usage::{LOOK_EVERY, Usage};

/// What holds for every script.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) memory_bytes: u64,
    pub(crate) max_calls: u64,
}

/// Messages of a process that wait to be looked at.
const WAITING: usize = 16;

/// A call that the session has not answered yet, with the session.
type UnderWay = BoxFuture<'static, (Box<dyn ScriptSession>, Result<CallAnswer, CallError>)>;

/// Runs a script in a process that is ready for it.
pub(crate) async fn run(
    order: &ScriptOrder,
    limits: Limits,
    lent: Lent,
    connection: ScriptConnection,
    log: &mut (dyn ScriptLog + 'static),
    cancel: CancellationToken,
) -> ScriptEnd {
    let begun = Instant::now();
    let lost = CancellationToken::new();
    let (journal, scribe) = journal(lost.clone());
    let broker = Broker {
        limits,
        deadline: begun + order.limits.timeout,
        journal,
        failed: HashMap::new(),
        calls: 0,
        commits: 0,
        console: 0,
        console_dropped: 0,
        in_transaction: false,
        own_streams: 0,
        record: None,
        held_back: None,
        undone: false,
    };
    let (mut end, logged) = join(broker.run(order, lent, connection, cancel, lost), scribe.write(log)).await;
    end.duration = begun.elapsed();
    if let Err(error) = logged
        && !matches!(&end.outcome, ScriptOutcome::Ended(ExecutionError::OutcomeUnknown { .. }))
    {
        end.outcome = ScriptOutcome::Ended(ExecutionError::Sink(error));
    }
    end
}

struct Broker {
    limits: Limits,
    deadline: Instant,
    journal: Journal,
    /// The server's errors, by the number of the call.
    failed: HashMap<u64, DatabaseError>,
    calls: u64,
    commits: u64,
    console: usize,
    console_dropped: u64,
    in_transaction: bool,
    /// Streams outside of a transaction that are open: at most one, and it is a transaction of its own.
    own_streams: u32,
    record: Option<Pending>,
    /// An answer that waits until what it stands for is in the log.
    held_back: Option<HeldBack>,
    /// Something was open when the script ended, and was undone.
    undone: bool,
}

struct HeldBack {
    message: ToWorker,
    payload: Vec<u8>,
    written: BoxFuture<'static, ()>,
}

/// A call that goes into the log once it is answered.
struct Pending {
    number: u64,
    kind: Option<CallKind>,
    statement: Option<String>,
    /// Opens, reads or closes a stream that is a transaction of its own.
    own_stream: Option<StreamCall>,
    begun: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum StreamCall {
    Open,
    Fetch,
    Close,
}

/// What is heard of a process.
enum Heard {
    Message(FromWorker, Vec<u8>),
    /// What is no message of its.
    Nonsense(String),
    /// It has nothing more to say.
    End,
}

fn violation(what: impl Into<String>) -> ScriptOutcome {
    ScriptOutcome::Violation { what: what.into() }
}

impl Broker {
    async fn run(
        mut self,
        order: &ScriptOrder,
        mut lent: Lent,
        connection: ScriptConnection,
        cancel: CancellationToken,
        lost: CancellationToken,
    ) -> ScriptEnd {
        let ScriptConnection { session, stop } = connection;
        let Process { usage, reader, writer, life } = &mut lent.process;
        let mut state = Session { idle: Some(session), under_way: None };
        let start = Run { max_calls: self.limits.max_calls, console_bytes: CONSOLE_BYTES as u64 };
        let (answers, mut to_send) = mpsc::channel::<(ToWorker, Vec<u8>)>(1);
        let (said, mut heard) = mpsc::channel(WAITING);
        // Reading and writing go on beside the loop: neither side can hold up the clock.
        let listen = listen(reader, said);
        let speak = speak(writer, &mut to_send);
        let text = order.text.as_str().as_bytes().to_vec();
        let _ = answers.try_send((ToWorker::Run(start), text));
        let work = async {
            let mut look = tokio::time::interval(LOOK_EVERY);
            look.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let turn = tokio::select! {
                    biased;
                    () = cancel.cancelled() => Some(ScriptOutcome::Cancelled),
                    () = tokio::time::sleep_until(self.deadline.into()) => Some(ScriptOutcome::TimedOut),
                    // The reason is told by whoever could not write.
                    () = lost.cancelled() => {
                        Some(ScriptOutcome::Ended(ExecutionError::Sink(SinkError::LeaseLost)))
                    }
                    // Before the messages: who says a lot is looked at, too.
                    _ = look.tick() => self.look(usage.as_ref()),
                    answered = answered(&mut state.under_way) => self.on_answer(&mut state, answered, &answers),
                    () = written(&mut self.held_back) => self.release(&answers),
                    message = heard.recv() => {
                        self.on_message(message.unwrap_or(Heard::End), &mut state, life).await
                    }
                };
                if let Some(outcome) = turn {
                    break outcome;
                }
            }
        };
        let outcome = tokio::select! {
            outcome = work => outcome,
            () = beside(listen, speak) => violation("it closed its stream"),
        };
        let outcome = match &outcome {
            // It ends by itself; the value need not wait for that.
            ScriptOutcome::Returned(_) | ScriptOutcome::Threw(_) => {
                life.end();
                self.stop(outcome, state, &stop).await
            }
            _ => join(self.stop(outcome, state, &stop), life.end_now()).await.0,
        };
        let Self { calls, commits, undone, console_dropped, .. } = self;
        ScriptEnd { outcome, calls, commits, undone, console_dropped, duration: Duration::ZERO }
    }

    fn look(&self, usage: Option<&Usage>) -> Option<ScriptOutcome> {
        match usage.and_then(Usage::resident) {
            Some(bytes) if bytes > self.limits.memory_bytes => Some(self.out_of_memory()),
            Some(_) | None => None,
        }
    }

    fn out_of_memory(&self) -> ScriptOutcome {
        ScriptOutcome::OutOfMemory { limit_bytes: self.limits.memory_bytes }
    }

    async fn on_message(
        &mut self,
        heard: Heard,
        session: &mut Session,
        life: &mut Life,
    ) -> Option<ScriptOutcome> {
        let (message, payload) = match heard {
            Heard::Message(message, payload) => (message, payload),
            Heard::Nonsense(what) => return Some(violation(what)),
            Heard::End => {
                return Some(match life.how().await {
                    death @ (Death::Forbidden | Death::Silent) => violation(death.to_string()),
                    death => ScriptOutcome::Crashed { how: death.to_string() },
                });
            }
        };
        match message {
            FromWorker::Console { level } => self.on_console(translate::level(level), payload),
            FromWorker::ConsoleDropped { bytes } => {
                self.console_dropped = self.console_dropped.saturating_add(bytes);
                None
            }
            FromWorker::Call { number, call } => self.on_call(number, call, payload, session),
            FromWorker::Returned { .. } if session.under_way.is_some() => {
                Some(violation("it gave a value while a call was under way"))
            }
            FromWorker::Returned { shape } => Some(match translate::value(shape, payload) {
                Ok(value) => ScriptOutcome::Returned(value),
                Err(what) => violation(what),
            }),
            FromWorker::Threw(threw) => Some(self.on_threw(threw)),
            FromWorker::OutOfMemory => Some(self.out_of_memory()),
            FromWorker::Ready(_) | FromWorker::Snapshot { .. } | FromWorker::Checked(_) => {
                Some(violation("it said what a running script does not say"))
            }
        }
    }

    fn on_console(&mut self, level: domain::script::ConsoleLevel, payload: Vec<u8>) -> Option<ScriptOutcome> {
        self.console += payload.len().max(LEAST_LINE);
        if payload.len() > MAX_LINE || self.console > CONSOLE_BYTES + MAX_LINE {
            return Some(violation("it sent more console text than a script can"));
        }
        self.journal.console(level, String::from_utf8_lossy(&payload).into_owned());
        None
    }

    fn on_threw(&mut self, threw: Threw) -> ScriptOutcome {
        let database_error = threw.call.and_then(|call| self.failed.remove(&call));
        ScriptOutcome::Threw(translate::error(threw, database_error))
    }

    fn on_call(
        &mut self,
        number: u64,
        call: script_protocol::Call,
        statement: Vec<u8>,
        session: &mut Session,
    ) -> Option<ScriptOutcome> {
        let Some(idle) = session.idle.take() else {
            return Some(violation("it made a call before the one before it was answered"));
        };
        self.calls += 1;
        // The process counts, too, and tells the script.
        if number != self.calls || self.calls > self.limits.max_calls {
            session.idle = Some(idle);
            return Some(violation("it made more calls than a script can"));
        }
        let (call, kind) = match translate::call(call, statement) {
            Ok(call) => call,
            Err(what) => {
                session.idle = Some(idle);
                return Some(violation(what));
            }
        };
        let text = match &call {
            DatabaseCall::Query(statement) | DatabaseCall::Open(statement) => statement.text.as_str(),
            _ => "",
        };
        let own_stream = match &call {
            DatabaseCall::Open(statement) if !statement.in_transaction => Some(StreamCall::Open),
            DatabaseCall::Fetch { .. } if self.own_streams > 0 => Some(StreamCall::Fetch),
            DatabaseCall::Close { .. } if self.own_streams > 0 => Some(StreamCall::Close),
            _ => None,
        };
        self.record = Some(Pending {
            number,
            kind,
            statement: kind.and_then(|kind| self.journal.statement(kind, text)),
            own_stream,
            begun: Instant::now(),
        });
        let mut idle = idle;
        session.under_way = Some(
            async move {
                let answer = idle.call(call).await;
                (idle, answer)
            }
            .boxed(),
        );
        None
    }

    fn on_answer(
        &mut self,
        session: &mut Session,
        (idle, answer): (Box<dyn ScriptSession>, Result<CallAnswer, CallError>),
        answers: &mpsc::Sender<(ToWorker, Vec<u8>)>,
    ) -> Option<ScriptOutcome> {
        session.idle = Some(idle);
        session.under_way = None;
        let number = self.note(&answer);
        let committed = answer.as_ref().is_ok_and(|answer| answer.committed);
        let (message, payload) = match answer {
            Ok(answer) => {
                let (answer, rows) = translate::answer(number, answer);
                if rows.len() > MAX_TO_WORKER {
                    (failure(number, translate::too_large(rows.len())), vec![])
                } else {
                    (ToWorker::Answer(answer), rows)
                }
            }
            Err(CallError::Ended(error)) => return Some(ended(error)),
            Err(CallError::Refused(refusal)) => (failure(number, translate::refused(&refusal)), vec![]),
            Err(CallError::Database(error)) => {
                let message = failure(number, translate::database(&error));
                self.failed.insert(number, error);
                (message, vec![])
            }
        };
        if committed {
            // What cannot be taken back is on the record before anything else happens.
            let written = self.journal.written();
            self.held_back = Some(HeldBack { message, payload, written });
            return None;
        }
        send(answers, message, payload)
    }

    /// The answer that was held back may go.
    fn release(&mut self, answers: &mpsc::Sender<(ToWorker, Vec<u8>)>) -> Option<ScriptOutcome> {
        let HeldBack { message, payload, .. } = self.held_back.take()?;
        send(answers, message, payload)
    }

    /// Writes down what became of the call that was under way, and returns its number.
    fn note(&mut self, answer: &Result<CallAnswer, CallError>) -> u64 {
        let Some(pending) = self.record.take() else { return 0 };
        let Pending { number, kind, statement, own_stream, begun } = pending;
        let committed = answer.as_ref().is_ok_and(|answer| answer.committed);
        self.commits += u64::from(committed);
        match (kind, answer) {
            (Some(CallKind::Begin), Ok(_)) => self.in_transaction = true,
            // A server's error at the commit has undone the transaction; a refusal has not.
            (Some(CallKind::Commit | CallKind::Rollback), Ok(_))
            | (Some(CallKind::Commit), Err(CallError::Database(_))) => self.in_transaction = false,
            _ => {}
        }
        let done = answer.as_ref().is_ok_and(|answer| answer.done);
        let failed = matches!(answer, Err(CallError::Database(_)));
        // The end of a stream outside of a transaction is the end of a transaction.
        let end = match own_stream {
            Some(StreamCall::Open) if answer.is_ok() => {
                self.own_streams = 1;
                None
            }
            Some(StreamCall::Fetch) if done || failed => Some(CallKind::Commit),
            Some(StreamCall::Close) if answer.is_ok() || failed => Some(CallKind::Commit),
            Some(StreamCall::Open | StreamCall::Fetch | StreamCall::Close) | None => None,
        };
        if end.is_some() {
            self.own_streams = 0;
        }
        if let Some(kind) = kind.or(end.filter(|_| committed || failed)) {
            let error = match answer {
                Ok(_) => None,
                Err(CallError::Refused(refusal)) => Some(refusal.code.clone()),
                Err(CallError::Database(error)) => Some(error.code.clone()),
                Err(CallError::Ended(ExecutionError::TimedOut)) => Some("timed_out".to_owned()),
                Err(CallError::Ended(ExecutionError::Cancelled)) => Some("cancelled".to_owned()),
                Err(CallError::Ended(_)) => Some("session_ended".to_owned()),
            };
            let affected = answer.as_ref().ok().and_then(|answer| answer.affected);
            let duration = begun.elapsed();
            self.journal.call(CallRecord { number, kind, statement, affected, error, duration });
        }
        number
    }

    /// Stops a call that is under way, waits until it is certain what became of it, and ends the session.
    async fn stop(
        &mut self,
        outcome: ScriptOutcome,
        session: Session,
        stop: &CancellationToken,
    ) -> ScriptOutcome {
        stop.cancel();
        let Session { idle, under_way } = session;
        let mut outcome = outcome;
        let idle = match under_way {
            None => idle,
            Some(call) => {
                let (session, answer) = call.await;
                self.note(&answer);
                if let Err(CallError::Ended(error @ ExecutionError::OutcomeUnknown { .. })) = answer {
                    outcome = ScriptOutcome::Ended(error);
                }
                Some(session)
            }
        };
        if self.in_transaction || self.own_streams > 0 {
            self.undone = true;
            let number = self.calls + 1;
            let kind = CallKind::Rollback;
            let duration = Duration::ZERO;
            self.journal.call(CallRecord {
                number,
                kind,
                statement: None,
                affected: None,
                error: None,
                duration,
            });
        }
        let Some(session) = idle else { return outcome };
        match session.close().await {
            Ok(()) => outcome,
            Err(error @ ExecutionError::OutcomeUnknown { .. }) => ScriptOutcome::Ended(error),
            // Somebody who stopped a script has to know when it may still be at work.
            Err(error) => match outcome {
                ScriptOutcome::TimedOut | ScriptOutcome::Cancelled => ScriptOutcome::Ended(error),
                _ => outcome,
            },
        }
    }
}

/// The session, or the call that has it.
struct Session {
    idle: Option<Box<dyn ScriptSession>>,
    under_way: Option<UnderWay>,
}

fn failure(call: u64, failure: CallFailure) -> ToWorker {
    ToWorker::Failed { call, failure }
}

/// A session ends for the reasons of the script's own end, too.
fn ended(error: ExecutionError) -> ScriptOutcome {
    match error {
        ExecutionError::TimedOut => ScriptOutcome::TimedOut,
        ExecutionError::Cancelled => ScriptOutcome::Cancelled,
        other => ScriptOutcome::Ended(other),
    }
}

/// There is room: one call is under way at a time.
fn send(
    answers: &mpsc::Sender<(ToWorker, Vec<u8>)>,
    message: ToWorker,
    payload: Vec<u8>,
) -> Option<ScriptOutcome> {
    let sent = answers.try_send((message, payload));
    sent.is_err().then(|| violation("it does not take the answer to its call"))
}

async fn written(held_back: &mut Option<HeldBack>) {
    match held_back {
        Some(held_back) => (&mut held_back.written).await,
        None => std::future::pending().await,
    }
}

async fn answered(
    under_way: &mut Option<UnderWay>,
) -> (Box<dyn ScriptSession>, Result<CallAnswer, CallError>) {
    match under_way {
        Some(call) => call.await,
        None => std::future::pending().await,
    }
}

/// Hands on what the process says; what is no message of its ends that.
async fn listen(reader: &mut Reader, said: mpsc::Sender<Heard>) {
    loop {
        let heard = match reader.next().await {
            Ok(Some((message, payload))) => Heard::Message(message, payload),
            Ok(None) => Heard::End,
            Err(error) => Heard::Nonsense(format!("it sent what is no message: {error}")),
        };
        let last = !matches!(heard, Heard::Message(..));
        if said.send(heard).await.is_err() || last {
            return;
        }
    }
}

/// Sends what is to be sent. A process that is gone is noticed by who listens.
async fn speak(writer: &mut Writer, to_send: &mut mpsc::Receiver<(ToWorker, Vec<u8>)>) {
    while let Some((message, payload)) = to_send.recv().await {
        if writer.send(&message, &payload).await.is_err() {
            return;
        }
    }
}

/// Both directions, for as long as anybody needs them.
async fn beside(listen: impl Future<Output = ()>, speak: impl Future<Output = ()>) {
    join(listen, speak).await;
    std::future::pending::<()>().await;
}
