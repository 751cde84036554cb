//! A large result: executed, downloaded, and what it costs in memory.

use std::time::Instant;

use anyhow::ensure;

use crate::bare::{Bare, Received, milliseconds};
use crate::memory::Watched;
use crate::options::Sizes;
use crate::portal::{Person, Portal};
use crate::report::{Aim, Comparison, Report, Unit};
use crate::stats::Spread;
use crate::world::{Stage, World};

/// A table as applications have them: numbers, texts, times, a NULL now and then, quotes to escape.
const TABLE: &str = r#"CREATE TABLE orders AS SELECT g AS id, 'customer ' || g % 50000 AS customer,
    md5(g::text) AS reference, round((g * 37 % 1000000) / 100.0, 2) AS amount,
    timestamptz '2026-01-01 00:00:00+00' + g * interval '7 seconds' AS ordered_at, g % 5 = 0 AS paid,
    CASE WHEN g % 10 > 0 THEN 'said "' || g || '"' END AS note
    FROM generate_series(1, {rows}) AS g"#;

const STATEMENT: &str = "SELECT * FROM orders";
const COPY: &str = "COPY (SELECT row_to_json(t) FROM (SELECT * FROM orders) AS t) TO STDOUT";

struct Scene {
    portal: Portal,
    developer: Person,
    manager: Person,
    bare: Bare,
    shop: String,
    rows: u64,
}

/// Times in milliseconds and growths in MiB, a list each.
#[derive(Default)]
struct Measured {
    copy: Vec<f64>,
    execution: Vec<f64>,
    ndjson: Vec<f64>,
    csv: Vec<f64>,
    grown: [Vec<f64>; 3],
    bytes: [u64; 3],
}

pub(crate) async fn measure(stage: &Stage, sizes: Sizes) -> anyhow::Result<Report> {
    let world = World::new(stage, "rows").await?;
    let bare = Bare::connect(&world.target_url()?).await?;
    bare.run(&TABLE.replace("{rows}", &sizes.rows.to_string())).await?;
    bare.run("VACUUM ANALYZE orders").await?;
    let portal = world.serve(&[]).await?;
    let (developer, manager) = (portal.login("developer").await?, portal.login("manager").await?);
    let scene = Scene { portal, developer, manager, bare, shop: world.shop(), rows: sizes.rows };
    scene.bare.copy_out(COPY).await?;
    let mut measured = Measured::default();
    for _ in 0..sizes.row_rounds {
        scene.round(&mut measured).await?;
    }
    scene.portal.stop()?;
    Ok(measured.report(sizes.rows))
}

impl Scene {
    async fn round(&self, measured: &mut Measured) -> anyhow::Result<()> {
        let begun = Instant::now();
        let copied = self.bare.copy_out(COPY).await?;
        measured.copy.push(milliseconds(begun));
        self.check(copied)?;
        let id = self.developer.submit(&self.shop, STATEMENT).await?;
        let watched = Watched::start(self.portal.pid())?;
        let begun = Instant::now();
        let status = self.manager.approve(&id, Some(60)).await?;
        if status != "completed" {
            self.developer.completed(&id).await?;
        }
        measured.execution.push(milliseconds(begun));
        measured.grown[0].push(watched.growth()?.1);
        let (ndjson, ndjson_bytes) = self.download(&id, "ndjson", &mut measured.grown[1]).await?;
        let (csv, csv_bytes) = self.download(&id, "csv", &mut measured.grown[2]).await?;
        measured.ndjson.push(ndjson);
        measured.csv.push(csv);
        measured.bytes = [copied.bytes, ndjson_bytes, csv_bytes];
        Ok(())
    }

    async fn download(&self, id: &str, format: &str, grown: &mut Vec<f64>) -> anyhow::Result<(f64, u64)> {
        let watched = Watched::start(self.portal.pid())?;
        let begun = Instant::now();
        let received = self.developer.download(&format!("/api/queries/{id}/result?format={format}")).await?;
        let took = milliseconds(begun);
        grown.push(watched.growth()?.1);
        self.check(received)?;
        Ok((took, received.bytes))
    }

    fn check(&self, received: Received) -> anyhow::Result<()> {
        // A first line with the names may be among them.
        let rows = received.lines;
        ensure!(rows == self.rows || rows == self.rows + 1, "{rows} lines came instead of {}", self.rows);
        Ok(())
    }
}

impl Measured {
    fn report(&self, rows: u64) -> Report {
        let mut report = Report::default();
        for (name, a, times) in [
            ("execution", "approve to completed", &self.execution),
            ("NDJSON", "download of the stored result", &self.ndjson),
            ("CSV", "download of the stored result", &self.csv),
        ] {
            report.compare(Comparison {
                name: format!("{rows} rows: {name}"),
                a: a.to_owned(),
                b: "COPY (SELECT row_to_json(t))".to_owned(),
                unit: Unit::Milliseconds,
                rounds: times.iter().copied().zip(self.copy.iter().copied()).collect(),
                aim: Some(Aim::AtMost(1.5)),
            });
        }
        for (what, grown) in
            ["the execution", "the download as NDJSON", "the download as CSV"].iter().zip(&self.grown)
        {
            let Spread { median, high, .. } = Spread::of(grown);
            report.note(format!(
                "{rows} rows: during {what} the portal grew by {median:.1} MiB (at most {high:.1})"
            ));
        }
        #[expect(clippy::cast_precision_loss, reason = "sizes far below 2^53")]
        let [copy, ndjson, csv] = self.bytes.map(|bytes| bytes as f64 / 1e6);
        report
            .note(format!("{rows} rows: {copy:.0} MB by COPY, {ndjson:.0} MB as NDJSON, {csv:.0} MB as CSV"));
        report
    }
}
