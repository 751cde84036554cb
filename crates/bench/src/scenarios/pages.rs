//! The first and the last page of a long list.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::bare::{Bare, milliseconds};
use crate::options::Sizes;
use crate::portal::Person;
use crate::report::{Aim, Comparison, Report, Unit};
use crate::stats::median;
use crate::world::{Stage, World};

const SEED: &str = include_str!("pages_seed.sql");

/// Whose list, how it is narrowed, and the same as a condition on the table.
struct List {
    who: &'static str,
    filter: &'static str,
    condition: &'static str,
}

const OWN: &str = "user_id = (SELECT id FROM users WHERE name = 'developer')";
const OF_PODS: &str =
    "(user_id = (SELECT id FROM users WHERE name = 'manager') OR pod_id IN ('payments', 'pod-7'))";

const LISTS: [List; 10] = [
    List { who: "admin", filter: "", condition: "true" },
    List { who: "manager", filter: "", condition: OF_PODS },
    List { who: "developer", filter: "", condition: OWN },
    List { who: "admin", filter: "&status=failed", condition: "status = 'failed'" },
    List { who: "admin", filter: "&status=pending", condition: "status = 'pending'" },
    List { who: "admin", filter: "&instanceId=archive", condition: "instance_id = 'archive'" },
    List {
        who: "admin",
        filter: "&status=failed&instanceId=archive",
        condition: "status = 'failed' AND instance_id = 'archive'",
    },
    List { who: "manager", filter: "&status=pending", condition: "status = 'pending' AND {own}" },
    List { who: "manager", filter: "&status=failed", condition: "status = 'failed' AND {own}" },
    List { who: "developer", filter: "&status=failed", condition: "status = 'failed' AND {own}" },
];

pub(crate) async fn measure(stage: &Stage, sizes: Sizes) -> anyhow::Result<Report> {
    let world = World::new(stage, "pages").await?;
    let store = world.portal_database().await?;
    store.run(&SEED.replace("{requests}", &sizes.requests.to_string())).await?;
    store.run("VACUUM ANALYZE").await?;
    let portal = world.serve(&[]).await?;
    let (mut report, size) = (Report::default(), sizes.page_size);
    for list in &LISTS {
        let person = portal.login(list.who).await?;
        let (last, visible) = last_page(&store, list, size).await?;
        let first = format!("/api/queries?limit={size}{}", list.filter);
        let last = format!("{first}&cursor={last}");
        check(&person, &first, size, true).await?;
        check(&person, &last, size, false).await?;
        let mut rounds = vec![];
        for _ in 0..sizes.rounds.min(5) {
            let (mut of_last, mut of_first) = (vec![], vec![]);
            for _ in 0..sizes.pages {
                of_last.push(time(&person, &last).await?);
                of_first.push(time(&person, &first).await?);
            }
            rounds.push((median(&of_last), median(&of_first)));
        }
        let what = if list.filter.is_empty() { "all that they see" } else { &list.filter[1..] };
        report.compare(Comparison {
            name: format!("pages of {}: {}, {what}", sizes.requests, list.who),
            a: format!("last page of {visible}"),
            b: "first page".to_owned(),
            unit: Unit::Milliseconds,
            rounds,
            aim: Some(Aim::AtMost(1.2)),
        });
    }
    portal.stop()?;
    Ok(report)
}

/// The cursor of the last full page, as the API builds it, and how many requests the list has.
async fn last_page(store: &Bare, list: &List, size: usize) -> anyhow::Result<(String, i64)> {
    let own = if list.who == "manager" { OF_PODS } else { OWN };
    let condition = list.condition.replace("{own}", own);
    let visible = store.number(&format!("SELECT count(*) FROM query_requests WHERE {condition}")).await?;
    let before = format!("SELECT id FROM query_requests WHERE {condition} ORDER BY id OFFSET {size} LIMIT 1");
    let position = store.number(&before).await.with_context(|| format!("{condition} is too short"))?;
    Ok((URL_SAFE_NO_PAD.encode(format!("v1:{position}")), visible))
}

async fn check(person: &Person, path: &str, size: usize, more: bool) -> anyhow::Result<()> {
    let body: Value = serde_json::from_slice(&person.get(path).await?)?;
    let items = body["items"].as_array().context("no items")?.len();
    ensure!(items == size, "{path}: {items} items instead of {size}");
    ensure!(body["nextCursor"].is_string() == more, "{path}: it is not the page that it should be");
    Ok(())
}

async fn time(person: &Person, path: &str) -> anyhow::Result<f64> {
    let begun = Instant::now();
    person.get(path).await?;
    Ok(milliseconds(begun))
}
