//! The deadline and the wish to cancel, which stand behind everything that an execution waits for.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ports::ExecutionError;

/// How long the server may take to stop once it was asked to.
const GRACE: Duration = Duration::from_secs(5);

/// How long to wait before asking again.
pub const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Why an execution stops before its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
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
#[derive(Debug)]
pub enum Waited<T> {
    Done(T),
    /// Stopped, and this is what came of the work nevertheless.
    Stopped(Stop, T),
    /// Stopped, and the server did not answer in time: only closing the connection is left.
    Silent(Stop),
}

/// What can be asked to stop, from beside what it does.
pub trait Stoppable {
    /// A request that comes just before the work does is lost, so it is repeated.
    fn ask_to_stop(&self) -> impl Future<Output = ()> + Send;
}

/// Watches over one execution.
#[derive(Debug)]
pub struct Watch {
    cancel: CancellationToken,
    pub deadline: Instant,
    stopping: Arc<AtomicBool>,
}

impl Watch {
    /// The limit on time begins now.
    pub fn new(cancel: CancellationToken, timeout: Duration) -> Self {
        Self { cancel, deadline: Instant::now() + timeout, stopping: Arc::default() }
    }

    /// Set once the execution stops: rows that still come are of no use to anybody.
    pub fn stopping(&self) -> Arc<AtomicBool> {
        self.stopping.clone()
    }

    /// Whether [`Self::over`] has begun to stop the work.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Whether the execution should stop now.
    pub fn now(&self) -> Option<Stop> {
        if self.cancel.is_cancelled() {
            Some(Stop::Cancelled)
        } else if Instant::now() >= self.deadline {
            Some(Stop::Deadline)
        } else {
            None
        }
    }

    /// Waits until the execution should stop.
    pub async fn stop(&self) -> Stop {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Stop::Cancelled,
            () = tokio::time::sleep_until(self.deadline) => Stop::Deadline,
        }
    }

    /// Waits for work on a session. When the execution has to stop, the server is asked to cancel, and then the
    /// work has a little time to end by itself.
    pub async fn over<T>(&self, session: &impl Stoppable, work: impl Future<Output = T>) -> Waited<T> {
        let mut work = pin!(work);
        let stop = tokio::select! {
            biased;
            stop = self.stop() => stop,
            done = &mut work => return Waited::Done(done),
        };
        self.stopping.store(true, Ordering::Relaxed);
        let ask = async {
            loop {
                session.ask_to_stop().await;
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
