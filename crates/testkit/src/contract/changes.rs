//! `ChangeFeed`: news goes out after the commit. It may be lost in a bad moment;
//! these rules run in a good one.

use std::time::Duration;

use domain::ports::Change;
use domain::request::Event;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::scene::{Scene, Started, approval};
use super::stores::Stores;
use crate::builders::{approver, at, request, sample_failure};

/// Waits for a change, whatever else is told in between.
pub(super) async fn hears(feed: &mut Receiver<Change>, wanted: Change) {
    let listen = async {
        loop {
            match feed.recv().await {
                Ok(change) if change == wanted => return,
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => panic!("the feed has ended"),
            }
        }
    };
    let heard = tokio::time::timeout(Duration::from_secs(10), listen).await;
    assert!(heard.is_ok(), "{wanted:?} was not announced within ten seconds");
}

rules! { ($) __change_rules in changes, stores: Stores => Scene::set_up;
    async fn a_new_request_and_its_jobs_are_announced(w) {
        let (mut requests, mut jobs) = (w.changes.subscribe(), w.changes.subscribe());
        let pending = w.submit(request()).await;
        hears(&mut requests, Change::Request(pending.id)).await;
        hears(&mut jobs, Change::Jobs).await;
    }

    async fn a_transition_is_announced_once_it_can_be_read(w) {
        let pending = w.submit(request()).await;
        let mut feed = w.changes.subscribe();
        let (requests, transition) = (
            w.requests.clone(),
            super::scene::applied(&pending, approval(&pending, approver("grace")), at(1)),
        );
        let commit = tokio::spawn(async move { requests.commit(&transition).await });
        // Late news of the submission may come first.
        while w.request(pending.id).await.version == 1 {
            hears(&mut feed, Change::Request(pending.id)).await;
        }
        let approved = commit.await.expect("no panic").expect("nobody was faster");
        assert_eq!(w.request(pending.id).await, approved);
    }

    async fn a_cancel_is_announced_to_every_listener(w) {
        let Started { request, .. } = w.started(request()).await;
        let (mut one, mut two) = (w.changes.subscribe(), w.changes.subscribe());
        w.commit(&request, Event::RequestCancel { by: None }, at(15)).await;
        hears(&mut one, Change::Cancel(request.id)).await;
        hears(&mut two, Change::Cancel(request.id)).await;
    }

    async fn the_start_the_end_and_the_loss_of_an_execution_are_announced(w) {
        let approved = w.approved(request()).await;
        let mut feed = w.changes.subscribe();
        w.claim(at(10)).await.expect("it is due");
        hears(&mut feed, Change::Request(approved.id)).await;
        let Started { lease, request: ends, .. } = w.started(request()).await;
        let mut feed = w.changes.subscribe();
        w.finish(&lease, &ends, Event::Fail(sample_failure())).await;
        hears(&mut feed, Change::Request(ends.id)).await;
        let mut feed = w.changes.subscribe();
        let reaped = w.jobs.reap(at(200)).await.expect("the store answers");
        assert_eq!(reaped.interrupted, [approved.id]);
        hears(&mut feed, Change::Request(approved.id)).await;
    }
}
