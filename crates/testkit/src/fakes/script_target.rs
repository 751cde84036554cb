//! Sessions of scripts that answer what they were told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::execution::ExecutionOrder;
use domain::ports::{ExecutionError, ScriptSession, ScriptTarget};
use domain::script::{CallAnswer, CallError, DatabaseCall};
use domain::target::Engine;
use tokio_util::sync::CancellationToken;

use super::lock;

/// What sessions were told and have to say.
#[derive(Debug, Default)]
struct Sessions {
    calls: Vec<DatabaseCall>,
    answers: VecDeque<Result<CallAnswer, CallError>>,
    end: Option<ExecutionError>,
    open: usize,
}

/// Opens sessions that answer what they were told, and nothing in particular otherwise.
#[derive(Debug)]
pub struct FakeScriptTarget {
    engine: Engine,
    orders: Mutex<Vec<ExecutionOrder>>,
    failures: Mutex<VecDeque<ExecutionError>>,
    sessions: Arc<Mutex<Sessions>>,
}

impl FakeScriptTarget {
    pub fn new(engine: Engine) -> Self {
        Self { engine, orders: Mutex::default(), failures: Mutex::default(), sessions: Arc::default() }
    }

    /// Makes the next session not open.
    pub fn fails(&self, error: ExecutionError) {
        lock(&self.failures).push_back(error);
    }

    /// Answers the next call that has no answer yet.
    pub fn answers(&self, answer: Result<CallAnswer, CallError>) {
        lock(&self.sessions).answers.push_back(answer);
    }

    /// Makes the next session close with an error.
    pub fn closes_with(&self, error: ExecutionError) {
        lock(&self.sessions).end = Some(error);
    }

    /// What sessions were opened for, oldest first.
    pub fn orders(&self) -> Vec<ExecutionOrder> {
        lock(&self.orders).clone()
    }

    /// What was called, oldest first.
    pub fn calls(&self) -> Vec<DatabaseCall> {
        lock(&self.sessions).calls.clone()
    }

    /// Sessions that are open now.
    pub fn open_sessions(&self) -> usize {
        lock(&self.sessions).open
    }
}

impl Default for FakeScriptTarget {
    fn default() -> Self {
        Self::new(Engine::Postgresql)
    }
}

#[async_trait]
impl ScriptTarget for FakeScriptTarget {
    fn engine(&self) -> Engine {
        self.engine
    }

    async fn open(
        &self,
        order: &ExecutionOrder,
        stop: CancellationToken,
    ) -> Result<Box<dyn ScriptSession>, ExecutionError> {
        lock(&self.orders).push(order.clone());
        if let Some(error) = lock(&self.failures).pop_front() {
            return Err(error);
        }
        lock(&self.sessions).open += 1;
        Ok(Box::new(FakeScriptSession { sessions: Arc::clone(&self.sessions), stop }))
    }
}

struct FakeScriptSession {
    sessions: Arc<Mutex<Sessions>>,
    stop: CancellationToken,
}

#[async_trait]
impl ScriptSession for FakeScriptSession {
    async fn call(&mut self, call: DatabaseCall) -> Result<CallAnswer, CallError> {
        if self.stop.is_cancelled() {
            return Err(CallError::Ended(ExecutionError::Cancelled));
        }
        let mut sessions = lock(&self.sessions);
        sessions.calls.push(call);
        match sessions.answers.pop_front() {
            Some(answer) => answer,
            None => Ok(CallAnswer::default()),
        }
    }

    async fn close(self: Box<Self>) -> Result<(), ExecutionError> {
        match lock(&self.sessions).end.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

impl Drop for FakeScriptSession {
    fn drop(&mut self) {
        lock(&self.sessions).open -= 1;
    }
}
