//! A running portal process, and people who call it over HTTP.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use crate::bare::Received;
use crate::world::{PASSWORD, email};

const START_LIMIT: Duration = Duration::from_secs(30);

/// A process that serves, ended with its owner.
#[derive(Debug)]
pub(crate) struct Portal {
    child: Child,
    url: String,
    client: Client,
}

impl Drop for Portal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Portal {
    pub(crate) async fn start(mut command: Command, port: u16) -> anyhow::Result<Self> {
        let child = command.spawn().context("the portal cannot be started")?;
        let client = Client::builder().no_proxy().build()?;
        let portal = Self { child, url: format!("http://127.0.0.1:{port}"), client };
        let begun = Instant::now();
        loop {
            let answer = portal.client.get(format!("{}/health/ready", portal.url)).send().await;
            if answer.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                return Ok(portal);
            }
            ensure!(begun.elapsed() < START_LIMIT, "the portal is not ready after 30 seconds");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets the process finish what it does, and waits for its end.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        self.child.wait()?;
        Ok(())
    }

    pub(crate) async fn login(&self, user: &str) -> anyhow::Result<Person> {
        let body = json!({ "email": email(user), "password": PASSWORD });
        let answer = self.client.post(format!("{}/api/auth/login", self.url)).json(&body).send().await?;
        let body: Value = good(answer, StatusCode::OK).await?.json().await?;
        let token = body["accessToken"].as_str().context("no access token")?.to_owned();
        Ok(Person { url: self.url.clone(), client: self.client.clone(), token })
    }
}

/// Somebody who has logged in.
#[derive(Clone)]
pub(crate) struct Person {
    url: String,
    client: Client,
    token: String,
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Person").finish_non_exhaustive()
    }
}

impl Person {
    /// The same person with a pool of connections that nobody shares.
    pub(crate) fn on_an_own_connection(&self) -> Self {
        Self { client: Client::new(), ..self.clone() }
    }

    /// Reads an answer to its end.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let answer = self.client.get(format!("{}{path}", self.url)).bearer_auth(&self.token).send().await?;
        Ok(good(answer, StatusCode::OK).await?.bytes().await?.into())
    }

    /// Reads an answer to its end and keeps nothing.
    pub(crate) async fn download(&self, path: &str) -> anyhow::Result<Received> {
        let answer = self.client.get(format!("{}{path}", self.url)).bearer_auth(&self.token).send().await?;
        let mut answer = good(answer, StatusCode::OK).await?;
        let mut received = Received::default();
        while let Some(part) = answer.chunk().await? {
            received.add(&part);
        }
        Ok(received)
    }

    /// Submits to the target `shop` and answers with the request's id.
    pub(crate) async fn submit(&self, database: &str, sql: &str) -> anyhow::Result<String> {
        self.submit_to("shop", database, sql).await
    }

    /// The same to any target.
    pub(crate) async fn submit_to(&self, target: &str, database: &str, text: &str) -> anyhow::Result<String> {
        let body = json!({ "instanceId": target, "databaseName": database, "queryContent": text });
        let call = self.client.post(format!("{}/api/queries", self.url)).bearer_auth(&self.token).json(&body);
        let body: Value = good(call.send().await?, StatusCode::CREATED).await?.json().await?;
        Ok(body["id"].as_str().context("no id")?.to_owned())
    }

    /// Approves, and with a wait comes back when the execution is over.
    pub(crate) async fn approve(&self, id: &str, wait_seconds: Option<u32>) -> anyhow::Result<String> {
        let wait = wait_seconds.map_or_else(String::new, |seconds| format!("?wait={seconds}"));
        let url = format!("{}/api/queries/{id}/approve{wait}", self.url);
        let answer = self.client.post(url).bearer_auth(&self.token).send().await?;
        let body: Value = good(answer, StatusCode::OK).await?.json().await?;
        Ok(body["status"].as_str().context("no status")?.to_owned())
    }

    /// Waits for the end of a request that may take longer than one call may wait.
    pub(crate) async fn completed(&self, id: &str) -> anyhow::Result<()> {
        loop {
            let body = self.get(&format!("/api/queries/{id}?wait=60")).await?;
            let body: Value = serde_json::from_slice(&body)?;
            match body["status"].as_str() {
                Some("completed") => return Ok(()),
                Some("approved" | "executing") => {}
                _ => bail!("a request did not complete: {body}"),
            }
        }
    }
}

async fn good(answer: Response, expected: StatusCode) -> anyhow::Result<Response> {
    let status = answer.status();
    if status == expected {
        return Ok(answer);
    }
    bail!("the portal answered {status}: {}", answer.text().await.unwrap_or_default())
}
