//! A database with a user that has no more rights than a target's should, orders against it, and its results.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bson::{Document, RawDocumentBuf, doc};
use dev_stack::{EphemeralMongo, MongoTls, test_mongo};
use domain::execution::{Credentials, DatabaseError, ExecutionOrder, ExecutionReport};
use domain::ids::{InstanceId, RequestId};
use domain::ports::{ExecutionError, SubmissionReviewer as _, TargetExecutor as _};
use domain::request::{ExtendedJson, Submission, SubmissionKind};
use domain::target::{
    Admits, CredentialRef, CredentialSourceKind, Engine, Limits, SlackResults, Target, TlsMode,
};
use domain::text::{DatabaseName, DisplayName, SubmissionText};
use mongodb::Client;
use secrecy::SecretString;
use target_mongodb::{MongoExecutor, MongoReviewer};
use testkit::fakes::CollectingSink;
use tokio_util::sync::CancellationToken;

pub(crate) const PASSWORD: &str = "correct-horse-battery";

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) result: Result<ExecutionReport, ExecutionError>,
    pub(crate) lines: Vec<String>,
}

impl Outcome {
    pub(crate) fn report(&self) -> &ExecutionReport {
        self.result.as_ref().unwrap_or_else(|error| panic!("{error:?}"))
    }

    pub(crate) fn error(&self) -> &ExecutionError {
        self.result.as_ref().expect_err("the execution succeeded")
    }

    pub(crate) fn database_error(&self) -> &DatabaseError {
        match self.error() {
            ExecutionError::Database(error) => error,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn refusal(&self) -> &str {
        match self.error() {
            ExecutionError::Refused(refusal) => &refusal.code,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) struct Db {
    pub(crate) admin: Client,
    /// As the portal's user: what it sees is that user's alone.
    watcher: Client,
    pub(crate) name: String,
    pub(crate) target: Target,
    pub(crate) executor: Arc<MongoExecutor>,
}

fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    format!("t{}_{}_{now}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Db {
    pub(crate) async fn new() -> Self {
        Self::on(test_mongo().url(), test_mongo().port()).await
    }

    /// On a server that this test alone uses.
    pub(crate) async fn own() -> (Self, EphemeralMongo) {
        Self::own_with(None).await
    }

    pub(crate) async fn own_with(tls: Option<&MongoTls>) -> (Self, EphemeralMongo) {
        let server = EphemeralMongo::start_with(&[], tls).unwrap();
        (Self::on(&server.url(), server.port()).await, server)
    }

    /// On a server of the test's own.
    pub(crate) async fn on(url: &str, port: u16) -> Self {
        let admin = Client::with_uri_str(url).await.unwrap();
        let name = unique();
        let mut options = mongodb::options::ClientOptions::parse(url).await.unwrap();
        let credential = options.credential.as_mut().unwrap();
        (credential.username, credential.password) = (Some(format!("u{name}")), Some(PASSWORD.to_owned()));
        let watcher = Client::with_options(options).unwrap();
        let db = Self { admin, watcher, target: target(port), name, executor: Arc::default() };
        let roles =
            vec![doc! { "role": "readWrite", "db": &db.name }, doc! { "role": "dbAdmin", "db": &db.name }];
        db.user(&db.user_name(), roles).await;
        db
    }

    pub(crate) fn user_name(&self) -> String {
        format!("u{}", self.name)
    }

    pub(crate) async fn user(&self, name: &str, roles: Vec<Document>) {
        let create = doc! { "createUser": name, "pwd": PASSWORD, "roles": roles };
        self.admin.database("admin").run_command(create).await.unwrap();
    }

    pub(crate) fn database(&self) -> mongodb::Database {
        self.admin.database(&self.name)
    }

    pub(crate) async fn count(&self, collection: &str) -> u64 {
        self.database().collection::<Document>(collection).count_documents(doc! {}).await.unwrap()
    }

    pub(crate) async fn insert(&self, collection: &str, documents: Vec<Document>) {
        self.database().collection(collection).insert_many(documents).await.unwrap();
    }

    /// An order for Extended JSON, compiled as at its submission.
    pub(crate) async fn order(&self, text: &str) -> ExecutionOrder {
        let text = SubmissionText::parse(text).unwrap();
        let compiled = MongoReviewer::new(None).compile(&text, None).await.unwrap();
        self.order_of(text, compiled)
    }

    pub(crate) fn order_of(&self, text: SubmissionText, compiled: Vec<String>) -> ExecutionOrder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = u128::from(COUNT.fetch_add(1, Ordering::Relaxed));
        ExecutionOrder {
            request: RequestId::from_uuid(uuid::Uuid::from_u128(number)),
            target: self.target.clone(),
            database: DatabaseName::parse(&self.name).unwrap(),
            credentials: Credentials::new(self.user_name(), SecretString::from(PASSWORD)),
            submission: Submission { kind: SubmissionKind::Query, text, filename: None, compiled },
            limits: self.target.limits,
            read_only: self.target.read_only,
            extended_json: ExtendedJson::default(),
        }
    }

    pub(crate) async fn run(&self, text: &str) -> Outcome {
        self.run_order(&self.order(text).await, CancellationToken::new()).await
    }

    pub(crate) async fn run_order(&self, order: &ExecutionOrder, cancel: CancellationToken) -> Outcome {
        let mut sink = CollectingSink::new();
        let result = self.executor.execute(order, &mut sink, cancel).await;
        Outcome { result, lines: sink.lines() }
    }

    /// The same with another order than the usual one.
    pub(crate) async fn run_as(&self, text: &str, change: impl FnOnce(&mut ExecutionOrder)) -> Outcome {
        let mut order = self.order(text).await;
        change(&mut order);
        self.run_order(&order, CancellationToken::new()).await
    }

    /// Runs it and cancels it after this time, if it still runs then.
    pub(crate) async fn run_and_cancel(&self, order: &ExecutionOrder, after: Duration) -> Outcome {
        let cancel = CancellationToken::new();
        let mut run = std::pin::pin!(self.run_order(order, cancel.clone()));
        if let Ok(outcome) = tokio::time::timeout(after, &mut run).await {
            return outcome;
        }
        cancel.cancel();
        run.await
    }

    /// The documents of a collection as the server keeps them, by the order of their ids.
    pub(crate) async fn raw(&self, collection: &str) -> Vec<RawDocumentBuf> {
        use futures_util::TryStreamExt as _;
        let collection = self.database().collection::<RawDocumentBuf>(collection);
        collection.find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap().try_collect().await.unwrap()
    }

    /// Every failure of this kind of command from now on, until it is switched off or was met as often as said.
    pub(crate) async fn fail(&self, mode: impl Into<bson::Bson>, data: Document) {
        let fail = doc! { "configureFailPoint": "failCommand", "mode": mode.into(), "data": data };
        self.admin.database("admin").run_command(fail).await.unwrap();
    }

    /// Operations, open transactions and open cursors of the portal's user.
    pub(crate) async fn left_behind(&self) -> Vec<Document> {
        use futures_util::TryStreamExt as _;
        let look = doc! { "allUsers": false, "idleSessions": true, "idleCursors": true };
        let pipeline = vec![
            doc! { "$currentOp": look },
            doc! { "$match": {
                "$or": [{ "active": true }, { "type": { "$in": ["idleSession", "idleCursor"] } }],
                // The server's own threads have none.
                "lsid": { "$exists": true },
                "command.pipeline.0.$currentOp": { "$exists": false },
                "cursor.originatingCommand.pipeline.0.$currentOp": { "$exists": false },
            } },
        ];
        let found = self.watcher.database("admin").aggregate(pipeline).await.unwrap();
        found.try_collect().await.unwrap()
    }

    /// Within a second nothing of the portal's user is at work any more, and the executor works again.
    pub(crate) async fn is_quiet(&self) {
        let begun = std::time::Instant::now();
        loop {
            let left = self.left_behind().await;
            if left.is_empty() {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(1), "{left:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.run(r#"{"ping": 1}"#).await.report();
    }

    /// Waits until the portal's user does something for which this holds.
    pub(crate) async fn until(&self, busy: impl Fn(&Document) -> bool) {
        let begun = std::time::Instant::now();
        while !self.left_behind().await.iter().any(&busy) {
            assert!(begun.elapsed() < Duration::from_secs(10), "it did not come to that");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What the portal's user does on the server now, by the ids of the operations.
    pub(crate) async fn operations(&self) -> Vec<Document> {
        use futures_util::TryStreamExt as _;
        let pipeline = vec![
            doc! { "$currentOp": { "allUsers": true, "idleSessions": true } },
            doc! { "$match": {
                "$or": [{ "command.$db": &self.name }, { "ns": { "$regex": format!("^{}\\.", self.name) } }],
                "effectiveUsers.user": self.user_name(),
            } },
        ];
        let found = self.admin.database("admin").aggregate(pipeline).await.unwrap();
        found.try_collect().await.unwrap()
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        let (admin, name, user) = (self.admin.clone(), self.name.clone(), self.user_name());
        // In the background of the test's runtime, as far as it still runs: the server itself goes at the end of the run.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = admin.database(&name).drop().await;
                let _ = admin.database("admin").run_command(doc! { "dropUser": user }).await;
            });
        }
    }
}

fn target(port: u16) -> Target {
    Target {
        id: InstanceId::parse("test").unwrap(),
        name: DisplayName::parse("Test").unwrap(),
        engine: Engine::Mongodb,
        description: None,
        host: "127.0.0.1".to_owned(),
        port,
        connection_options: None,
        tls: TlsMode::Disable,
        credentials: CredentialRef { source: CredentialSourceKind::Env, reference: "X".to_owned() },
        connection_revision: 1,
        bound_revision: Some(1),
        active: true,
        read_only: false,
        allow_privileged_role: false,
        admits: Admits::default(),
        search_path: None,
        limits: Limits::default(),
        approvals_needed: 1,
        approval_ttl: Duration::from_mins(1),
        pods: vec![],
        slack_results: SlackResults::Preview,
        slack_decisions: true,
    }
}
