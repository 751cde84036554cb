//! Scripts through the real binary: submitted, approved, run in a process of their own, on the record.

mod attempts;
mod ending;
mod hostile;
mod working;

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Installation, Person, Server};

/// A portal with somebody who submits and somebody who approves.
struct Scene {
    installation: Installation,
    server: Server,
    dev: Person,
    manager: Person,
}

impl Scene {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(variables: &[(&str, &str)]) -> Self {
        let installation = Installation::new().await;
        let server = installation.serve_with(variables).await;
        let (dev, manager) = (server.login("dev").await, server.login("manager").await);
        Self { installation, server, dev, manager }
    }

    async fn try_submit(&self, target: &str, text: &str) -> (StatusCode, Value) {
        let body = json!({
            "instanceId": target,
            "databaseName": self.installation.database(),
            "submissionType": "script",
            "queryContent": text,
        });
        self.dev.post("/api/queries", body).await
    }

    async fn submit(&self, text: &str) -> String {
        self.submit_to("shop", text).await
    }

    async fn submit_to(&self, target: &str, text: &str) -> String {
        let (status, body) = self.try_submit(target, text).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body["id"].as_str().unwrap().to_owned()
    }

    /// Submits, approves, and waits for the end.
    async fn run(&self, text: &str) -> Ran {
        self.run_on("shop", text).await
    }

    async fn run_on(&self, target: &str, text: &str) -> Ran {
        let id = self.submit_to(target, text).await;
        let request = self.manager.approve(&id).await;
        Ran { id, request }
    }

    /// The values that a script gave, as rows.
    async fn rows(&self, ran: &Ran) -> Value {
        assert_eq!(ran.request["status"], "completed", "{}", ran.request);
        let (status, body) = self.dev.get(&format!("/api/queries/{}/result", ran.id)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["statements"][0]["rows"].clone()
    }

    async fn log(&self, id: &str) -> Vec<Value> {
        let (status, body) = self.dev.get(&format!("/api/queries/{id}/log?limit=1000")).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["items"].as_array().unwrap().clone()
    }

    /// What a script said, and nothing of what it did.
    async fn console(&self, id: &str) -> Vec<String> {
        let lines = self.log(id).await;
        lines.iter().filter_map(|line| Some(line["console"]["text"].as_str()?.to_owned())).collect()
    }

    /// Statements of requests that run on the target; sessions that are kept ready have no request in their name.
    async fn running_on_target(&self) -> u64 {
        let (client, connection) =
            tokio_postgres::connect(&self.installation.target_url, tokio_postgres::NoTls).await.unwrap();
        let driving = tokio::spawn(connection);
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND state <> 'idle' AND application_name LIKE 'query-portal/%'";
        let count: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
        drop(client);
        driving.await.unwrap().unwrap();
        count.unsigned_abs()
    }

    /// Processes that the server has started and that live.
    fn children(&self) -> Vec<u32> {
        let children = std::fs::read_dir(format!("/proc/{}/task", self.server.pid())).unwrap();
        let of_thread = |thread: std::fs::DirEntry| {
            std::fs::read_to_string(thread.path().join("children")).unwrap_or_default()
        };
        let ids: Vec<String> = children.map(|thread| of_thread(thread.unwrap())).collect();
        ids.iter().flat_map(|ids| ids.split_whitespace().map(|id| id.parse().unwrap())).collect()
    }
}

struct Ran {
    id: String,
    request: Value,
}

impl Ran {
    fn failed(&self, kind: &str) -> &str {
        assert_eq!(self.request["status"], "failed", "{}", self.request);
        assert_eq!(self.request["error"]["kind"], kind, "{}", self.request);
        self.request["error"]["message"].as_str().unwrap()
    }
}

/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(15);
