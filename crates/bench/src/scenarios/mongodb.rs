//! A find of many documents on MongoDB: through the portal, and with the bare driver.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use bson::{DateTime, Document, doc};
use dev_stack::EphemeralMongo;
use futures_util::TryStreamExt as _;
use mongodb::{Client, Collection};

use crate::bare::milliseconds;
use crate::memory::Watched;
use crate::options::Sizes;
use crate::portal::{Person, Portal};
use crate::report::{Aim, Comparison, Report, Unit};
use crate::stats::Spread;
use crate::world::{Stage, World};

const DATABASE: &str = "bench";
const PASSWORD: &str = "the-targets-own-secret";
/// Documents of one insert.
const BATCH: u64 = 10_000;

struct Scene {
    _mongo: EphemeralMongo,
    portal: Portal,
    developer: Person,
    manager: Person,
    bare: Collection<Document>,
    documents: u64,
}

#[derive(Default)]
struct Measured {
    driver: Vec<f64>,
    rendered: Vec<f64>,
    execution: Vec<f64>,
    download: Vec<f64>,
    grown: Vec<f64>,
    small: [Vec<f64>; 2],
}

pub(crate) async fn measure(stage: &Stage, sizes: Sizes) -> anyhow::Result<Report> {
    let mongo = EphemeralMongo::start()?;
    let client = Client::with_uri_str(mongo.url()).await?;
    let roles = vec![doc! { "role": "readWrite", "db": DATABASE }];
    let user = doc! { "createUser": "portal", "pwd": PASSWORD, "roles": roles };
    client.database("admin").run_command(user).await?;
    let bare = client.database(DATABASE).collection::<Document>("orders");
    for from in (0..sizes.documents).step_by(usize::try_from(BATCH)?) {
        let to = (from + BATCH).min(sizes.documents);
        bare.insert_many((from..to).map(document).collect::<Result<Vec<_>, _>>()?).await?;
    }
    let world = World::new(stage, "mongodb").await?;
    world.add_mongo_target(mongo.port(), DATABASE)?;
    let variables = [("TARGET_DOCUMENTS_USERNAME", "portal"), ("TARGET_DOCUMENTS_PASSWORD", PASSWORD)];
    let portal = world.serve(&variables).await?;
    let (developer, manager) = (portal.login("developer").await?, portal.login("manager").await?);
    let scene = Scene { _mongo: mongo, portal, developer, manager, bare, documents: sizes.documents };
    let mut measured = Measured::default();
    scene.bare_find().await?;
    for _ in 0..sizes.row_rounds {
        scene.round(&mut measured).await?;
    }
    for _ in 0..sizes.rounds * sizes.executions {
        scene.small(&mut measured.small).await?;
    }
    scene.portal.stop()?;
    Ok(measured.report(sizes.documents))
}

/// As applications have them: numbers, texts, a date, a document and an array inside.
fn document(n: u64) -> anyhow::Result<Document> {
    let number = i64::try_from(n)?;
    Ok(doc! {
        "_id": number,
        "customer": format!("customer {}", n % 50_000),
        "reference": format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        "amount": f64::from(u32::try_from(n * 37 % 1_000_000)?) / 100.0,
        "orderedAt": DateTime::from_millis(1_767_225_600_000 + number * 7_000),
        "paid": n.is_multiple_of(5),
        "address": { "city": format!("city {}", n % 700), "zip": i32::try_from(n % 99_999)? },
        "tags": ["a", "b", if n.is_multiple_of(2) { "even" } else { "odd" }],
    })
}

impl Scene {
    async fn round(&self, measured: &mut Measured) -> anyhow::Result<()> {
        let begun = Instant::now();
        self.bare_find().await?;
        measured.driver.push(milliseconds(begun));
        let begun = Instant::now();
        self.bare_json().await?;
        measured.rendered.push(milliseconds(begun));
        let watched = Watched::start(self.portal.pid())?;
        let (id, took) = self.execute("db.orders.find()").await?;
        measured.execution.push(took);
        measured.grown.push(watched.growth()?.1);
        let begun = Instant::now();
        let received = self.developer.download(&format!("/api/queries/{id}/result?format=ndjson")).await?;
        measured.download.push(milliseconds(begun));
        ensure!(received.lines == self.documents, "{} lines came", received.lines);
        Ok(())
    }

    /// Submits before the clock starts.
    async fn execute(&self, text: &str) -> anyhow::Result<(String, f64)> {
        let id = self.developer.submit_to("documents", DATABASE, text).await?;
        let begun = Instant::now();
        let status = self.manager.approve(&id, Some(60)).await?;
        if status != "completed" {
            self.developer.completed(&id).await?;
        }
        Ok((id, milliseconds(begun)))
    }

    /// What an application does: documents one by one.
    async fn bare_find(&self) -> anyhow::Result<()> {
        let mut cursor = self.bare.find(doc! {}).await?;
        let mut documents = 0;
        while cursor.advance().await? {
            documents += u64::from(!cursor.current().is_empty());
        }
        ensure!(documents == self.documents, "{documents} documents came");
        Ok(())
    }

    /// What the portal has to do at least: documents as Extended JSON, by the driver's own means.
    async fn bare_json(&self) -> anyhow::Result<()> {
        let mut cursor = self.bare.find(doc! {}).await?;
        let mut bytes = 0;
        while let Some(document) = cursor.try_next().await? {
            bytes += bson::Bson::Document(document).into_relaxed_extjson().to_string().len();
        }
        ensure!(bytes > 0, "nothing came");
        Ok(())
    }

    /// One document by its id.
    async fn small(&self, times: &mut [Vec<f64>; 2]) -> anyhow::Result<()> {
        let begun = Instant::now();
        self.bare.find_one(doc! { "_id": 77_i64 }).await?.context("no document 77")?;
        times[0].push(milliseconds(begun));
        let (_, took) = self.execute("db.orders.find({_id: NumberLong(77)})").await?;
        times[1].push(took);
        Ok(())
    }
}

impl Measured {
    fn report(&self, documents: u64) -> Report {
        let mut report = Report::default();
        let pairs = |a: &[f64], b: &[f64]| a.iter().copied().zip(b.iter().copied()).collect();
        for (name, a, times, b, than, aim) in [
            ("execution", "approve to completed", &self.execution, "driver, find", &self.driver, None),
            (
                "execution as Extended JSON",
                "approve to completed",
                &self.execution,
                "driver, find and into_relaxed_extjson",
                &self.rendered,
                Some(Aim::AtMost(1.5)),
            ),
            ("NDJSON", "download of the stored result", &self.download, "driver, find", &self.driver, None),
        ] {
            report.compare(Comparison {
                name: format!("MongoDB, {documents} documents: {name}"),
                a: a.to_owned(),
                b: b.to_owned(),
                unit: Unit::Milliseconds,
                rounds: pairs(times, than),
                aim,
            });
        }
        let [bare, portal] = &self.small;
        report.compare(Comparison {
            name: "MongoDB, one document by its id".to_owned(),
            a: "approve to completed".to_owned(),
            b: "driver, find_one".to_owned(),
            unit: Unit::Milliseconds,
            rounds: pairs(portal, bare),
            aim: None,
        });
        let Spread { median, high, .. } = Spread::of(&self.grown);
        report.note(format!(
            "MongoDB, {documents} documents: during the execution the portal grew by {median:.1} MiB (at most {high:.1})"
        ));
        report
    }
}
