//! MongoDB through the real binary: submitted, compiled, approved, run, read.

mod fooled;
mod manual;
mod reading;
mod scripts;

use dev_stack::test_mongo;
use mongodb::Client;
use mongodb::bson::{Document, doc};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Installation, Person, Server};

const PASSWORD: &str = "the-mongo-targets-own-secret";

/// A portal with a MongoDB instance `docs`, somebody who submits and somebody who approves.
struct Scene {
    server: Server,
    dev: Person,
    manager: Person,
    client: Client,
    database: String,
    user: String,
}

impl Scene {
    async fn new() -> Self {
        Self::with(&[], &[]).await
    }

    /// With further words for `target add`, and settings for the server.
    async fn with(target: &[&str], settings: &[(&str, &str)]) -> Self {
        let installation = Installation::new().await;
        let database = installation.database();
        let client = Client::with_uri_str(test_mongo().url()).await.unwrap();
        let user = format!("{database}_portal");
        let roles =
            vec![doc! { "role": "readWrite", "db": &database }, doc! { "role": "dbAdmin", "db": &database }];
        let create = doc! { "createUser": &user, "pwd": PASSWORD, "roles": roles };
        client.database("admin").run_command(create).await.unwrap();
        let port = test_mongo().port().to_string();
        installation.add_target(
            "docs",
            &port,
            "env:TARGET_DOCS",
            &[&["--engine", "mongodb"], target].concat(),
        );
        let mut variables = vec![("TARGET_DOCS_USERNAME", user.as_str()), ("TARGET_DOCS_PASSWORD", PASSWORD)];
        variables.extend(settings);
        let server = installation.serve_with(&variables).await;
        let (dev, manager) = (server.login("dev").await, server.login("manager").await);
        Self { server, dev, manager, client, database, user }
    }

    async fn end(self) {
        self.client.database(&self.database).drop().await.unwrap();
        self.client.database("admin").run_command(doc! { "dropUser": &self.user }).await.unwrap();
    }

    fn documents(&self) -> mongodb::Database {
        self.client.database(&self.database)
    }

    async fn insert(&self, collection: &str, documents: Vec<Document>) {
        self.documents().collection(collection).insert_many(documents).await.unwrap();
    }

    async fn try_submit(&self, text: &str, more: Value) -> (StatusCode, Value) {
        let mut body = json!({
            "instanceId": "docs",
            "databaseName": self.database,
            "queryContent": text,
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.dev.post("/api/queries", body).await
    }

    async fn submit(&self, text: &str, more: Value) -> Value {
        let (status, body) = self.try_submit(text, more).await;
        assert_eq!(status, StatusCode::CREATED, "{text}: {body}");
        body
    }

    /// Why a text is not taken: the code and the sentence.
    async fn refused(&self, text: &str) -> (String, String) {
        let (status, body) = self.try_submit(text, json!({})).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{text}: {body}");
        let error = &body["errors"][0];
        let part = |name: &str| error[name].as_str().unwrap_or_else(|| panic!("{text}: {body}")).to_owned();
        (part("code"), part("message"))
    }

    /// Submits, approves, and waits for the end.
    async fn run(&self, text: &str) -> Value {
        self.run_with(text, json!({})).await
    }

    async fn run_with(&self, text: &str, more: Value) -> Value {
        let submitted = self.submit(text, more).await;
        self.manager.approve(submitted["id"].as_str().unwrap()).await
    }

    async fn script(&self, text: &str) -> Value {
        self.run_with(text, json!({ "submissionType": "script" })).await
    }

    /// The rows of the one statement of a request that has to have succeeded.
    async fn rows_of(&self, request: &Value) -> Vec<Value> {
        assert_eq!(request["status"], "completed", "{request}");
        let path = format!("/api/queries/{}/result", request["id"].as_str().unwrap());
        let (status, body) = self.dev.get(&path).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["statements"][0]["rows"].as_array().unwrap().clone()
    }

    /// The documents, or values, that a query gives.
    async fn find(&self, text: &str) -> Value {
        let request = self.run(text).await;
        let rows = self.rows_of(&request).await;
        rows.into_iter().map(|mut row| row[0].take()).collect()
    }

    async fn stored(&self, collection: &str) -> u64 {
        self.documents().collection::<Document>(collection).count_documents(doc! {}).await.unwrap()
    }
}
