//! The change feed on a real connection.

use std::time::Duration;

use domain::ports::{Change, ChangeFeed};
use store_postgres::PgChangeFeed;
use testkit::builders::request;
use tokio::sync::broadcast::Receiver;

use crate::world::World;

async fn hears(feed: &mut Receiver<Change>, wanted: Change) {
    let listen = async { while feed.recv().await.expect("the feed goes on") != wanted {} };
    tokio::time::timeout(Duration::from_secs(10), listen)
        .await
        .unwrap_or_else(|_| panic!("{wanted:?} was not heard"));
}

#[tokio::test]
async fn news_reach_the_other_processes() {
    let world = World::peopled().await;
    let feed = PgChangeFeed::start(&world.database.config()).unwrap();
    let mut news = feed.subscribe();
    hears(&mut news, Change::Jobs).await; // It listens from now on.
    let pending = world.process().submit(request()).await;
    hears(&mut news, Change::Request(pending.id)).await;
}

#[tokio::test]
async fn a_lost_connection_is_replaced_and_everybody_is_told_to_look() {
    let world = World::peopled().await;
    let mut config = world.database.config();
    config.application_name = "the listener".to_owned();
    let feed = PgChangeFeed::start(&config).unwrap();
    let mut news = feed.subscribe();
    hears(&mut news, Change::Jobs).await;
    let kill =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'the listener'";
    assert_eq!(world.database.client().await.execute(kill, &[]).await.unwrap(), 1);
    hears(&mut news, Change::Jobs).await; // It was lost.
    hears(&mut news, Change::Jobs).await; // It is back.
    let pending = world.process().submit(request()).await;
    hears(&mut news, Change::Request(pending.id)).await;
}

#[tokio::test]
async fn a_feed_that_is_dropped_closes_its_connection() {
    let world = World::peopled().await;
    let mut config = world.database.config();
    config.application_name = "the listener".to_owned();
    let feed = PgChangeFeed::start(&config).unwrap();
    hears(&mut feed.subscribe(), Change::Jobs).await;
    drop(feed);
    let client = world.database.client().await;
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'the listener'";
    for _ in 0..500 {
        if client.query_one(count, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the connection is still there");
}

#[tokio::test]
async fn strange_payloads_are_ignored() {
    let world = World::peopled().await;
    let feed = PgChangeFeed::start(&world.database.config()).unwrap();
    let mut news = feed.subscribe();
    hears(&mut news, Change::Jobs).await;
    let client = world.database.client().await;
    client
        .batch_execute("NOTIFY query_portal, 'what:ever'; NOTIFY query_portal; NOTIFY query_portal, 'jobs'")
        .await
        .unwrap();
    assert_eq!(news.recv().await.unwrap(), Change::Jobs);
}
