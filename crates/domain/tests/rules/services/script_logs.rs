//! Reading the logs of scripts, and following a script while it runs.

use std::time::Duration;

use domain::policy::Denied;
use domain::ports::StoreError;
use domain::request::{Event, Request, StateKind};
use domain::script::{CallKind, CallRecord, LogCounts, LogEntry, LogLine};
use domain::services::{Followed, RequestError};
use testkit::builders::{actor, console_line, request, sample_failure};
use tokio::time::Instant;

use super::World;
use super::requests::{ada, admin, denied, grace, nowhere, outsider, service};

/// Longer than any test waits.
const LONG: Duration = Duration::from_secs(15);

fn said(count: usize) -> Vec<LogEntry> {
    (1..=count).map(|n| console_line(&n.to_string())).collect()
}

fn call() -> LogEntry {
    LogEntry::Call(CallRecord {
        number: 1,
        kind: CallKind::Commit,
        statement: None,
        affected: None,
        error: None,
        duration: Duration::ZERO,
    })
}

fn numbers(lines: &[LogLine]) -> Vec<u64> {
    lines.iter().map(|line| line.number).collect()
}

/// A script that runs.
fn script(world: &World) -> Request {
    let request = request().script("fix.js", "return 1;").executing();
    world.store.put_request(&request);
    request
}

#[tokio::test]
async fn a_log_is_shown_to_who_may_see_the_request() {
    let world = World::new();
    let id = script(&world).id;
    world.store.put_log(id, said(2));
    for actor in [ada(), grace(), admin()] {
        let page = service(&world).log(&actor, id, 0, 10).await.expect("it may be seen");
        assert_eq!((numbers(&page.lines), page.more, page.request.id), (vec![1, 2], false, id));
        service(&world).script(&actor, id, 10).await.expect("it may be seen");
        service(&world).follow(&actor, id, None, 0, LONG).await.expect("it may be seen");
    }
    for actor in [actor("bob").build(), outsider()] {
        assert_eq!(denied(service(&world).log(&actor, id, 0, 10).await), Denied::NotVisible);
        assert_eq!(denied(service(&world).script(&actor, id, 10).await), Denied::NotVisible);
        assert_eq!(denied(service(&world).follow(&actor, id, None, 0, LONG).await), Denied::NotVisible);
    }
    let error = service(&world).log(&admin(), nowhere(), 0, 10).await;
    assert!(matches!(error, Err(RequestError::NotFound)), "{error:?}");
}

#[tokio::test]
async fn a_log_is_read_in_parts_and_each_says_whether_there_is_more() {
    let world = World::new();
    let id = script(&world).id;
    world.store.put_log(id, said(5));
    let read = async |after, limit| {
        let page = service(&world).log(&ada(), id, after, limit).await.expect("it may be seen");
        (numbers(&page.lines), page.more)
    };
    assert_eq!(read(0, 2).await, (vec![1, 2], true));
    assert_eq!(read(2, 2).await, (vec![3, 4], true));
    assert_eq!(read(4, 2).await, (vec![5], false));
    assert_eq!(read(3, 2).await, (vec![4, 5], false));
    assert_eq!(read(5, 2).await, (vec![], false));
    assert_eq!(read(u64::MAX, u32::MAX).await, (vec![], false));
}

#[tokio::test]
async fn a_script_comes_with_the_size_of_its_log_and_a_query_is_none() {
    let world = World::new();
    let id = script(&world).id;
    world.store.put_log(id, said(5));
    world.store.put_log(id, vec![call()]);
    let (page, counts) = service(&world).script(&ada(), id, 2).await.expect("it is a script");
    assert_eq!((numbers(&page.lines), page.more), (vec![1, 2], true));
    assert_eq!(counts, LogCounts { console: 5, calls: 1 });
    let query = world.pending(request()).await;
    let error = service(&world).script(&ada(), query.id, 2).await;
    assert!(matches!(error, Err(RequestError::NoScript)), "{error:?}");
    let page = service(&world).log(&ada(), query.id, 0, 2).await.expect("it has an empty one");
    assert_eq!((page.lines, page.more), (vec![], false));
}

#[tokio::test]
async fn a_log_cannot_be_read_while_the_store_is_away() {
    let world = World::new();
    let id = script(&world).id;
    world.store.set_unavailable(true);
    let error = service(&world).log(&ada(), id, 0, 10).await;
    assert!(matches!(error, Err(RequestError::Store(StoreError::Unavailable { .. }))), "{error:?}");
}

#[tokio::test]
async fn a_script_that_has_not_run_has_no_log() {
    let world = World::new();
    let id = world.pending(request().script("fix.js", "return 1;")).await.id;
    world.store.put_log(id, said(1));
    let page = service(&world).log(&ada(), id, 0, 10).await.expect("it may be seen");
    assert_eq!(page.lines, []);
    let followed = service(&world).follow(&ada(), id, None, 0, LONG).await.expect("it may be seen");
    assert_eq!(followed.lines, []);
}

#[tokio::test(start_paused = true)]
async fn whoever_follows_hears_of_what_they_have_not_seen_at_once() {
    let world = World::new();
    let request = script(&world);
    world.store.put_log(request.id, said(3));
    let begin = Instant::now();
    let follow = async |seen, after| {
        service(&world).follow(&ada(), request.id, seen, after, LONG).await.expect("it may be seen")
    };
    assert_eq!(numbers(&follow(None, 3).await.lines), Vec::<u64>::new());
    assert_eq!(numbers(&follow(Some(request.version), 1).await.lines), [2, 3]);
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn whoever_follows_waits_for_a_line_a_state_or_the_end_of_their_time() {
    let world = World::new();
    let request = script(&world);
    let follow = |after| {
        let (service, id, seen) = (service(&world), request.id, Some(request.version));
        tokio::spawn(async move {
            let begin = Instant::now();
            let Followed { request, lines } =
                service.follow(&ada(), id, seen, after, LONG).await.expect("it may be seen");
            (request.state.kind(), numbers(&lines), begin.elapsed())
        })
    };
    let waiting = follow(0);
    tokio::time::sleep(Duration::from_millis(10)).await;
    world.store.put_log(request.id, said(2));
    let heard = (StateKind::Executing, vec![1, 2], Duration::from_millis(10));
    assert_eq!(waiting.await.expect("no panic"), heard, "news, and no poll");
    // Another request is none of this one's concern.
    let waiting = follow(2);
    tokio::time::sleep(Duration::from_millis(10)).await;
    world.store.put_log(script(&world).id, said(1));
    world.store.put_log_in_silence(request.id, said(1));
    let found = (StateKind::Executing, vec![3], Duration::from_secs(2));
    assert_eq!(waiting.await.expect("no panic"), found, "a poll, as the news was lost");
    assert_eq!(follow(3).await.expect("no panic"), (StateKind::Executing, vec![], LONG));
    let waiting = follow(3);
    tokio::time::sleep(Duration::from_millis(10)).await;
    world.ask_to_cancel(request.id).await;
    let heard = (StateKind::Executing, vec![], Duration::from_millis(10));
    assert_eq!(waiting.await.expect("no panic"), heard);
}

#[tokio::test]
async fn whoever_follows_is_given_a_long_log_in_parts() {
    let world = World::new();
    let request = script(&world);
    world.store.put_log(request.id, said(450));
    let over = world.commit(request, Event::Fail(sample_failure())).await;
    let (mut after, mut sizes) = (0, vec![]);
    loop {
        let followed =
            service(&world).follow(&ada(), over.id, None, after, LONG).await.expect("it may be seen");
        let Some(last) = followed.lines.last() else { break };
        assert_eq!(followed.lines[0].number, after + 1);
        after = last.number;
        sizes.push(followed.lines.len());
    }
    assert_eq!(sizes, [200, 200, 50]);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_the_end_of_a_script_is_not_answered_for_each_of_its_lines() {
    let world = World::new();
    let request = script(&world);
    let (service, id) = (service(&world), request.id);
    let waiting = tokio::spawn(async move { service.wait(&ada(), id, LONG, true).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    world.store.put_log(request.id, said(2));
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(!waiting.is_finished());
    world.commit(request, Event::Fail(sample_failure())).await;
    let answer = waiting.await.expect("no panic").expect("it may be seen");
    assert_eq!(answer.state.kind(), StateKind::Failed);
}

/// Lines as long as a script's may be.
fn long(count: usize) -> Vec<LogEntry> {
    std::iter::repeat_n(console_line(&"x".repeat(64 * 1024)), count).collect()
}

#[tokio::test]
async fn a_part_of_a_log_is_limited_in_bytes_too_and_says_that_there_is_more() {
    let world = World::new();
    let id = script(&world).id;
    world.store.put_log(id, long(20));
    let page = service(&world).log(&ada(), id, 0, 1_000).await.expect("it may be seen");
    assert_eq!((numbers(&page.lines), page.more), ((1..=8).collect(), true), "512 KiB");
    let page = service(&world).log(&ada(), id, 12, 1_000).await.expect("it may be seen");
    assert_eq!((numbers(&page.lines), page.more), ((13..=20).collect(), false));
    let (page, counts) = service(&world).script(&ada(), id, 200).await.expect("it is a script");
    assert_eq!((numbers(&page.lines), page.more, counts.console), (vec![1], true, 20), "64 KiB");
}

#[tokio::test]
async fn whoever_follows_is_given_little_at_once_and_all_of_it_in_the_end() {
    let world = World::new();
    let request = script(&world);
    let quarter = console_line(&"x".repeat(8 * 1024));
    world.store.put_log(request.id, [vec![quarter; 5], long(2), said(1)].concat());
    let (mut after, mut parts) = (0, vec![]);
    while after < 8 {
        let followed = service(&world).follow(&ada(), request.id, None, after, LONG).await;
        let lines = followed.expect("it may be seen").lines;
        after = lines.last().expect("there is always one, however long it is").number;
        parts.push(numbers(&lines));
    }
    assert_eq!(parts, [vec![1, 2, 3, 4], vec![5], vec![6], vec![7], vec![8]], "32 KiB");
}
