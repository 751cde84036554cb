//! The least that any queue on PostgreSQL has to do: claim a job, and finish it, in a transaction each.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use dev_stack::postgres_program;
use futures_util::future::try_join_all;
use tempfile::TempDir;
use tokio_postgres::NoTls;

use crate::bare::Bare;
use crate::world::World;

/// Clients of a loop, and executions at the same time of a portal.
pub(crate) const WORKERS: usize = 8;

const CLAIM: &str = "UPDATE bench_jobs SET status = 'running', fence = fence + 1, attempts = attempts + 1,
        worker = 'bench', lease_until = now() + interval '30 s', started_at = now(), updated_at = now()
    WHERE id = (SELECT id FROM bench_jobs WHERE kind = 'execute_request' AND status = 'pending'
            AND scheduled_at <= now()
        ORDER BY priority DESC, scheduled_at, created_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id::text AS id";
const FINISH: &str = "UPDATE bench_jobs SET status = 'completed', lease_until = NULL, completed_at = now(),
    updated_at = now() WHERE id = CAST($1::text AS uuid) AND status = 'running'";

/// A table like the portal's jobs, with its indexes and checks, and nothing around it.
pub(crate) struct BareQueue {
    store: Bare,
    store_url: String,
    target_url: String,
    script: TempDir,
    pgbench: PathBuf,
    count: usize,
}

impl BareQueue {
    pub(crate) async fn new(world: &World<'_>, count: usize) -> anyhow::Result<Self> {
        let store = world.portal_database().await?;
        store.run("CREATE TABLE bench_jobs (LIKE jobs INCLUDING ALL)").await?;
        // A request has one execution, so each job has a request of its own number; nothing refers to it.
        let script = tempfile::tempdir()?;
        let finish = FINISH.replace("$1", ":id").replace('\n', " ");
        let text = format!("{} \\gset\n{finish};\n", CLAIM.replace('\n', " "));
        std::fs::write(script.path().join("loop.sql"), text)?;
        let pgbench = postgres_program("pgbench")?;
        ensure!(pgbench.is_file(), "there is no {}: install PostgreSQL's client programs", pgbench.display());
        let (store_url, target_url) = (world.portal_url(), world.target_url()?);
        Ok(Self { store, store_url, target_url, script, pgbench, count })
    }

    async fn refill(&self) -> anyhow::Result<()> {
        self.store.run("TRUNCATE bench_jobs").await?;
        // Some more than are taken: a claim never comes back without a job.
        let fill = "INSERT INTO bench_jobs (id, kind, request_id, status, max_attempts, scheduled_at, created_at, updated_at)
            SELECT gen_random_uuid(), 'execute_request', g, 'pending', 1, now(), now(), now() FROM generate_series(1, {n}) AS g";
        self.store.run(&fill.replace("{n}", &(self.count + 2 * WORKERS).to_string())).await?;
        self.store.run("VACUUM ANALYZE bench_jobs").await?;
        self.store.run("CHECKPOINT").await
    }

    /// Jobs a second by pgbench, with as many clients as a portal has workers.
    pub(crate) async fn pgbench(&self) -> anyhow::Result<f64> {
        self.refill().await?;
        let (clients, each) = (WORKERS.to_string(), (self.count / WORKERS).to_string());
        let output = tokio::task::spawn_blocking({
            let mut command = std::process::Command::new(&self.pgbench);
            command
                .args(["-n", "-M", "prepared", "-c", &clients, "-j", "2", "-t", &each, "-f"])
                .arg(self.script.path().join("loop.sql"))
                .arg(&self.store_url)
                .stdin(Stdio::null());
            move || command.output()
        })
        .await??;
        let (said, error) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "pgbench: {error}");
        let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
        Ok(rate.with_context(|| format!("pgbench said no rate: {said}{error}"))?.parse()?)
    }

    /// Jobs a second when each also opens a session on the target, asks it one thing and closes it: what a worker
    /// has to do that leaves nothing behind for the next job.
    pub(crate) async fn with_session(&self) -> anyhow::Result<f64> {
        self.refill().await?;
        let begun = Instant::now();
        let workers = (0..WORKERS).map(|_| async {
            let (store, target) = (self.store_url.clone(), self.target_url.clone());
            tokio::spawn(work(store, target, self.count / WORKERS)).await?
        });
        try_join_all(workers).await?;
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        Ok((self.count / WORKERS * WORKERS) as f64 / begun.elapsed().as_secs_f64())
    }
}

async fn work(store: String, target: String, count: usize) -> anyhow::Result<()> {
    let (client, connection) = tokio_postgres::connect(&store, NoTls).await?;
    let driving = tokio::spawn(connection);
    let (claim, finish) = (client.prepare(CLAIM).await?, client.prepare(FINISH).await?);
    for _ in 0..count {
        let job = client.query_one(&claim, &[]).await?;
        let session = Bare::connect(&target).await?;
        session.time("SELECT 1 WHERE false").await?;
        session.close().await?;
        client.execute(&finish, &[&job.get::<_, String>(0)]).await?;
    }
    drop(client);
    Ok(driving.await??)
}
