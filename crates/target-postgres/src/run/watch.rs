//! The deadline and the wish to cancel, which stand behind everything that an execution waits for.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::ports::ExecutionError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::connect::Session;

/// How long the server may take to answer a cancel request.
const GRACE: Duration = Duration::from_secs(5);

pub(super) const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Why an execution stops before its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    Deadline,
    Cancelled,
}

impl From<Stop> for ExecutionError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Deadline => Self::TimedOut,
            Stop::Cancelled => Self::Cancelled,
        }
    }
}

/// How a wait ended.
pub(crate) enum Waited<T> {
    Done(T),
    /// Stopped, and this is what came of the work nevertheless.
    Stopped(Stop, T),
    /// Stopped, and the server did not answer in time: only closing the connection is left.
    Silent(Stop),
}

/// Watches over one execution.
pub(crate) struct Watch {
    cancel: CancellationToken,
    pub(super) deadline: Instant,
    stopping: Arc<AtomicBool>,
}

impl Watch {
    pub(super) fn new(cancel: CancellationToken, timeout: Duration) -> Self {
        Self { cancel, deadline: Instant::now() + timeout, stopping: Arc::default() }
    }

    /// Set once the execution stops: rows that still come are of no use to anybody.
    pub(super) fn stopping(&self) -> Arc<AtomicBool> {
        self.stopping.clone()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Whether the execution should stop now.
    pub(crate) fn now(&self) -> Option<Stop> {
        if self.cancel.is_cancelled() {
            Some(Stop::Cancelled)
        } else if Instant::now() >= self.deadline {
            Some(Stop::Deadline)
        } else {
            None
        }
    }

    /// Waits until the execution should stop.
    pub(crate) async fn stop(&self) -> Stop {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Stop::Cancelled,
            () = tokio::time::sleep_until(self.deadline) => Stop::Deadline,
        }
    }

    /// Waits for work on a session. When the execution has to stop, the server is asked to cancel, and then the
    /// work has a little time to end by itself.
    pub(crate) async fn over<T>(&self, session: &Session, work: impl Future<Output = T>) -> Waited<T> {
        let mut work = pin!(work);
        let stop = tokio::select! {
            biased;
            stop = self.stop() => stop,
            done = &mut work => return Waited::Done(done),
        };
        self.stopping.store(true, Ordering::Relaxed);
        let ask = async {
            loop {
                // A request that comes just before the statement does is lost, so it is repeated.
                session.cancel().await;
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };
        tokio::select! {
            done = &mut work => Waited::Stopped(stop, done),
            () = ask => Waited::Silent(stop),
            () = tokio::time::sleep(GRACE) => Waited::Silent(stop),
        }
    }
}
