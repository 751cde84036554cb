//! The fake executor passes the contract that real executors pass.

use std::sync::Arc;

use async_trait::async_trait;
use domain::execution::{Credentials, DatabaseError, ExecutionOrder};
use domain::ports::{ExecutionError, TargetExecutor};
use domain::target::{Engine, Limits};
use testkit::builders::{database, request, target};
use testkit::contract::{ExecutorHarness, Program};
use testkit::fakes::{FakeExecutor, Script};

struct FakeTarget {
    executor: Arc<FakeExecutor>,
}

async fn fresh_target() -> Arc<dyn ExecutorHarness> {
    Arc::new(FakeTarget { executor: Arc::new(FakeExecutor::new(Engine::Postgresql)) })
}

#[async_trait]
impl ExecutorHarness for FakeTarget {
    fn executor(&self) -> Arc<dyn TargetExecutor> {
        self.executor.clone()
    }

    fn order(&self, program: Program, limits: Limits) -> ExecutionOrder {
        self.executor.plays(match program {
            Program::ReadThreeRows => Script::rows(self.three_rows()),
            Program::ReadMany(rows) => Script::rows((1..=rows).map(|n| format!("[{n}]"))),
            Program::WriteOneRow => Script::default().writes(1),
            Program::WriteThenRead => Script::rows(self.three_rows()).writes(1),
            Program::WriteThenFail => {
                let error =
                    DatabaseError { message: "division by zero".to_owned(), ..DatabaseError::default() };
                Script::fails(ExecutionError::Database(error)).writes(1)
            }
            Program::WriteThenSleep(duration) => Script::default().writes(1).sleeps(duration),
            Program::WrongPassword => {
                Script::fails(ExecutionError::CredentialsRejected { source: "authentication failed".into() })
            }
            Program::Unreachable => {
                Script::fails(ExecutionError::Unavailable { source: "connection refused".into() })
            }
        });
        let request = request().unsaved();
        ExecutionOrder {
            request: request.id,
            target: target("orders-db").build(),
            database: database(),
            credentials: Credentials::new("portal", "not-for-your-eyes".into()),
            submission: request.submission,
            limits,
            read_only: false,
            extended_json: domain::request::ExtendedJson::default(),
        }
    }

    async fn written_rows(&self) -> u64 {
        self.executor.written_rows()
    }
}

testkit::executor_contract!(fresh_target);
