//! `ScriptLogs` and its writer.

use std::time::Duration;

use domain::ids::RequestId;
use domain::job::Lease;
use domain::ports::{Change, ScriptLog, SinkError};
use domain::request::{Event, StateKind};
use domain::script::{CallKind, CallRecord, ConsoleLevel, LogCounts, LogEntry, LogLimit, LogLine};

use super::changes::hears;
use super::scene::{Scene, Started};
use super::stores::Stores;
use crate::builders::{RequestBuilder, approver, at, console_line, request, sample_failure, uuid_for};

fn script() -> RequestBuilder {
    request().script("fix.js", "return 1;")
}

fn call(number: u64, kind: CallKind) -> LogEntry {
    LogEntry::Call(CallRecord {
        number,
        kind,
        statement: Some("SELECT 1".to_owned()),
        affected: Some(number),
        error: None,
        duration: Duration::from_micros(1_234),
    })
}

fn writer(w: &Scene, started: &Started) -> Box<dyn ScriptLog> {
    w.logs.writer(started.request.id, &started.lease)
}

async fn all(w: &Scene, request: RequestId) -> Vec<LogLine> {
    w.logs.read(request, 0, LogLimit::NONE).await.expect("the store answers").lines
}

async fn entries(w: &Scene, request: RequestId) -> Vec<LogEntry> {
    all(w, request).await.into_iter().map(|line| line.entry).collect()
}

/// The numbers of the lines of a part, and whether there are more.
async fn part(w: &Scene, started: &Started, after: u64, limit: LogLimit) -> (Vec<u64>, bool) {
    let part = w.logs.read(started.request.id, after, limit).await.expect("the store answers");
    (part.lines.iter().map(|line| line.number).collect(), part.more)
}

/// Starts a script that says two lines.
async fn spoken(w: &Scene) -> Started {
    let started = w.started(script()).await;
    writer(w, &started).write(vec![console_line("1"), console_line("2")]).await.expect("the lease holds");
    started
}

rules! { ($) __script_log_rules in script_logs, stores: Stores => Scene::set_up;
    async fn everything_that_a_script_says_and_does_comes_back_as_it_was(w) {
        let started = w.started(script()).await;
        let bare = |number, kind| LogEntry::Call(CallRecord {
            number, kind, statement: None, affected: None, error: None, duration: Duration::ZERO,
        });
        let mut given: Vec<LogEntry> = ConsoleLevel::ALL
            .map(|level| LogEntry::Console { level, text: level.as_str().to_owned() })
            .into();
        given.extend(CallKind::ALL.into_iter().zip(1..).map(|(kind, number)| call(number, kind)));
        given.extend(CallKind::ALL.into_iter().zip(6..).map(|(kind, number)| bare(number, kind)));
        given.push(LogEntry::Call(CallRecord {
            number: 11,
            kind: CallKind::Query,
            statement: Some("SELECT 1/0".to_owned()),
            affected: None,
            error: Some("22012".to_owned()),
            duration: Duration::from_hours(1),
        }));
        given.push(LogEntry::Console { level: ConsoleLevel::Log, text: String::new() });
        writer(&w, &started).write(given.clone()).await.expect("the lease holds");
        assert_eq!(entries(&w, started.request.id).await, given);
        let counts = w.logs.count(started.request.id).await.expect("the store answers");
        assert_eq!(counts, LogCounts { console: 6, calls: 11 });
    }

    async fn lines_are_numbered_from_1_without_gaps_over_several_writes(w) {
        let started = w.started(script()).await;
        let mut log = writer(&w, &started);
        let mut given = vec![];
        for size in [1, 3, 0, 2, 50] {
            let batch: Vec<LogEntry> =
                (0..size).map(|n| console_line(&format!("{size}/{n}"))).collect();
            given.extend(batch.clone());
            log.write(batch).await.expect("the lease holds");
        }
        let lines = all(&w, started.request.id).await;
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), (1..=56).collect::<Vec<_>>());
        assert_eq!(lines.iter().map(|line| line.entry.clone()).collect::<Vec<_>>(), given);
        assert!(lines.iter().all(|line| line.at == at(0)), "the clock says when");
    }

    async fn another_writer_goes_on_where_the_first_stopped(w) {
        let started = spoken(&w).await;
        writer(&w, &started).write(vec![console_line("3")]).await.expect("the lease holds");
        let numbers: Vec<u64> = all(&w, started.request.id).await.iter().map(|line| line.number).collect();
        assert_eq!(numbers, [1, 2, 3]);
    }

    async fn a_log_is_read_in_parts(w) {
        let started = w.started(script()).await;
        let given: Vec<LogEntry> = (1..=10).map(|n| console_line(&n.to_string())).collect();
        writer(&w, &started).write(given).await.expect("the lease holds");
        let read = async |after, lines| part(&w, &started, after, LogLimit { lines, ..LogLimit::NONE }).await;
        assert_eq!(read(0, 3).await, (vec![1, 2, 3], true));
        assert_eq!(read(3, 3).await, (vec![4, 5, 6], true));
        assert_eq!(read(7, 3).await, (vec![8, 9, 10], false));
        assert_eq!(read(8, 3).await, (vec![9, 10], false));
        assert_eq!(read(0, 10).await, ((1..=10).collect(), false));
        for (after, lines) in [(10, 3), (11, 3), (u64::MAX, 3), (i64::MAX as u64, u32::MAX)] {
            assert_eq!(read(after, lines).await, (vec![], false), "{after} {lines}");
        }
        assert_eq!(read(0, 0).await, (vec![], true));
    }

    async fn a_part_of_a_log_has_no_more_bytes_of_text_than_were_asked_for(w) {
        let started = w.started(script()).await;
        // "é" has two bytes. A call has those of its statement and of its error.
        let failed = LogEntry::Call(CallRecord {
            number: 1,
            kind: CallKind::Query,
            statement: Some("SELECT é".to_owned()),
            affected: None,
            error: Some("42703".to_owned()),
            duration: Duration::ZERO,
        });
        let given = vec![console_line("éé"), console_line("four"), console_line(""), failed, console_line("12345")];
        assert_eq!(given.iter().map(LogEntry::text_bytes).collect::<Vec<_>>(), [4, 4, 0, 14, 5]);
        writer(&w, &started).write(given).await.expect("the lease holds");
        let read = async |after, bytes| part(&w, &started, after, LogLimit { bytes, ..LogLimit::NONE }).await;
        assert_eq!(read(0, 7).await, (vec![1], true));
        assert_eq!(read(0, 8).await, (vec![1, 2, 3], true), "all of them are full, an empty line fits");
        assert_eq!(read(0, 21).await, (vec![1, 2, 3], true));
        assert_eq!(read(0, 22).await, (vec![1, 2, 3, 4], true));
        assert_eq!(read(0, 27).await, (vec![1, 2, 3, 4, 5], false));
        assert_eq!(read(3, 18).await, (vec![4], true));
        assert_eq!(read(3, 19).await, (vec![4, 5], false));
        assert_eq!(part(&w, &started, 0, LogLimit { lines: 2, bytes: 8 }).await, (vec![1, 2], true));
    }

    async fn a_line_that_is_longer_than_what_was_asked_for_comes_by_itself(w) {
        let started = w.started(script()).await;
        let long = console_line(&"x".repeat(64 * 1024));
        let given = vec![console_line("short"), long.clone(), console_line("short"), long];
        writer(&w, &started).write(given).await.expect("the lease holds");
        for bytes in [0, 1, 5, 64 * 1024] {
            let mut parts = vec![];
            loop {
                let after = parts.last().copied().unwrap_or(0);
                let (numbers, more) = part(&w, &started, after, LogLimit { bytes, ..LogLimit::NONE }).await;
                assert_eq!((numbers.len(), more), (1, after < 3), "{bytes}: {numbers:?}");
                parts.extend(numbers);
                if !more {
                    break;
                }
            }
            assert_eq!(parts, [1, 2, 3, 4], "{bytes}: a reader gets on");
        }
    }

    async fn a_request_that_said_nothing_has_no_log(w) {
        let started = w.started(script()).await;
        writer(&w, &started).write(vec![]).await.expect("nothing to write is no error");
        for id in [started.request.id, RequestId::from_uuid(uuid_for("nobody"))] {
            assert_eq!(all(&w, id).await, []);
            assert_eq!(w.logs.count(id).await.expect("the store answers"), LogCounts::default());
        }
    }

    async fn logs_of_scripts_at_once_are_kept_apart(w) {
        let first = w.started(script()).await;
        let second = w.started(script()).await;
        let mut logs = [writer(&w, &first), writer(&w, &second)];
        for n in 0..3 {
            for (i, log) in logs.iter_mut().enumerate() {
                log.write(vec![console_line(&format!("{n}/{i}"))]).await.expect("the lease holds");
            }
        }
        for (i, started) in [&first, &second].into_iter().enumerate() {
            let own: Vec<LogEntry> = (0..3).map(|n| console_line(&format!("{n}/{i}"))).collect();
            assert_eq!(entries(&w, started.request.id).await, own);
        }
    }

    async fn a_writer_of_another_fence_or_for_another_request_refuses(w) {
        let started = w.started(script()).await;
        let other = w.started(script()).await;
        for fence in [started.lease.fence - 1, started.lease.fence + 1] {
            let lease = Lease { fence, ..started.lease.clone() };
            let error = w.logs.writer(started.request.id, &lease).write(vec![console_line("no")]).await;
            assert!(matches!(error, Err(SinkError::LeaseLost)), "{error:?}");
        }
        let error = w.logs.writer(other.request.id, &started.lease).write(vec![console_line("no")]).await;
        assert!(matches!(error, Err(SinkError::LeaseLost)), "{error:?}");
        assert_eq!(all(&w, started.request.id).await, [], "nothing of it was kept");
        assert_eq!(all(&w, other.request.id).await, [], "nothing of it was kept");
    }

    async fn a_writer_refuses_once_its_lease_is_lost_and_what_it_wrote_before_stays(w) {
        let started = spoken(&w).await;
        let mut log = writer(&w, &started);
        w.jobs.reap(at(100)).await.expect("the store answers");
        assert_eq!(w.request(started.request.id).await.state.kind(), StateKind::Interrupted);
        let error = log.write(vec![console_line("3")]).await;
        assert!(matches!(error, Err(SinkError::LeaseLost)), "{error:?}");
        assert_eq!(entries(&w, started.request.id).await, [console_line("1"), console_line("2")]);
    }

    async fn a_writer_refuses_once_its_execution_is_over(w) {
        let started = spoken(&w).await;
        let mut log = writer(&w, &started);
        let (report, preview) = crate::builders::sample_report();
        w.finish(&started.lease, &started.request, Event::Succeed { report, preview }).await;
        let error = log.write(vec![console_line("3")]).await;
        assert!(matches!(error, Err(SinkError::LeaseLost)), "{error:?}");
        assert_eq!(entries(&w, started.request.id).await, [console_line("1"), console_line("2")]);
    }

    async fn a_log_stays_when_its_script_fails_or_is_cancelled(w) {
        let failed = spoken(&w).await;
        w.finish(&failed.lease, &failed.request, Event::Fail(sample_failure())).await;
        let cancelled = spoken(&w).await;
        let asked = Event::RequestCancel { by: Some(approver("grace")) };
        let request = w.commit(&cancelled.request, asked, at(15)).await;
        w.finish(&cancelled.lease, &request, Event::ConfirmCancelled).await;
        for id in [failed.request.id, cancelled.request.id] {
            assert_eq!(entries(&w, id).await, [console_line("1"), console_line("2")]);
        }
    }

    async fn any_text_is_kept_and_a_nul_is_shown(w) {
        let started = w.started(script()).await;
        let texts = [
            "\0", "a\0\0b", "🦀 é \u{202e}abc\u{200b}", "line\r\nline\n", "\u{feff}", "'; DROP TABLE x; --",
            "{\"a\":[null]}", "{NULL,\"x\"}", "NULL", "\\", "\u{1}\u{7f}\u{1b}[31m", "\u{10ffff}\u{fffe}",
        ];
        let said = |text: &str| LogEntry::Console { level: ConsoleLevel::Warn, text: text.to_owned() };
        let asked = |text: &str| LogEntry::Call(CallRecord {
            number: 1,
            kind: CallKind::Stream,
            statement: Some(text.to_owned()),
            affected: Some(i64::MAX as u64),
            error: Some(text.to_owned()),
            duration: Duration::ZERO,
        });
        let both = |text: &&str| [said(text), asked(text)];
        writer(&w, &started).write(texts.iter().flat_map(both).collect()).await.expect("the lease holds");
        let shown = texts.map(|text| text.replace('\0', "␀"));
        let expected: Vec<LogEntry> = shown.iter().flat_map(|text| [said(text), asked(text)]).collect();
        assert_eq!(entries(&w, started.request.id).await, expected);
    }

    async fn a_line_may_be_a_mebibyte_long(w) {
        let started = w.started(script()).await;
        let long = console_line(&"🦀".repeat(256 * 1024));
        let mut log = writer(&w, &started);
        for _ in 0..2 {
            log.write(vec![long.clone(), console_line("short")]).await.expect("the lease holds");
        }
        let kept = entries(&w, started.request.id).await;
        assert!(kept == [long.clone(), console_line("short"), long, console_line("short")], "they differ");
    }

    async fn what_is_written_is_announced_once_it_can_be_read(w) {
        let started = w.started(script()).await;
        let (mut feed, mut log) = (w.changes.subscribe(), writer(&w, &started));
        // News may be lost, above all while a feed does not listen yet; not each time.
        let writing = async {
            loop {
                log.write(vec![console_line("1")]).await.expect("the lease holds");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::select! {
            () = hears(&mut feed, Change::Log(started.request.id)) => {}
            () = writing => {}
        }
        assert_ne!(all(&w, started.request.id).await, []);
    }
}
