//! What happens when several portal processes do the same thing at once.

use std::sync::Arc;

use bytes::Bytes;
use chrono::TimeDelta;
use domain::execution::ResultChunk;
use domain::job::{Lease, WorkerId};
use domain::lifecycle::{self, Transition};
use domain::ports::{
    ExecutionClaim, FinishError, JobQueue, LeaseStatus, RequestStore, ResultStore, SessionStore, SinkError,
    TransitionError,
};
use domain::request::{Event, Request, StateKind};
use domain::user::Origin;
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use testkit::builders::{at, new_session, presented, request, sample_failure, user};

use crate::world::{Process, World, applied, approval, entry};

fn worker(number: usize) -> WorkerId {
    WorkerId(format!("host:{number}:1"))
}

async fn start(process: &Process) -> (Lease, Request) {
    match process.jobs.claim_execution(&worker(0), at(10), at(70)).await.unwrap() {
        Some(ExecutionClaim::Started { lease, request, .. }) => (lease, *request),
        other => panic!("{other:?}"),
    }
}

fn failing(request: &Request) -> Transition {
    lifecycle::transition(request.clone(), Event::Fail(sample_failure()), None, Origin::system(), at(20))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_commits_of_one_version_on_two_processes_exactly_one_wins() {
    let world = World::peopled().await;
    let processes = [Arc::new(world.process()), Arc::new(world.process())];
    let pending = processes[0].submit(request()).await;
    let attempts = (0..50).map(|number| {
        let process = processes[number % 2].clone();
        let event = if number % 3 == 0 { approval(&pending) } else { Event::Withdraw };
        let transition = applied(&pending, event);
        tokio::spawn(async move { process.requests.commit(&transition).await })
    });
    let outcomes = join_all(attempts.collect::<Vec<_>>()).await;
    let won = outcomes.iter().filter(|outcome| outcome.as_ref().unwrap().is_ok()).count();
    assert_eq!(won, 1);
    for outcome in outcomes {
        if let Err(error) = outcome.unwrap() {
            assert!(matches!(error, TransitionError::Conflict { .. }), "{error:?}");
        }
    }
    assert_eq!(processes[1].requests.find(pending.id).await.unwrap().unwrap().version, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_the_queue_and_run_each_request_once() {
    let world = World::peopled().await;
    let processes = [Arc::new(world.process()), Arc::new(world.process())];
    let mut approved = vec![];
    for _ in 0..15 {
        approved.push(processes[0].approved(request()).await.id);
    }
    let claims = (0..40).map(|number| {
        let process = processes[number % 2].clone();
        tokio::spawn(async move { process.jobs.claim_execution(&worker(number), at(10), at(70)).await })
    });
    let mut started = vec![];
    for claim in join_all(claims.collect::<Vec<_>>()).await {
        match claim.unwrap().unwrap() {
            Some(ExecutionClaim::Started { request, .. }) => started.push(request.id),
            Some(refused) => panic!("{refused:?}"),
            None => {}
        }
    }
    started.sort_unstable();
    approved.sort_unstable();
    assert_eq!(started, approved);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_and_a_withdrawal_at_once_do_not_wait_for_each_other() {
    let world = World::peopled().await;
    let processes = [Arc::new(world.process()), Arc::new(world.process())];
    for round in 0..20 {
        let approved = processes[0].approved(request()).await;
        let transition = applied(&approved, Event::Withdraw);
        let (one, two) = (processes[0].clone(), processes[1].clone());
        let claim = tokio::spawn(async move { one.jobs.claim_execution(&worker(1), at(10), at(70)).await });
        let withdrawal = tokio::spawn(async move { two.requests.commit(&transition).await });
        // A deadlock would be an error of the store here, not a conflict.
        let claimed = claim.await.unwrap().unwrap().is_some();
        let withdrawn = match withdrawal.await.unwrap() {
            Ok(_) => true,
            Err(TransitionError::Conflict { current: StateKind::Executing }) => false,
            Err(error) => panic!("round {round}: {error:?}"),
        };
        assert_ne!(claimed, withdrawn, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reapers_claims_and_withdrawals_at_once_leave_one_outcome() {
    let world = World::peopled().await;
    let processes = [Arc::new(world.process()), Arc::new(world.process())];
    let mut approved = vec![];
    for _ in 0..12 {
        let ttl = std::time::Duration::from_secs(30);
        approved.push(processes[0].approved(request().approval_ttl(ttl)).await);
    }
    let mut tasks = vec![];
    for (number, request) in approved.iter().enumerate() {
        let (one, two) = (processes[number % 2].clone(), processes[(number + 1) % 2].clone());
        let transition = applied(request, Event::Withdraw);
        tasks.push(tokio::spawn(async move {
            // Half a second before the end for one clock is after it for the other.
            one.jobs.claim_execution(&worker(number), at(30), at(90)).await.unwrap();
        }));
        let reaper = two.clone();
        tasks.push(tokio::spawn(async move {
            reaper.jobs.reap(at(31)).await.unwrap();
        }));
        tasks.push(tokio::spawn(async move {
            match two.requests.commit(&transition).await {
                Ok(_) | Err(TransitionError::Conflict { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }));
    }
    for task in join_all(tasks).await {
        task.unwrap();
    }
    for request in approved {
        let now = processes[0].requests.find(request.id).await.unwrap().unwrap();
        assert_eq!(now.version, 3, "{:?}", now.state);
    }
}

#[tokio::test]
async fn an_approval_that_is_too_old_starts_nothing_even_before_the_reaper_came() {
    let world = World::peopled().await;
    let process = world.process();
    let approved = process.approved(request().approval_ttl(std::time::Duration::from_secs(30))).await;
    let claim = process.jobs.claim_execution(&worker(1), at(31), at(90)).await.unwrap();
    let now = process.requests.find(approved.id).await.unwrap().unwrap();
    assert_eq!(now.state.kind(), StateKind::Expired);
    assert_eq!(claim, Some(ExecutionClaim::Refused { request: Box::new(now) }));
    assert_eq!(process.jobs.claim_execution(&worker(1), at(31), at(90)).await.unwrap(), None);
    assert!(process.jobs.reap(at(1_000)).await.unwrap().is_empty());
}

#[tokio::test]
async fn whoever_lost_the_lease_can_neither_write_nor_finish() {
    let world = World::peopled().await;
    let process = world.process();
    process.approved(request()).await;
    let (lease, running) = start(&process).await;
    let mut sink = process.results.sink(running.id, &lease);
    let chunk = |text: &'static str| ResultChunk { statement: 0, rows: 1, ndjson: Bytes::from(text) };
    sink.write(chunk("[1]\n")).await.unwrap();
    assert_eq!(process.jobs.reap(at(71)).await.unwrap().interrupted, [running.id]);
    assert!(matches!(sink.write(chunk("[2]\n")).await, Err(SinkError::LeaseLost)));
    assert_eq!(process.jobs.renew(&lease, at(72), at(132)).await.unwrap(), LeaseStatus::Lost);
    let late = process.jobs.finish_execution(&lease, &failing(&running)).await;
    assert!(matches!(late, Err(FinishError::LeaseLost)), "{late:?}");
    let left: Vec<_> = process.results.read(running.id).try_collect().await.unwrap();
    assert_eq!(left, []);
    let stored =
        world.database.client().await.query_one("SELECT count(*) FROM execution_result_chunks", &[]).await;
    assert_eq!(stored.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunk_that_races_the_end_of_its_execution_is_never_left_behind() {
    let world = World::peopled().await;
    let process = Arc::new(world.process());
    for _ in 0..15 {
        process.approved(request()).await;
        let (lease, running) = start(&process).await;
        let transition = failing(&running);
        let mut sink = process.results.sink(running.id, &lease);
        let writing = tokio::spawn(async move {
            let chunk = ResultChunk { statement: 0, rows: 1, ndjson: Bytes::from("[1]\n") };
            while sink.write(chunk.clone()).await.is_ok() {}
        });
        tokio::task::yield_now().await;
        process.jobs.finish_execution(&lease, &transition).await.unwrap();
        writing.await.unwrap();
        let left: Vec<_> = process.results.read(running.id).try_collect().await.unwrap();
        assert_eq!(left, []);
    }
}

#[tokio::test]
async fn a_login_in_the_second_of_a_logout_everywhere_works_and_older_tokens_do_not() {
    let world = World::peopled().await;
    let sessions = world.process().sessions;
    let ada = user("ada").build().id;
    let before = new_session(ada, "before");
    assert!(sessions.open(&before, &entry("session.open")).await.unwrap());
    // The token says second 10, the logout comes at 10.7 and the next login at 10.9 says second 10 again.
    let logout = at(10) + TimeDelta::milliseconds(700);
    sessions.close_all(ada, logout, &entry("session.close_all")).await.unwrap();
    let after = new_session(ada, "after");
    assert!(sessions.open(&after, &entry("session.open")).await.unwrap());
    assert_eq!(sessions.principal(&presented(&before, at(10))).await.unwrap(), None);
    assert!(sessions.principal(&presented(&after, at(10))).await.unwrap().is_some());
    assert_eq!(sessions.principal(&presented(&after, at(9))).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_survives_a_logout_everywhere_that_races_a_rotation() {
    let world = World::peopled().await;
    let sessions = [world.process().sessions, world.process().sessions];
    let ada = user("ada").build().id;
    for round in 0..15 {
        let (first, second) = (format!("{round}-1"), format!("{round}-2"));
        let session = new_session(ada, &first);
        assert!(sessions[0].open(&session, &entry("session.open")).await.unwrap());
        let hash = domain::auth::TokenHash::of;
        let (one, two) = (sessions[0].clone(), sessions[1].clone());
        let (from, to) = (hash(&first), hash(&second));
        let rotation = tokio::spawn(async move { one.rotate(&from, &to, at(10)).await });
        let logout =
            tokio::spawn(async move { two.close_all(ada, at(10), &entry("session.close_all")).await });
        rotation.await.unwrap().unwrap();
        logout.await.unwrap().unwrap();
        for token in [first, second] {
            let outcome = sessions[0].rotate(&hash(&token), &hash("next"), at(11)).await.unwrap();
            assert_eq!(outcome, domain::auth::Rotation::Invalid, "round {round}");
        }
    }
}
