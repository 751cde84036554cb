//! Executions a second from a full queue: a portal process, the same worker without a target, and bare loops.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::queue_bare::{BareQueue, WORKERS};
use super::queue_noop::NoopWorker;
use crate::bare::Bare;
use crate::options::Sizes;
use crate::report::{Aim, Comparison, Report, Unit};
use crate::wal;
use crate::world::{Stage, World};

/// The portal's default of executions at the same time, said here because the loops have to have as many.
const CONCURRENCY: (&str, &str) = ("QUERY_PORTAL_EXECUTION__CONCURRENCY", "8");
const NO_EXECUTIONS: (&str, &str) = ("QUERY_PORTAL_EXECUTION__CONCURRENCY", "0");

/// Nothing to do and nothing to return.
const STATEMENT: &str = "SELECT 1 WHERE false";

const EXECUTIONS: &str =
    "SELECT count(*) FROM jobs WHERE status IN ('pending', 'running') AND kind = 'execute_request'";
const NOTIFICATIONS: &str =
    "SELECT count(*) FROM jobs WHERE status IN ('pending', 'running') AND kind = 'notify'";
const RATE: &str =
    "SELECT count(*) / extract(epoch FROM max(execution_completed_at) - min(execution_started_at))
    FROM query_requests WHERE status = 'completed' AND created_at > '{since}'";

pub(crate) async fn measure(stage: &Stage, sizes: Sizes) -> anyhow::Result<Report> {
    let world = World::new(stage, "queue").await?;
    let store = world.portal_database().await?;
    wal::prepare(&store).await?;
    let bare = BareQueue::new(&world, sizes.queued).await?;
    let (mut full, mut queue_only, mut with_session) = (vec![], vec![], vec![]);
    let mut commits = 0;
    for _ in 0..sizes.queue_rounds {
        let loop_alone = bare.pgbench().await?;
        let since = fill(&world, &store, sizes.queued).await?;
        let mark = wal::mark(&store).await?;
        let portal = world.serve(&[CONCURRENCY]).await?;
        let through_portal = drained(&store, &since, sizes.queued).await?;
        until_none(&store, NOTIFICATIONS).await?;
        portal.stop()?;
        commits = wal::commits_since(&store, &mark).await?;
        let loop_with_session = bare.with_session().await?;
        let since = fill(&world, &store, sizes.queued).await?;
        let noop = NoopWorker::start(&world, WORKERS)?;
        let without_target = drained(&store, &since, sizes.queued).await?;
        noop.stop().await?;
        full.push((through_portal, loop_alone));
        with_session.push((through_portal, loop_with_session));
        queue_only.push((without_target, loop_alone));
    }
    let mut report = Report::default();
    let mut compare = |name: &str, a: &str, b: &str, rounds, aim| {
        let (name, a, b) = (format!("queue: {name}"), a.to_owned(), b.to_owned());
        report.compare(Comparison { name, a, b, unit: Unit::PerSecond, rounds, aim });
    };
    compare(
        "alone",
        "worker without a target",
        "pgbench: claim, finish",
        queue_only,
        Some(Aim::AtLeast(0.7)),
    );
    compare("whole portal", "portal process", "pgbench: claim, finish", full, Some(Aim::AtLeast(0.7)));
    compare("whole portal", "portal process", "claim, session, query, finish", with_session, None);
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let each = commits as f64 / sizes.queued as f64;
    report.note(format!(
        "queue: the portal process made {each:.1} commits an execution, those of notifications included"
    ));
    Ok(report)
}

/// Submits and approves so many requests at a portal that executes nothing. Returns when it was begun.
async fn fill(world: &World<'_>, store: &Bare, count: usize) -> anyhow::Result<String> {
    let since = store.value("SELECT clock_timestamp()").await?;
    let portal = world.serve(&[NO_EXECUTIONS]).await?;
    let (developer, manager) = (portal.login("developer").await?, portal.login("manager").await?);
    let shop = world.shop();
    stream::iter(0..count)
        .map(|_| async {
            let id = developer.submit(&shop, STATEMENT).await?;
            let status = manager.approve(&id, None).await?;
            ensure!(status == "approved", "it is {status}");
            Ok(())
        })
        .buffer_unordered(WORKERS)
        .try_collect::<()>()
        .await?;
    until_none(store, NOTIFICATIONS).await?;
    portal.stop()?;
    store.run("VACUUM ANALYZE jobs, query_requests").await?;
    store.run("CHECKPOINT").await?;
    Ok(since)
}

async fn until_none(store: &Bare, jobs: &str) -> anyhow::Result<()> {
    while store.number(jobs).await? > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Waits until nothing is left to execute, and returns how many executions a second there were.
async fn drained(store: &Bare, since: &str, count: usize) -> anyhow::Result<f64> {
    until_none(store, EXECUTIONS).await?;
    let completed =
        "SELECT count(*) FROM query_requests WHERE status = 'completed' AND created_at > '{since}'";
    let completed = store.number(&completed.replace("{since}", since)).await?;
    ensure!(usize::try_from(completed)? == count, "{completed} of {count} completed");
    store.value(&RATE.replace("{since}", since)).await?.parse().context("no rate")
}
