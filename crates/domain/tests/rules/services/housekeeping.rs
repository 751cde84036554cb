//! The reaper's rounds.

use std::time::Duration;

use domain::job::WorkerId;
use domain::ports::Clock;
use domain::request::StateKind;
use domain::services::Housekeeper;
use testkit::builders::request;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::World;

fn housekeeper(world: &World) -> Housekeeper {
    Housekeeper { queue: world.store.job_queue(), clock: world.clock.clone(), every: Duration::from_secs(5) }
}

#[tokio::test]
async fn a_round_expires_what_has_waited_for_too_long() {
    let world = World::new();
    let pending = world.pending(request()).await;
    let approved = world.approved(request()).await;
    let patient = world.pending(request().approval_ttl(Duration::from_hours(48))).await;
    world.clock.advance(Duration::from_hours(25));
    housekeeper(&world).tidy().await.expect("the store answers");
    assert_eq!(world.kind(pending.id).await, StateKind::Expired);
    assert_eq!(world.kind(approved.id).await, StateKind::Expired);
    assert_eq!(world.kind(patient.id).await, StateKind::Pending);
    housekeeper(&world).tidy().await.expect("a second round finds nothing to do");
    assert_eq!(world.trail(pending.id), ["request.submit", "request.expire"]);
}

#[tokio::test]
async fn a_round_interrupts_what_a_lost_process_executed() {
    let world = World::new();
    let approved = world.approved(request()).await;
    let now = world.clock.now();
    let lease_until = now + chrono::TimeDelta::seconds(30);
    let worker = WorkerId("lost:1:1".to_owned());
    world.store.job_queue().claim_execution(&worker, now, lease_until).await.expect("it is due");
    world.clock.advance(Duration::from_secs(29));
    housekeeper(&world).tidy().await.expect("the store answers");
    assert_eq!(world.kind(approved.id).await, StateKind::Executing, "the lease still holds");
    world.clock.advance(Duration::from_secs(2));
    housekeeper(&world).tidy().await.expect("the store answers");
    assert_eq!(world.kind(approved.id).await, StateKind::Interrupted);
}

#[tokio::test]
async fn a_round_fails_while_the_store_is_away() {
    let world = World::new();
    world.store.set_unavailable(true);
    housekeeper(&world).tidy().await.expect_err("the store is away");
}

#[tokio::test(start_paused = true)]
async fn rounds_go_on_through_failures_until_they_are_stopped() {
    let world = World::new();
    let pending = world.pending(request()).await;
    world.clock.advance(Duration::from_hours(25));
    world.store.set_unavailable(true);
    let (stop, keeper) = (CancellationToken::new(), housekeeper(&world));
    let stopped = stop.clone();
    let running = tokio::spawn(async move { keeper.run(stopped).await });
    tokio::time::sleep(Duration::from_secs(12)).await;
    world.store.set_unavailable(false);
    assert_eq!(world.kind(pending.id).await, StateKind::Pending);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.kind(pending.id).await, StateKind::Expired);
    let begin = Instant::now();
    stop.cancel();
    running.await.expect("no panic");
    assert_eq!(begin.elapsed(), Duration::ZERO, "it does not finish its pause first");
}
