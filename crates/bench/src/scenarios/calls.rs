//! Calls a second, against the cheapest call that there is.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use crate::options::Sizes;
use crate::portal::Person;
use crate::report::{Comparison, Report, Unit};
use crate::world::{Stage, World};

/// Connections that are kept open, each with one call at a time.
const CONNECTIONS: usize = 16;
const REQUESTS: usize = 100;

pub(crate) async fn measure(stage: &Stage, sizes: Sizes) -> anyhow::Result<Report> {
    let world = World::new(stage, "calls").await?;
    let portal = world.serve(&[]).await?;
    let developer = portal.login("developer").await?;
    let mut id = String::new();
    for number in 0..REQUESTS {
        id = developer.submit(&world.shop(), &format!("SELECT {number}")).await?;
    }
    world.portal_database().await?.run("VACUUM ANALYZE").await?;
    let calls = [
        ("get", format!("/api/queries/{id}")),
        ("list of 50", "/api/queries?limit=50".to_owned()),
        ("ready (one SELECT 1)", "/health/ready".to_owned()),
    ];
    let lasting = Duration::from_secs_f64(sizes.call_seconds);
    let mut rounds = calls.iter().map(|_| vec![]).collect::<Vec<_>>();
    for _ in 0..sizes.rounds.min(5) {
        let live = rate(&developer, "/health/live", lasting).await?;
        for ((_, path), rounds) in calls.iter().zip(&mut rounds) {
            rounds.push((rate(&developer, path, lasting).await?, live));
        }
    }
    portal.stop()?;
    let mut report = Report::default();
    for ((name, _), rounds) in calls.into_iter().zip(rounds) {
        report.compare(Comparison {
            name: format!("calls: {name}"),
            a: format!("{CONNECTIONS} connections"),
            b: "/health/live".to_owned(),
            unit: Unit::PerSecond,
            rounds,
            aim: None,
        });
    }
    Ok(report)
}

/// Calls a second, all connections together.
async fn rate(person: &Person, path: &str, lasting: Duration) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let callers = (0..CONNECTIONS).map(|_| {
        let person = person.on_an_own_connection();
        let path = path.to_owned();
        async move {
            let task = tokio::spawn(async move {
                let mut done = 0_u32;
                while begun.elapsed() < lasting {
                    person.get(&path).await?;
                    done += 1;
                }
                anyhow::Ok(done)
            });
            task.await?
        }
    });
    let done: u32 = try_join_all(callers).await?.into_iter().sum();
    Ok(f64::from(done) / begun.elapsed().as_secs_f64())
}
