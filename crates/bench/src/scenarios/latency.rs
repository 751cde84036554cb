//! One statement: on a bare connection, and from approve to completed.

use std::time::Instant;

use anyhow::ensure;

use crate::bare::{Bare, milliseconds};
use crate::options::Sizes;
use crate::portal::{Person, Portal};
use crate::report::{Aim, Comparison, Report, Unit};
use crate::stats::{median, quantile};
use crate::wal;
use crate::world::{Stage, World};

/// A commit of the smallest size.
const COMMIT: &str = "INSERT INTO bench_commits VALUES (1)";

struct Scene {
    portal: Portal,
    developer: Person,
    manager: Person,
    /// A connection to the target that stays open, as an application has it.
    bare: Bare,
    /// A connection to the portal's database.
    store: Bare,
    target_url: String,
    shop: String,
}

/// How many commits an execution makes.
#[derive(Clone, Copy)]
struct Commits {
    /// From approve to completed: the requester waits for these.
    waited_for: f64,
    /// Of the notifications, which follow on their own.
    notifications: f64,
}

pub(crate) async fn measure(stage: &Stage, sizes: Sizes) -> anyhow::Result<Report> {
    let world = World::new(stage, "latency").await?;
    let portal = world.serve(&[]).await?;
    let (developer, manager) = (portal.login("developer").await?, portal.login("manager").await?);
    let store = world.portal_database().await?;
    store.run("CREATE TABLE bench_commits (n integer)").await?;
    wal::prepare(&store).await?;
    let (target_url, shop) = (world.target_url()?, world.shop());
    let bare = Bare::connect(&target_url).await?;
    let scene = Scene { portal, developer, manager, bare, store, target_url, shop };
    let mut statements = vec![("SELECT 1".to_owned(), "SELECT 1".to_owned())];
    for wanted in sizes.statements_ms {
        let sql = scene.calibrated(*wanted).await?;
        statements.push((format!("a statement of {wanted} ms"), sql));
    }
    let mut report = Report::default();
    for (name, sql) in &statements {
        scene.compare(name, sql, sizes, &mut report).await?;
    }
    scene.portal.stop()?;
    Ok(report)
}

impl Scene {
    /// A computation that takes about this long here.
    async fn calibrated(&self, milliseconds: u32) -> anyhow::Result<String> {
        let sql =
            |count: u64| format!("SELECT count(*) FROM generate_series(1, {count}) AS g WHERE g % 7 = 3");
        let mut times = vec![];
        for _ in 0..5 {
            times.push(self.bare.time(&sql(200_000)).await?);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of some millions"
        )]
        let count = (200_000.0 * f64::from(milliseconds) / median(&times)) as u64;
        Ok(sql(count))
    }

    async fn compare(&self, name: &str, sql: &str, sizes: Sizes, report: &mut Report) -> anyhow::Result<()> {
        self.through_the_portal(sql, 3).await?;
        let commits = self.count_commits(sql, sizes.executions).await?;
        let (mut against_commits, mut against_connect) = (vec![], vec![]);
        let (mut portal_all, mut bare_all) = (vec![], vec![]);
        for _ in 0..sizes.rounds {
            let (mut bare, mut connected, mut commit) = (vec![], vec![], vec![]);
            let portal = self.through_the_portal(sql, sizes.executions).await?;
            for _ in 0..sizes.executions {
                bare.push(self.bare.time(sql).await?);
                commit.push(self.store.time(COMMIT).await?);
                connected.push(self.on_a_new_connection(sql).await?);
            }
            let with_commits = median(&bare) + commits.waited_for * median(&commit);
            against_commits.push((median(&portal), with_commits));
            against_connect
                .push((median(&portal), median(&connected) + commits.waited_for * median(&commit)));
            portal_all.extend(portal);
            bare_all.extend(bare);
        }
        let count = commits.waited_for;
        report.compare(Comparison {
            name: format!("latency: {name}"),
            a: "approve to completed".to_owned(),
            b: format!("bare query + {count:.1} commits"),
            unit: Unit::Milliseconds,
            rounds: against_commits,
            aim: Some(Aim::AtMost(1.2)),
        });
        report.compare(Comparison {
            name: format!("latency: {name}, new session"),
            a: "approve to completed".to_owned(),
            b: format!("connect + query + {count:.1} commits"),
            unit: Unit::Milliseconds,
            rounds: against_connect,
            aim: None,
        });
        report.note(format!(
            "latency: {name}: portal median {:.2} ms, p95 {:.2} ms; bare median {:.2} ms, p95 {:.2} ms; commits \
             of an execution: {:.1} waited for, {:.1} of notifications behind it",
            median(&portal_all),
            quantile(&portal_all, 0.95),
            median(&bare_all),
            quantile(&bare_all, 0.95),
            commits.waited_for,
            commits.notifications,
        ));
        Ok(())
    }

    async fn on_a_new_connection(&self, sql: &str) -> anyhow::Result<f64> {
        let begun = Instant::now();
        let connection = Bare::connect(&self.target_url).await?;
        connection.time(sql).await?;
        connection.close().await?;
        Ok(milliseconds(begun))
    }

    /// Executes so many requests one after the other, each on a portal that has nothing else to do.
    async fn through_the_portal(&self, sql: &str, count: usize) -> anyhow::Result<Vec<f64>> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let id = self.developer.submit(&self.shop, sql).await?;
            self.quiet().await?;
            let begun = Instant::now();
            let status = self.manager.approve(&id, Some(60)).await?;
            times.push(milliseconds(begun));
            ensure!(status == "completed", "an execution ended as {status}");
        }
        self.quiet().await?;
        Ok(times)
    }

    /// Waits until all notifications are told.
    async fn quiet(&self) -> anyhow::Result<()> {
        let left = "SELECT count(*) FROM jobs WHERE status IN ('pending', 'running')";
        while self.store.number(left).await? > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Ok(())
    }

    async fn count_commits(&self, sql: &str, executions: usize) -> anyhow::Result<Commits> {
        let mut ids = vec![];
        for _ in 0..executions {
            ids.push(self.developer.submit(&self.shop, sql).await?);
        }
        self.quiet().await?;
        let told = "SELECT count(*) FROM jobs WHERE kind = 'notify' AND status = 'completed'";
        let (before, mark) = (self.store.number(told).await?, wal::mark(&self.store).await?);
        for id in &ids {
            self.manager.approve(id, Some(60)).await?;
        }
        self.quiet().await?;
        let all = wal::commits_since(&self.store, &mark).await?;
        let told = self.store.number(told).await? - before;
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        let each = |count: i64| count as f64 / executions as f64;
        // A notification is claimed and completed.
        Ok(Commits { waited_for: each(all - 2 * told), notifications: each(2 * told) })
    }
}
