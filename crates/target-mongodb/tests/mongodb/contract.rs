//! The rules that every executor, every session of a script and every reviewer keeps.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bson::doc;
use domain::execution::ExecutionOrder;
use domain::ports::{ScriptTarget, SubmissionReviewer, TargetExecutor};
use domain::request::{Submission, SubmissionKind};
use domain::target::Limits;
use domain::text::SubmissionText;
use target_mongodb::MongoReviewer;
use testkit::contract::{
    ExecutorHarness, Program, ReviewerHarness, Sample, ScriptSample, ScriptSessionHarness,
};

use super::harness::Db;

const WRITE: &str = r#"{"insert": "written", "documents": [{"w": true}]}"#;

/// A database with a collection that the programs write to, and one document that waits to be written.
struct Place {
    db: Db,
    closed_port: u16,
}

async fn place() -> Place {
    let mut db = Db::new().await;
    // The server's own JavaScript is the one way to keep it busy.
    db.target.admits.server_javascript = true;
    db.insert("written", vec![doc! { "_id": "waits" }]).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed_port = listener.local_addr().unwrap().port();
    Place { db, closed_port }
}

async fn fresh_target() -> Arc<dyn ExecutorHarness> {
    Arc::new(place().await)
}

async fn script_target() -> Arc<dyn ScriptSessionHarness> {
    Arc::new(place().await)
}

fn read(rows: u64) -> String {
    format!(
        r#"{{"aggregate": 1, "pipeline": [
            {{"$documents": {{"$map": {{"input": {{"$range": [1, {}]}}, "in": {{"n": "$$this"}}}}}}}}
        ], "cursor": {{}}}}"#,
        rows + 1
    )
}

fn sleep(time: Duration) -> String {
    format!(r#"{{"_id": "waits", "$where": "sleep({}) || true"}}"#, time.as_millis())
}

async fn written(db: &Db) -> u64 {
    let count =
        db.database().collection::<bson::Document>("written").count_documents(doc! { "w": true }).await;
    count.unwrap()
}

#[async_trait]
impl ExecutorHarness for Place {
    fn executor(&self) -> Arc<dyn TargetExecutor> {
        self.db.executor.clone()
    }

    fn order(&self, program: Program, limits: Limits) -> ExecutionOrder {
        let duplicate = r#"{"insert": "written", "documents": [{"_id": "waits"}]}"#;
        let commands = match program {
            Program::ReadThreeRows | Program::WrongPassword | Program::Unreachable => vec![read(3)],
            Program::ReadMany(rows) => vec![read(rows)],
            Program::WriteOneRow => vec![WRITE.to_owned()],
            Program::WriteThenRead => vec![WRITE.to_owned(), three()],
            Program::WriteThenFail => vec![WRITE.to_owned(), duplicate.to_owned()],
            Program::WriteThenSleep(time) => {
                vec![WRITE.to_owned(), format!(r#"{{"find": "written", "filter": {}}}"#, sleep(time))]
            }
        };
        let text = SubmissionText::parse(format!("[{}]", commands.join(","))).unwrap();
        let mut order = ExecutionOrder { limits, ..self.db.order_of(text, commands) };
        if program == Program::WrongPassword {
            order.credentials.password = "not-for-your-eyes".into();
        }
        if program == Program::Unreachable {
            order.target.port = self.closed_port;
        }
        order
    }

    async fn written_rows(&self) -> u64 {
        written(&self.db).await
    }

    fn three_rows(&self) -> [String; 3] {
        [1, 2, 3].map(|n| format!(r#"[{{"n":{n}}}]"#))
    }
}

/// The three rows from a collection: a transaction takes no pipeline without one.
fn three() -> String {
    r#"{"aggregate": "written", "pipeline": [
        {"$limit": 1}, {"$project": {"_id": 0, "n": {"$range": [1, 4]}}}, {"$unwind": "$n"}
    ], "cursor": {}}"#
        .to_owned()
}

testkit::executor_contract!(fresh_target);

#[async_trait]
impl ScriptSessionHarness for Place {
    fn target(&self) -> Arc<dyn ScriptTarget> {
        self.db.executor.clone()
    }

    fn order(&self, limits: Limits, read_only: bool) -> ExecutionOrder {
        let order = self.db.order_of(SubmissionText::parse("-").unwrap(), vec![]);
        ExecutionOrder { limits, read_only, ..order }
    }

    fn row(&self, n: u32) -> String {
        format!(r#"[{{"n":{{"$numberInt":"{n}"}}}}]"#)
    }

    fn text(&self, sample: ScriptSample) -> String {
        match sample {
            ScriptSample::Read(rows) => format!(
                r#"{{"aggregate": "written", "pipeline": [
                    {{"$limit": 1}}, {{"$project": {{"_id": 0, "n": {{"$range": [1, {}]}}}}}}, {{"$unwind": "$n"}}
                ], "cursor": {{}}}}"#,
                rows + 1
            ),
            ScriptSample::Write => WRITE.to_owned(),
            ScriptSample::WriteThenFail => {
                r#"{"insert": "written", "documents": [{"w": true}, {"_id": "waits"}]}"#.to_owned()
            }
            ScriptSample::SleepThenWrite(time) => format!(
                r#"{{"update": "written", "updates": [{{"q": {}, "u": {{"$set": {{"w": true}}}}}}]}}"#,
                sleep(time)
            ),
            ScriptSample::Forbidden => r#"{"createUser": "me", "pwd": "x", "roles": []}"#.to_owned(),
        }
    }

    async fn written_rows(&self) -> u64 {
        written(&self.db).await
    }

    async fn busy_sessions(&self) -> u64 {
        self.db.operations().await.len() as u64
    }
}

testkit::script_session_contract!(script_target);

struct Commands;

async fn commands() -> Arc<dyn ReviewerHarness> {
    Arc::new(Commands)
}

impl ReviewerHarness for Commands {
    fn reviewer(&self) -> Arc<dyn SubmissionReviewer> {
        Arc::new(MongoReviewer::new(None))
    }

    fn submission(&self, sample: Sample) -> Submission {
        let text = match sample {
            Sample::Reads => r#"{"find": "users", "filter": {"age": {"$gt": 30}, "é": "it's"}, "limit": 5}"#,
            Sample::Writes => {
                r#"{"update": "users", "updates": [{"q": {"_id": 1}, "u": {"$set": {"name": "x"}}}]}"#
            }
            Sample::Administers => {
                r#"{"createIndexes": "users", "indexes": [{"key": {"age": 1}, "name": "age_1"}]}"#
            }
            Sample::Refused => {
                r#"[{"find": "users"}, {"getMore": {"$numberLong": "1"}, "collection": "users"}]"#
            }
        };
        let text = SubmissionText::parse(text).unwrap();
        Submission { kind: SubmissionKind::Query, text, filename: None, compiled: vec![] }
    }
}

testkit::reviewer_contract!(commands);
