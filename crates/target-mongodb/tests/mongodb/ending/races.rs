//! Cancels at any moment: whom they reach, and who wins against a commit.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bson::Document;
use domain::ports::ExecutionError;

use crate::harness::Db;

/// Numbers that look random and are the same in every run (splitmix64).
fn scattered(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 31)
}

/// The time after which about half of the executions are over, whatever machine this is. It follows what happens.
struct Halfway(AtomicU64);

impl Halfway {
    fn moment(&self, seed: u64) -> Duration {
        let nanos = self.0.load(Ordering::Relaxed);
        Duration::from_nanos(nanos / 2 + scattered(seed) % nanos.max(1))
    }

    fn learn(&self, too_late: bool) {
        let nanos = self.0.load(Ordering::Relaxed);
        let step = nanos / 20;
        self.0.store(if too_late { nanos - step } else { nanos + step + 1 }, Ordering::Relaxed);
    }
}

async fn ready() -> Db {
    let db = super::busy(20).await;
    // Of transactions that make a collection at the same time all but one conflict.
    db.run(r#"{"create": "w"}"#).await.report();
    db
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_success_is_what_is_there_and_a_cancel_is_what_is_not() {
    const ROUNDS: u64 = 300;
    let (db, halfway, next) = (ready().await, Halfway(AtomicU64::new(5_000_000)), AtomicU64::new(0));
    let worker = async || {
        let mut ends = vec![];
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= ROUNDS {
                return ends;
            }
            let insert = format!(
                r#"{{"insert": "w", "documents": [{{"_id": {number}}}, {{"_id": -{}}}]}}"#,
                number + 1
            );
            let order = db.order(&insert).await;
            let outcome = db.run_and_cancel(&order, halfway.moment(number)).await;
            let done = match outcome.result {
                Ok(_) => true,
                Err(ExecutionError::Cancelled) => false,
                Err(other) => panic!("{other:?}"),
            };
            halfway.learn(done);
            ends.push((number, done));
        }
    };
    let ends = futures_util::future::join_all((0..3).map(|_| worker())).await.concat();
    let mut said: Vec<i64> =
        ends.iter().filter(|(_, done)| *done).map(|(number, _)| number.cast_signed()).collect();
    said.sort_unstable();
    let there: Vec<i64> =
        db.raw("w").await.iter().map(|one| Document::try_from(one.as_ref()).unwrap()).map(id).collect();
    let (negative, positive): (Vec<i64>, Vec<i64>) = there.into_iter().partition(|id| *id < 0);
    assert_eq!(positive, said);
    assert_eq!(negative.len(), said.len());
    // The cancels came neither all too early nor all too late.
    assert!((10..ROUNDS - 10).contains(&(said.len() as u64)), "{}", said.len());
    db.is_quiet().await;
}

fn id(document: Document) -> i64 {
    document.get_i32("_id").unwrap().into()
}

/// The driver uses a session of the server again as soon as it is free, so a late request to end it would end another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_reaches_no_execution_beside_it_and_none_after_it() {
    const ROUNDS: u64 = 200;
    let (db, halfway) = (ready().await, Halfway(AtomicU64::new(20_000_000)));
    let slow = r#"{"find": "c", "filter": {"$where": "sleep(1) || true"}}"#;
    let write = r#"{"update": "c", "updates": [{"q": {"$where": "sleep(1) || true"}, "u": {"$inc": {"x": 1}}, "multi": true}]}"#;
    let mut cancelled = 0;
    for round in 0..ROUNDS {
        let order = db.order(if round % 2 == 0 { slow } else { write }).await;
        let victim = async {
            let outcome = db.run_and_cancel(&order, halfway.moment(round)).await;
            let done = match outcome.result {
                Ok(_) => true,
                Err(ExecutionError::Cancelled) => false,
                Err(other) => panic!("{other:?}"),
            };
            halfway.learn(done);
            // At once, so that it finds the sessions that were just set free.
            let after = [db.run(slow), db.run(slow)];
            for outcome in futures_util::future::join_all(after).await {
                assert_eq!(outcome.report().statements[0].rows, 20, "{round}");
            }
            done
        };
        let beside = async {
            for _ in 0..2 {
                assert_eq!(db.run(slow).await.report().statements[0].rows, 20, "{round}");
            }
        };
        let (done, ()) = tokio::join!(victim, beside);
        cancelled += u64::from(!done);
    }
    assert!((10..ROUNDS - 10).contains(&cancelled), "{cancelled}");
    db.is_quiet().await;
}
