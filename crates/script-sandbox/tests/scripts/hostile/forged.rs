//! A process that was taken over and says what it likes (`examples/forger.rs`). Each lie ends its own script, and the
//! next one on the same runner is served.

use std::time::{Duration, Instant};

use domain::script::{CallAnswer, DatabaseCall, ScriptOutcome};
use script_runner::{ProcessScriptRunner, ScriptSettings};

use super::{example, few, query};
use crate::harness::{Seen, committed, database_error, rows, script};

fn forger(early: &str) -> ProcessScriptRunner {
    let arguments = if early.is_empty() { vec![] } else { vec![early.into()] };
    let settings = ScriptSettings { max_calls: 3, ..few(ScriptSettings::new(example("forger"), arguments)) };
    ProcessScriptRunner::start(settings).unwrap()
}

const LIMIT: Duration = Duration::from_millis(600);

/// Says it, with a session that takes its time.
async fn says(lie: &str, pace: Duration) -> Seen {
    let runner = forger("");
    let begun = Instant::now();
    let seen = script(lie).timeout(LIMIT).pace(pace).run_on(&runner).await;
    assert!(seen.end.duration < LIMIT + Duration::from_millis(500), "{lie}: {:?}", seen.end);
    assert!(begun.elapsed() < Duration::from_secs(10), "{lie}");
    let next = script("honest").run_on(&runner).await;
    assert_eq!(next.value(), "1", "after {lie}");
    assert_eq!(next.calls, [], "after {lie}");
    seen
}

async fn violation(lie: &str) -> (String, Vec<DatabaseCall>) {
    let seen = says(lie, Duration::ZERO).await;
    let ScriptOutcome::Violation { what } = seen.end.outcome else { panic!("{lie}: {:?}", seen.end) };
    (what, seen.calls)
}

async fn is_refused(lie: &str, why: &str) {
    assert_eq!(violation(lie).await, (why.to_owned(), vec![]), "{lie}");
}

#[tokio::test]
async fn what_is_no_message_is_a_violation() {
    let no_message = |why: &str| format!("it sent what is no message: {why}");
    let not_ours = no_message("the header is no message of this version");
    is_refused("garbage", &no_message("a header of 2863311530 bytes is longer than 16777216")).await;
    is_refused("long payload", &no_message("a payload of 4294967295 bytes is longer than 33554432")).await;
    is_refused("half a frame and gone", &no_message("the stream ended inside of a message")).await;
    is_refused("half a length and gone", &no_message("the stream ended inside of a message")).await;
    is_refused("no json", &not_ours).await;
    is_refused("another direction", &not_ours).await;
}

#[tokio::test]
async fn messages_out_of_turn_are_a_violation() {
    for lie in ["ready again", "snapshot", "checked", "compiled"] {
        is_refused(lie, "it said what a running script does not say").await;
    }
}

#[tokio::test]
async fn half_a_message_and_silence_do_not_hold_up_the_clock() {
    for lie in ["half a frame", "silence"] {
        let seen = says(lie, Duration::ZERO).await;
        assert!(matches!(seen.end.outcome, ScriptOutcome::TimedOut), "{lie}: {:?}", seen.end);
        assert!(seen.end.duration >= LIMIT);
        assert_eq!(seen.calls, []);
    }
}

#[tokio::test]
async fn a_second_call_before_the_first_answer_is_a_violation() {
    let seen = says("two calls", Duration::from_mins(1)).await;
    let ScriptOutcome::Violation { what } = seen.end.outcome else { panic!("{:?}", seen.end) };
    assert_eq!(what, "it made a call before the one before it was answered");
    assert_eq!(seen.calls, [query("SELECT 1")]);
}

#[tokio::test]
async fn a_second_call_before_the_commit_of_the_first_is_in_the_log_is_a_violation() {
    let seen = script("two calls").answers(|_| Ok(committed())).timeout(LIMIT).run_on(&forger("")).await;
    let ScriptOutcome::Violation { what } = seen.end.outcome else { panic!("{:?}", seen.end) };
    assert_eq!(what, "it made a call before the one before it was answered");
    assert_eq!(seen.calls, [query("SELECT 1")]);
    assert_eq!((seen.end.commits, seen.order), (1, vec!["called".to_owned(), "wrote 1".to_owned()]));
}

#[tokio::test]
async fn numbers_of_calls_that_do_not_count_up_are_a_violation() {
    let why = "it made more calls than a script can";
    is_refused("call 0", why).await;
    is_refused("call 2", why).await;
    assert_eq!(violation("call 1 again").await, (why.to_owned(), vec![query("SELECT 1")]));
}

#[tokio::test]
async fn more_calls_than_the_limit_are_a_violation() {
    let (what, calls) = violation("calls without end").await;
    assert_eq!(what, "it made more calls than a script can");
    assert_eq!(calls, vec![query("SELECT 1"); 3]);
}

#[tokio::test]
async fn calls_that_no_script_can_make_are_a_violation() {
    is_refused("no text", "a statement that is no text").await;
    is_refused("long statement", "a statement that is too long").await;
    is_refused("many parameters", "more parameters than a statement can have").await;
    is_refused("many rows", "a number of rows that no script asks for").await;
    is_refused("no rows", "a number of rows that no script asks for").await;
    is_refused("commit with a statement", "a statement where there is none").await;
}

#[tokio::test]
async fn a_commit_out_of_nowhere_is_for_the_session_to_refuse() {
    let runner = forger("");
    let seen = script("commit").answers(|_| Err(database_error())).run_on(&runner).await;
    assert_eq!(seen.value(), "undefined");
    assert_eq!(seen.calls, [DatabaseCall::Commit]);
    assert_eq!(seen.end.commits, 0);
}

#[tokio::test]
async fn answers_that_are_not_read_do_not_pile_up() {
    let runner = forger("");
    let megabyte = format!(r#"["{}"]"#, "x".repeat(1 << 20));
    let seen = script("answers never read")
        .timeout(LIMIT)
        .answers(move |_| Ok(rows(&[("a", "text")], &[megabyte.as_str()])))
        .run_on(&runner)
        .await;
    let ScriptOutcome::Violation { what } = seen.end.outcome else { panic!("{:?}", seen.end) };
    assert_eq!(what, "it does not take the answer to its call");
    assert_eq!(script("honest").run_on(&runner).await.value(), "1");
}

#[tokio::test]
async fn values_that_are_no_json_on_a_line_are_a_violation() {
    for lie in ["no value", "a value of lines", "a value of bytes", "an element that is none"] {
        is_refused(lie, "a value that is no JSON").await;
    }
    is_refused("no value where one is", "a value where there is none").await;
}

#[tokio::test]
async fn of_two_values_the_first_counts_and_nothing_is_heard_after_it() {
    assert_eq!(says("two values", Duration::ZERO).await.value(), "1");
    let seen = says("more after the end", Duration::ZERO).await;
    assert_eq!(seen.value(), "1");
    assert_eq!((seen.calls.len(), seen.console().len()), (0, 0));
}

#[tokio::test]
async fn a_value_while_a_call_is_under_way_is_a_violation() {
    let seen = says("a value while a call is under way", Duration::from_mins(1)).await;
    let ScriptOutcome::Violation { what } = seen.end.outcome else { panic!("{:?}", seen.end) };
    assert_eq!(what, "it gave a value while a call was under way");
    assert_eq!(seen.calls, [query("SELECT 1")]);
}

#[tokio::test]
async fn a_value_of_a_million_brackets_is_survived() {
    let seen = says("a deep value", Duration::ZERO).await;
    assert_eq!(seen.value().len(), 2_000_000);
}

#[tokio::test]
async fn more_console_than_a_script_can_is_a_violation() {
    for (lie, most) in [("long line", 0), ("many lines", 17), ("many empty lines", 17 * 1024)] {
        let seen = says(lie, Duration::ZERO).await;
        let ScriptOutcome::Violation { what } = &seen.end.outcome else { panic!("{lie}: {:?}", seen.end) };
        assert_eq!(what, "it sent more console text than a script can", "{lie}");
        assert_eq!(seen.console().len(), most, "{lie}");
    }
}

#[tokio::test]
async fn console_that_is_no_text_becomes_text() {
    let seen = says("a line of no text", Duration::ZERO).await;
    assert_eq!(seen.value(), "undefined");
    assert_eq!(seen.console(), ["error: a\u{fffd}\0b"]);
}

#[tokio::test]
async fn an_error_of_megabytes_is_cut_and_names_no_call_that_never_was() {
    let seen = says("an error that never was", Duration::ZERO).await;
    let error = seen.error();
    assert!(error.message.len() < 17 * 1024 && error.stack.len() < 17 * 1024);
    assert_eq!(error.database_error, None);
}

#[tokio::test]
async fn a_process_that_says_that_its_memory_is_used_up_is_believed() {
    let seen = says("out of memory", Duration::ZERO).await;
    assert!(matches!(seen.end.outcome, ScriptOutcome::OutOfMemory { .. }), "{:?}", seen.end);
}

#[tokio::test]
async fn a_process_that_closes_its_stream_and_lives_on_is_ended() {
    is_refused("closes its stream", "it closed its stream").await;
    let seen = says("closes while a call is under way", Duration::from_mins(1)).await;
    let ScriptOutcome::Violation { what } = seen.end.outcome else { panic!("{:?}", seen.end) };
    assert_eq!(what, "it closed its stream");
}

#[tokio::test]
async fn a_process_that_ends_by_itself_has_crashed() {
    for (lie, told) in [
        ("ends well", "exit code 0"),
        ("ends badly", "exit code 7"),
        ("segv", "signal 11"),
        ("kill", "signal 9"),
        ("xcpu", "it used up its processor time"),
    ] {
        let seen = says(lie, Duration::ZERO).await;
        let ScriptOutcome::Crashed { how } = seen.end.outcome else { panic!("{lie}: {:?}", seen.end) };
        assert_eq!(how, told, "{lie}");
        assert_eq!(seen.calls, []);
    }
    is_refused("sys", "it tried a forbidden system call").await;
}

#[tokio::test]
async fn chatter_without_end_holds_up_neither_the_clock_nor_the_watch() {
    let seen = says("chatter without end", Duration::ZERO).await;
    assert!(matches!(seen.end.outcome, ScriptOutcome::TimedOut), "{:?}", seen.end);
    assert_eq!(seen.end.console_dropped, u64::MAX);
    let runner = forger("");
    let seen = script("chatter and memory").run_on(&runner).await;
    assert!(matches!(seen.end.outcome, ScriptOutcome::OutOfMemory { .. }), "{:?}", seen.end);
    let peak = super::peak();
    assert!(peak <= super::LIMIT / 4 * 5, "{peak} bytes");
}

#[tokio::test]
async fn a_process_that_lies_before_it_is_ready_runs_nothing() {
    for (early, told) in [
        ("old", "a script process said what it may not"),
        ("garbage", "a script process said what it may not"),
        ("hasty", "a script process said what it may not"),
        ("gone", "a script process ended before it was ready: exit code 0"),
    ] {
        let seen = script("honest").answers(|_| Ok(CallAnswer::default())).run_on(&forger(early)).await;
        let ScriptOutcome::NotStarted { source } = seen.end.outcome else {
            panic!("{early}: {:?}", seen.end)
        };
        assert_eq!(source.to_string(), told, "{early}");
        assert_eq!(seen.calls, []);
    }
}
