//! The rules that every executor and every reviewer keeps.

use std::sync::Arc;

use async_trait::async_trait;
use domain::execution::ExecutionOrder;
use domain::ports::{ScriptTarget, SubmissionReviewer, TargetExecutor};
use domain::request::{Submission, SubmissionKind};
use domain::target::Limits;
use domain::text::SubmissionText;
use target_postgres::{PostgresExecutor, PostgresReviewer};
use testkit::contract::{
    ExecutorHarness, Program, ReviewerHarness, Sample, ScriptSample, ScriptSessionHarness,
};

use super::harness::{Db, remove};

/// A database with a table that the programs write to.
struct Target {
    db: Db,
    executor: Arc<PostgresExecutor>,
    closed_port: u16,
}

async fn fresh_target() -> Arc<dyn ExecutorHarness> {
    Arc::new(a_target().await)
}

async fn script_target() -> Arc<dyn ScriptSessionHarness> {
    Arc::new(a_target().await)
}

async fn a_target() -> Target {
    let db = Db::new().await;
    db.run("CREATE TABLE written (id int)").await.report();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed_port = listener.local_addr().unwrap().port();
    Target { db, executor: Arc::default(), closed_port }
}

impl Drop for Target {
    fn drop(&mut self) {
        let (name, role) = (self.db.name.clone(), self.db.role.clone());
        // A thread of its own, since a runtime cannot be started inside of the test's.
        let removing = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(remove(&name, &role));
        });
        // A database that stays is no failure of the test: the server itself goes at the end of the run.
        let _ = removing.join();
    }
}

#[async_trait]
impl ExecutorHarness for Target {
    fn executor(&self) -> Arc<dyn TargetExecutor> {
        self.executor.clone()
    }

    fn order(&self, program: Program, limits: Limits) -> ExecutionOrder {
        const WRITE: &str = "INSERT INTO written VALUES (1)";
        let read = |rows: u64| format!("SELECT generate_series(1, {rows})");
        let sql = match program {
            Program::ReadThreeRows | Program::WrongPassword | Program::Unreachable => read(3),
            Program::ReadMany(rows) => read(rows),
            Program::WriteOneRow => WRITE.to_owned(),
            Program::WriteThenRead => format!("{WRITE}; {}", read(3)),
            Program::WriteThenFail => format!("{WRITE}; SELECT 1 / 0"),
            Program::WriteThenSleep(time) => format!("{WRITE}; SELECT pg_sleep({})", time.as_secs_f64()),
        };
        let mut order = ExecutionOrder { limits, ..self.db.order(&sql) };
        if program == Program::WrongPassword {
            order.credentials.password = "not-for-your-eyes".into();
        }
        if program == Program::Unreachable {
            order.target.port = self.closed_port;
        }
        order
    }

    async fn written_rows(&self) -> u64 {
        u64::try_from(self.db.count("SELECT count(*) FROM written").await).unwrap()
    }
}

testkit::executor_contract!(fresh_target);

#[async_trait]
impl ScriptSessionHarness for Target {
    fn target(&self) -> Arc<dyn ScriptTarget> {
        self.executor.clone()
    }

    fn order(&self, limits: Limits, read_only: bool) -> ExecutionOrder {
        ExecutionOrder { limits, read_only, ..self.db.order("-") }
    }

    fn text(&self, sample: ScriptSample) -> String {
        match sample {
            ScriptSample::Read(rows) => format!("SELECT generate_series(1, {rows})"),
            ScriptSample::Write => "INSERT INTO written VALUES (1)".to_owned(),
            ScriptSample::WriteThenFail => {
                "INSERT INTO written SELECT 1 / (2 - n) FROM generate_series(1, 2) n".to_owned()
            }
            ScriptSample::SleepThenWrite(time) => {
                format!("INSERT INTO written SELECT 1 FROM pg_sleep({})", time.as_secs_f64())
            }
            ScriptSample::Forbidden => "COMMIT".to_owned(),
        }
    }

    async fn written_rows(&self) -> u64 {
        ExecutorHarness::written_rows(self).await
    }

    async fn busy_sessions(&self) -> u64 {
        // Sessions that are kept ready for the next execution have no request in their name.
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND state <> 'idle'
            AND application_name LIKE 'query-portal/%'";
        u64::try_from(self.db.count(&sql.replace("{}", &self.db.role)).await).unwrap()
    }
}

testkit::script_session_contract!(script_target);

struct Sql;

async fn sql() -> Arc<dyn ReviewerHarness> {
    Arc::new(Sql)
}

impl ReviewerHarness for Sql {
    fn reviewer(&self) -> Arc<dyn SubmissionReviewer> {
        Arc::new(PostgresReviewer::new())
    }

    fn submission(&self, sample: Sample) -> Submission {
        let sql = match sample {
            Sample::Reads => "SELECT id, 'it''s; -- é' FROM orders /* all */ WHERE note = $$a;b$$",
            Sample::Writes => "UPDATE orders SET note = 'x' WHERE id = 1",
            Sample::Administers => "CREATE TABLE orders (id bigint PRIMARY KEY, note text)",
            Sample::Refused => "SELECT 1;\nCOMMIT;\nSELECT 2",
        };
        let text = SubmissionText::parse(sql).unwrap();
        Submission { kind: SubmissionKind::Query, text, filename: None, compiled: vec![] }
    }
}

testkit::reviewer_contract!(sql);
