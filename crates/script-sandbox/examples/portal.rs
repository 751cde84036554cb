//! A process that runs a script without end, to be killed in the middle of it. Its argument is the program of a script
//! process.

use std::path::PathBuf;

use async_trait::async_trait;
use domain::ids::RequestId;
use domain::ports::{
    ExecutionError, ScriptConnection, ScriptLog, ScriptRunner as _, ScriptSession, SinkError,
};
use domain::script::{CallAnswer, CallError, DatabaseCall, LogEntry, ScriptOrder};
use domain::target::{Engine, Limits};
use domain::text::{DatabaseName, SubmissionText};
use script_runner::{ProcessScriptRunner, ScriptSettings};
use tokio_util::sync::CancellationToken;

struct Nothing;

#[async_trait]
impl ScriptSession for Nothing {
    async fn call(&mut self, _: DatabaseCall) -> Result<CallAnswer, CallError> {
        Ok(CallAnswer::default())
    }

    async fn close(self: Box<Self>) -> Result<(), ExecutionError> {
        Ok(())
    }
}

#[async_trait]
impl ScriptLog for Nothing {
    async fn write(&mut self, _: Vec<LogEntry>) -> Result<(), SinkError> {
        Ok(())
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let program = std::env::args_os().nth(1).map(PathBuf::from).expect("the program is given");
    let runner = ProcessScriptRunner::start(ScriptSettings::new(program, vec![])).expect("a thread starts");
    let order = ScriptOrder {
        request: RequestId::from_uuid(uuid::Uuid::from_u128(1)),
        engine: Engine::Postgresql,
        database: DatabaseName::parse("app").expect("a name"),
        text: SubmissionText::parse("for (;;) {}").expect("a text"),
        limits: Limits::default(),
        read_only: true,
    };
    let stop = CancellationToken::new();
    let connection = ScriptConnection { session: Box::new(Nothing), stop };
    runner
        .run(&order, Box::pin(std::future::ready(Ok(connection))), &mut Nothing, CancellationToken::new())
        .await;
}
