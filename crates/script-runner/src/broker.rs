//! Stands between a script's process and its session: takes messages, makes calls, watches clock and memory.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use domain::execution::DatabaseError;
use domain::ports::{ExecutionError, ScriptConnection, ScriptLog, ScriptSession, SinkError};
use domain::script::{CONSOLE_BYTES, CallAnswer, CallError, ScriptEnd, ScriptOrder, ScriptOutcome};
use futures_util::future::{BoxFuture, FutureExt as _, join};
use script_protocol::{CallFailure, FromWorker, LEAST_LINE, MAX_LINE, MAX_TO_WORKER, Run, Threw, ToWorker};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::account::{Account, stays};
use crate::journal::journal;
use crate::pool::Lent;
use crate::process::{Death, Life, Process};
use crate::talk::{Heard, beside, listen, speak};
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
        account: Account::new(journal),
        failed: HashMap::new(),
        console: 0,
        console_dropped: 0,
        held_back: None,
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
    account: Account,
    /// The server's errors, by the number of the call.
    failed: HashMap<u64, DatabaseError>,
    console: usize,
    console_dropped: u64,
    /// An answer that waits until what it stands for is in the log.
    held_back: Option<HeldBack>,
}

struct HeldBack {
    message: ToWorker,
    payload: Vec<u8>,
    written: BoxFuture<'static, ()>,
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
        let start = Run {
            engine: translate::engine(order.engine),
            database: order.database.as_str().to_owned(),
            max_calls: self.limits.max_calls,
            console_bytes: CONSOLE_BYTES as u64,
        };
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
        let undone = self.account.undo();
        let (calls, commits, console_dropped) =
            (self.account.calls(), self.account.commits(), self.console_dropped);
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
            FromWorker::Ready(_)
            | FromWorker::Snapshot { .. }
            | FromWorker::Checked(_)
            | FromWorker::Compiled(_) => Some(violation("it said what a running script does not say")),
        }
    }

    fn on_console(&mut self, level: domain::script::ConsoleLevel, payload: Vec<u8>) -> Option<ScriptOutcome> {
        self.console += payload.len().max(LEAST_LINE);
        if payload.len() > MAX_LINE || self.console > CONSOLE_BYTES + MAX_LINE {
            return Some(violation("it sent more console text than a script can"));
        }
        self.account.journal.console(level, String::from_utf8_lossy(&payload).into_owned());
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
        if session.under_way.is_some() || self.held_back.is_some() {
            return Some(violation("it made a call before the one before it was answered"));
        }
        // The process counts, too, and tells the script.
        if !self.account.next(number, self.limits.max_calls) {
            return Some(violation("it made more calls than a script can"));
        }
        let (call, kind) = match translate::call(call, statement) {
            Ok(call) => call,
            Err(what) => return Some(violation(what)),
        };
        let mut idle = session.idle.take()?;
        self.account.begin(&call, kind);
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
        let number = self.account.end(&answer);
        let committed = stays(&answer);
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
            Err(CallError::Database(error) | CallError::Partly(error)) => {
                let message = failure(number, translate::database(&error));
                self.failed.insert(number, error);
                (message, vec![])
            }
        };
        if committed {
            // What cannot be taken back is on the record before anything else happens.
            let written = self.account.journal.written();
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
                self.account.end(&answer);
                if let Err(CallError::Ended(error @ ExecutionError::OutcomeUnknown { .. })) = answer {
                    outcome = ScriptOutcome::Ended(error);
                }
                Some(session)
            }
        };
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
