//! A bare connection: what the portal is compared with, and how the bench looks into databases.

use std::time::Instant;

use anyhow::Context as _;
use futures_util::{StreamExt as _, pin_mut};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// A plain connection of the driver that the portal uses as well.
pub(crate) struct Bare {
    client: Client,
    driving: JoinHandle<Result<(), tokio_postgres::Error>>,
}

impl std::fmt::Debug for Bare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bare").finish_non_exhaustive()
    }
}

impl Bare {
    pub(crate) async fn connect(url: &str) -> anyhow::Result<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("no connection")?;
        Ok(Self { client, driving: tokio::spawn(connection) })
    }

    /// Ends the connection and waits until it has ended.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        drop(self.client);
        Ok(self.driving.await??)
    }

    /// Runs statements of which nothing is read.
    pub(crate) async fn run(&self, sql: &str) -> anyhow::Result<()> {
        self.client.batch_execute(sql).await.with_context(|| format!("this failed: {sql}"))
    }

    /// Runs a statement in one round trip and reads what it returns, in milliseconds.
    pub(crate) async fn time(&self, sql: &str) -> anyhow::Result<f64> {
        let begun = Instant::now();
        self.client.simple_query(sql).await.with_context(|| format!("this failed: {sql}"))?;
        Ok(milliseconds(begun))
    }

    /// The first column of the first row, as text.
    pub(crate) async fn value(&self, sql: &str) -> anyhow::Result<String> {
        let found = self.client.simple_query(sql).await.with_context(|| format!("this failed: {sql}"))?;
        let first = found.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        first.with_context(|| format!("no value: {sql}"))
    }

    /// A number, by [`Bare::value`].
    pub(crate) async fn number(&self, sql: &str) -> anyhow::Result<i64> {
        Ok(self.value(sql).await?.parse()?)
    }

    /// Reads what a `COPY ... TO STDOUT` sends; returns its lines.
    pub(crate) async fn copy_out(&self, sql: &str) -> anyhow::Result<Received> {
        let stream = self.client.copy_out(sql).await.with_context(|| format!("this failed: {sql}"))?;
        pin_mut!(stream);
        let mut received = Received::default();
        while let Some(part) = stream.next().await {
            received.add(&part?);
        }
        Ok(received)
    }
}

/// How much has come. Its end-of-line characters are counted, so that nobody measures half a result.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Received {
    pub(crate) bytes: u64,
    pub(crate) lines: u64,
}

impl Received {
    pub(crate) fn add(&mut self, part: &[u8]) {
        self.bytes += part.len() as u64;
        #[expect(
            clippy::naive_bytecount,
            reason = "a few milliseconds for a million rows, on both sides alike"
        )]
        let lines = part.iter().filter(|byte| **byte == b'\n').count();
        self.lines += lines as u64;
    }
}

pub(crate) fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1_000.0
}
